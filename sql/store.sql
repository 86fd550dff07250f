-- What an implicit cast opens is not stored in a plain column, wherever the statement
-- stands; an explicit cast is the writer's own decision.
CREATE TABLE s (id int PRIMARY KEY, email sdes.enc_text('customer_pii'),
    card sdes.enc_pan('payment'), tags sdes.enc_text('customer_pii')[], note text);
INSERT INTO s VALUES (1, 'Ada@example.org', '4111 1111 1111 1111', '{a,b}', 'note');
CREATE TABLE p (id int PRIMARY KEY, a text, v varchar(40), c char(40), arr text[], j jsonb,
    b bytea, n int, ok boolean, d date, nm name);
INSERT INTO p (id) VALUES (1);

-- INSERT ... SELECT, each kind of text
INSERT INTO p (id, a) SELECT 2, email FROM s;
INSERT INTO p (id, v) SELECT 2, email FROM s;
INSERT INTO p (id, c) SELECT 2, email FROM s;
INSERT INTO p (id, a) SELECT 2, card FROM s;
INSERT INTO p (id, arr) SELECT 2, tags FROM s;
-- nor the ciphertext, in a type that would get it by way of output and input
INSERT INTO p (id, nm) SELECT 2, email FROM s;
\set VERBOSITY sqlstate
INSERT INTO p (id, a) SELECT 2, email FROM s;
\set VERBOSITY default
-- UPDATE, ON CONFLICT, MERGE, multiple assignment, elements
UPDATE p SET a = email FROM s WHERE s.id = p.id;
UPDATE p SET n = 1, a = 'x' || email FROM s WHERE s.id = p.id;
UPDATE p SET (n, a) = (SELECT 1, lower(email) FROM s WHERE s.id = p.id);
UPDATE p SET (n, a) = ROW (1, (SELECT email FROM s WHERE s.id = p.id));
UPDATE p SET arr[1] = lower(email) FROM s WHERE s.id = p.id;
UPDATE p SET j['key'] = to_jsonb(lower(email)) FROM s WHERE s.id = p.id;
INSERT INTO p (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET a = (SELECT email FROM s WHERE s.id = excluded.id);
INSERT INTO s (id, email) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET note = excluded.email;
MERGE INTO p USING s ON s.id = p.id WHEN MATCHED THEN UPDATE SET a = email;
MERGE INTO p USING s ON false WHEN NOT MATCHED THEN INSERT (id, a) VALUES (2, s.email);
UPDATE s SET note = email;
UPDATE s SET email = note, note = lower(email);
-- a temporary table is a table
CREATE TEMP TABLE t (a text);
INSERT INTO t SELECT email FROM s;
-- through expressions
INSERT INTO p (id, a) SELECT 2, upper(substr(email, 2)) FROM s;
INSERT INTO p (id, a) SELECT 2, CASE WHEN id > 0 THEN email ELSE 'none' END || '' FROM s;
INSERT INTO p (id, a) SELECT 2, CASE WHEN id > 0 THEN 'none' ELSE lower(email) END FROM s;
INSERT INTO p (id, a) SELECT 2, coalesce(note, lower(email)) FROM s;
INSERT INTO p (id, a) SELECT 2, greatest(note, lower(email)) FROM s;
INSERT INTO p (id, a) SELECT 2, nullif(lower(email), 'x') FROM s;
INSERT INTO p (id, a) SELECT 2, string_agg(lower(email), ',') FROM s;
INSERT INTO p (id, a) SELECT 2, percentile_disc(0.5) WITHIN GROUP (ORDER BY lower(email)) FROM s;
INSERT INTO p (id, a) SELECT 2, lag(lower(email)) OVER (ORDER BY id) FROM s;
INSERT INTO p (id, a) SELECT 2, lower(email)::varchar(10) FROM s;
INSERT INTO p (id, a) SELECT 2, (ARRAY[lower(email)])[1] FROM s;
INSERT INTO p (id, a) SELECT 2, (regexp_match(email, '@(.*)'))[1] FROM s;
INSERT INTO p (id, b) SELECT 2, convert_to(email, 'UTF8') FROM s;
INSERT INTO p (id, a) SELECT 2, md5(email) FROM s;
INSERT INTO p (id, j) SELECT 2, jsonb_build_object('email', lower(email)) FROM s;
INSERT INTO p (id, arr) SELECT 2, string_to_array(email, '@') FROM s;
INSERT INTO p (id, a) SELECT 2, (row_to_json(x)) FROM (SELECT lower(email) FROM s) x;
INSERT INTO p (id, a) SELECT 2, email COLLATE "C" FROM s;
-- through queries: subqueries, WITH, set operations, joins, VALUES, functions, views
INSERT INTO p (id, a) SELECT 2, x.e FROM (SELECT lower(email) AS e FROM s) x;
INSERT INTO p (id, a) SELECT 2, x.e FROM (SELECT email AS e FROM s) x;
INSERT INTO p (id, a) VALUES (2, (SELECT email FROM s));
INSERT INTO p (id, a) VALUES (2, 'x'), (3, (SELECT lower(email) FROM s));
INSERT INTO p (id, arr) VALUES (2, ARRAY(SELECT lower(email) FROM s));
WITH x AS (SELECT lower(email) AS e FROM s) INSERT INTO p (id, a) SELECT 2, e FROM x;
INSERT INTO p (id, a) WITH x AS (SELECT lower(email) AS e FROM s) SELECT 2, e FROM x;
WITH x AS (UPDATE s SET note = 'y' RETURNING lower(email) AS e) INSERT INTO p (id, a) SELECT 2, e FROM x;
WITH x AS (INSERT INTO p (id, a) SELECT 2, email FROM s) SELECT 1;
WITH x AS (INSERT INTO p (id, a) SELECT 2, email FROM s) DELETE FROM p WHERE id = 7;
WITH RECURSIVE x AS (SELECT 1 AS i, lower(email) AS e FROM s UNION ALL SELECT i + 1, e FROM x WHERE i < 3)
    INSERT INTO p (id, a) SELECT i + 1, e FROM x;
WITH RECURSIVE x (i, e, f) AS (SELECT 1, 'x', lower(email) FROM s UNION ALL SELECT i + 1, f, 'x' FROM x WHERE i < 3)
    INSERT INTO p (id, a) SELECT i + 1, e FROM x;
INSERT INTO p (id, a) SELECT 2, note FROM s UNION ALL SELECT 3, lower(email) FROM s;
INSERT INTO p (id, a) SELECT 2, note FROM s UNION ALL SELECT 3, email FROM s;
INSERT INTO p (id, a) SELECT 2, note FROM s UNION ALL (SELECT 3, note FROM s EXCEPT SELECT 4, email FROM s);
INSERT INTO p (id, a) SELECT 2, e FROM s JOIN (SELECT id, lower(email) AS e FROM s) x USING (id);
INSERT INTO p (id, a) SELECT 2, e FROM (SELECT note AS e FROM s) x FULL JOIN (SELECT lower(email) AS e FROM s) y USING (e);
INSERT INTO p (id, a) SELECT 2, part FROM s, LATERAL string_to_table(email, '@') part;
INSERT INTO p (id, a) SELECT 2, u FROM s, LATERAL unnest(ARRAY[1], string_to_array(email, '@')) AS x (k, u);
INSERT INTO p (id, a) SELECT 2, x.e FROM s, LATERAL (VALUES ('x'), (lower(email))) AS x (e);
INSERT INTO p (id, a) SELECT 2, x.e FROM s, XMLTABLE('/e' PASSING xmlparse(CONTENT '<e>' || email || '</e>') COLUMNS e text PATH '.') x;
CREATE VIEW sv AS SELECT id, email, lower(email) AS e, email::text AS opened FROM s;
CREATE VIEW svv AS SELECT * FROM sv;
INSERT INTO p (id, a) SELECT 2, e FROM svv;
INSERT INTO p (id, a) SELECT 2, email FROM svv;
INSERT INTO p (id, a) SELECT 2, svv::text FROM svv;
-- tables made of queries
CREATE TABLE bad AS SELECT id, lower(email) AS e FROM s;
CREATE TABLE bad (id, other) AS SELECT id, lower(email) AS e FROM s;
CREATE TABLE bad AS SELECT note FROM s UNION SELECT email FROM s;
CREATE TABLE bad AS WITH x AS (INSERT INTO p (id, a) SELECT 2, email FROM s RETURNING id) SELECT id FROM x;
SELECT id, lower(email) AS e INTO bad FROM s;
CREATE MATERIALIZED VIEW bad AS SELECT id, lower(email) AS e FROM s;
CREATE MATERIALIZED VIEW bad AS SELECT id, lower(email) AS e FROM s WITH NO DATA;
CREATE TEMP TABLE bad AS SELECT array_agg(lower(email)) AS e FROM s;
PREPARE q AS SELECT id, lower(email) AS e FROM s;
CREATE TABLE bad AS EXECUTE q;
DEALLOCATE q;
-- prepared, explained, in functions, DO blocks, dynamic SQL, triggers, rules
PREPARE q AS INSERT INTO p (id, a) SELECT 2, email FROM s;
EXPLAIN INSERT INTO p (id, a) SELECT 2, email FROM s;
EXPLAIN CREATE TABLE bad AS SELECT lower(email) AS e FROM s;
DO $$ BEGIN INSERT INTO p (id, a) SELECT 2, email FROM s; END $$;
DO $$ BEGIN EXECUTE 'INSERT INTO p (id, a) SELECT 2, email FROM s'; END $$;
DO $$ DECLARE r record; BEGIN FOR r IN SELECT email FROM s LOOP INSERT INTO p (id, a) VALUES (2, r.email); END LOOP; END $$;
CREATE FUNCTION sf() RETURNS void LANGUAGE sql AS 'INSERT INTO p (id, a) SELECT 2, email FROM s';
CREATE FUNCTION sf() RETURNS void BEGIN ATOMIC INSERT INTO p (id, a) SELECT 2, email FROM s; END;
CREATE FUNCTION log_it() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO p (id, a) VALUES (2, NEW.email); RETURN NEW; END';
CREATE TRIGGER log_it AFTER INSERT ON s FOR EACH ROW EXECUTE FUNCTION log_it();
INSERT INTO s (id, email) VALUES (2, 'x');
DROP TRIGGER log_it ON s;
CREATE RULE log_it AS ON INSERT TO s DO ALSO INSERT INTO p (id, a) VALUES (NEW.id, NEW.email);
CREATE TABLE bad (e sdes.enc_text('customer_pii'), g text GENERATED ALWAYS AS (lower(e)) STORED);
SELECT count(*) FROM p WHERE id <> 1 OR a IS NOT NULL;

-- what works: ciphertext, numbers, dates, truth values, conditions
CREATE TABLE good AS SELECT * FROM s;
CREATE MATERIALIZED VIEW goodm AS SELECT id, email, length(email) AS n, email = 'x' AS x FROM s WITH NO DATA;
INSERT INTO good SELECT * FROM s;
INSERT INTO p (id, n, ok, d) SELECT 10, length(email), email LIKE '%@%', '2026-01-01'::date + length(email) FROM s;
INSERT INTO p (id, n) SELECT 11, count(*) FROM s WHERE lower(email) = 'ada@example.org';
INSERT INTO p (id, a) SELECT 12, CASE WHEN email LIKE 'A%' THEN 'A' ELSE 'other' END FROM s;
INSERT INTO p (id, a) SELECT 13, CASE lower(email) WHEN 'x' THEN 'A' ELSE 'other' END FROM s;
INSERT INTO p (id, a) SELECT 14, string_agg(note, ',' ORDER BY lower(email)) FILTER (WHERE email <> 'x') FROM s;
INSERT INTO p (id, a) SELECT 15, note FROM s ORDER BY lower(email) LIMIT 1;
INSERT INTO p (id, a) SELECT 16, first_value(note) OVER (ORDER BY lower(email)) FROM s;
INSERT INTO p (id, a) SELECT 17, e FROM (SELECT note AS e, lower(email) AS f FROM s) x;
INSERT INTO p (id, a) SELECT 18, note FROM s WHERE EXISTS (SELECT lower(email) FROM s);
INSERT INTO p (id, j) SELECT 19, '{}'::jsonb - 'x' FROM s GROUP BY lower(email);
UPDATE p SET a = 'seen' FROM s WHERE lower(s.email) = 'ada@example.org' AND p.id = 10;
DELETE FROM p USING s WHERE lower(s.email) = p.a;
-- into encrypted columns, elements and fields
UPDATE s SET email = lower(email), tags = ARRAY[lower(email)], note = note || '!';
INSERT INTO s (id, email, tags) SELECT 3, upper(email), string_to_array(email, '@') FROM s;
CREATE DOMAIN sd AS sdes.enc_text('customer_pii');
CREATE TYPE sc AS (e sdes.enc_text('customer_pii'), n text);
CREATE TABLE sg (d sd, c sc);
INSERT INTO sg VALUES ((SELECT lower(email) FROM s WHERE id = 1), ROW ((SELECT upper(email) FROM s WHERE id = 1), 'plain'));
INSERT INTO sg (c) VALUES (ROW ('x', (SELECT lower(email) FROM s WHERE id = 1)));
UPDATE sg SET c.e = lower(d);
UPDATE sg SET c.n = lower(d);
INSERT INTO p (id, a) SELECT 20, d FROM sg;
SELECT id, email, tags::text[] AS tags, note FROM s ORDER BY id;
SELECT d, (c).e, (c).n FROM sg;
-- the explicit cast, of every kind
CREATE DOMAIN st AS varchar(40);
INSERT INTO p (id, a, v, c, arr) SELECT 30, email::text, email::varchar, email::char(40), tags::text[] FROM s WHERE id = 1;
INSERT INTO p (id, a, v, c, arr) SELECT 31, email::varchar(5), CAST(email AS varchar(5)), email::char(5), tags::varchar(5)[] FROM s WHERE id = 1;
INSERT INTO p (id, a, v) SELECT 32, email::st, d::text FROM s, sg WHERE id = 1;
INSERT INTO p (id, a, v) SELECT 33, upper(email::text), opened FROM sv WHERE id = 1;
INSERT INTO p (id, a, v) SELECT 34, sdes.reveal(email), sdes.to_text(email) FROM s WHERE id = 1;
INSERT INTO p (id, a) SELECT 35, note FROM s WHERE id = 1 UNION ALL SELECT 36, email::text FROM s WHERE id = 1;
CREATE TABLE good2 AS SELECT id, lower(email::text) AS e, sdes.reveal(email) AS r FROM s WHERE id = 1;
SELECT id, a, v, c, arr FROM p WHERE id >= 30 ORDER BY id;
SELECT * FROM good2;
-- ALTER TABLE says what it does
ALTER TABLE good ALTER email TYPE text, ALTER card TYPE text USING lower(card);
SELECT email, card FROM good LIMIT 1;
-- a column that gets encrypted later: statements that were prepared before
CREATE TABLE later (email text);
INSERT INTO later VALUES ('Ada');
PREPARE q AS INSERT INTO p (id, a) SELECT 40, email FROM later;
PREPARE q2 AS SELECT lower(email) AS e FROM later;
CREATE FUNCTION sl() RETURNS void LANGUAGE plpgsql AS 'BEGIN INSERT INTO p (id, a) SELECT 41, email FROM later; END';
EXECUTE q;
SELECT sl();
ALTER TABLE later ALTER email TYPE sdes.enc_text('customer_pii');
EXECUTE q;
SELECT sl();
CREATE TABLE bad AS EXECUTE q2;
-- a dump that is restored is taken as it is
SET check_function_bodies = off;
CREATE MATERIALIZED VIEW restored AS SELECT id, lower(email) AS e FROM s WITH NO DATA;
CREATE FUNCTION sf() RETURNS void BEGIN ATOMIC INSERT INTO p (id, a) SELECT 2, email FROM s; END;
CREATE RULE log_it AS ON INSERT TO s DO ALSO INSERT INTO p (id, a) VALUES (NEW.id, NEW.email);
INSERT INTO p (id, a) SELECT 2, email FROM s;
RESET check_function_bodies;
DEALLOCATE ALL;
DROP FUNCTION sf(), sl(), log_it() CASCADE;
DROP MATERIALIZED VIEW restored, goodm;
DROP TABLE s, p, t, good, good2, sg, later CASCADE;
DROP TYPE sc;
DROP DOMAIN sd, st;
