-- Arrays, domains, composites, whole rows, json, xml.

--- arrays
SELECT id, aliases FROM people WHERE id < 25 ORDER BY id;
SELECT id, aliases[1] AS first, aliases[1:2] AS both, array_length(aliases, 1) AS n, cardinality(aliases) AS c FROM people WHERE id < 25 ORDER BY id;

--- arrays searched
SELECT id FROM people WHERE 'shared3' = ANY (aliases) ORDER BY id;
SELECT id FROM people WHERE aliases[2] = 'shared3' ORDER BY id;
SELECT count(*) FROM people WHERE 'x' <> ALL (aliases);

--- arrays searched by a parameter
--bind text=shared3
SELECT id FROM people WHERE $1 = ANY (aliases) ORDER BY id;

--- arrays unnested
SELECT id, a FROM people, unnest(aliases) AS a WHERE id < 15 ORDER BY id, a;
SELECT id, unnest(aliases) AS a FROM people WHERE id < 15 ORDER BY id, a;
SELECT id, a, n FROM people, unnest(aliases) WITH ORDINALITY AS u (a, n) WHERE id < 15 ORDER BY id, n;
SELECT DISTINCT a FROM people, unnest(aliases) AS a ORDER BY a LIMIT 9;
SELECT a, count(*) FROM people, unnest(aliases) AS a WHERE a LIKE 'shared%' GROUP BY a ORDER BY a;

--- arrays written
INSERT INTO people (id, aliases) VALUES (901, '{a,"b c",NULL}'), (902, ARRAY['x', 'y']), (903, '{}'), (904, NULL) RETURNING id, aliases;
UPDATE people SET aliases = array_append(aliases, 'z') WHERE id = 902 RETURNING aliases;
UPDATE people SET aliases[1] = 'first' WHERE id = 902 RETURNING aliases;
SELECT id FROM people WHERE 'z' = ANY (aliases);

--- arrays by parameters
--bind int4=901 | text[]={a,b}
INSERT INTO people (id, aliases) VALUES ($1, $2) RETURNING id, aliases;

--- array functions
SELECT id, array_position(aliases, 'shared3') AS p, array_remove(aliases, 'shared3') AS r, array_cat(aliases, aliases) AS c FROM people WHERE id < 13 ORDER BY id;
SELECT id, array_to_string(aliases, ',') AS s, array_to_string(aliases, ',', '-') AS t FROM people WHERE id < 13 ORDER BY id;

--- array operators | except: array-operators 42883
SELECT id FROM people WHERE aliases @> ARRAY['shared3'] ORDER BY id;

--- array operators with a literal
SELECT id FROM people WHERE aliases @> '{shared3}' ORDER BY id;
SELECT id FROM people WHERE aliases = '{alias3@example.org,shared3,NULL}';

--- array operators on text | instead: array-operators
SELECT id FROM people WHERE aliases::text[] @> ARRAY['shared3'] ORDER BY id;
SELECT id FROM people WHERE aliases::text[] && ARRAY['shared3', 'shared2'] ORDER BY id LIMIT 9;
SELECT id FROM people WHERE aliases::text[] = ARRAY['alias3@example.org', 'shared3', NULL];
SELECT count(*) FROM people WHERE ARRAY['shared3', 'alias3@example.org'] <@ aliases::text[];

--- arrays compared with one another
SELECT count(*) FROM people a JOIN people b ON a.aliases = b.aliases WHERE a.id < 30 AND b.id < 30;
SELECT count(DISTINCT aliases) FROM people;
SELECT aliases, count(*) FROM people WHERE id < 25 GROUP BY aliases ORDER BY 2 DESC LIMIT 1;

--- array functions that add a literal | except: literal-branch 42501
SELECT id, array_append(aliases, 'new') AS a FROM people WHERE id < 13;

--- array functions that add a literal, cast | instead: literal-branch
SELECT id, array_append(aliases::text[], 'new') AS a, array_prepend('new', aliases::text[]) AS b, aliases::text[] || 'y' AS d, array_replace(aliases::text[], 'shared3', 'q') AS q
    FROM people WHERE id < 13 ORDER BY id;

--- array functions that add a literal, stored
UPDATE people SET aliases = array_append(aliases, 'new') WHERE id = 2 RETURNING aliases;
UPDATE people SET aliases = array_replace(aliases, 'new', 'newer') || 'last' WHERE id = 2 RETURNING aliases;

--- arrays sorted
SELECT id FROM people WHERE id < 20 ORDER BY aliases, id;

--- extremes of arrays | except: composite-order 0A000
SELECT min(aliases), max(aliases) FROM people;

--- arrays of text sorted | instead: composite-order
SELECT id FROM people WHERE id < 20 ORDER BY aliases::text[], id;
SELECT min(aliases::text[]), max(aliases::text[]) FROM people;

--- arrays made of columns
SELECT id, ARRAY[email, name] AS a FROM customers WHERE id < 9 ORDER BY id;
SELECT ARRAY(SELECT email FROM customers WHERE id < 9 ORDER BY id) AS a;
SELECT ARRAY[ARRAY[email], ARRAY[name]] AS a FROM customers WHERE id = 1;

--- arrays cast to text
SELECT id, aliases::text[] AS t FROM people WHERE id < 13 ORDER BY id;
SELECT id FROM people WHERE aliases::text[] @> ARRAY['shared3'] ORDER BY id;

--- an array as text
SELECT id, aliases::text AS t FROM people WHERE id < 13 ORDER BY id;

--- a domain
SELECT id, main FROM people WHERE id < 13 ORDER BY id;
SELECT main, count(*) FROM people GROUP BY main ORDER BY main;
SELECT DISTINCT main FROM people ORDER BY 1 DESC;
SELECT id, lower(main) AS l FROM people WHERE main LIKE 'main7%' ORDER BY id;
SELECT a.id, b.id FROM people a JOIN people b ON a.main = b.main AND a.id < b.id WHERE a.id < 9 ORDER BY 1, 2;

--- a domain written
INSERT INTO people (id, main) VALUES (901, 'new@example.org') RETURNING id, main;
INSERT INTO people (id, main) SELECT 902, email FROM customers WHERE id = 1;
SELECT id FROM people WHERE main = 'ada@example.org';
INSERT INTO people (id, main) VALUES (903, 'no address');

--- a domain by parameters
--bind int4=901 | varchar=par@example.org
INSERT INTO people (id, main) VALUES ($1, $2) RETURNING main;

--- a composite as a whole | except: row-type columns
SELECT id, home FROM people WHERE id < 9 ORDER BY id;

--- a composite's fields | instead: row-type
SELECT id, (home).street, (home).city FROM people WHERE id < 9 ORDER BY id;
SELECT id, (home).* FROM people WHERE id < 9 ORDER BY id;
SELECT id FROM people WHERE (home).street = 'Street 7';
SELECT id FROM people WHERE home = ROW('Street 7', 'City 2')::place;
SELECT (home).city, count(*) FROM people GROUP BY 1 ORDER BY 1;

--- a composite returned | except: row-type columns
INSERT INTO people (id, home) VALUES (901, ROW('New Street', 'New City')), (902, '("Quoted Street",City)') RETURNING id, home;

--- a composite written
INSERT INTO people (id, home) VALUES (901, ROW('New Street', 'New City')), (902, '("Quoted Street",City)') RETURNING id;
UPDATE people SET home.street = 'Other Street' WHERE id = 901 RETURNING (home).street;
SELECT (home).street, (home).city FROM people WHERE id IN (901, 902) ORDER BY id;

--- whole rows of customers | except: row-type columns
SELECT c FROM customers c WHERE id < 9 ORDER BY id;

--- whole rows of orders | except: row-type columns
SELECT o FROM orders o WHERE id < 9 ORDER BY id;

--- whole rows of a join | except: row-type columns
SELECT c, o.id FROM customers c JOIN orders o ON o.customer_email = c.email WHERE o.id < 5 ORDER BY o.id;

--- whole rows of a subquery
SELECT s FROM (SELECT id, email FROM customers WHERE id < 5) s ORDER BY s.id;

--- whole rows of UPDATE | except: row-type columns
UPDATE sessions SET seen = seen WHERE seen < 4 RETURNING sessions;

--- whole rows of INSERT | except: row-type columns
INSERT INTO sessions AS s (email) VALUES ('whole@example.org') RETURNING s;

--- whole rows compared
SELECT count(*) FROM sessions a JOIN sessions b ON a = b;
SELECT count(DISTINCT s) FROM sessions s;
SELECT id FROM customers c WHERE c IS NOT NULL ORDER BY id LIMIT 3;
SELECT count(*) FROM customers c WHERE c.* IS NULL;

--- whole rows sorted
SELECT seen FROM sessions s WHERE seen < 20 ORDER BY s;

--- composites sorted
SELECT id FROM people WHERE id < 20 ORDER BY home, id;

--- rows sorted
SELECT id FROM customers WHERE id < 20 ORDER BY ROW(email, id);

--- rows and composites sorted by their columns | instead: composite-order
SELECT seen FROM sessions s WHERE seen < 20 ORDER BY s.email, s.token, s.seen;
SELECT id FROM people WHERE id < 20 ORDER BY (home).street, (home).city, id;
SELECT id FROM customers WHERE id < 20 ORDER BY email, id;
SELECT id FROM customers WHERE id < 20 ORDER BY ROW(email::text, id);

--- ROW
SELECT ROW(id, email, name) FROM customers WHERE id < 9 ORDER BY id;
SELECT (id, email) AS r FROM customers WHERE id < 9 ORDER BY id;
SELECT ROW(c.*) FROM customers c WHERE id < 4 ORDER BY id;
SELECT array_agg(ROW(id, email) ORDER BY id) FROM customers WHERE id < 4;

--- json of a row
SELECT row_to_json(c) FROM customers c WHERE id < 12 ORDER BY id;
SELECT to_json(c), to_jsonb(c) FROM customers c WHERE id < 12 ORDER BY id;
SELECT row_to_json(s) FROM (SELECT email, name AS n FROM customers WHERE id < 5 ORDER BY id) s;
SELECT to_jsonb(c) ->> 'email' AS e FROM customers c WHERE id < 5 ORDER BY id;

--- json of values
SELECT to_json(email), to_jsonb(name) FROM customers WHERE id < 12 ORDER BY id;
SELECT json_build_object('id', id, 'email', email, 'name', name) FROM customers WHERE id < 12 ORDER BY id;
SELECT jsonb_build_object('email', email, 'n', jsonb_build_array(name, phone)) FROM customers WHERE id < 12 ORDER BY id;
SELECT json_build_array(email, name) FROM customers WHERE id < 5 ORDER BY id;

--- json aggregates
SELECT json_agg(email ORDER BY id) FROM customers WHERE id < 12;
SELECT jsonb_agg(c ORDER BY id) FROM customers c WHERE id < 5;
SELECT json_object_agg(id, email ORDER BY id) FROM customers WHERE id < 12;
SELECT jsonb_object_agg(email, name) FROM customers WHERE id < 9 AND email <> '';
SELECT json_agg(s) FROM (SELECT id, email FROM customers WHERE id < 5 ORDER BY id) s;
SELECT c.id, (SELECT json_agg(json_build_object('id', o.id, 'card', o.card) ORDER BY o.id) FROM orders o WHERE o.customer_email = c.email) AS orders FROM customers c WHERE id BETWEEN 12 AND 24 ORDER BY id;

--- json as an API builds it
SELECT jsonb_build_object('data', coalesce(jsonb_agg(to_jsonb(t) ORDER BY t.id), '[]')) AS body FROM (SELECT id, email, name FROM customers WHERE country = 'de' AND id < 40) t;
SELECT json_object(ARRAY['email', 'name'], ARRAY[email::text, name::text]) FROM customers WHERE id = 1;
SELECT array_to_json(array_agg(row_to_json(t))) FROM (SELECT email FROM customers WHERE id < 5 ORDER BY id) t;

--- json read into rows
SELECT email, name FROM jsonb_populate_record(NULL::customers, '{"id": 1, "email": "json@example.org", "name": "J"}');
INSERT INTO customers SELECT * FROM json_populate_recordset(NULL::customers, '[{"id": 9001, "email": "json@example.org"}, {"id": 9002, "email": null}]') RETURNING id, email;
INSERT INTO customers (id, email) SELECT id, email FROM jsonb_to_recordset('[{"id": 9003, "email": "set@example.org"}]') AS x (id int, email text) RETURNING email;
INSERT INTO customers (id, email) SELECT 9004, j ->> 'email' FROM (SELECT '{"email": "arrow@example.org"}'::jsonb AS j) x RETURNING email;
SELECT id FROM customers WHERE email = '{"email": "ada@example.org"}'::jsonb ->> 'email';

--- xml
SELECT xmlforest(email, name) FROM customers WHERE id < 7 ORDER BY id;
SELECT xmlelement(name customer, xmlattributes(id, email AS mail), name) FROM customers WHERE id < 5 ORDER BY id;
SELECT xmlagg(xmlelement(name e, email) ORDER BY id) FROM customers WHERE id < 5;

--- json and rows in a CTE and a function
WITH c AS (SELECT id, email FROM customers WHERE id < 5) SELECT json_agg(c ORDER BY id) FROM c;
CREATE FUNCTION pg_temp.j(integer) RETURNS json STABLE LANGUAGE sql AS $$ SELECT json_build_object('email', email::text) FROM customers WHERE id = $1 $$;
SELECT pg_temp.j(1);

--- types told
SELECT pg_typeof(lower(email)) AS a, pg_typeof(email || '') AS b, pg_typeof(email::text) AS c, pg_typeof(id) AS d FROM customers WHERE id = 1;

--- the type of a column told | except: type-told rows
SELECT pg_typeof(email) FROM customers WHERE id = 1;

--- the type of a column told, cast | instead: type-told
SELECT pg_typeof(email::text) FROM customers WHERE id = 1;

--- card numbers with separators | except: card-digits rows
INSERT INTO orders (id, card) VALUES (9001, '4111 1111 1111 1111');
SELECT count(*) FROM orders WHERE card = '4111111111111111' AND id > 9000;

--- card numbers by their text | instead: card-digits
INSERT INTO orders (id, card) VALUES (9001, '4111 1111 1111 1111');
SELECT id, card FROM orders WHERE card::text = '4111111111111111' AND id > 9000;

--- a literal beside a card number that is none | except: card-literal 22P02
SELECT id FROM orders WHERE card = 'none' AND id < 9;

--- a text beside a card number | instead: card-literal | noindex
SELECT id FROM orders WHERE card::text = 'none' AND id < 9;
SELECT id, COALESCE(card::text, 'none') AS c FROM orders WHERE id IN (1, 40) ORDER BY id;
