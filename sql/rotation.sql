-- Keys get successors, and values follow them, wherever they are.
\set VERBOSITY terse
SELECT sdes.create_bucket('rotating', rotation_period => '30 days') IS NOT NULL AS made,
       sdes.create_bucket('rotating_hsm', mode => 'hsm') IS NOT NULL AS made,
       sdes.create_bucket('staying') IS NOT NULL AS made;
SELECT sdes.grant_access(b, current_user, '{encrypt,search,decrypt}')
FROM unnest('{rotating,rotating_hsm,staying}'::text[]) b;
SELECT name, rotation_period FROM sdes.bucket WHERE name LIKE 'rotating%' ORDER BY 1;

-- Waits until nothing is left under older keys of a bucket.
CREATE PROCEDURE settle(b text) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 600 LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM sdes.keys k
                              WHERE k.bucket = b AND k.state <> 'active' AND k.emptied_at IS NULL);
        COMMIT;
        PERFORM pg_sleep(0.05);
    END LOOP;
END
$$;

-- values in all places
CREATE DOMAIN rot_mail AS sdes.enc_text('rotating', 'searchable');
CREATE TYPE rot_pair AS (n int, secret sdes.enc_text('rotating'));
CREATE TYPE rot_range AS RANGE (subtype = sdes.enc_text);
CREATE TABLE rot (
    id int PRIMARY KEY,
    mail rot_mail UNIQUE,
    lower_mail sdes.enc_text('rotating', 'searchable', 'searchable_ci'),
    long sdes.enc_text('rotating'),
    list sdes.enc_text('rotating')[],
    pair rot_pair,
    pairs rot_pair[],
    card sdes.enc_pan('rotating_hsm', 'searchable'),
    other sdes.enc_text('staying'),
    plain text,
    size int GENERATED ALWAYS AS (id * 2) STORED,
    CHECK (length(mail::text) < 100)
);
CREATE TABLE rot_child (mail sdes.enc_text('rotating', 'searchable') REFERENCES rot (mail) ON UPDATE CASCADE);
CREATE TABLE rot_parts (k int, mail sdes.enc_text('rotating', 'searchable')) PARTITION BY RANGE (k);
CREATE TABLE rot_parts_0 PARTITION OF rot_parts FOR VALUES FROM (0) TO (30);
CREATE TABLE rot_parts_1 PARTITION OF rot_parts FOR VALUES FROM (30) TO (100);
CREATE TABLE rot_parent (mail sdes.enc_text('rotating'));
CREATE TABLE rot_heir (more sdes.enc_text('rotating')) INHERITS (rot_parent);
INSERT INTO rot (id, mail, lower_mail, long, list, pair, pairs, card, other, plain)
SELECT i, 'User' || i || '@example.org', 'User' || i || '@Example.org', repeat(md5(i::text), 200),
       ARRAY['a' || i, NULL, 'b'], ROW(i, 'pair' || i)::rot_pair,
       ARRAY[ROW(i, 'first')::rot_pair, ROW(-i, NULL)::rot_pair], '4111111111111111', 'stays', 'plain' || i
FROM generate_series(1, 60) i;
INSERT INTO rot_child SELECT mail FROM rot WHERE id <= 10;
INSERT INTO rot_parts SELECT id, mail FROM rot;
INSERT INTO rot_parent SELECT mail FROM rot WHERE id <= 5;
INSERT INTO rot_heir SELECT mail, long FROM rot WHERE id <= 5;
ALTER TABLE rot_parent ADD late sdes.enc_text('rotating') DEFAULT 'late';
CREATE MATERIALIZED VIEW rot_view AS SELECT id, mail FROM rot WHERE id <= 7;
CREATE STATISTICS rot_stat (mcv) ON mail, lower_mail FROM rot;
ANALYZE rot, rot_child, rot_parts, rot_parent, rot_heir;
CREATE FUNCTION must_not_fire() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a trigger fired';
END
$$;
CREATE TRIGGER rot_row BEFORE UPDATE ON rot FOR EACH ROW EXECUTE FUNCTION must_not_fire();
CREATE TRIGGER rot_always AFTER UPDATE ON rot FOR EACH ROW EXECUTE FUNCTION must_not_fire();
ALTER TABLE rot ENABLE ALWAYS TRIGGER rot_always;
CREATE RULE rot_rule AS ON UPDATE TO rot_child DO INSTEAD NOTHING;
ALTER TABLE rot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

SELECT version, state, place, object, sum("values") FROM sdes.inventory('rotating')
WHERE place NOT LIKE 'pg\_statistic%' GROUP BY 1, 2, 3, 4 ORDER BY 3, 4;
SELECT DISTINCT place, object FROM sdes.inventory('rotating') WHERE place LIKE 'pg\_statistic%' ORDER BY 1, 2;
SELECT version, state, place, object, sum("values") FROM sdes.inventory('rotating_hsm')
WHERE place = 'table' GROUP BY 1, 2, 3, 4 ORDER BY 3, 4;

CREATE TEMP VIEW rot_digest AS
SELECT md5(string_agg(concat_ws('|', id, mail::text, lower_mail::text, long::text,
                                (SELECT string_agg(e::text, ',') FROM unnest(list) e), (SELECT count((p).secret::text) FROM unnest(pairs) p), (pair).n, (pair).secret::text,
                                card::text, other::text, plain, size), ',' ORDER BY id)) FROM rot;
CREATE TEMP TABLE before AS SELECT * FROM rot_digest;
SELECT count(*) FROM rot_digest NATURAL JOIN before;

SELECT sdes.rotate_bucket('rotating'), sdes.rotate_bucket('rotating_hsm');
CALL settle('rotating');
CALL settle('rotating_hsm');
SELECT version, state, place, object, sum("values") FROM sdes.inventory('rotating')
WHERE place NOT LIKE 'pg\_statistic%' GROUP BY 1, 2, 3, 4 ORDER BY 3, 4;
SELECT DISTINCT version FROM sdes.inventory('rotating');
SELECT DISTINCT version FROM sdes.inventory('rotating_hsm');
SELECT version, state, decrypt_only_at IS NOT NULL AS closed, emptied_at IS NOT NULL AS emptied,
       retired_at IS NOT NULL AS retired
FROM sdes.keys WHERE bucket LIKE 'rotating%' ORDER BY bucket, version;
SELECT count(*) FROM rot_digest NATURAL JOIN before;
SELECT DISTINCT late::text FROM rot_parent;
SELECT bucket, from_version, to_version, relation, phase, rows_done, rows_left, bytes_left, rows_skipped, retries, last_error
FROM sdes.rotation_progress WHERE bucket LIKE 'rotating%' ORDER BY bucket, relation::text;

-- indexes find what they found, and nothing twice
SET enable_seqscan = off;
SELECT id FROM rot WHERE mail = 'User17@example.org';
SELECT id FROM rot WHERE lower(lower_mail) = 'user18@example.org';
SELECT count(*) FROM rot_child c JOIN rot r ON r.mail = c.mail;
INSERT INTO rot (id, mail) VALUES (99, 'User17@example.org');
INSERT INTO rot_child VALUES ('User18@example.org');
INSERT INTO rot_child VALUES ('nobody@example.org');
RESET enable_seqscan;

-- new values are under the new key
INSERT INTO rot (id, mail) VALUES (100, 'new@example.org');
SELECT version, sum("values") FROM sdes.inventory('rotating') WHERE object = 'public.rot' GROUP BY 1;

-- the old version can be destroyed, the active one cannot
SELECT sdes.destroy_key('rotating', 2);
SELECT sdes.destroy_key('rotating', 7);
SELECT sdes.destroy_key('rotating', 1);
SELECT version, state, destroyed_at IS NOT NULL AS destroyed FROM sdes.keys WHERE bucket = 'rotating' ORDER BY 1;
SELECT octet_length(wrapped) FROM sdes.dek d JOIN sdes.bucket b ON b.uuid = d.bucket WHERE b.name = 'rotating' AND version = 1;
SELECT count(*) FROM rot_digest, before;
SELECT sdes.destroy_key('rotating', 1);

-- what was left is counted, and stands in the way
SELECT sdes.pause_rotation('rotating');
SELECT sdes.rotate_bucket('rotating');
SELECT sdes.destroy_key('rotating', 2);
INSERT INTO rot (id, mail) VALUES (101, 'newer@example.org');
SELECT pg_sleep(1.2);
SELECT version, state, sum("values") FROM sdes.inventory('rotating') WHERE object = 'public.rot' GROUP BY 1, 2 ORDER BY 1;
SELECT sdes.cancel_rotation('rotating');
SELECT version, pinned FROM sdes.dek d JOIN sdes.bucket b ON b.uuid = d.bucket WHERE b.name = 'rotating' ORDER BY 1;
SELECT sdes.resume_rotation('rotating');
CALL settle('rotating');
SELECT version, state, sum("values") FROM sdes.inventory('rotating') WHERE object = 'public.rot' GROUP BY 1, 2 ORDER BY 1;

-- a literal's key too
CREATE TABLE rot_default (mail sdes.enc_text('rotating') DEFAULT 'by default', n int);
CREATE VIEW rot_const AS SELECT id FROM rot WHERE mail = 'User3@example.org';
PREPARE rot_prepared AS SELECT id FROM rot WHERE mail = 'User4@example.org';
EXECUTE rot_prepared;
SELECT version, place, object, "values" FROM sdes.inventory('#system') WHERE object IN ('rot_default', 'rot_const') ORDER BY 3;
SELECT sdes.rotate_bucket('#system');
CALL settle('#system');
SELECT version, place, object, "values" FROM sdes.inventory('#system') WHERE object IN ('rot_default', 'rot_const') ORDER BY 3;
SELECT sdes.destroy_key('#system', 1);
EXECUTE rot_prepared;
SELECT * FROM rot_const;
INSERT INTO rot_default (n) VALUES (1);
SELECT * FROM rot_default;

-- by schedule
UPDATE sdes.dek SET created_at = now() - interval '1 day' WHERE bucket = (SELECT uuid FROM sdes.bucket WHERE name = 'staying');
SELECT sdes.set_rotation_period('staying', '25 hours');
SELECT pg_sleep(1.5);
SELECT count(*) FROM sdes.keys WHERE bucket = 'staying';
SELECT sdes.set_rotation_period('staying', '23 hours');
SELECT pg_sleep(1.5);
CALL settle('staying');
SELECT count(*) > 1 AS rotated FROM sdes.keys WHERE bucket = 'staying';
SELECT DISTINCT place FROM sdes.inventory('staying') i
WHERE version < (SELECT max(version) FROM sdes.keys WHERE bucket = 'staying');
SELECT DISTINCT other::text FROM rot;

-- wrong calls
SELECT sdes.rotate_bucket('nothing');
SELECT sdes.rotate_bucket(NULL);
SELECT sdes.set_rotation_period('rotating', '-1 day');
SELECT sdes.set_rotation_period('rotating', '59 minutes');
SELECT sdes.set_rotation_period('rotating', '300000 years');
SELECT sdes.set_rotation_period('rotating', NULL);
SELECT sdes.create_bucket('never', rotation_period => '0');
SELECT * FROM sdes.inventory('nothing');
CREATE ROLE rot_nobody;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sdes TO rot_nobody;
SET ROLE rot_nobody;
SELECT sdes.rotate_bucket('rotating');
SELECT sdes.pause_rotation('rotating');
SELECT sdes.resume_rotation('rotating');
SELECT sdes.cancel_rotation('rotating');
SELECT sdes.set_rotation_period('rotating', '1 day');
SELECT sdes.destroy_key('rotating', 1);
SELECT * FROM sdes.inventory('rotating');
RESET ROLE;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA sdes FROM rot_nobody;
DROP ROLE rot_nobody;
\set VERBOSITY default
SELECT sdes.destroy_key('rotating', 3);
DROP VIEW rot_const;
DROP TABLE rot, rot_child, rot_parts, rot_parent, rot_default CASCADE;
DROP PROCEDURE settle;
DROP FUNCTION must_not_fire;
DROP TYPE rot_range, rot_pair; -- search_key.sql wants no ranges
DROP DOMAIN rot_mail;
