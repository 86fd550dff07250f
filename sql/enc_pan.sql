-- The type of card numbers: what is one comes out as it went in, what is not is
-- refused without being repeated, and a mask shows BIN and last four.
SELECT sdes.grant_access('payment', current_user, '{encrypt,decrypt}');
CREATE TABLE wallet (id int PRIMARY KEY, card sdes.enc_pan('payment'));
\d wallet
INSERT INTO wallet VALUES (1, '4111111111111111'), (2, '5555-5555-5555-4444'), (3, NULL),
    (4, '3782 822463 10005'), (5, '6759560045005727054'), (6, '4222222222222'), (7, '6222040000030012');
SELECT id, card FROM wallet ORDER BY id;
SELECT id, octet_length(sdes.enc_pan_send(card)) - octet_length(card::text) AS overhead FROM wallet ORDER BY id;
SELECT count(*) FROM wallet WHERE sdes.enc_pan_out(card)::text !~ '^sdes1:[A-Za-z0-9_-]+$';
-- its functions, casts and type are labelled as enc_text's are
WITH f AS (SELECT oid::regprocedure::text AS name, provolatile, proparallel, proisstrict, proleakproof, prosecdef
           FROM pg_proc WHERE pronamespace = 'sdes'::regnamespace)
SELECT count(*) AS functions, count(t.name) AS alike
FROM f p LEFT JOIN f t ON t.name = replace(p.name, 'enc_pan', 'enc_text')
    AND (p.provolatile, p.proparallel, p.proisstrict, p.proleakproof, p.prosecdef)
      = (t.provolatile, t.proparallel, t.proisstrict, t.proleakproof, t.prosecdef)
WHERE p.name LIKE '%enc_pan%';
WITH c AS (SELECT castsource::regtype::text AS source, casttarget::regtype::text AS target, castcontext, castmethod FROM pg_cast)
SELECT count(*) AS casts, count(t.source) AS alike
FROM c p LEFT JOIN c t ON t.source = replace(p.source, 'enc_pan', 'enc_text')
    AND t.target = replace(p.target, 'enc_pan', 'enc_text')
    AND (p.castcontext, p.castmethod) = (t.castcontext, t.castmethod)
WHERE 'sdes.enc_pan' IN (p.source, p.target);
SELECT count(DISTINCT (typcategory, typispreferred, typcollation, typstorage, typlen, typmodin, typmodout)) AS kinds, count(*)
FROM pg_type WHERE oid IN ('sdes.enc_text'::regtype, 'sdes.enc_pan'::regtype);
-- what is none: the rule, and nothing of the value
INSERT INTO wallet VALUES (10, '4111111111111112');
INSERT INTO wallet VALUES (10, '411111111111111');
INSERT INTO wallet VALUES (10, '41111111111');
INSERT INTO wallet VALUES (10, '41111111111111111111');
INSERT INTO wallet VALUES (10, '4111111111111111 ');
INSERT INTO wallet VALUES (10, '4111  1111 1111 1111');
INSERT INTO wallet VALUES (10, '4111.1111.1111.1111');
INSERT INTO wallet VALUES (10, '４１１１１１１１１１１１１１１１');
INSERT INTO wallet VALUES (10, '');
INSERT INTO wallet SELECT 10, 'none'::text;
CREATE FUNCTION refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE m text; d text; h text; s text;
BEGIN
    EXECUTE statement;
    RETURN 'taken';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT,
        s = RETURNED_SQLSTATE;
    RETURN s || ' ' || m || CASE WHEN m || d || h ~ '411[1 -]' THEN ' AND REPEATS IT' ELSE '' END;
END
$$;
SELECT refusal(format('INSERT INTO wallet VALUES (10, %s)', v)) FROM unnest(ARRAY[
    '''4111111111111112''', '''4111111111111112''::text', '''4111111111111112''::varchar',
    '''4111111111111112''::char(20)', '''4111111111111112''::sdes.enc_pan', '4111111111111112',
    '''4111-1111-1111-111x''', 'repeat(''4111 '', 100000)']) AS v;
SELECT refusal('SELECT json_populate_record(NULL::wallet, ''{"id": 10, "card": "4111111111111112"}'')');
SELECT refusal('SELECT ''(10,4111111111111112)''::wallet');
SELECT refusal('SELECT ''{4111111111111111,4111111111111112}''::sdes.enc_pan[]');
-- the other ways in
INSERT INTO wallet VALUES (11, 4111111111111111);
INSERT INTO wallet SELECT 12, '4111 1111 1111 1111'::text;
INSERT INTO wallet SELECT 13, '4111111111111111'::varchar(30);
INSERT INTO wallet SELECT 14, '4111111111111111'::char(30);
INSERT INTO wallet SELECT * FROM json_populate_record(NULL::wallet, '{"id": 15, "card": "4111-111111111111"}');
PREPARE typed(int, text) AS INSERT INTO wallet VALUES ($1, $2);
EXECUTE typed(16, '4111111111111111');
PREPARE untyped AS INSERT INTO wallet VALUES ($1, $2);
EXECUTE untyped(17, '4111111111111111');
COPY wallet FROM stdin;
18	4111111111111111
\.
UPDATE wallet SET card = '5105105105105100' WHERE id = 18;
UPDATE wallet SET card = replace(card, ' ', '-') WHERE id = 12;
SELECT id, card, card::text || '|' AS text, card::varchar(4), card::char(20) || '|' AS bpchar, length(card)
FROM wallet WHERE id > 10 ORDER BY id;
SELECT id FROM wallet WHERE card = '4111111111111111' ORDER BY id;
SELECT id FROM wallet WHERE card LIKE '6%' ORDER BY id;
SELECT card FROM wallet WHERE id = 1 \gdesc
-- a column of text is converted by who may
CREATE TABLE plain (card varchar(30));
INSERT INTO plain VALUES ('4111 1111 1111 1111'), (NULL);
ALTER TABLE plain ALTER card TYPE sdes.enc_pan('payment');
SELECT card FROM plain;
ALTER TABLE plain ALTER card TYPE text;
INSERT INTO plain VALUES ('n/a');
ALTER TABLE plain ALTER card TYPE sdes.enc_pan('payment');
DROP TABLE plain;
-- a value of one type is none of another: as input, nor by its bytes
SELECT sdes.grant_access('customer_pii', current_user, '{encrypt,decrypt}');
CREATE TABLE both_types (card sdes.enc_pan('payment'), note sdes.enc_text('payment'));
INSERT INTO both_types VALUES ('4111111111111111', '4111111111111111');
UPDATE both_types SET note = card::text, card = note::text RETURNING card, note;
UPDATE both_types SET card = note;
UPDATE both_types SET note = card;
SELECT sdes.enc_text_out(note) AS armor FROM both_types \gset
SET sdes.accept_ciphertext = on;
UPDATE both_types SET card = note;
UPDATE both_types SET note = card;
\set VERBOSITY terse
INSERT INTO both_types (card) VALUES (:'armor');
INSERT INTO both_types (card) SELECT :'armor'::text;
INSERT INTO both_types (note) VALUES (:'armor') RETURNING note;
SELECT sdes.enc_pan_out(card) AS armor FROM both_types WHERE card IS NOT NULL \gset
INSERT INTO both_types (note) VALUES (:'armor');
INSERT INTO both_types (card) VALUES (:'armor') RETURNING card;
RESET sdes.accept_ciphertext;
INSERT INTO both_types (card) VALUES (:'armor');
\set VERBOSITY default
CREATE CAST (sdes.enc_text AS sdes.enc_pan) WITHOUT FUNCTION;
SELECT note::sdes.enc_pan::text FROM both_types LIMIT 1;
DROP CAST (sdes.enc_text AS sdes.enc_pan);
-- both in one query, with constants beside them
TRUNCATE both_types;
INSERT INTO both_types VALUES ('4111111111111111', 'one'), (NULL, 'two');
SELECT coalesce(card, '5555555555554444') AS c, coalesce(note, 'n/a') AS n,
       CASE WHEN note::text = 'one' THEN card ELSE '5105105105105100' END AS choice
FROM both_types ORDER BY note::text;
SELECT card, note FROM both_types WHERE card IS NOT NULL UNION ALL SELECT card, note FROM both_types WHERE card IS NOT NULL;
SELECT card FROM both_types UNION ALL SELECT note FROM both_types;
SELECT card::text FROM both_types UNION ALL SELECT note FROM both_types ORDER BY 1;
SELECT coalesce(card, note) FROM both_types;
SELECT coalesce(card, 'none') FROM both_types;
SELECT '4111111111111111'::sdes.enc_pan AS own_constant, NULL::sdes.enc_pan AS nothing;
SELECT card FROM wallet WHERE id = 1 FOR UPDATE;
DELETE FROM wallet WHERE id = 18 RETURNING card, id;
CREATE DOMAIN pan AS sdes.enc_pan('payment');
CREATE TABLE more (d pan, a sdes.enc_pan('payment')[], x sdes.enc_pan('payment') DEFAULT '5555555555554444');
INSERT INTO more VALUES ('4111111111111111', '{4111111111111111,NULL}');
SELECT d, a[1]::text AS a1, x FROM more UNION ALL SELECT d, a[2], x FROM more;
INSERT INTO more VALUES ('4111111111111112');
CREATE TABLE bad (x sdes.enc_pan('payment') DEFAULT 'none');
-- not by its bytes
SELECT count(*), count(card) FROM (SELECT DISTINCT card FROM wallet) AS cards;
CREATE INDEX ON wallet (card);
-- statistics hold none of it
ANALYZE wallet;
SELECT most_common_vals IS NULL AS no_values, histogram_bounds IS NULL AS no_histogram
FROM pg_stats WHERE tablename = 'wallet' AND attname = 'card';
-- the masks
INSERT INTO wallet VALUES (20, '4111 1111 1111 1111'), (21, '6011-1111-1111-1117'), (22, '3530111333300000'),
    (23, '2720990000000015'), (24, '6250947000000014'), (25, '30569309025904'), (26, '135412345678911'),
    (27, '2200000000000053'), (28, '4917610000000000003'), (29, '000000000000');
CREATE TABLE words (id serial, name sdes.enc_text('payment'));
INSERT INTO words (name) VALUES (''), ('a'), ('abcd'), ('abcde'), ('abcdefgh'), ('abcdefghi'),
    (repeat('x', 16)), (repeat('x', 17)), (repeat('x', 32)), (repeat('x', 33)), (repeat('x', 64)),
    (repeat('x', 65)), (repeat('x', 100000)), ('äöüß'), ('Łukasz'), ('日本語日本'), ('🌍🌍🌍🌍'), ('🌍🌍🌍🌍🌍'),
    ('Ж' || repeat('ж', 7)), ('Ж' || repeat('ж', 8));
SELECT sdes.revoke_access('payment', current_user, '{encrypt,decrypt}');
SELECT sdes.grant_access('payment', current_user, '{mask}');
SELECT id, card FROM wallet WHERE id < 10 OR id >= 20 ORDER BY id;
SELECT d, x FROM more;
SELECT coalesce(card, '5555555555554444') AS card, note FROM both_types ORDER BY card IS NULL;
SELECT id, length(sdes.reveal(name)) AS length, octet_length(sdes.reveal(name)) AS bytes, sdes.reveal(name) AS name
FROM words ORDER BY id;
SELECT card::text FROM wallet WHERE id = 1;
INSERT INTO wallet VALUES (30, '4111111111111111');
-- a mask is no card number
INSERT INTO wallet VALUES (30, '41111111****1111');
SELECT sdes.revoke_access('payment', current_user, '{mask}');
SELECT left(sdes.reveal(card), 6) AS card FROM wallet WHERE id = 1;
SELECT sdes.grant_access('payment', current_user, '{encrypt,decrypt}');
DROP FUNCTION refusal(text);
DROP TABLE wallet, both_types, more, words;
DROP DOMAIN pan;
