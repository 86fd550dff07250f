-- The one door: arrays, rows, whatever holds encrypted values.
CREATE ROLE regress_opener LOGIN;
CREATE ROLE regress_masked LOGIN;
CREATE ROLE regress_none LOGIN;
SELECT sdes.grant_access(b, 'regress_opener', '{encrypt,search,decrypt}') FROM unnest('{customer_pii,payment}'::text[]) b;
SELECT sdes.grant_access(b, 'regress_masked', '{mask}') FROM unnest('{customer_pii,payment}'::text[]) b;
CREATE DOMAIN mail AS sdes.enc_text('customer_pii');
CREATE TYPE person AS (name sdes.enc_text('customer_pii'), born int, mails mail[]);
CREATE DOMAIN grown AS person;
CREATE TABLE n (id int PRIMARY KEY, a sdes.enc_text('customer_pii'), gone int, c sdes.enc_pan('payment'),
    l sdes.enc_text('customer_pii')[], cs sdes.enc_pan('payment')[], m mail, ms mail[], p person, ps person[], g grown, t text[]);
ALTER TABLE n DROP COLUMN gone;
GRANT ALL ON n TO regress_opener, regress_masked, regress_none;
CREATE FUNCTION f_out(OUT x int, OUT y sdes.enc_text) LANGUAGE sql AS 'SELECT id, a FROM n WHERE id = 1';
CREATE FUNCTION f_set() RETURNS SETOF n LANGUAGE sql AS 'SELECT * FROM n ORDER BY id';
CREATE FUNCTION f_record() RETURNS record LANGUAGE sql AS 'SELECT id, a FROM n WHERE id = 1';
\connect - regress_opener
INSERT INTO n VALUES
    (1, 'first', '4111 1111 1111 1111', '{l1,NULL,"l 2"}', '{4111111111111111}', 'm@1', '{m1,m2}',
     ROW('Ada', 1815, '{ada@example.org}'), ARRAY[ROW('P1', 1, NULL), NULL, ROW(NULL, 2, '{x,NULL}')]::person[],
     ROW('Grown', 3, '{}'), '{t1}'),
    (2, 'second', NULL, '[0:1][2:3]={{a1,a2},{b1,b2}}', '{}', NULL, NULL, NULL, '{}', NULL, NULL),
    (3, NULL, NULL, NULL, NULL, NULL, '{}', ROW(NULL, NULL, NULL), NULL, NULL, NULL);
-- arrays
SELECT id, l, cs, ms FROM n ORDER BY id;
SELECT l, ps, t FROM n WHERE id = 1 \gdesc
SELECT l[1], l[1:2], array_dims(l), cardinality(l), l || 'more'::sdes.enc_text(customer_pii) AS more FROM n WHERE id = 1;
SELECT array_agg(a ORDER BY id), ARRAY(SELECT a FROM n ORDER BY id), ARRAY[a, 'own'] FROM n GROUP BY a ORDER BY min(id);
SELECT ARRAY[ARRAY[a, 'x'], ARRAY['y', a]], '{lit}'::sdes.enc_text[] IS NULL AS lit FROM n WHERE id = 1;
SELECT unnest(l) FROM n WHERE id = 2;
SELECT u.x, u.o FROM n, unnest(l, t) WITH ORDINALITY AS u(x, y, o) WHERE id = 1;
SELECT array_agg(l) FROM n WHERE id = 2;
UPDATE n SET l = l WHERE id = 1 RETURNING l, ms;
-- composite types, and arrays and domains of them
SELECT id, p, ps, g FROM n ORDER BY id;
SELECT (p).name, (p).mails, (g).name AS gname, (ps[1]).name AS pname FROM n WHERE id = 1;
SELECT (p).* FROM n WHERE id = 1;
-- rows: of tables, subqueries, joins, functions, one's own
SELECT n FROM n WHERE id = 1;
SELECT n FROM n WHERE id = 1 \gdesc
SELECT s FROM (SELECT id, a FROM n ORDER BY id LIMIT 2) s;
SELECT s FROM (SELECT id FROM n) s ORDER BY id LIMIT 1;
WITH w AS (SELECT id, m FROM n) SELECT w FROM w ORDER BY id LIMIT 1;
SELECT j FROM ((SELECT id, a FROM n) x JOIN (SELECT id, c FROM n) y USING (id)) j WHERE id = 1;
SELECT (SELECT s FROM (SELECT a, l FROM n WHERE id = 1) s) AS sub;
SELECT v FROM (VALUES (1, 'x')) v;
SELECT f_out(), f_set() FROM n WHERE id = 1;
SELECT f_out(), f_record();
SELECT f FROM f_out() f;
SELECT * FROM f_record() AS r(i int, v sdes.enc_text);
SELECT ROW(id, a), ROW(a, 'own', coalesce(a, 'none'), l) FROM n ORDER BY id;
SELECT ROW(1, ROW(a, ROW(p)))::text FROM n WHERE id = 1;
SELECT ROW(a, 1, ms)::person FROM n WHERE id = 1;
SELECT array_agg(n.p ORDER BY n.id), array_agg(s ORDER BY n.id) FROM n, LATERAL (SELECT n.id, n.a) s WHERE n.id < 3;
SELECT DISTINCT s.r FROM (SELECT ROW(a, id) AS r FROM n WHERE id = 1) s;
SELECT s.r FROM (SELECT ROW(1, 2) AS r) s;
SELECT ROW(a, 1) FROM n WHERE id = 1 UNION ALL SELECT ROW(a, 2) FROM n WHERE id = 2;
INSERT INTO n (id, a) VALUES (4, 'fourth') RETURNING n, ROW(id, a);
DELETE FROM n WHERE id = 4 RETURNING n;
-- what becomes text of them at the top is text
SELECT l::text, p::text, (n.*)::text FROM n WHERE id = 1;
-- but what is stored, or made elsewhere, is not
CREATE TEMP TABLE stored AS SELECT n AS r, l, l::text AS t, p FROM n;
SELECT count(*) FROM stored WHERE t ~ 'sdes1:' AND NOT t ~ 'l 2|[{]a1,';
SELECT (r).a, l, p FROM stored ORDER BY (r).id;
DO $$ DECLARE v n; x text; BEGIN SELECT * INTO v FROM n WHERE id = 1; x := v::text; RAISE NOTICE '%', x ~ 'sdes1:' AND NOT x ~ 'first|l 2|[(]Ada,'; END $$;
-- sdes.reveal() itself
SELECT sdes.reveal(l), sdes.reveal(p), sdes.reveal(ps), sdes.reveal(cs), sdes.reveal(n) FROM n WHERE id = 1;
SELECT sdes.reveal(ROW(1, 'x')), sdes.reveal(NULL::person), sdes.reveal('{}'::person[]), sdes.reveal(ARRAY[ROW(1, 2)]);
-- a mask
\connect - regress_masked
SELECT l, ms, cs, p, ps, g FROM n WHERE id = 1;
SELECT n, ROW(a, c), n::text = ROW(n.*)::text AS same FROM n WHERE id = 1;
-- nothing
\connect - regress_none
\t \a
\o reveal_nested.rows
SELECT l, ms, cs, p, ps, g FROM n WHERE id = 1;
SELECT n, ROW(a, c) FROM n WHERE id = 1;
\o
\! sed -E 's/sdes1:[A-Za-z0-9_-]+/ARMOR/g' reveal_nested.rows; rm reveal_nested.rows
\t \a
\connect - postgres
DROP FUNCTION f_out, f_set, f_record;
DROP TABLE n;
DROP DOMAIN grown;
DROP TYPE person;
DROP DOMAIN mail;
SELECT sdes.revoke_access(b, 'regress_opener', '{encrypt,search,decrypt}') FROM unnest('{customer_pii,payment}'::text[]) b;
SELECT sdes.revoke_access(b, 'regress_masked', '{mask}') FROM unnest('{customer_pii,payment}'::text[]) b;
DROP ROLE regress_opener, regress_masked, regress_none;
