-- What is not revealed and stays ciphertext: docs/results.md lists it.
CREATE TABLE x (id int PRIMARY KEY, a sdes.enc_text('customer_pii'));
INSERT INTO x VALUES (1, 'canary 1'), (2, 'canary 2');
CREATE VIEW xv AS SELECT id, to_json(a) AS j, concat(a, '!') AS c, x::text AS t FROM x;
CREATE PROCEDURE call_me(INOUT v sdes.enc_text) LANGUAGE plpgsql AS 'BEGIN SELECT a INTO v FROM x WHERE id = 1; END';
CREATE FUNCTION cursor_of(query text) RETURNS refcursor LANGUAGE plpgsql AS
$$ DECLARE c refcursor := 'c'; BEGIN OPEN c FOR EXECUTE query; RETURN c; END $$;
CREATE FUNCTION texts() RETURNS SETOF text LANGUAGE sql AS 'SELECT row_to_json(x)::text FROM x ORDER BY id';
\t \a
\o reveal_not.rows
-- a cursor that a function opens
BEGIN;
SELECT 'refcursor', cursor_of('SELECT a FROM x ORDER BY id');
FETCH ALL FROM c;
COMMIT;
-- arguments of a procedure that come back
CALL call_me(NULL);
-- json and text that views and functions made
SELECT 'view', j, c, t FROM xv ORDER BY id;
SELECT 'function', texts();
-- what reads tables by itself
SELECT 'xml', table_to_xml('x', true, true, ''), query_to_xml('SELECT a FROM x', true, true, '');
-- DISTINCT within an aggregate
SELECT 'distinct', json_agg(DISTINCT a) FROM x;
-- tables as they are stored
COPY x TO STDOUT;
\o
\t \a
\! grep -c sdes1: reveal_not.rows; grep -c canary reveal_not.rows
\! sed -E 's/sdes1:[A-Za-z0-9_-]+/ARMOR/g; s/^ +//' reveal_not.rows | grep -v '^$'; rm reveal_not.rows
DO $$ DECLARE v sdes.enc_text; BEGIN SELECT a INTO v FROM x WHERE id = 1; RAISE NOTICE '%', left(format('%s', v), 6); END $$;
-- and the way round
BEGIN;
SELECT cursor_of('SELECT a::text FROM x ORDER BY id');
FETCH ALL FROM c;
COMMIT;
SELECT json_agg(a ORDER BY a) FROM (SELECT DISTINCT a::text FROM x) s;
SELECT to_json(a) FROM (SELECT a FROM x ORDER BY id) s;
DROP VIEW xv;
DROP PROCEDURE call_me;
DROP FUNCTION cursor_of, texts;
DROP TABLE x;
