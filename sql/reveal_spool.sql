-- Results that the server spools go to disk when they are large; the plaintext in
-- them does not. The last row of each looks at what is there.
CREATE ROLE regress_opener LOGIN;
SELECT sdes.grant_access('customer_pii', 'regress_opener', '{encrypt,search,decrypt}');
CREATE TABLE s (id int PRIMARY KEY, a sdes.enc_text('customer_pii', 'searchable'), l sdes.enc_text('customer_pii')[], b text);
SELECT sdes.create_bucket('spool', mode => 'hsm') IS NOT NULL AS created;
SELECT sdes.grant_access('spool', 'regress_opener', '{encrypt,decrypt}');
CREATE TABLE sh (id int PRIMARY KEY, a sdes.enc_text('spool'));
GRANT ALL ON s, sh TO regress_opener;
CREATE FUNCTION spilled() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    file text;
    files int := 0;
    plain int := 0;
BEGIN
    FOR file IN SELECT pg_read_binary_file('base/pgsql_tmp/' || name, 0, 100000000, true)::text FROM pg_ls_tmpdir() LOOP
        files := files + 1;
        IF position(encode('canary', 'hex') IN file) > 0 THEN
            plain := plain + 1;
        END IF;
    END LOOP;
    RETURN format('%s on disk, %s with plaintext', CASE WHEN files > 0 THEN 'rows' ELSE 'nothing' END, plain);
END $$;
\connect - regress_opener
SET work_mem = '64kB';
INSERT INTO s SELECT i, 'canary' || i || repeat('x', 50), ARRAY['canary' || i], 'plain' FROM generate_series(1, 3000) i;
INSERT INTO sh SELECT i, 'canary' || i || repeat('x', 500) FROM generate_series(1, 300) i;
\t \a
\o reveal_spool.rows
-- RETURNING
UPDATE s SET b = b RETURNING a, l, s, row_to_json(s), CASE WHEN id = 3000 THEN spilled() END;
UPDATE s SET b = b RETURNING lower(a), a::text, CASE WHEN id = 3000 THEN spilled() END;
WITH u AS (UPDATE s SET b = b RETURNING *) SELECT a, CASE WHEN id = 3000 THEN spilled() END FROM u;
-- EXECUTE
PREPARE p AS SELECT a, l, CASE WHEN id = 3000 THEN spilled() END FROM s ORDER BY id;
EXECUTE p;
PREPARE u AS UPDATE s SET b = b RETURNING a, s, CASE WHEN id = 3000 THEN spilled() END;
EXECUTE u;
-- FETCH
BEGIN;
DECLARE c CURSOR FOR SELECT a, l, CASE WHEN id = 3000 THEN spilled() END FROM s ORDER BY id;
FETCH ALL FROM c;
COMMIT;
-- and back: what is kept for it
BEGIN;
SET LOCAL enable_nestloop = off;
SET LOCAL enable_mergejoin = off;
DECLARE c SCROLL CURSOR FOR SELECT a, l, s, coalesce(a, 'none') FROM s JOIN generate_series(1, 3000) g ON g = id;
MOVE 2999 FROM c;
SELECT 'cursor', spilled();
FETCH c;
FETCH PRIOR FROM c;
COMMIT;
-- a sort by an encrypted column
BEGIN;
DECLARE c CURSOR FOR SELECT a, l FROM s ORDER BY a DESC;
FETCH 1 FROM c;
SELECT 'sort', spilled();
COMMIT;
-- WITH HOLD
BEGIN;
DECLARE h CURSOR WITH HOLD FOR SELECT a, l, s, row_to_json(s), lower(a) FROM s ORDER BY id;
FETCH 10 FROM h;
COMMIT;
SELECT 'held', spilled();
FETCH ABSOLUTE 3000 FROM h;
FETCH ABSOLUTE 1 FROM h;
CLOSE h;
SELECT 'closed', spilled();
-- values that the HSM opens, many at once
PREPARE ph AS SELECT a, CASE WHEN id = 300 THEN spilled() END FROM sh ORDER BY id;
EXECUTE ph;
BEGIN;
DECLARE h CURSOR WITH HOLD FOR SELECT a FROM sh ORDER BY id;
FETCH 150 FROM h;
COMMIT;
SELECT 'held', spilled();
FETCH ALL FROM h;
CLOSE h;
\o
\t \a
\! grep -oE '(cursor|sort|held|closed)?\|(rows|nothing) on disk.*' reveal_spool.rows
\! grep -c canary reveal_spool.rows
-- what is no secret goes there, and would be found
BEGIN;
DECLARE h CURSOR WITH HOLD FOR SELECT 'can' || 'ary' || i || repeat('x', 50) AS x FROM generate_series(1, 3000) i;
COMMIT;
SELECT spilled();
CLOSE h;
-- rows that are pointed to can be stored, sorted and returned
CREATE TEMP TABLE t (a text, j json);
CREATE FUNCTION pg_temp.keep() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    c refcursor := 'h';
    v record;
    first text;
BEGIN
    FETCH FIRST FROM c INTO v;
    first := v.a;
    LOOP
        INSERT INTO t VALUES (v.a, v.j);
        FETCH c INTO v;
        EXIT WHEN NOT FOUND;
    END LOOP;
    CLOSE c;
    RETURN left(first, 8);
END $$;
BEGIN;
DECLARE h CURSOR WITH HOLD FOR SELECT id, a, json_build_object('l', l) AS j FROM s WHERE id < 4 ORDER BY id;
COMMIT;
BEGIN;
SAVEPOINT one;
MOVE FIRST FROM h;
ROLLBACK TO one;
FETCH NEXT FROM h;
COMMIT;
SELECT pg_temp.keep();
SELECT left(a, 8), j FROM t ORDER BY a DESC;
FETCH h;
-- values that no function would follow a pointer for stay as they are
UPDATE s SET b = b WHERE id = 1 RETURNING left(a, 6) AS a, 'a & b'::tsquery AS q, '1 2 3'::int2vector AS v, '4 5'::oidvector AS o;
PREPARE vectors AS SELECT left(a, 6) AS a, 'a & b'::tsquery AS q, '1 2 3'::int2vector AS v FROM s WHERE id = 1;
EXECUTE vectors;
BEGIN;
DECLARE vectors CURSOR WITH HOLD FOR SELECT left(a, 6) AS a, 'a & b'::tsquery AS q, '4 5'::oidvector AS o FROM s WHERE id = 1;
COMMIT;
FETCH vectors;
-- what a held cursor shows of large values it holds itself
CREATE TEMP TABLE large (id int, a sdes.enc_text('customer_pii'), big text);
ALTER TABLE large ALTER big SET STORAGE external;
INSERT INTO large VALUES (1, 'canary', repeat('0123456789', 1000));
BEGIN;
DECLARE large_ones CURSOR WITH HOLD FOR SELECT a, big FROM large;
COMMIT;
UPDATE large SET big = 'x';
VACUUM large;
\o reveal_spool.rows
FETCH large_ones;
\o
CLOSE ALL;
\connect - postgres
DROP TABLE s, sh;
DROP FUNCTION spilled;
SELECT sdes.revoke_access('customer_pii', 'regress_opener', '{encrypt,search,decrypt}');
SELECT sdes.revoke_access('spool', 'regress_opener', '{encrypt,decrypt}');
DROP ROLE regress_opener;
