-- States of keys: revocation.
CREATE ROLE regress_states_admin NOLOGIN;
CREATE ROLE regress_states_user NOLOGIN;
GRANT sdes_admin TO regress_states_admin;
SELECT sdes.create_bucket('states') IS NOT NULL AS created;
SELECT sdes.grant_access('states', current_user, '{encrypt,search,decrypt}');
SELECT sdes.grant_access('states', 'regress_states_user', '{encrypt,decrypt}');
CREATE TABLE st (id int, v sdes.enc_text('states', 'searchable'));
GRANT ALL ON st TO regress_states_user;
INSERT INTO st VALUES (1, 'one'), (2, 'two');

-- re-encryption would bring values under a key that was revoked back
SELECT sdes.pause_rotation('states');

-- what is asked for
SELECT sdes.revoke_key('states', 1, NULL);
SELECT sdes.revoke_key('states', NULL, 'leaked');
SELECT sdes.revoke_key('states', 1, '');
SELECT sdes.revoke_key('states', 1, E' \n');
SELECT sdes.revoke_key('none', 1, 'leaked');
SELECT sdes.revoke_key('states', 2, 'leaked');
SELECT sdes.revoke_key('states', -1, 'leaked');
SELECT sdes.revoke_key('#system', 1, 'leaked');
SET ROLE regress_states_user;
SELECT sdes.revoke_key('states', 1, 'leaked');
RESET ROLE;
BEGIN TRANSACTION READ ONLY;
SELECT sdes.revoke_key('states', 1, 'leaked');
ROLLBACK;

-- rolled back, it never was
BEGIN;
SELECT sdes.revoke_key('states', 1, 'leaked');
\set VERBOSITY terse
SELECT v FROM st WHERE id = 1;
\set VERBOSITY default
ROLLBACK;
SELECT v FROM st ORDER BY id;
SELECT version, state, reason FROM sdes.keys WHERE bucket = 'states' ORDER BY version;

-- of the active key: it gets a successor first
SET ROLE regress_states_admin;
SELECT sdes.revoke_key('states', 1, 'laptop stolen');
RESET ROLE;
SELECT version, state, reason, decrypt_only_at IS NOT NULL AS decrypt_only_at, retired_at IS NOT NULL AS retired_at
FROM sdes.keys WHERE bucket = 'states' ORDER BY version;
-- new values are under it; who opens an old one is told why that does not work
INSERT INTO st VALUES (3, 'three');
SELECT v FROM st WHERE id = 3;
CREATE FUNCTION try_states(text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text; detail text; hint text;
BEGIN
    EXECUTE $1 INTO result;
    RETURN result;
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN format('%s, %s: %s | %s | %s', SQLSTATE, current_user, SQLERRM,
        regexp_replace(detail, 'Since .*, because', 'Since then, because'), hint);
END
$$;
SELECT try_states('SELECT v::text FROM st WHERE id = 1');
SELECT try_states('SELECT sdes.reveal(v) FROM st WHERE id = 2');
SELECT try_states('SELECT v::text FROM st ORDER BY v LIMIT 1');
SELECT try_states($$UPDATE st SET v = v::text || '!' WHERE id = 1 RETURNING id::text$$);
SET ROLE regress_states_user;
SELECT try_states('SELECT v::text FROM st WHERE id = 1');
RESET ROLE;
-- tokens compare as before, and rows move as they are
SELECT id FROM st WHERE v = 'two';
UPDATE st SET id = 20 WHERE v = 'two';
CREATE TABLE st2 AS SELECT * FROM st WHERE id = 20;
SELECT a.id FROM st a JOIN st2 b ON a.v = b.v;
-- once is enough
SELECT sdes.revoke_key('states', 1, 'again');
-- a version that is not active any more
SELECT sdes.revoke_key('states', 2, 'also');
SELECT sdes.revoke_key('states', 2, 'also');
INSERT INTO st VALUES (5, 'five');
SELECT v FROM st WHERE id = 5;
SELECT try_states('SELECT v::text FROM st WHERE id = 3');
SELECT version, state, reason FROM sdes.keys WHERE bucket = 'states' ORDER BY version;

-- in mode hsm
SELECT sdes.create_bucket('states_hsm', mode => 'hsm') IS NOT NULL AS created;
SELECT sdes.grant_access('states_hsm', current_user, '{encrypt,decrypt}');
CREATE TABLE sth (id int, v sdes.enc_text('states_hsm'));
INSERT INTO sth VALUES (1, 'one');
SELECT sdes.pause_rotation('states_hsm');
SELECT sdes.revoke_key('states_hsm', 1, 'HSM replaced');
INSERT INTO sth VALUES (2, 'two');
SELECT v FROM sth WHERE id = 2;
SELECT try_states('SELECT v::text FROM sth WHERE id = 1');

-- usage: what is sealed is counted before, in blocks of 2^20, up to 2^31
SELECT bucket, purpose, version, messages FROM sdes.keys WHERE bucket LIKE 'states%' ORDER BY bucket, version;
CREATE FUNCTION set_usage(text, bigint) RETURNS void LANGUAGE sql AS $$
    UPDATE sdes.usage SET messages = $2
    WHERE encode(key_id, 'hex') = (SELECT key_id FROM sdes.keys WHERE bucket = $1 AND state = 'active')
$$;
CREATE FUNCTION usage_of(text) RETURNS bigint LANGUAGE sql STABLE AS
    $$ SELECT messages FROM sdes.keys WHERE bucket = $1 AND state = 'active' $$;
-- the last block
SELECT sdes.create_bucket('states_last') IS NOT NULL AS created;
SELECT sdes.grant_access('states_last', current_user, '{encrypt,decrypt}');
CREATE TABLE stl (v sdes.enc_text('states_last'));
SELECT set_usage('states_last', 2147483648 - 1048576);
INSERT INTO stl VALUES ('one');
SELECT v, usage_of('states_last') FROM stl;
-- less than a block is none
SELECT sdes.create_bucket('states_over') IS NOT NULL AS created;
SELECT sdes.grant_access('states_over', current_user, '{encrypt,decrypt}');
CREATE TABLE sto (v sdes.enc_text('states_over'));
SELECT set_usage('states_over', 2147483648 - 1);
INSERT INTO sto VALUES ('one');
SELECT usage_of('states_over');
\set VERBOSITY sqlstate
INSERT INTO sto VALUES ('one');
\set VERBOSITY default
-- a number that cannot be
\set VERBOSITY sqlstate
SELECT set_usage('states_over', -1);
\set VERBOSITY default
SELECT set_usage('states_over', 9223372036854775807);
INSERT INTO sto VALUES ('one');
SELECT usage_of('states_over');
-- what was revoked has a successor that counts from zero
SELECT sdes.revoke_key('states_over', 1, 'used up');
INSERT INTO sto VALUES ('two');
SELECT v, usage_of('states_over') FROM sto;
-- a row that is missing, as while a dump is restored
SELECT sdes.create_bucket('states_lost') IS NOT NULL AS created;
SELECT sdes.grant_access('states_lost', current_user, '{encrypt,decrypt}');
CREATE TABLE stm (v sdes.enc_text('states_lost'));
CREATE TABLE kept AS SELECT * FROM sdes.usage
    WHERE encode(key_id, 'hex') = (SELECT key_id FROM sdes.keys WHERE bucket = 'states_lost');
DELETE FROM sdes.usage WHERE key_id = (SELECT key_id FROM kept);
INSERT INTO stm VALUES ('one'), ('two');
SELECT "check", ok, detail FROM sdes.health() WHERE NOT ok;
INSERT INTO sdes.usage SELECT * FROM kept;
SELECT usage_of('states_lost');
INSERT INTO stm VALUES ('three');
SELECT v, usage_of('states_lost') FROM stm;
SELECT "check", ok, detail FROM sdes.health() WHERE NOT ok;
-- who may read it, and who may not write it
SET ROLE regress_states_user;
SELECT count(*) > 0 AS readable FROM sdes.usage;
UPDATE sdes.usage SET messages = 0;
RESET ROLE;

-- re-encryption brings the values back
SELECT sdes.resume_rotation('states'), sdes.resume_rotation('states_hsm');
DO $$
BEGIN
    FOR i IN 1 .. 200 LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM sdes.keys WHERE bucket IN ('states', 'states_hsm') AND state = 'retired' AND emptied_at IS NULL);
        COMMIT;
        PERFORM pg_sleep(0.1);
    END LOOP;
END
$$;
SELECT id, v FROM st ORDER BY id;
SELECT id, v FROM sth ORDER BY id;

DROP TABLE st, st2, sth, stl, sto, stm, kept;
DROP FUNCTION set_usage(text, bigint), usage_of(text);
DROP FUNCTION try_states(text);
DELETE FROM sdes.access WHERE role LIKE 'regress\_states%';
DROP ROLE regress_states_admin, regress_states_user;
