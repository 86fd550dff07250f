-- The search key is succeeded: values get tokens of the new one, all at once are compared
-- by it, and lose the old ones.
\set VERBOSITY terse
CREATE EXTENSION IF NOT EXISTS amcheck;
SELECT sdes.create_bucket('sought') IS NOT NULL AS made, sdes.create_bucket('sought_hsm', mode => 'hsm') IS NOT NULL AS made;
SELECT sdes.grant_access(b, current_user, '{encrypt,search,decrypt}') FROM unnest('{sought,sought_hsm}'::text[]) b;
-- Waits until all values have the tokens they are to have.
CREATE PROCEDURE tokens_settled() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 600 LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM sdes.keys WHERE purpose = 'search' AND state IN ('incoming', 'decrypt-only')
                              AND emptied_at IS NULL);
        COMMIT;
        PERFORM pg_sleep(0.05);
    END LOOP;
END
$$;
-- How many tokens the values of a table carry, and under how many search keys.
CREATE FUNCTION tokens_of(rel regclass, col name) RETURNS TABLE (n int, keys bigint, rows bigint) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format($q$
        SELECT get_byte(b, 2) & 1 + (get_byte(b, 2) & 2) / 2, count(DISTINCT substr(b, 24, 2)), count(*)
        FROM (SELECT sdes.enc_text_send(%I::sdes.enc_text) AS b FROM %s) s GROUP BY 1 ORDER BY 1$q$, col, rel);
END
$$;
CREATE TABLE seek (
    id int PRIMARY KEY,
    mail sdes.enc_text('sought', 'searchable') UNIQUE,
    dual sdes.enc_text('sought', 'searchable', 'searchable_ci'),
    quiet sdes.enc_text('sought'),
    card sdes.enc_pan('sought_hsm', 'searchable')
);
CREATE INDEX seek_dual ON seek (dual);
CREATE INDEX seek_lower ON seek (dual sdes.enc_text_ci_ops);
CREATE INDEX seek_hash ON seek USING hash (dual);
CREATE INDEX seek_card ON seek (card) WHERE card IS NOT NULL;
CREATE TABLE seek_child (mail sdes.enc_text('sought', 'searchable') REFERENCES seek (mail) ON UPDATE CASCADE ON DELETE CASCADE);
CREATE INDEX ON seek_child (mail);
CREATE TABLE seek_part (kind sdes.enc_text('sought', 'searchable'), n int) PARTITION BY LIST (kind);
CREATE TABLE seek_part_a PARTITION OF seek_part FOR VALUES IN ('a', 'b');
CREATE TABLE seek_part_c PARTITION OF seek_part FOR VALUES IN ('c', NULL);
INSERT INTO seek SELECT i, 'User' || i, 'Both' || i % 20, 'quiet' || i, CASE WHEN i <= 20 THEN '4111111111111111' END FROM generate_series(1, 200) i;
INSERT INTO seek_child SELECT mail FROM seek WHERE id <= 50;
INSERT INTO seek_part SELECT (ARRAY['a', 'b', 'c', NULL])[1 + i % 4], i FROM generate_series(1, 40) i;
CREATE STATISTICS seek_stat (mcv) ON dual, mail FROM seek;
ANALYZE seek, seek_child, seek_part;

CREATE VIEW seek_all AS
SELECT (SELECT count(*) FROM seek s JOIN seek_child c ON c.mail = s.mail) AS joined,
       (SELECT count(DISTINCT dual) FROM seek) AS different,
       (SELECT count(*) FROM (SELECT dual, count(*) FROM seek GROUP BY dual) g) AS groups,
       (SELECT min(id) FROM seek WHERE mail = 'User17') AS by_index,
       (SELECT count(*) FROM seek WHERE lower(dual) = 'both3') AS by_lower,
       (SELECT count(*) FROM seek WHERE dual = 'Both4') AS by_both,
       (SELECT count(*) FROM seek WHERE card = '4111 1111 1111 1111') AS by_card,
       (SELECT string_agg(n::text, ',' ORDER BY n) FROM seek_part WHERE kind = 'b') AS parts;
CREATE FUNCTION seek_forms() RETURNS SETOF seek_all LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL enable_seqscan = off;
    SET LOCAL enable_hashagg = off; SET LOCAL enable_hashjoin = off;
    RETURN QUERY SELECT * FROM seek_all;
    SET LOCAL enable_hashagg = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_sort = off; SET LOCAL enable_mergejoin = off;
    SET LOCAL enable_nestloop = off;
    RETURN QUERY SELECT * FROM seek_all;
    SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_nestloop = on;
    RETURN QUERY SELECT * FROM seek_all;
END
$$;
CREATE FUNCTION seek_indexes() RETURNS bigint LANGUAGE sql AS $$
SELECT count(bt_index_check(c.oid, true)) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
WHERE i.indrelid IN ('seek'::regclass, 'seek_child'::regclass) AND a.amname = 'btree'
$$;
SELECT * FROM seek_forms();
SELECT seek_indexes();
SELECT * FROM tokens_of('seek', 'mail');
PREPARE seek_one AS SELECT id FROM seek WHERE mail = $1;
EXECUTE seek_one('User18');

-- nothing to switch to yet
CALL sdes.switch_search_key();
SELECT sdes.pause_rotation('sought');
SELECT sdes.rotate_search_key() > 0 AS made;
SELECT sdes.rotate_search_key();
SELECT pg_sleep(0.5);
INSERT INTO seek VALUES (1001, 'New1', 'NewBoth1', 'q', NULL);
SELECT * FROM tokens_of('seek', 'mail');
CALL sdes.switch_search_key();
SELECT * FROM seek_forms();
SELECT seek_indexes();
INSERT INTO seek VALUES (1002, 'New1');
INSERT INTO seek VALUES (1002, 'User17');
SELECT sdes.resume_rotation('sought');
CALL tokens_settled();
SELECT * FROM tokens_of('seek', 'mail');
SELECT * FROM tokens_of('seek', 'dual');
SELECT n, rows FROM tokens_of('seek', 'quiet');
SELECT * FROM tokens_of('seek_part', 'kind');
SELECT * FROM seek_forms();
SELECT seek_indexes();
ANALYZE seek, seek_child, seek_part;

-- the switch: what cannot be built before it is named
BEGIN;
CALL sdes.switch_search_key();
ROLLBACK;
CREATE TABLE seek_odd (mail sdes.enc_text('sought', 'searchable'), list sdes.enc_text('sought', 'searchable')[], n int,
                       CONSTRAINT seek_odd_once EXCLUDE USING btree (mail WITH =));
INSERT INTO seek_odd SELECT 'Odd' || i, ARRAY['Odd' || i], i FROM generate_series(1, 50) i;
CREATE INDEX seek_odd_list ON seek_odd (list);
CREATE INDEX seek_odd_made ON seek_odd ((coalesce(mail, list[1])));
CREATE INDEX seek_odd_some ON seek_odd (n) WHERE mail <> 'Odd7';
CREATE INDEX seek_odd_null ON seek_odd (mail) WHERE list IS NOT NULL AND n > 3;
CREATE INDEX seek_odd_mixed ON seek_odd ((n + 1), mail) INCLUDE (list);
CALL sdes.switch_search_key();
SET enable_seqscan = off;
SELECT count(*) FROM seek_odd WHERE mail = 'Odd8';
SELECT count(*) FROM seek_odd WHERE list = (SELECT list FROM seek_odd WHERE n = 9);
SELECT count(*) FROM seek_odd WHERE n + 1 = 9 AND mail = 'Odd8';
RESET enable_seqscan;
INSERT INTO seek_odd VALUES ('Odd8');
SELECT count(bt_index_check(indexrelid, true)) FROM pg_index WHERE indrelid = 'seek_odd'::regclass AND indisvalid;
DROP TABLE seek_odd;
SELECT purpose, state FROM sdes.keys WHERE purpose = 'search' ORDER BY version;
SELECT * FROM seek_forms();
SELECT seek_indexes();
EXECUTE seek_one('User18');
INSERT INTO seek VALUES (1003, 'New3', 'NewBoth3', 'q', NULL);
INSERT INTO seek VALUES (1004, 'User17');
INSERT INTO seek_child VALUES ('New3');
INSERT INTO seek_child VALUES ('nobody');
UPDATE seek SET mail = 'User1a' WHERE id = 1;
SELECT count(*) FROM seek_child WHERE mail = 'User1a';
UPDATE seek SET mail = 'User1' WHERE mail = 'User1a';
DELETE FROM seek WHERE id > 1000;
CALL tokens_settled();
SELECT * FROM tokens_of('seek', 'mail');
SELECT * FROM tokens_of('seek', 'dual');
SELECT * FROM tokens_of('seek_child', 'mail');
SELECT * FROM tokens_of('seek_part', 'kind');
SELECT purpose, state FROM sdes.keys WHERE purpose = 'search' ORDER BY version;
SELECT * FROM seek_forms();
SELECT seek_indexes();
ANALYZE seek, seek_child, seek_part;
SELECT * FROM seek_forms();

-- the old one can go, the one in use cannot
\set VERBOSITY sqlstate
SET client_min_messages = error;
SELECT sdes.destroy_key('#system', (SELECT max(version) FROM sdes.keys WHERE purpose = 'search'));
SELECT sdes.destroy_key('#system', (SELECT max(version) FROM sdes.keys WHERE purpose = 'search' AND state = 'retired')) IS NOT NULL AS destroyed;
RESET client_min_messages;
\set VERBOSITY terse
SELECT purpose, state FROM sdes.keys WHERE purpose = 'search' ORDER BY version;
SELECT * FROM seek_forms();

-- what does not go
CREATE TABLE seek_by_hash (mail sdes.enc_text('sought', 'searchable')) PARTITION BY HASH (mail);
SELECT sdes.rotate_search_key();
DROP TABLE seek_by_hash;
CREATE ROLE seek_nobody;
GRANT EXECUTE ON ROUTINE sdes.rotate_search_key, sdes.switch_search_key TO seek_nobody;
SET ROLE seek_nobody;
SELECT sdes.rotate_search_key();
CALL sdes.switch_search_key();
RESET ROLE;
REVOKE EXECUTE ON ROUTINE sdes.rotate_search_key, sdes.switch_search_key FROM seek_nobody;
DROP ROLE seek_nobody;
DROP FUNCTION seek_forms;
DROP TABLE seek, seek_child, seek_part CASCADE;
DROP PROCEDURE tokens_settled;
DROP FUNCTION tokens_of, seek_indexes;
DROP EXTENSION amcheck;
