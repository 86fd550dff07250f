-- The one door: json, xml and text made of whole values, rows and arrays.
CREATE ROLE regress_opener LOGIN;
CREATE ROLE regress_masked LOGIN;
CREATE ROLE regress_none LOGIN;
SELECT sdes.grant_access(b, 'regress_opener', '{encrypt,search,decrypt}') FROM unnest('{customer_pii,payment}'::text[]) b;
SELECT sdes.grant_access(b, 'regress_masked', '{mask}') FROM unnest('{customer_pii,payment}'::text[]) b;
CREATE TABLE j (id int PRIMARY KEY, a sdes.enc_text('customer_pii', 'searchable'), c sdes.enc_pan('payment'), l sdes.enc_text('customer_pii')[], b text);
CREATE TABLE history (id int GENERATED ALWAYS AS IDENTITY, was jsonb);
GRANT ALL ON j, history TO regress_opener, regress_masked, regress_none;
CREATE VIEW in_a_view AS SELECT id, row_to_json(j) AS x FROM j;
GRANT SELECT ON in_a_view TO regress_opener;
CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO history (was) VALUES (to_jsonb(NEW)); RETURN NEW; END $$;
CREATE FUNCTION store(x jsonb) RETURNS jsonb LANGUAGE sql AS 'INSERT INTO history (was) VALUES (x) RETURNING x';
CREATE TRIGGER remember AFTER INSERT OR UPDATE ON j FOR EACH ROW EXECUTE FUNCTION remember();
\connect - regress_opener
INSERT INTO j VALUES (1, 'Ada "L"', '4111 1111 1111 1111', '{l1,NULL}', 'x'), (2, 'Bob', NULL, NULL, 'y'), (3, NULL, NULL, '{}', 'z');
-- of values, arrays, rows
SELECT to_json(a), to_jsonb(c), to_json(l), to_jsonb(j) FROM j ORDER BY id;
SELECT row_to_json(j), row_to_json(j, true), row_to_json(ROW(a, l, 1)), array_to_json(l), array_to_json(l, true) FROM j WHERE id = 1;
SELECT json_build_object('a', a, 'row', j, 'l', l), jsonb_build_object(a, c), json_build_array(a, 1, l), jsonb_build_array(j) FROM j WHERE id = 1;
SELECT json_build_array(VARIADIC l), concat(VARIADIC l), format('%s', VARIADIC l) FROM j WHERE id = 1;
SELECT to_json(coalesce(a, 'none')), json_build_object('k', CASE WHEN id = 1 THEN a ELSE 'other' END) FROM j ORDER BY id;
SELECT to_json(ARRAY[a, 'own']), to_jsonb(ROW(a, 'own')) FROM j WHERE id = 1;
-- aggregates
SELECT json_agg(a ORDER BY id), jsonb_agg(a ORDER BY a DESC), json_agg(j ORDER BY a) FILTER (WHERE id < 3) FROM j;
SELECT json_object_agg(coalesce(a, 'none'), c ORDER BY id), jsonb_object_agg(id, a) FROM j;
SELECT json_agg(DISTINCT a)::text ~ 'sdes1:' AS armor, json_agg(DISTINCT a)::text ~ '"Bob"' AS leak FROM j;
SELECT json_agg(a ORDER BY a) FROM (SELECT DISTINCT a FROM j) AS d;
SELECT id, json_agg(a) OVER (ORDER BY id) FROM j ORDER BY id;
SELECT a, json_agg(j.*) FROM j GROUP BY a ORDER BY a;
SELECT a, to_json(a), json_agg(id) FROM j GROUP BY a, to_json(a)::text HAVING to_json(a)::text <> '"Bob"';
SELECT array_agg(to_jsonb(a) ORDER BY to_jsonb(a)) FROM j;
-- as ORMs write it
SELECT coalesce(json_agg(x), '[]') AS rows FROM (SELECT row_to_json(j) AS x FROM j ORDER BY id) s;
SELECT json_agg(s) FROM (SELECT id, a FROM j ORDER BY id) s;
SELECT json_build_object('rows', (SELECT json_agg(q ORDER BY q.id) FROM (SELECT id, a, c FROM j) q));
SELECT to_json((SELECT r FROM (SELECT j.a, j.c) r)) FROM j ORDER BY id;
SELECT coalesce(t.items, '[]'::jsonb) FROM (VALUES (1)) v(n) LEFT JOIN LATERAL
    (SELECT jsonb_agg(jsonb_build_object('id', i.id, 'a', i.a) ORDER BY i.id) AS items FROM j i WHERE i.id >= v.n) t ON true;
WITH w AS (SELECT id, to_jsonb(j) - 'l' AS x FROM j) SELECT jsonb_object_agg(id, x ->> 'a') FROM w WHERE x ->> 'a' LIKE 'A%';
WITH w AS MATERIALIZED (SELECT * FROM j) SELECT json_agg(to_json(w) -> 'a' ORDER BY id) FROM w;
SELECT row_to_json(j) FROM j WHERE id = 1 UNION ALL SELECT json_build_object('a', a) FROM j WHERE id = 2;
SELECT key, value FROM j, jsonb_each_text(to_jsonb(j)) WHERE id = 1 ORDER BY key;
SELECT id FROM j WHERE concat(a, '/', b) = 'Bob/y' OR to_json(a)::text LIKE '%\\"L%' ORDER BY concat(a, b) DESC;
WITH i AS (UPDATE j SET b = b WHERE id = 1 RETURNING *) SELECT row_to_json(i), (SELECT json_agg(a) FROM i) FROM i UNION ALL SELECT to_json(a), NULL FROM j WHERE id = 2;
INSERT INTO j (id, a) VALUES (4, 'Eve') RETURNING row_to_json(j), to_jsonb(a), concat(a, b), (SELECT json_agg(x.a ORDER BY id) FROM j x) AS others;
-- xml and text
SELECT xmlelement(name who, xmlattributes(a AS name), a, '!'), xmlforest(a, c AS card), xmlagg(xmlelement(name x, a)) OVER (ORDER BY id) FROM j WHERE id < 3 ORDER BY id;
SELECT xmlconcat(xmlelement(name a, l)) FROM j WHERE id = 1;
SELECT concat(a, '-', c), concat_ws(',', a, b, c), format('%s|%L', a, a), quote_literal(a), quote_nullable(a), array_to_string(l, '+', '?') FROM j ORDER BY id;
SELECT json_build_object('a', a) FROM j WHERE id = 1 \gdesc
EXPLAIN (VERBOSE, COSTS OFF) SELECT json_agg(x) FROM (SELECT row_to_json(j) AS x FROM j) s;
-- cursors, prepared statements, COPY
PREPARE pj AS SELECT json_agg(a ORDER BY id) FROM j;
EXECUTE pj;
CREATE TEMP TABLE leak AS EXECUTE pj;
COPY (SELECT row_to_json(s) FROM (SELECT id, a FROM j ORDER BY id) s) TO STDOUT;
-- what is stored is ciphertext, and what functions and views made, too
SELECT count(*), count(*) FILTER (WHERE was ->> 'a' ~ '^sdes1:') AS armor FROM history WHERE was ->> 'a' IS NOT NULL;
CREATE TEMP TABLE kept AS SELECT row_to_json(j) AS r, to_jsonb(a) AS a, concat(a) AS t, json_build_array(l)::text AS l FROM j WHERE id = 1;
INSERT INTO kept SELECT row_to_json(j), to_jsonb(a), concat(a), json_build_array(l)::text FROM j WHERE id = 1;
INSERT INTO kept (t) VALUES (concat((SELECT a FROM j WHERE id = 1)));
WITH s AS (SELECT row_to_json(j) AS r, concat(a) AS t FROM j WHERE id = 1), i AS (INSERT INTO kept (r, t) SELECT * FROM s RETURNING t) SELECT left(t, 6) FROM i;
UPDATE kept SET a = (SELECT to_jsonb(j) FROM j WHERE id = 1) WHERE t IS NULL;
SELECT count(*), count(*) FILTER (WHERE concat(r, a, t, l) ~ 'sdes1:') AS armor, count(*) FILTER (WHERE concat(r, a, t, l) ~ 'Ada |"l1"') AS leaks FROM kept;
SELECT left(store(to_jsonb(a))::text, 7), left(x ->> 'a', 6) FROM j JOIN in_a_view USING (id) WHERE id = 1;
SELECT set_config('my.json', row_to_json(j)::text, false) ~ 'sdes1:' AS armor FROM j WHERE id = 1;
SELECT was::text ~ 'Ada ' AS leak FROM history ORDER BY id DESC LIMIT 1;
DO $$ DECLARE x text; BEGIN SELECT row_to_json(j) || concat(a) INTO x FROM j WHERE id = 1; RAISE NOTICE '%', x ~ 'sdes1:' AND NOT x ~ 'Ada '; END $$;
-- a mask, and nothing
\set forms 'SELECT to_json(a), row_to_json(j), json_build_array(l, c), concat(a, 1), format(''%s'', a) FROM j WHERE id = 1; SELECT json_agg(s) FROM (SELECT a FROM j WHERE id < 3 ORDER BY id) s; SELECT xmlforest(a, l) FROM j WHERE id = 1;'
\connect - regress_masked
:forms
SELECT id FROM j WHERE concat(a) = 'Bob' OR concat(c) LIKE '4111 1111 1111%';
\connect - regress_none
\t \a
\o reveal_json.rows
:forms
\o
\! sed -E 's/sdes1:[A-Za-z0-9_-]+/ARMOR/g' reveal_json.rows; rm reveal_json.rows
\t \a
SELECT id FROM j WHERE concat(a) = 'Bob';
\connect - postgres
DROP VIEW in_a_view;
DROP TABLE j, history;
DROP FUNCTION remember, store;
SELECT sdes.revoke_access(b, 'regress_opener', '{encrypt,search,decrypt}') FROM unnest('{customer_pii,payment}'::text[]) b;
SELECT sdes.revoke_access(b, 'regress_masked', '{mask}') FROM unnest('{customer_pii,payment}'::text[]) b;
DROP ROLE regress_opener, regress_masked, regress_none;
