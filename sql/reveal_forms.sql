-- The one door: sorting, grouping, cursors, prepared statements, COPY, EXPLAIN.
CREATE ROLE regress_opener LOGIN;
CREATE ROLE regress_masked LOGIN;
CREATE ROLE regress_none LOGIN;
SELECT sdes.grant_access('customer_pii', 'regress_opener', '{encrypt,search,decrypt}');
SELECT sdes.grant_access('customer_pii', 'regress_masked', '{mask}');
CREATE TABLE f (id int PRIMARY KEY, a sdes.enc_text('customer_pii', 'searchable'), b text);
GRANT ALL ON f TO regress_opener, regress_masked, regress_none;
GRANT regress_masked TO regress_opener;
CREATE FUNCTION change_access() RETURNS void LANGUAGE sql SECURITY DEFINER AS
$$ SELECT sdes.grant_access('customer_pii', 'regress_none', '{search}');
   SELECT sdes.revoke_access('customer_pii', 'regress_none', '{search}') $$;
CREATE FUNCTION analyze_f() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS
$$ BEGIN ANALYZE f; ALTER TABLE f ADD COLUMN later int; ALTER TABLE f DROP COLUMN later; END $$;
\connect - regress_opener
INSERT INTO f VALUES (1, 'one', 'x'), (2, 'two', 'y'), (3, NULL, 'z'), (4, 'one', 'w'), (5, 'apple', 'v');
-- sorted, grouped, distinct: by the value, shown as text
SELECT a FROM f ORDER BY a;
SELECT id, a AS x FROM f ORDER BY x DESC NULLS LAST, id LIMIT 3;
SELECT a FROM f ORDER BY a DESC OFFSET 1 FETCH FIRST 2 ROWS ONLY;
SELECT a, a AS again, id FROM f ORDER BY 2, 1, id DESC;
SELECT DISTINCT a FROM f ORDER BY a;
SELECT DISTINCT a, b FROM f WHERE id < 3 ORDER BY b;
SELECT DISTINCT ON (a) a, id FROM f ORDER BY a, id;
SELECT DISTINCT ON (b) b, a FROM f ORDER BY b;
SELECT DISTINCT a FROM f WHERE id < 3 ORDER BY a \gdesc
SELECT a, count(*) FROM f GROUP BY a ORDER BY a;
SELECT a FROM f GROUP BY a HAVING count(*) > 1;
SELECT a, count(*) FROM f GROUP BY ROLLUP (a) ORDER BY a, 2;
SELECT a, b, count(*), grouping(a) FROM f GROUP BY GROUPING SETS ((a), (b), ()) ORDER BY 1, 2, 3;
BEGIN;
DECLARE sets SCROLL CURSOR FOR SELECT format('%s:%s', 'x', a) AS f, count(*) FROM f GROUP BY ROLLUP (format('%s:%s', 'x', a)) ORDER BY 1, 2;
FETCH ALL FROM sets;
FETCH BACKWARD 1 FROM sets;
COMMIT;
SELECT coalesce(a, b) AS ab, count(*) FROM f GROUP BY coalesce(a, b) ORDER BY 2, 1;
SELECT coalesce(a, 'none') AS c, count(*) FROM f GROUP BY 1 ORDER BY 2;
SELECT a, row_number() OVER (PARTITION BY a ORDER BY id), lag(a) OVER (ORDER BY a, id), first_value(a) OVER w
FROM f WINDOW w AS (ORDER BY a DESC) ORDER BY a, id;
SELECT a FROM f UNION SELECT a FROM f ORDER BY a;
SELECT a FROM f INTERSECT ALL SELECT a FROM f WHERE id IN (1, 2) ORDER BY 1;
SELECT a FROM f EXCEPT SELECT a FROM f WHERE id = 1 ORDER BY a NULLS FIRST;
SELECT a FROM f WHERE id < 3 ORDER BY a FOR UPDATE;
SELECT min(a), max(a), string_agg(a, ',' ORDER BY a DESC) FROM f;
SELECT (SELECT a FROM f ORDER BY a LIMIT 1) AS sub, EXISTS (SELECT DISTINCT a FROM f);
SELECT s.a, n FROM (SELECT DISTINCT a FROM f) s JOIN LATERAL (SELECT count(*) AS n FROM f WHERE f.a = s.a) c ON true ORDER BY a;
WITH RECURSIVE w AS (SELECT 1 AS id, a FROM f WHERE id = 1 UNION ALL SELECT w.id + 1, f.a FROM w JOIN f ON f.id = w.id + 1)
SELECT * FROM w ORDER BY id;
-- what is sorted by is evaluated once
CREATE TEMP SEQUENCE calls;
CREATE FUNCTION pg_temp.next_a(i int) RETURNS sdes.enc_text LANGUAGE sql VOLATILE AS 'SELECT nextval(''calls''); SELECT a FROM f WHERE id = i';
SELECT id, pg_temp.next_a(id) AS x FROM f WHERE id < 3 ORDER BY x DESC;
SELECT nextval('calls') AS third;
SELECT unnest(ARRAY[a, a]) AS u, id FROM f WHERE id IN (1, 5) ORDER BY u, id;
SELECT id, (SELECT g.a FROM f g WHERE g.id = f.id + 1) AS next FROM f WHERE id IN (1, 3, 4) ORDER BY next DESC;
-- also beside a data-modifying WITH, which has to stay at the top
WITH d AS (DELETE FROM f WHERE id = 4 RETURNING id, a)
SELECT DISTINCT a FROM d UNION ALL SELECT a FROM d WHERE id IN (SELECT id FROM d) ORDER BY a;
WITH u AS (UPDATE f SET b = b RETURNING *), v AS (SELECT * FROM u WHERE id > 1)
SELECT DISTINCT a FROM (SELECT * FROM v WHERE EXISTS (SELECT FROM u WHERE u.id = v.id)) s ORDER BY a;
WITH i AS (INSERT INTO f VALUES (4, 'one', 'w') RETURNING *), s AS (SELECT a FROM f) SELECT a FROM i UNION SELECT a FROM s ORDER BY a;
-- cursors
BEGIN;
DECLARE c CURSOR FOR SELECT id, a FROM f ORDER BY a, id;
FETCH 2 FROM c;
FETCH FORWARD ALL FROM c;
MOVE ABSOLUTE 1 FROM c;
CLOSE c;
DECLARE back SCROLL CURSOR FOR SELECT a, b FROM f JOIN generate_series(1, 3) g ON g = id ORDER BY id;
FETCH LAST FROM back;
FETCH PRIOR FROM back;
FETCH BACKWARD ALL FROM back;
-- what cannot run backwards is kept below the door
SET LOCAL enable_nestloop = off;
SET LOCAL enable_mergejoin = off;
EXPLAIN (VERBOSE, COSTS OFF) DECLARE x SCROLL CURSOR FOR
SELECT f.id, f.a, coalesce(f.a, 'none') AS co, CASE WHEN f.id = 1 THEN f.a ELSE f.b END AS c FROM f JOIN f g ON f.id = g.id + 0;
DECLARE x SCROLL CURSOR FOR
SELECT f.id, f.a, coalesce(f.a, 'none') AS co, CASE WHEN f.id = 1 THEN f.a ELSE 'other' END AS c, concat(f.a, '/', f.b),
       row_to_json(f) AS j, array_agg(g.a) OVER (ORDER BY f.id) AS arr FROM f JOIN f g USING (id) ORDER BY lower(f.b) DESC;
FETCH 2 FROM x;
FETCH PRIOR FROM x;
FETCH LAST FROM x;
DECLARE y SCROLL CURSOR FOR SELECT DISTINCT a FROM f UNION ALL SELECT a FROM f WHERE id = 2;
MOVE LAST FROM y;
FETCH y;
FETCH PRIOR FROM y;
COMMIT;
-- an updatable one keeps a plan that it can be updated through
BEGIN;
DECLARE u CURSOR FOR SELECT a, b FROM f WHERE id = 2 FOR UPDATE;
FETCH u;
UPDATE f SET a = 'zwei' WHERE CURRENT OF u RETURNING a, b;
DECLARE us SCROLL CURSOR FOR SELECT a FROM f WHERE id = 5;
FETCH us;
DELETE FROM f WHERE CURRENT OF us RETURNING a;
ROLLBACK;
-- pg_dump's own
BEGIN;
DECLARE _pg_dump_cursor CURSOR FOR SELECT a FROM f WHERE id = 1;
\o reveal_forms.rows
FETCH ALL FROM _pg_dump_cursor;
\o
\! sed -nE 's/sdes1:[A-Za-z0-9_-]+/ARMOR/p' reveal_forms.rows
COMMIT;
-- WITH HOLD: as the role could see it at commit, and for that role only
BEGIN;
DECLARE h CURSOR WITH HOLD FOR SELECT id, a FROM f ORDER BY a, id;
FETCH h;
COMMIT;
FETCH h;
FETCH ALL FROM h;
CREATE FUNCTION pg_temp.from_h() RETURNS text LANGUAGE plpgsql AS
$$ DECLARE c refcursor := 'h'; v record; BEGIN MOVE ABSOLUTE 1 FROM c; FETCH c INTO v; CLOSE c; RETURN v.a; END $$;
SELECT pg_temp.from_h() AS outlives_its_cursor;
FETCH h;
BEGIN;
DECLARE plain CURSOR WITH HOLD FOR SELECT 'plain' AS p;
COMMIT;
BEGIN;
DECLARE h CURSOR WITH HOLD FOR SELECT id, a FROM f WHERE id < 3 ORDER BY id;
COMMIT;
SET ROLE regress_masked;
FETCH h;
RESET ROLE;
FETCH h;
SELECT change_access();
FETCH h;
MOVE h;
CLOSE h;
FETCH plain;
-- PREPARE and EXECUTE, and what befalls the tables in between
PREPARE p (int) AS SELECT id, a FROM f WHERE id <= $1 ORDER BY id;
EXECUTE p(2);
EXECUTE p(2) \gdesc
PREPARE pr AS UPDATE f SET b = b WHERE id = 1 RETURNING a;
EXECUTE pr;
PREPARE pd AS SELECT DISTINCT a FROM f ORDER BY a;
EXECUTE pd;
SELECT analyze_f();
EXECUTE p(1);
EXECUTE pr;
SELECT analyze_f();
CREATE FUNCTION pg_temp.nested() RETURNS text LANGUAGE plpgsql AS
$$ DECLARE v record; BEGIN EXECUTE 'EXECUTE p(1)' INTO v; RETURN v.a || pg_typeof(v.a); END $$;
SELECT pg_temp.nested();
EXECUTE p(1);
-- in a column that is encrypted meanwhile
CREATE TEMP TABLE conv (id int, a text);
INSERT INTO conv VALUES (1, 'eins'), (2, 'zwei');
PREPARE conv AS SELECT id, a, to_json(a) AS j FROM conv ORDER BY id;
EXECUTE conv;
ALTER TABLE conv ALTER a TYPE sdes.enc_text('customer_pii');
EXECUTE conv;
-- of the same name once more
DEALLOCATE pd;
PREPARE pd AS SELECT a FROM f UNION SELECT a FROM f ORDER BY a;
EXECUTE pd;
EXPLAIN (VERBOSE, COSTS OFF) EXECUTE p(1);
SELECT name, statement LIKE 'PREPARE%' AS as_typed FROM pg_prepared_statements ORDER BY name;
-- a table made of it would be made of plaintext
CREATE TEMP TABLE leak AS EXECUTE p(1);
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) CREATE TEMP TABLE leak AS EXECUTE p(1);
DO $$ BEGIN EXECUTE 'CREATE TEMP TABLE leak AS EXECUTE p(1)'; END $$;
SELECT analyze_f();
CREATE TEMP TABLE leak AS EXECUTE p(1);
PREPARE harmless AS SELECT id, b FROM f WHERE id = 1;
CREATE TEMP TABLE harmless AS EXECUTE harmless;
SELECT * FROM harmless;
DEALLOCATE ALL;
-- what a function prepares is the function's
DO $$ BEGIN EXECUTE 'PREPARE p (int) AS SELECT a FROM f WHERE id = $1'; END $$;
EXECUTE p(1) \gdesc
DEALLOCATE p;
-- COPY of a query to the client, and to others
COPY (SELECT id, a FROM f ORDER BY a, id) TO STDOUT;
COPY (SELECT DISTINCT a FROM f ORDER BY a) TO STDOUT (FORMAT csv, HEADER);
COPY (UPDATE f SET b = b WHERE id = 1 RETURNING a, b) TO STDOUT;
COPY (SELECT a FROM f WHERE id = 1) TO STDOUT (FORMAT csv, FORCE_QUOTE (a));
\copy (SELECT a FROM f WHERE id = 2) TO STDOUT
\connect - postgres
GRANT pg_execute_server_program TO regress_opener;
\connect - regress_opener
COPY (SELECT a FROM f WHERE id = 1) TO PROGRAM 'grep -c "^sdes1:" >reveal_forms.count';
\connect - postgres
SELECT pg_read_file('reveal_forms.count');
COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; rm reveal_forms.count';
REVOKE pg_execute_server_program FROM regress_opener;
\connect - regress_opener
-- EXPLAIN tells of the statement that would run
EXPLAIN (VERBOSE, COSTS OFF) SELECT a FROM f ORDER BY a;
EXPLAIN (VERBOSE, COSTS OFF) SELECT a FROM f UNION ALL SELECT a FROM f;
EXPLAIN (VERBOSE, COSTS OFF) DELETE FROM f WHERE id = 1 RETURNING a;
EXPLAIN (VERBOSE, COSTS OFF) CREATE TABLE other AS SELECT a FROM f;
EXPLAIN (VERBOSE, COSTS OFF) DECLARE c CURSOR FOR SELECT a FROM f;
EXPLAIN (VERBOSE, COSTS OFF) DECLARE _pg_dump_cursor CURSOR FOR SELECT a FROM f;
\t on
EXPLAIN (ANALYZE, BUFFERS OFF, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT a FROM f WHERE id = 1 \g |sed 's/\(actual rows=[0-9]*\)\.00/\1/'
\t off
-- who has a mask, and who has nothing
\set forms 'BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT a FROM f WHERE id = 1; COMMIT; FETCH c; PREPARE p AS SELECT a FROM f WHERE id = 2; EXECUTE p; COPY (SELECT a FROM f WHERE id = 5) TO STDOUT; SELECT DISTINCT a FROM f WHERE id = 1; SELECT a, count(*) FROM f WHERE id = 1 GROUP BY a; UPDATE f SET b = b WHERE id = 1 RETURNING a; SELECT a FROM f WHERE id = 1 UNION SELECT a FROM f WHERE id = 1;'
\t
\connect - regress_masked
:forms
\connect - regress_none
\o reveal_forms.rows
:forms
\o
\! sed -E 's/sdes1:[A-Za-z0-9_-]+/ARMOR/; /^$/d' reveal_forms.rows; rm reveal_forms.rows
\t
\connect - postgres
DROP FUNCTION change_access, analyze_f;
DROP TABLE f;
SELECT sdes.revoke_access('customer_pii', 'regress_opener', '{encrypt,search,decrypt}');
SELECT sdes.revoke_access('customer_pii', 'regress_masked', '{mask}');
DROP ROLE regress_opener, regress_masked, regress_none;
