-- Kinds of key encryption keys and modes of buckets; values sealed inside the HSM.
\set VERBOSITY default
-- what there is to choose from
SELECT sdes.create_bucket('other', kek => 'aes-128');
SELECT sdes.create_bucket('other', kek => 'RSA-4096');
SELECT sdes.create_bucket('other', mode => 'fast');
SELECT sdes.create_bucket('other', mode => '');
SELECT sdes.create_bucket('other', 'rsa-4096', 'hsm');
SELECT sdes.create_bucket('other', mode => NULL);
SELECT count(*) FROM sdes.bucket WHERE name = 'other';

SELECT sdes.create_bucket('vault', mode => 'hsm') IS NOT NULL AS created;
SELECT sdes.create_bucket('vault2', 'aes-256', 'hsm') IS NOT NULL AS created;
SELECT sdes.create_bucket('open_air') IS NOT NULL AS created;
-- a bucket's mode is for ever
SELECT sdes.create_bucket('vault', mode => 'cached');
SELECT name, kek, key_version, mode FROM sdes.buckets
WHERE name IN ('vault', 'vault2', 'open_air') ORDER BY name;
SELECT bucket, purpose, mode, kek_kind FROM sdes.keys
WHERE bucket IN ('vault', 'vault2', 'open_air', '#system') ORDER BY bucket;

CREATE ROLE regress_writer LOGIN;
CREATE ROLE regress_clerk LOGIN;
CREATE ROLE regress_stranger LOGIN;
SELECT sdes.grant_access(b, 'regress_writer', '{encrypt,decrypt}')
FROM unnest('{vault,vault2,open_air}'::text[]) AS b;
SELECT sdes.grant_access('vault', 'regress_clerk', '{mask}');
SELECT sdes.grant_access('vault', 'postgres', '{decrypt}');
CREATE TABLE safe (id int PRIMARY KEY, secret sdes.enc_text('vault'), air sdes.enc_text('open_air'));
CREATE TABLE raw (id int, armor text);
GRANT ALL ON safe, raw TO regress_writer, regress_clerk, regress_stranger;

\connect - regress_writer
INSERT INTO safe VALUES (1, 'Ada Lovelace', 'Ada in the air'), (2, '', ''), (3, NULL, NULL);
PREPARE put(int, text) AS INSERT INTO safe (id, secret) VALUES ($1, $2);
EXECUTE put(4, 'sealed under a parameter');
INSERT INTO safe (id, secret) SELECT 5, 'from text'::text || '!';
COPY safe (id, secret) FROM STDIN;
6	copied in
\.
SELECT * FROM safe ORDER BY id;
-- who may do what is as in any bucket
\connect - regress_clerk
SELECT id, secret FROM safe WHERE id IN (1, 3) ORDER BY id;
INSERT INTO safe VALUES (9, 'no');
\connect - regress_stranger
SELECT id, left(secret, 9) FROM (SELECT id, secret::text FROM safe WHERE id = 1) AS s;
\connect - postgres
-- a value tells by its second byte where it was sealed
INSERT INTO raw SELECT id, to_json(secret) #>> '{}' FROM safe WHERE id < 3;
SELECT id, substr(armor, 1, 10) AS suite, length(armor) FROM raw ORDER BY id;
-- one plaintext never gives the same value twice
\connect - regress_writer
INSERT INTO safe (id, secret) SELECT i, 'the same' FROM generate_series(100, 119) AS i;
\connect - postgres
SELECT count(DISTINCT sdes.enc_text_send(secret)) FROM safe WHERE id >= 100;

-- from bucket to bucket, and verbatim within one
\connect - regress_writer
UPDATE safe SET secret = air, air = secret WHERE id = 1;
SELECT secret, air FROM safe WHERE id = 1;
CREATE TEMP TABLE copied (id int, a sdes.enc_text('vault'), b sdes.enc_text('vault2'));
INSERT INTO copied SELECT id, secret, secret FROM safe WHERE id IN (1, 4);
SELECT * FROM copied ORDER BY id;
SELECT id, to_json(c.a)::text = to_json(s.secret)::text AS verbatim FROM copied AS c JOIN safe AS s USING (id) ORDER BY id;

-- the longest value, and one byte more
INSERT INTO safe (id, secret) VALUES (10, repeat('x', 32768));
INSERT INTO safe (id, secret) VALUES (11, repeat('x', 32766) || 'é');
INSERT INTO safe (id, secret) VALUES (12, repeat('x', 32769));
INSERT INTO safe (id, secret) VALUES (12, repeat('x', 32767) || 'é');
INSERT INTO safe (id, air) VALUES (13, repeat('x', 100000));
SELECT id, length(coalesce(secret, air)::text), right(coalesce(secret, air)::text, 1) AS last FROM safe WHERE id BETWEEN 10 AND 13 ORDER BY id;
DELETE FROM safe WHERE id >= 10;

-- ciphertext by hand: authentic, changed, under the other suite
SET sdes.accept_ciphertext = on;
INSERT INTO safe (id, secret) SELECT 20, armor FROM raw WHERE id = 1;
SELECT secret FROM safe WHERE id = 20;
INSERT INTO safe (id, secret) SELECT 21, overlay(armor PLACING CASE substr(armor, 60, 1) WHEN 'A' THEN 'B' ELSE 'A' END FROM 60) FROM raw WHERE id = 1;
INSERT INTO safe (id, secret) SELECT 21, overlay(armor PLACING 'AAEA' FROM 7) FROM raw WHERE id = 1;
INSERT INTO safe (id, secret) SELECT 21, overlay(armor PLACING 'AAMA' FROM 7) FROM raw WHERE id = 1;
INSERT INTO safe (id, air) SELECT 21, armor FROM raw WHERE id = 1;
RESET sdes.accept_ciphertext;
\connect - postgres

-- a key's row that was edited is an error in this mode, too
CREATE FUNCTION read_after(edit text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE edit;
    SELECT secret::text INTO result FROM safe WHERE id = 4;
    RAISE EXCEPTION 'it can be read: %', result;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
SELECT what, read_after('UPDATE sdes.dek SET ' || what || ' WHERE bucket = (SELECT uuid FROM sdes.bucket WHERE name = ''vault'')') AS result
FROM unnest(ARRAY[
    'created_by = created_by',
    'version = 7',
    'mode = ''cached''',
    'kek = (SELECT id FROM sdes.kek JOIN sdes.bucket b ON b.uuid = bucket WHERE b.name = ''vault2'')',
    'commitment = sha256(commitment)',
    'wrapped = set_byte(wrapped, 20, get_byte(wrapped, 20) # 1)',
    'state = ''retired''']) AS what;
SELECT read_after('UPDATE sdes.dek SET mode = ''hsm'' WHERE bucket = (SELECT uuid FROM sdes.bucket WHERE name = ''open_air'')') AS untouched;
\connect - regress_writer
SELECT secret FROM safe WHERE id = 4;
\connect - postgres

-- no bucket, no key left behind
BEGIN;
SELECT sdes.create_bucket('aborted', mode => 'hsm') IS NOT NULL AS created;
ROLLBACK;
DO $$
BEGIN
    FOR i IN 1 .. 100 LOOP
        EXIT WHEN (SELECT ok FROM sdes.health() WHERE "check" = 'orphans');
        PERFORM pg_sleep(0.1);
    END LOOP;
END
$$;
SELECT "check", ok FROM sdes.health() WHERE "check" IN ('orphans', 'kek', 'dek') ORDER BY 1;

DROP FUNCTION read_after;
DROP TABLE safe, raw;
SELECT sdes.revoke_access(b, 'regress_writer', '{encrypt,decrypt}')
FROM unnest('{vault,vault2,open_air}'::text[]) AS b;
SELECT sdes.revoke_access('vault', 'regress_clerk', '{mask}');
SELECT sdes.revoke_access('vault', 'postgres', '{decrypt}');
DROP ROLE regress_writer, regress_clerk, regress_stranger;
