-- Ciphertext is no input: who holds a stolen dump must not be able to enter it
-- somewhere and read the plaintext back.
CREATE TABLE form (id int, a sdes.enc_text('customer_pii'));
INSERT INTO form VALUES (1, 'victim');
-- armor of another customer's value, and its envelope
SELECT sdes.enc_text_out(a) AS armor, sdes.enc_text_send(a) AS envelope FROM form \gset
INSERT INTO form SELECT 2, :'armor'::text;
-- from here on without what repeats the statement
\set VERBOSITY terse
INSERT INTO form VALUES (2, :'armor');
UPDATE form SET a = :'armor';
INSERT INTO form SELECT 2, :'armor'::varchar;
INSERT INTO form SELECT 2, :'armor'::char(200);
INSERT INTO form SELECT * FROM json_populate_record(NULL::form, json_build_object('id', 2, 'a', :'armor'));
INSERT INTO form (SELECT (r).* FROM (SELECT ('(2,' || :'armor' || ')')::form AS r) s);
PREPARE p(int, text) AS INSERT INTO form VALUES ($1, $2);
EXECUTE p(2, :'armor');
SELECT set_config('regress.armor', :'armor', false) IS NOT NULL AS set;
DO $$ BEGIN INSERT INTO form VALUES (2, current_setting('regress.armor')); END $$;
DO $$ DECLARE f form; BEGIN f.a := current_setting('regress.armor'); END $$;
DO $$ BEGIN EXECUTE format('INSERT INTO form VALUES (2, %L)', current_setting('regress.armor')); END $$;
\set cmd 'COPY form FROM PROGRAM ''printf "2\\\\t' :armor '\\\\n"'''
:cmd;
SELECT count(*) FROM form;
-- nor in the midst of a text, where a function that did not decrypt has put it
UPDATE form SET a = concat('VIP ', a);
UPDATE form SET a = format('<%s>', a);
UPDATE form SET a = json_build_object('a', a)::text;
UPDATE form SET a = 'not armor: sdes1: or sdes1:AAAA' WHERE id = 1 RETURNING a;
UPDATE form SET a = 'victim';
-- the message does not repeat it
DO $$
DECLARE m text; d text; h text;
BEGIN
    INSERT INTO form VALUES (2, current_setting('regress.armor'));
EXCEPTION WHEN data_exception THEN
    GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
    RAISE NOTICE '%', position(substr(current_setting('regress.armor'), 7, 10) IN m || d || h);
END
$$;
-- accepting it is for a session, never for an application's role
ALTER SYSTEM SET sdes.accept_ciphertext = on;
ALTER ROLE postgres SET sdes.accept_ciphertext = on;
ALTER DATABASE postgres SET sdes.accept_ciphertext = on;
-- a restore accepts what is canonical, of the type and authentic
SET sdes.accept_ciphertext = on;
INSERT INTO form VALUES (2, :'armor') RETURNING id, a;
INSERT INTO form SELECT 3, :'armor'::text RETURNING id, a;
INSERT INTO form VALUES (4, :'armor' || 'A');
INSERT INTO form VALUES (4, left(:'armor', 40));
INSERT INTO form VALUES (4, left(:'armor', -1) || CASE right(:'armor', 1) WHEN 'A' THEN 'B' ELSE 'A' END);
INSERT INTO form VALUES (4, 'sdes1:');
INSERT INTO form VALUES (4, 'sdes1:AAAA');
-- of another bucket: re-sealed by who may decrypt it
CREATE TABLE other (id int, a sdes.enc_text('payment'));
INSERT INTO other VALUES (1, :'armor') RETURNING a;
COPY other FROM stdin;
2	sdes1:AAAA
\.
\set cmd 'COPY other FROM PROGRAM ''printf "2\\\\t' :armor '\\\\n"'''
:cmd;
-- under a key that nobody here knows
SELECT 'sdes1:' || rtrim(translate(encode(overlay(:'envelope'::bytea PLACING '\xffffffffffffffff' FROM 4), 'base64'), '+/' || E'\n', '-_'), '=') AS foreign_armor \gset
INSERT INTO form VALUES (5, :'foreign_armor');
-- somebody's constant out of the catalog
CREATE TABLE secret (a sdes.enc_text('customer_pii') DEFAULT 'default secret');
SELECT substring(pg_get_expr(adbin, adrelid) FROM 'sdes1:[A-Za-z0-9_-]+') AS constant
FROM pg_attrdef WHERE adrelid = 'secret'::regclass \gset
INSERT INTO other VALUES (3, :'constant');
SET check_function_bodies = off;
SELECT :'constant'::sdes.enc_text;
INSERT INTO form VALUES (5, :'foreign_armor');
RESET sdes.accept_ciphertext;
INSERT INTO form VALUES (6, :'armor') RETURNING id, a;
INSERT INTO form VALUES (7, overlay(:'armor' PLACING 'AAAA' FROM length(:'armor') - 30));
-- a parallel restore may load keys before their buckets, and values between
BEGIN;
DELETE FROM sdes.bucket WHERE name = 'customer_pii';
INSERT INTO form VALUES (6, :'armor');
\set cmd 'COPY form FROM PROGRAM ''printf "6\\\\t' :armor '\\\\n"'''
:cmd;
SELECT count(*) FROM form WHERE id = 6;
ROLLBACK;
RESET check_function_bodies;
SELECT id, left(a::text, 6) AS a FROM form WHERE id <> 5 ORDER BY id;
SELECT a::text FROM form WHERE id = 5;
SELECT sdes.reveal(a) = :'foreign_armor' AS armor FROM form WHERE id = 5;
INSERT INTO form VALUES (8, :'armor');
DROP TABLE form, other, secret;
