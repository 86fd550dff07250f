-- The one door: what a client's own SELECT and RETURNING show, and what stays
-- ciphertext. Other forms of results: reveal_forms, reveal_nested, reveal_json.
CREATE TABLE r (id int PRIMARY KEY, a sdes.enc_text('customer_pii'), b text);
INSERT INTO r VALUES (1, 'one', 'x'), (2, 'two', 'y'), (3, NULL, 'z') RETURNING id, a, b;
SELECT * FROM r ORDER BY id;
SELECT a FROM r ORDER BY b DESC LIMIT 2;
SELECT a AS first, a AS second, id + 1 AS n FROM r WHERE id = 1;
-- the client is told of text
SELECT a FROM r WHERE id = 1 \gdesc
UPDATE r SET b = 'w' WHERE id = 1 RETURNING a \gdesc
UPDATE r SET a = 'uno' WHERE id = 1 RETURNING a, b;
DELETE FROM r WHERE id = 3 RETURNING *;
-- views, subqueries, CTEs, joins, set operations
CREATE VIEW rv AS SELECT id, a FROM r;
SELECT * FROM rv ORDER BY id;
SELECT s.a FROM (SELECT a, id FROM r) s ORDER BY s.id;
WITH c AS (SELECT * FROM r) SELECT a FROM c ORDER BY id;
SELECT x.a, y.a FROM r x JOIN r y ON x.id = y.id + 1;
SELECT id, a FROM r UNION ALL SELECT id + 10, a FROM r ORDER BY 1;
SELECT a FROM r UNION ALL SELECT b FROM r ORDER BY 1;
(SELECT a FROM r WHERE id = 1) UNION ALL (SELECT a FROM r WHERE id = 2);
WITH i AS (INSERT INTO r VALUES (4, 'four', 'v') RETURNING id, a) SELECT * FROM i;
SELECT (SELECT a FROM r WHERE id = 1) AS sub, CASE WHEN true THEN a END AS c, coalesce(a, a) AS co
FROM r WHERE id = 2;
-- a constant beside a column is its own text
SELECT id, coalesce(a, 'n/a') AS co, CASE WHEN id = 1 THEN a ELSE 'other' END AS c,
       CASE id WHEN 1 THEN 'first' WHEN 2 THEN coalesce(NULL, a, 'none') END AS nested
FROM r ORDER BY id;
SELECT coalesce(a, 'n/a') AS co, CASE WHEN a IS NULL THEN 'none' ELSE a END AS c
FROM (SELECT 1) one LEFT JOIN r ON r.id = -1;
SELECT coalesce(a, 'n/a') FROM r WHERE id = 1 \gdesc
SELECT 'x'::sdes.enc_text AS own_constant, NULL::sdes.enc_text AS nothing;
UPDATE r SET b = b WHERE id = 1 RETURNING coalesce(a, 'n/a') AS co;
-- also where a function takes its text
SELECT id, lower(coalesce(a, 'N/A')) AS l, length(CASE WHEN id < 3 THEN a ELSE 'three' END) AS n,
       coalesce(a, 'x') || coalesce(a::text, 'y') AS xy, greatest(a, 'm') AS g, upper(least(a, coalesce(a, 'm'))) AS u FROM r ORDER BY id;
SELECT id FROM r WHERE coalesce(a, '') ~* 'O' AND coalesce(a, 'z') <> 'z' ORDER BY coalesce(a, 'zz') || 'x';
UPDATE r SET b = b WHERE coalesce(a, 'none') LIKE 'non%' RETURNING id;
-- where it cannot be told apart it is an error, not ciphertext
SELECT a FROM r UNION ALL SELECT 'lit';
CREATE VIEW rl AS SELECT coalesce(a, 'author''s own') AS a FROM r;
SELECT a FROM rl;
DROP VIEW rl;
SELECT DISTINCT ON (id) id, a FROM r ORDER BY id;
SELECT id, a FROM r GROUP BY id ORDER BY id;
SELECT a FROM r WHERE id = 1 FOR UPDATE;
SELECT max(a::text) FROM r;
SELECT a FROM r UNION SELECT a FROM r ORDER BY 1;
-- what is stored, logged or planned stays ciphertext
CREATE TABLE copy1 AS SELECT id, a FROM r;
\d copy1
SELECT c.id, sdes.enc_text_send(c.a) = sdes.enc_text_send(r.a) AS same FROM copy1 c JOIN r USING (id) ORDER BY 1;
SELECT id, a INTO copy2 FROM r;
SELECT id, a FROM copy2 ORDER BY id;
CREATE MATERIALIZED VIEW copy3 AS SELECT id, a FROM r;
SELECT id, a FROM copy3 ORDER BY id;
CREATE MATERIALIZED VIEW leak AS SELECT id, a::text FROM r;
CREATE MATERIALIZED VIEW leak AS SELECT id, sdes.reveal(a) AS a FROM r;
CREATE INDEX leak ON r (lower(a));
EXPLAIN (VERBOSE, COSTS OFF) SELECT a FROM r WHERE id = 1;
DO $$
DECLARE opened text; r1 record;
BEGIN
    SELECT a INTO r1 FROM r WHERE id = 1;
    RAISE NOTICE '%', left(r1::text, 7);
    SELECT a INTO opened FROM r WHERE id = 1;
    RAISE NOTICE '%', opened;
END
$$;
CREATE FUNCTION rp() RETURNS text LANGUAGE plpgsql AS
    'DECLARE one record; BEGIN SELECT a INTO one FROM r WHERE id = 1; RETURN left(one::text, 7); END';
SELECT rp() AS in_a_function;
DROP FUNCTION rp();
CREATE FUNCTION rf() RETURNS SETOF r LANGUAGE sql AS 'SELECT * FROM r ORDER BY id';
SELECT id, a FROM rf();
-- statistics of an expression over plaintext would store it
CREATE STATISTICS rs ON (lower(a)) , b FROM r;
ANALYZE r;
DROP STATISTICS rs;
DROP FUNCTION rf();
DROP MATERIALIZED VIEW copy3;
DROP VIEW rv;
DROP TABLE r, copy1, copy2;
