-- Values of mode hsm in a result are opened many at once. Nobody may notice.
SELECT sdes.create_bucket('batch', mode => 'hsm') IS NOT NULL AS created;
SELECT sdes.create_bucket('batch2', mode => 'hsm') IS NOT NULL AS created;
CREATE ROLE regress_reader LOGIN;
CREATE ROLE regress_masker LOGIN;
CREATE ROLE regress_nobody LOGIN;
SELECT sdes.grant_access(b, 'regress_reader', '{encrypt,decrypt}') FROM unnest('{batch,batch2,customer_pii}'::text[]) AS b;
SELECT sdes.grant_access('batch', 'regress_masker', '{mask}');
CREATE TABLE many (id int PRIMARY KEY, a sdes.enc_text('batch'), t text, b sdes.enc_text('batch2'),
    c sdes.enc_text('customer_pii'), n sdes.enc_text('batch'));
GRANT ALL ON many TO regress_reader, regress_masker, regress_nobody;
\connect - regress_reader
INSERT INTO many SELECT i, 'a' || i, 't' || i, 'b' || i, 'c' || i, CASE WHEN i % 3 = 0 THEN NULL ELSE 'n' || i END
FROM generate_series(1, 300) AS i;
-- every row right and in order, whatever the number of rows
\t
\a
\o hsm_batch.rows
SELECT * FROM many ORDER BY id;
\o
\! md5sum < hsm_batch.rows
\! for i in $(seq 300); do if [ $((i % 3)) = 0 ]; then n=; else n=n$i; fi; echo "$i|a$i|t$i|b$i|c$i|$n"; done | md5sum
\! rm hsm_batch.rows
\a
\t
SELECT a, b FROM many WHERE id < 0;
SELECT a, b FROM many WHERE id = 1;
SELECT b, a, t, a FROM many WHERE id BETWEEN 63 AND 66 ORDER BY id;
-- rows that never arrive, or come more than once
SELECT a, n FROM many ORDER BY id LIMIT 3;
SELECT a, n FROM many ORDER BY id OFFSET 297;
SELECT a, n FROM many ORDER BY id LIMIT 2 OFFSET 70;
SELECT n FROM (SELECT n, id FROM many ORDER BY id LIMIT 5 OFFSET 2) AS s ORDER BY id DESC;
SELECT a FROM many ORDER BY id % 100, id FETCH FIRST 1 ROW WITH TIES;
SELECT a, generate_series(1, 2) AS g FROM many WHERE id < 3 ORDER BY id;
SELECT x.a, y.a AS y FROM many AS x JOIN many AS y ON y.id = x.id + 1 WHERE x.id < 4 ORDER BY x.id;
SELECT a FROM many WHERE id = 1 UNION ALL SELECT b FROM many WHERE id = 1;
SELECT a FROM many WHERE id IN (5, 6) ORDER BY id FOR UPDATE;
UPDATE many SET t = 'updated' WHERE id = 7 RETURNING a, b, t;
SELECT coalesce(n, a) AS n, CASE WHEN id = 3 THEN a ELSE b END AS ab FROM many WHERE id < 5 ORDER BY id;
WITH c AS MATERIALIZED (SELECT id, a FROM many WHERE id < 4) SELECT a FROM c ORDER BY id;
-- within functions, and beside them
CREATE FUNCTION pg_temp.inner_text(i int) RETURNS text LANGUAGE plpgsql AS
$$ DECLARE r text; BEGIN SELECT a::text INTO r FROM many WHERE id = i; RETURN r; END $$;
SELECT a, pg_temp.inner_text(id + 1) AS other FROM many WHERE id < 4 ORDER BY id;
-- several workers
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SELECT count(*) FROM many WHERE t <> '';
SELECT a FROM many WHERE t IN ('t10', 't200') ORDER BY id;
RESET ALL;
-- EXPLAIN ANALYZE has no client to give rows to
DO $$
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE) SELECT sdes.reveal(a) FROM many';
END
$$;
EXPLAIN (ANALYZE, BUFFERS OFF, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT a FROM many ORDER BY t LIMIT 0 \g |sed 's/\(actual rows=[0-9]*\)\.00/\1/'
-- long values
INSERT INTO many (id, a) SELECT 1000 + i, repeat(chr(96 + i), 30000) FROM generate_series(1, 9) AS i;
\t
\a
\o hsm_batch.rows
SELECT a FROM many WHERE id > 1000 ORDER BY id;
\o
\! tr -s a-z < hsm_batch.rows; wc -c < hsm_batch.rows; rm hsm_batch.rows
\a
\t
-- a mask, and nothing
\connect - regress_masker
SELECT a, b IS NOT NULL AS b FROM many WHERE id IN (1, 2, 3) ORDER BY id;
SELECT a FROM many WHERE id = 100;
\connect - regress_nobody
SELECT count(*), count(DISTINCT left(sdes.reveal(a), 8)) AS kinds, min(left(sdes.reveal(a), 8)) FROM many;
\connect - postgres
DROP TABLE many;
SELECT sdes.revoke_access(b, 'regress_reader', '{encrypt,decrypt}') FROM unnest('{batch,batch2,customer_pii}'::text[]) AS b;
SELECT sdes.revoke_access('batch', 'regress_masker', '{mask}');
DROP ROLE regress_reader, regress_masker, regress_nobody;
