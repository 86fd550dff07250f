-- The type: everything that goes in comes out the same, and only ciphertext
-- is stored.
SELECT sdes.grant_access('customer_pii', current_user, '{encrypt,decrypt}');
SELECT sdes.grant_access('payment', current_user, '{encrypt,decrypt}');
CREATE TABLE person (id int PRIMARY KEY, name sdes.enc_text('customer_pii'));
\d person
INSERT INTO person VALUES (1, 'Ada'), (2, ''), (3, NULL), (4, 'Здравствуй 世界 🌍'), (5, repeat('long ', 100000));
SELECT id, left(name, 20) AS name, length(name) FROM person ORDER BY id;
SELECT id, name FROM person WHERE id < 5 ORDER BY id;
-- a sealed value is the plaintext and 39 bytes
SELECT id, octet_length(sdes.enc_text_send(name)) - octet_length(name::text) AS overhead
FROM person ORDER BY id;
-- no two are alike, and none shows its text
INSERT INTO person SELECT g, 'same' FROM generate_series(10, 19) g;
SELECT count(DISTINCT sdes.enc_text_send(name)) FROM person WHERE id BETWEEN 10 AND 19;
SELECT count(*) FROM person WHERE position('same'::bytea IN sdes.enc_text_send(name)) > 0;
SELECT count(*) FROM person WHERE sdes.enc_text_out(name)::text !~ '^sdes1:[A-Za-z0-9_-]+$';
-- types of text that are assigned to it
CREATE TABLE sources (t text, v varchar(20), c char(10));
INSERT INTO sources VALUES ('text', 'varchar', 'char');
INSERT INTO person SELECT 20, t FROM sources UNION ALL SELECT 21, v FROM sources UNION ALL SELECT 22, c FROM sources;
INSERT INTO person SELECT 23, v FROM sources;
INSERT INTO person SELECT 24, c FROM sources;
SELECT id, '<' || name || '>' AS name FROM person WHERE id BETWEEN 20 AND 24 ORDER BY id;
UPDATE person SET name = 'changed' WHERE id = 20;
UPDATE person SET name = upper(name) WHERE id = 21;
SELECT id, name FROM person WHERE id IN (20, 21) ORDER BY id;
-- and that it is cast to
SELECT name::text, name::varchar(3), name::char(10) || '|' AS c, lower(name), length(name), name || '!' AS bang
FROM person WHERE id = 1;
SELECT id FROM person WHERE name = 'Ada';
SELECT id FROM person WHERE name LIKE 'A%';
SELECT id FROM person WHERE name IN ('Ada', 'changed') ORDER BY id;
SELECT id, name FROM person WHERE id < 5 ORDER BY name::text COLLATE "C", id;
-- not by its bytes
SELECT id FROM person ORDER BY name;
SELECT count(*) FROM (SELECT DISTINCT name FROM person) AS names;
CREATE INDEX ON person (name);
-- a column of plain text is converted, and back, by who may
CREATE TABLE plain (id int, name varchar(20) DEFAULT 'nobody');
INSERT INTO plain VALUES (1, 'Ada'), (2, ''), (3, NULL), (4, DEFAULT);
ALTER TABLE plain ALTER name DROP DEFAULT, ALTER name TYPE sdes.enc_text('customer_pii');
SELECT id, name, octet_length(sdes.enc_text_send(name)) FROM plain ORDER BY id;
ALTER TABLE plain ALTER name TYPE sdes.enc_text('payment');
SELECT id, name FROM plain ORDER BY id;
ALTER TABLE plain ALTER name TYPE text;
SELECT id, name FROM plain ORDER BY id;
DROP TABLE plain;
-- between buckets: re-sealed; within one: the same bytes
CREATE TABLE card (id int, holder sdes.enc_text('payment'), note sdes.enc_text('customer_pii'));
INSERT INTO card SELECT id, name, name FROM person WHERE id < 3;
SELECT id, holder, note FROM card ORDER BY id;
SELECT c.id, sdes.enc_text_send(c.note) = sdes.enc_text_send(p.name) AS copied,
       sdes.enc_text_send(c.holder) = sdes.enc_text_send(p.name) AS holder_copied,
       (SELECT bucket FROM sdes.keys WHERE key_id = encode(substr(sdes.enc_text_send(c.holder), 4, 8), 'hex')) AS bucket
FROM card c JOIN person p USING (id) ORDER BY id;
-- other ways in
INSERT INTO person SELECT * FROM json_populate_record(NULL::person, '{"id": 30, "name": "json"}');
INSERT INTO person (SELECT (r).* FROM (SELECT ROW(31, 'row')::person AS r) s);
PREPARE ins(int, text) AS INSERT INTO person VALUES ($1, $2);
EXECUTE ins(32, 'prepared');
PREPARE untyped AS INSERT INTO person VALUES ($1, $2);
EXECUTE untyped(33, 'untyped');
DO $$ DECLARE r person; BEGIN r.id := 34; r.name := 'plpgsql'; INSERT INTO person SELECT r.*; END $$;
COPY person FROM stdin;
35	copy
36	\N
\.
CREATE DOMAIN email AS sdes.enc_text('customer_pii');
CREATE TABLE more (id int, e email, a sdes.enc_text('customer_pii')[], d sdes.enc_text('payment') DEFAULT 'by default');
INSERT INTO more (id, e, a) VALUES (1, 'domain', '{x,y}');
INSERT INTO more (id, e, a) VALUES (2, 'domain', ARRAY['a', NULL]);
SELECT id, e, a[1]::text AS a1, a[2] IS NULL AS a2_is_null, d FROM more ORDER BY id;
SELECT id, name FROM person WHERE id BETWEEN 30 AND 36 ORDER BY id;
MERGE INTO person p USING (VALUES (35, 'merged'), (37, 'new')) AS s(id, name) ON p.id = s.id
WHEN MATCHED THEN UPDATE SET name = s.name WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.name);
SELECT id, name FROM person WHERE id IN (35, 37) ORDER BY id;
INSERT INTO person VALUES (37, 'again') ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING id, name;
-- output, send, COPY and json that is stored are ciphertext, whoever asks
CREATE TABLE kept AS SELECT json_build_object('n', name) AS j, row_to_json(person) AS r FROM person;
SELECT count(*) FROM kept WHERE r::text ~ 'plpgsql';
SELECT count(*) FROM kept WHERE j::text ~ '^{"n" : ("sdes1:[A-Za-z0-9_-]+"|null)}$';
DROP TABLE kept;
-- statistics hold none of it either
ANALYZE person;
SELECT attname, n_distinct, most_common_vals IS NULL AS no_values, histogram_bounds IS NULL AS no_histogram
FROM pg_stats WHERE tablename = 'person' AND attname = 'name';
-- a literal that no column has taken opens for nobody
SELECT id FROM person WHERE name::text IN ('Ada', 'changed') ORDER BY id;
-- a modifier that somebody made up
SELECT sdes.enc_text('x'::text, 36, true);
SELECT sdes.enc_text('x'::text, 64, true);
-- damaged data is an error, never a guess (only a superuser can make such a cast)
CREATE CAST (bytea AS sdes.enc_text) WITHOUT FUNCTION;
CREATE TABLE damaged (n serial, a sdes.enc_text('customer_pii'));
INSERT INTO damaged (a)
SELECT set_byte(bytes, last, get_byte(bytes, last) # 1)::sdes.enc_text
FROM (SELECT sdes.enc_text_send(name) AS bytes, octet_length(sdes.enc_text_send(name)) - 1 AS last
      FROM person WHERE id = 1) one;
SELECT a FROM damaged;
SELECT a::text FROM damaged;
SELECT sdes.enc_text_out(a)::text ~ '^sdes1:' AS armor FROM damaged;
INSERT INTO damaged (a) SELECT 'not an envelope'::bytea::sdes.enc_text;
SELECT sdes.enc_text_out('not an envelope'::bytea::sdes.enc_text);
SELECT sdes.enc_text_send('not an envelope'::bytea::sdes.enc_text);
-- sealed for another bucket: the key id of one, the header of the other
SELECT overlay(sdes.enc_text_send(h.holder) PLACING substr(sdes.enc_text_send(h.note), 4, 8) FROM 4)::sdes.enc_text::text
FROM card h WHERE id = 1;
DROP CAST (bytea AS sdes.enc_text);
DROP TABLE damaged, person, card, more, sources;
DROP DOMAIN email;
