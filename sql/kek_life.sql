-- The life of key encryption keys: keys are wrapped anew, old ones retired or destroyed.
\set VERBOSITY default
SELECT sdes.create_bucket('life') IS NOT NULL AS created;
SELECT sdes.create_bucket('life_hsm', mode => 'hsm') IS NOT NULL AS created;
CREATE ROLE regress_writer LOGIN;
CREATE ROLE regress_dba NOLOGIN;
GRANT sdes_admin TO regress_dba;
SELECT sdes.grant_access('life', 'regress_writer', '{encrypt,search,decrypt}');
CREATE TABLE lives (id int PRIMARY KEY, v sdes.enc_text('life', 'searchable'));
GRANT ALL ON lives TO regress_writer;
CREATE VIEW keks AS
    SELECT b.name, row_number() OVER (PARTITION BY b.name ORDER BY k.created_at) AS n, encode(k.id, 'hex') AS id, k.kind, k.state,
           (SELECT count(*) FROM sdes.dek AS d WHERE d.kek = k.id) AS wraps,
           retired_at IS NOT NULL AS retired, destroying_at IS NOT NULL AS ordered, destroyed_at IS NOT NULL AS destroyed
    FROM sdes.kek AS k JOIN sdes.bucket AS b ON b.uuid = k.bucket;
GRANT SELECT ON keks TO PUBLIC;

-- Destruction waits for transactions that are older than the order.
CREATE PROCEDURE settle() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 300 LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid());
        PERFORM pg_sleep(0.1);
        PERFORM pg_stat_clear_snapshot();
    END LOOP;
END
$$;

\connect - regress_writer
INSERT INTO lives SELECT i, 'value ' || i FROM generate_series(1, 3) AS i;
\connect - postgres
CREATE TABLE before AS SELECT md5(string_agg(sdes.enc_text_send(v)::text, ',' ORDER BY id)) AS bytes FROM lives;
SELECT id AS first FROM keks WHERE name = 'life' \gset

-- Under another key of the same kind; who may not is refused.
SET ROLE regress_writer;
SELECT sdes.rewrap_bucket('life');
RESET ROLE;
SET ROLE regress_dba;
SELECT sdes.rewrap_bucket('life') <> :'first' AS other;
RESET ROLE;
SELECT n, kind, state, wraps, retired, ordered FROM keks WHERE name = 'life' ORDER BY n;
SELECT purpose, version, state, kek_id <> :'first' AS other, wrapped_by FROM sdes.keys WHERE bucket = 'life';
\connect - regress_writer
SELECT id, v FROM lives WHERE v = 'value 2';
INSERT INTO lives VALUES (4, 'after');
SELECT count(v::text) FROM lives;
\connect - postgres

-- Another kind and back; the rows stay as they are.
SELECT sdes.rewrap_bucket('life', 'rsa-4096') <> '' AS done;
SELECT n, kind, state, wraps FROM keks WHERE name = 'life' ORDER BY n;
\connect - regress_writer
SELECT v FROM lives ORDER BY id;
\connect - postgres
SELECT id AS rsa FROM keks WHERE name = 'life' AND kind = 'rsa-4096' \gset
SELECT sdes.rewrap_bucket('life', kek => 'aes-256', destroy_old => true) <> '' AS done;
SELECT n, kind, state, wraps, retired, ordered, destroyed FROM keks WHERE name = 'life' ORDER BY n;
SELECT ok, detail, hint FROM sdes.health() WHERE "check" = 'destruction';
CALL settle();
SELECT bucket, destroyed, detail FROM sdes.destroy_keks();
SELECT * FROM sdes.destroy_keks();
SELECT n, state, destroyed FROM keks WHERE name = 'life' ORDER BY n;
SELECT md5(string_agg(sdes.enc_text_send(v)::text, ',' ORDER BY id)) = bytes AS as_before
FROM lives, before WHERE id <= 3 GROUP BY bytes;
\connect - regress_writer
SELECT v FROM lives ORDER BY id;
\connect - postgres

-- Taken back, nothing has happened.
BEGIN;
SELECT sdes.rewrap_bucket('life', destroy_old => true) <> '' AS done;
SELECT destroyed, detail FROM sdes.destroy_keks();
ROLLBACK;
SELECT n, kind, state, wraps FROM keks WHERE name = 'life' ORDER BY n;
DO $$
BEGIN
    FOR i IN 1 .. 100 LOOP
        EXIT WHEN (SELECT ok FROM sdes.health() WHERE "check" = 'orphans');
        PERFORM pg_sleep(0.1);
    END LOOP;
END
$$;

-- Literals and the search key, too.
SELECT sdes.rewrap_bucket('#system') <> '' AS done;
SELECT purpose, state FROM sdes.keys WHERE bucket = '#system' AND state = 'active' ORDER BY purpose;
\connect - regress_writer
SELECT v FROM lives WHERE v = 'after';
\connect - postgres

-- One key at a time.
SELECT id AS used FROM keks WHERE name = 'life' AND state = 'active' \gset
SELECT 'a' FROM sdes.destroy_kek(repeat('0', 32));
\set VERBOSITY sqlstate
SELECT sdes.destroy_kek(:'used');
\set VERBOSITY default
SELECT sdes.rewrap_bucket('life') <> '' AS done;
SELECT sdes.destroy_kek(:'used');
SELECT sdes.destroy_kek(:'used');
CALL settle();
SELECT kek_id = :'used' AS the_one, destroyed, detail FROM sdes.destroy_keks();
SELECT sdes.destroy_kek(:'used');
SELECT state FROM keks WHERE id = :'used';

-- A row that was made to say that a key in use is to be destroyed.
BEGIN;
UPDATE sdes.kek SET state = 'destroying' WHERE encode(id, 'hex') = (SELECT id FROM keks WHERE name = 'life' AND state = 'active');
SELECT destroyed, detail FROM sdes.destroy_keks();
ROLLBACK;

-- One token has no other to take over from.
SELECT * FROM sdes.sync_tokens();
SELECT count(*) FROM sdes.dek_copy;
SET ROLE regress_writer;
SELECT * FROM sdes.sync_tokens();
RESET ROLE;

-- What is refused.
SELECT sdes.rewrap_bucket('life_hsm');
SELECT sdes.rewrap_bucket('no_such');
SELECT sdes.rewrap_bucket(NULL);
SELECT sdes.rewrap_bucket('life', destroy_old => NULL);
SELECT sdes.rewrap_bucket('life', 'des');
SELECT sdes.destroy_kek(NULL);
BEGIN TRANSACTION READ ONLY;
SELECT sdes.rewrap_bucket('life');
ROLLBACK;
BEGIN TRANSACTION READ ONLY;
SELECT * FROM sdes.destroy_keks();
ROLLBACK;
SELECT "check", ok FROM sdes.health() WHERE "check" IN ('kek', 'dek', 'rows', 'orphans', 'destruction') ORDER BY 1;

-- What is in use.
SELECT what, bucket, algorithm, bits, mechanism, age >= '0' AS aged, state, expires_at - created_at AS period, quantum_safe,
       location ~ '^HSM token .+, serial .+' AS in_hsm
FROM sdes.crypto_inventory WHERE bucket IN ('life', 'life_hsm') OR bucket IS NULL ORDER BY 1, 2, created_at;
SELECT what, algorithm, mechanism FROM sdes.crypto_inventory WHERE bucket = '#system' AND what LIKE 'search%';
BEGIN;
SELECT sdes.rewrap_bucket('life', 'rsa-4096') <> '' AS done;
SELECT what, algorithm, bits, state, quantum_safe FROM sdes.crypto_inventory WHERE bucket = 'life' ORDER BY 1, created_at;
INSERT INTO sdes.site VALUES (decode(repeat('00', 32), 'hex'), 'mine', '', true, '\x01', '\x02', '', '', now(), 'postgres');
SELECT what, id, algorithm, bits, mechanism, quantum_safe FROM sdes.crypto_inventory WHERE id IN ('01', '02') ORDER BY 1;
ROLLBACK;

-- The end.
SELECT sdes.shred_bucket('life', 'lif');
SELECT sdes.shred_bucket('#system', '#system');
SELECT sdes.shred_bucket('life', NULL);
SELECT sdes.shred_bucket('no_such', 'no_such');
SET ROLE regress_writer;
SELECT sdes.shred_bucket('life', 'life');
RESET ROLE;
INSERT INTO sdes.exported SELECT gen_random_uuid(), uuid, recipient, kind, '{}', '2026-01-02 03:04:05+00', 'postgres'
FROM sdes.bucket, (VALUES ('site b', 'export'), ('officer 1', 'backup')) AS v (recipient, kind) WHERE name = 'life';
SET ROLE regress_dba;
SELECT what, place = token_label AS place, detail FROM sdes.shred_bucket('life', 'life')
LEFT JOIN (SELECT DISTINCT token_label FROM sdes.kek) AS k ON true ORDER BY 1;
SELECT what, detail FROM sdes.shred_bucket('life_hsm', 'life_hsm');
RESET ROLE;
SELECT k.bucket, k.version, k.state, k.reason, octet_length(wrapped) FROM sdes.keys AS k
JOIN sdes.dek AS d ON encode(d.key_id, 'hex') = k.key_id WHERE k.bucket LIKE 'life%' ORDER BY 1;
SELECT DISTINCT name, state FROM keks WHERE name LIKE 'life%' ORDER BY 1, 2;
\connect - regress_writer
SELECT v FROM lives WHERE id = 1;
INSERT INTO lives VALUES (5, 'too late');
SELECT count(*) FROM lives;
\connect - postgres
CALL settle();
SELECT bucket, bool_and(destroyed) AS destroyed, string_agg(detail, ',') AS detail FROM sdes.destroy_keks() GROUP BY 1 ORDER BY 1;
SELECT DISTINCT name, state FROM keks WHERE name LIKE 'life%' ORDER BY 1, 2;
SELECT "check", ok FROM sdes.health() WHERE "check" IN ('kek', 'dek', 'rows', 'orphans', 'destruction') ORDER BY 1;

DROP VIEW keks;
DROP PROCEDURE settle();
DROP TABLE lives, before;
SELECT sdes.revoke_access('life', 'regress_writer', '{encrypt,search,decrypt}');
DROP ROLE regress_writer, regress_dba;
