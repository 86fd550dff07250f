-- Buckets: creation, names, who may create them, what the views tell.
\set VERBOSITY default
SELECT sdes.create_bucket('customer_pii') IS NOT NULL AS created;
SELECT sdes.create_bucket('payment') IS NOT NULL AS created;
SELECT sdes.create_bucket('payment');
SELECT sdes.create_bucket('');
SELECT sdes.create_bucket('#mine');
SELECT sdes.create_bucket(repeat('x', 64));
SELECT sdes.create_bucket(E'a\nb');
SELECT sdes.create_bucket(NULL);
SELECT sdes.create_bucket('mine', NULL);
SELECT sdes.create_bucket('mine', mode => NULL);

SELECT name, kek, token <> '' AS token, key_version, mode, created_by FROM sdes.buckets ORDER BY name;
-- the first version of a search key is drawn, so that two databases' tokens are told apart
SELECT bucket, purpose, CASE WHEN purpose = 'search' THEN version BETWEEN 1 AND 32768 ELSE version = 1 END AS version, state, mode, algorithm, kek_kind, wrapped_by
FROM sdes.keys ORDER BY bucket, purpose;
-- ids are random, keys are wrapped: 12 bytes nonce, 32 key, 16 tag and a header
SELECT count(DISTINCT key_id) = count(*) AS distinct_ids,
       bool_and(octet_length(wrapped) BETWEEN 60 AND 70) AS wrapped,
       bool_and(octet_length(commitment) = 32) AS committed
FROM sdes.dek;
SELECT count(*) AS keks, count(DISTINCT id) AS distinct_keks FROM sdes.kek;

-- an aborted creation leaves no row, and its key is removed from the token
BEGIN;
SELECT sdes.create_bucket('aborted') IS NOT NULL AS created;
SELECT count(*) FROM sdes.buckets WHERE name = 'aborted';
ROLLBACK;
SELECT count(*) FROM sdes.buckets WHERE name = 'aborted';
DO $$
BEGIN
    FOR i IN 1 .. 100 LOOP
        EXIT WHEN (SELECT ok FROM sdes.health() WHERE "check" = 'orphans');
        PERFORM pg_sleep(0.1);
    END LOOP;
END
$$;
SELECT "check", ok, detail FROM sdes.health() WHERE "check" IN ('orphans', 'kek', 'dek', 'login')
ORDER BY 1;

-- who may
CREATE ROLE regress_dba NOLOGIN;
CREATE ROLE regress_nobody NOLOGIN;
GRANT sdes_admin TO regress_dba;
SET ROLE regress_nobody;
SELECT sdes.create_bucket('mine');
SELECT * FROM sdes.health();
SELECT name FROM sdes.buckets ORDER BY name;
RESET ROLE;
SET ROLE regress_dba;
SELECT sdes.create_bucket('by_dba') IS NOT NULL AS created;
RESET ROLE;
SELECT name, created_by FROM sdes.buckets WHERE name = 'by_dba';
BEGIN TRANSACTION READ ONLY;
SELECT sdes.create_bucket('readonly');
ROLLBACK;

-- the type modifier
SELECT format_type('sdes.enc_text'::regtype, sdes.enc_text_typmod_in('{customer_pii}'));
SELECT format_type('sdes.enc_text'::regtype, 32);
CREATE TABLE bad (a sdes.enc_text('no_such_bucket'));
CREATE TABLE bad (a sdes.enc_text('#0000001'));
CREATE TABLE bad (a sdes.enc_text('#system'));
CREATE TABLE bad (a sdes.enc_text('payment', 'sorted'));
CREATE TABLE bad (a sdes.enc_text());
-- the modifier prints for roles that have nothing but the catalog
SET ROLE regress_nobody;
SELECT format_type('sdes.enc_text'::regtype, sdes.enc_text_typmod_in('{payment}'));
RESET ROLE;
-- while a dump is restored, the rows of buckets come after the tables
SET check_function_bodies = off;
CREATE TABLE restored (a sdes.enc_text('comes_later'), b sdes.enc_text('#0000001'));
CREATE TABLE lost (a sdes.enc_text('#system'));
CREATE TABLE lost (a sdes.enc_text('#3ecefd1'));
CREATE TABLE lost (a sdes.enc_text('#zz'));
RESET check_function_bodies;
\d restored
DROP TABLE restored;
DROP ROLE regress_dba, regress_nobody;
