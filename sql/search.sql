-- Search: tokens, operators, indexes, the privilege, the order of plaintext.
CREATE ROLE regress_oms LOGIN;
CREATE ROLE regress_reader LOGIN;
CREATE ROLE regress_searcher LOGIN;
CREATE ROLE regress_masked LOGIN;
CREATE ROLE regress_nobody LOGIN;
SELECT sdes.create_bucket('crm') IS NOT NULL AS created;
SELECT sdes.create_bucket('crm2') IS NOT NULL AS created;
SELECT sdes.grant_access(b, 'regress_oms', '{encrypt,search,decrypt}') FROM unnest('{crm,crm2}'::text[]) b;
SELECT sdes.grant_access('crm', 'regress_reader', '{decrypt}');
SELECT sdes.grant_access('crm', 'regress_searcher', '{search}');
SELECT sdes.grant_access('crm', 'regress_masked', '{mask}');
CREATE SCHEMA shop AUTHORIZATION regress_oms;
GRANT USAGE ON SCHEMA shop TO PUBLIC;

\connect - regress_oms
SET search_path = shop;
CREATE TABLE customer (
    id int PRIMARY KEY,
    email sdes.enc_text('crm', 'searchable') UNIQUE,
    login sdes.enc_text('crm', 'searchable', 'searchable_ci'),
    name sdes.enc_text('crm'),
    card sdes.enc_pan('crm', 'searchable'));
\d customer
CREATE INDEX ON customer (login sdes.enc_text_ci_ops);
CREATE INDEX ON customer USING hash (card);
GRANT SELECT ON customer TO PUBLIC;
INSERT INTO customer
SELECT g, 'user' || g || '@example.org', 'User' || g || '@Example.org', 'Name ' || g % 7,
       CASE g % 2 WHEN 0 THEN '4111 1111 1111 1111' ELSE '5555555555554444' END
FROM generate_series(1, 500) g;
INSERT INTO customer (id) VALUES (501);
ANALYZE customer;
-- a token takes 18 bytes; equal values have equal tokens, literals have none
SELECT octet_length(sdes.enc_text_send(email)) - octet_length(email::text) AS email,
       octet_length(sdes.enc_text_send(login)) - octet_length(login::text) AS login,
       octet_length(sdes.enc_text_send(name)) - octet_length(name::text) AS name
FROM customer WHERE id = 1;
SELECT count(DISTINCT substr(sdes.enc_pan_send(card), 24, 18)) AS tokens, count(DISTINCT sdes.enc_pan_send(card)) AS datums
FROM customer;
SELECT octet_length(sdes.enc_text_send('x'::sdes.enc_text)) AS literal;

-- equality, and by the index
SELECT id FROM customer WHERE email = 'user7@example.org';
SELECT id FROM customer WHERE 'user7@example.org' = email;
SELECT id FROM customer WHERE email = 'user7@example.org'::text;
SELECT id FROM customer WHERE email = 'user7@example.org'::varchar(40);
SELECT id FROM customer WHERE email IN ('user8@example.org', 'user9@example.org', 'nobody', NULL) ORDER BY id;
SELECT id FROM customer WHERE email = ANY('{user8@example.org,user9@example.org}'::text[]) ORDER BY id;
SELECT count(*) FROM customer WHERE email <> 'user7@example.org';
SELECT count(*) FROM customer WHERE email != ALL('{user8@example.org,user9@example.org}'::varchar[]);
SELECT count(*) FROM customer WHERE card = '4111111111111111';
SELECT count(*) FROM customer WHERE card = '4111-1111-1111-1111'::text;
SELECT count(*) FROM customer WHERE card = 'no card at all'::text;
SELECT count(*) FROM customer WHERE email IS NOT DISTINCT FROM NULL;
SELECT id FROM customer WHERE (id, email) = (7, 'user7@example.org');
PREPARE by_text(text) AS SELECT id FROM customer WHERE email = $1;
EXECUTE by_text('user11@example.org');
PREPARE by_unknown AS SELECT id FROM customer WHERE email = $1;
EXECUTE by_unknown('user12@example.org');
EXECUTE by_unknown(NULL);
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) EXECUTE by_text('x');
EXPLAIN (COSTS OFF) SELECT id FROM customer WHERE email = ANY('{a,b}'::text[]);
EXPLAIN (COSTS OFF) SELECT id FROM customer WHERE card = '4111111111111111'::text;
EXPLAIN (COSTS OFF) SELECT a.id FROM customer b LEFT JOIN customer a ON a.email = b.email WHERE b.id = 5;
SELECT a.id FROM customer a JOIN customer b ON a.email = b.email WHERE b.id = 5;
RESET enable_seqscan;

-- lower() by its own index; = minds the case
EXPLAIN (COSTS OFF) SELECT id FROM customer WHERE lower(login) = 'user7@example.org';
SELECT id FROM customer WHERE lower(login) = 'user7@example.org';
SELECT id FROM customer WHERE lower(login) = lower('USER7@example.org');
SELECT id FROM customer WHERE lower(login) = 'User7@example.org';
SELECT id FROM customer WHERE lower(login) IN ('user7@example.org', 'user8@example.org') ORDER BY id;
SELECT id FROM customer WHERE login = 'user7@example.org';
SELECT id FROM customer WHERE login = 'User7@Example.org';
-- where lower() may go by other rules, or nothing carries a token, values are opened
EXPLAIN (COSTS OFF) SELECT id FROM customer WHERE lower(login COLLATE "C") = 'x';
EXPLAIN (COSTS OFF) SELECT id FROM customer WHERE lower(name) = 'name 1' OR login LIKE 'U%' ORDER BY name;
SELECT count(*) FROM customer WHERE lower(name) = 'name 1';

-- constraints
\set VERBOSITY terse
INSERT INTO customer (id, email) VALUES (600, 'user7@example.org');
INSERT INTO customer (id, email, name) VALUES (600, 'user7@example.org', 'again')
ON CONFLICT (email) DO UPDATE SET name = excluded.name RETURNING id, name;
CREATE TABLE address (id int, email sdes.enc_text('crm2', 'searchable') REFERENCES customer (email) ON UPDATE CASCADE ON DELETE CASCADE);
INSERT INTO address VALUES (1, 'user7@example.org'), (2, 'user8@example.org');
INSERT INTO address VALUES (3, 'nobody@example.org');
UPDATE customer SET email = 'new7@example.org' WHERE id = 7;
DELETE FROM customer WHERE id = 8;
SELECT id, email FROM address ORDER BY id;
SELECT c.id, a.id FROM customer c JOIN address a ON a.email = c.email;
SELECT c.id FROM customer c WHERE EXISTS (SELECT FROM address a WHERE a.email = c.email);
CREATE TABLE slot (who sdes.enc_text('crm', 'searchable'), EXCLUDE USING hash (who WITH =));
INSERT INTO slot VALUES ('ada'), ('grace');
INSERT INTO slot VALUES ('ada');

\set VERBOSITY default
-- groups, duplicates, set operations, with tokens and by opening
SELECT count(DISTINCT card), count(DISTINCT name), count(DISTINCT email) FROM customer;
SELECT name::text, count(*) FROM customer GROUP BY name ORDER BY name::text;
SELECT count(*) FROM (SELECT DISTINCT card, name FROM customer) d;
SELECT count(*) FROM (SELECT email FROM customer UNION SELECT email FROM address) u;
SELECT count(*) FROM (SELECT email FROM customer INTERSECT SELECT email FROM address) i;
SELECT count(*) FROM customer a JOIN customer b USING (name);
SET enable_hashjoin = off; SET enable_nestloop = off;
SELECT count(*) FROM customer a JOIN customer b USING (name);
SELECT count(*) FROM customer a JOIN customer b ON a.email = b.email;
SELECT count(*) FROM customer a JOIN (SELECT 'user' || g || '@example.org' AS t FROM generate_series(1, 50) g) b ON a.email = b.t;
RESET enable_hashjoin; SET enable_mergejoin = off;
SELECT count(*) FROM customer a JOIN (SELECT 'user' || g || '@example.org' AS t FROM generate_series(1, 50) g) b ON a.email = b.t;
RESET enable_mergejoin; RESET enable_nestloop;

-- partitions by equality
CREATE TABLE by_list (who sdes.enc_text('crm', 'searchable')) PARTITION BY LIST (who);
CREATE TABLE by_list_1 PARTITION OF by_list FOR VALUES IN ('ada', 'grace');
CREATE TABLE by_list_2 PARTITION OF by_list DEFAULT;
CREATE TABLE by_hash (who sdes.enc_text('crm', 'searchable')) PARTITION BY HASH (who);
CREATE TABLE by_hash_1 PARTITION OF by_hash FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE by_hash_2 PARTITION OF by_hash FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO by_list VALUES ('ada'), ('alan');
INSERT INTO by_hash SELECT 'who' || g FROM generate_series(1, 100) g;
SELECT tableoid::regclass, who::text FROM by_list ORDER BY 1;
EXPLAIN (COSTS OFF) SELECT FROM by_list WHERE who = 'ada'::text;
SELECT count(*) FROM by_hash WHERE who = 'who5';
SELECT count(*) FROM by_hash a JOIN by_hash b USING (who);

-- the order is that of plaintext, never of tokens
SELECT id FROM customer ORDER BY email LIMIT 5;
SELECT id FROM customer ORDER BY email DESC NULLS LAST LIMIT 3;
SELECT id FROM customer WHERE id < 12 ORDER BY name, id DESC;
SELECT id, rank() OVER (ORDER BY name) FROM customer WHERE id < 6 ORDER BY id;
SELECT array_agg(id ORDER BY email DESC) FROM customer WHERE id < 12;
SELECT array_agg(DISTINCT name ORDER BY name DESC)::text[] FROM customer;
SELECT DISTINCT ON (name) name::text AS n, id FROM customer ORDER BY name, id;
CREATE VIEW sorted AS SELECT id, email FROM customer ORDER BY email DESC;
\d sorted
SELECT replace(pg_get_viewdef('sorted'), 'customer.', '') AS "as it was written";
SELECT id FROM sorted LIMIT 2;
CREATE FUNCTION first_id() RETURNS int LANGUAGE sql STABLE BEGIN ATOMIC SELECT id FROM customer ORDER BY email LIMIT 1; END;
CREATE FUNCTION some_ids() RETURNS SETOF int LANGUAGE sql STABLE BEGIN ATOMIC SELECT id FROM customer ORDER BY email LIMIT 3; END;
SELECT first_id(), (SELECT array_agg(i) FROM some_ids() i);
CREATE COLLATION nd (provider = icu, locale = 'und', deterministic = false);
CREATE TABLE umlaut (id int, t sdes.enc_text('crm') COLLATE "de-x-icu", u text COLLATE "de-x-icu");
INSERT INTO umlaut SELECT row_number() OVER (), w, w FROM unnest('{zoo,Äpfel,apfel,Zug,ähnlich}'::text[]) w;
SELECT array_agg(id ORDER BY t) = array_agg(id ORDER BY u) AS alike, array_agg(id ORDER BY t COLLATE "C") = array_agg(id ORDER BY u COLLATE "C") AS alike_c FROM umlaut;
SELECT min(email), max(email), string_agg(email, ',' ORDER BY email DESC) FROM customer WHERE id < 4;

-- GREATEST and LEAST, too; what holds values has an order only where its client sorts it
SELECT greatest(email, login), least(email, 'aaa', NULL) FROM customer WHERE id = 1;
SELECT count(*) FROM customer WHERE greatest(email, name)::text <> greatest(email::text, name::text)
    OR least(email, name)::text <> least(email::text, name::text) OR greatest(email, NULL, email) <> email;
SELECT id FROM customer ORDER BY ARRAY[email] LIMIT 1;
SELECT id FROM customer ORDER BY ROW(id, email) LIMIT 1;
SELECT id FROM customer c ORDER BY c LIMIT 1;
SELECT count(*) FROM (SELECT id FROM customer ORDER BY ARRAY[email] LIMIT 1) AS s;
SELECT count(*) FROM (SELECT id FROM customer c ORDER BY c LIMIT 1) AS s;
SELECT max(ARRAY[email]) FROM customer;
SELECT count(*) FROM customer WHERE ARRAY[email] < ARRAY[login];
SELECT count(*) FROM customer WHERE ARRAY[email] = ARRAY[email];
SELECT count(*) FROM customer WHERE (email, id) < (login, id);
-- also where the planner puts a function's body in its place
CREATE FUNCTION greater(sdes.enc_text, sdes.enc_text) RETURNS sdes.enc_text LANGUAGE sql STABLE AS 'SELECT greatest($1, $2)';
SELECT count(*) FROM customer WHERE greater(email, name)::text <> greatest(email::text, name::text);
-- lower() in joins
CREATE TABLE logins (login text);
INSERT INTO logins VALUES ('user9@example.org'), ('User10@Example.org'), ('nobody');
SELECT c.id FROM customer c JOIN logins l ON lower(c.login) = l.login;
SELECT count(*), count(c.id), count(l.login) FROM customer c FULL JOIN logins l ON lower(c.login) = l.login;
SELECT count(*) FROM customer WHERE lower(login) NOT IN (SELECT login FROM logins);
EXPLAIN (COSTS OFF) SELECT FROM customer c FULL JOIN logins l ON lower(c.login) = l.login;
-- variables and arrays of values without tokens meet an index
SET enable_seqscan = off;
DO $$
DECLARE v sdes.enc_text; a sdes.enc_text[]; n int; m int;
BEGIN
    SELECT name || '' INTO v FROM customer WHERE id = 9;
    SELECT t INTO v FROM (SELECT email::text::sdes.enc_text('crm') AS t FROM customer WHERE id = 9) one;
    SELECT id INTO n FROM customer WHERE email = v;
    SELECT array_agg(t) INTO a FROM (SELECT email::text::sdes.enc_text('crm') AS t FROM customer WHERE id IN (9, 10)) two;
    SELECT count(*) INTO m FROM customer WHERE email = ANY (a);
    RAISE NOTICE '% %', n, m;
END $$;
RESET enable_seqscan;
-- the same constant twice is one, so that what is grouped by is recognized
SELECT email = 'user9@example.org' AS is_nine, count(*) FROM customer WHERE id < 12 GROUP BY email = 'user9@example.org' ORDER BY 1;
SELECT coalesce(name, 'none')::text AS n, count(*) FROM customer WHERE id > 490 GROUP BY coalesce(name, 'none')::text ORDER BY 1;
SELECT DISTINCT name = 'Name 1' AS one FROM customer WHERE name IS NOT NULL ORDER BY name = 'Name 1';
SELECT CASE WHEN email IN ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j') THEN 'k' ELSE 'l' END AS c, count(*) FROM customer
GROUP BY CASE WHEN email IN ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j') THEN 'k' ELSE 'l' END;
-- values without tokens meet an index, opened
SET enable_hashjoin = off; SET enable_mergejoin = off;
CREATE TABLE unsearched (t sdes.enc_text('crm'));
INSERT INTO unsearched VALUES ('user9@example.org'), ('nobody');
EXPLAIN (COSTS OFF) SELECT count(*) FROM unsearched u JOIN customer c ON c.email = u.t;
SET enable_seqscan = off;
SELECT c.id FROM unsearched u JOIN customer c ON c.email = u.t;
SELECT id FROM customer WHERE email IN (SELECT t FROM unsearched);
SELECT id FROM customer WHERE email = (SELECT min(t::text) FROM unsearched) OR email = (SELECT t FROM unsearched WHERE t <> 'nobody');
RESET enable_hashjoin; RESET enable_mergejoin; RESET enable_seqscan;
SELECT count(*) FROM customer WHERE email = 'x' COLLATE nd;
-- statistics: of tokens where there are some; else values count as all different
CREATE TYPE pair AS (a int, t sdes.enc_text('crm'));
CREATE TABLE statistics_of (id int, t sdes.enc_text('crm'), s sdes.enc_text('crm', 'searchable'), l sdes.enc_text('crm')[], p pair);
INSERT INTO statistics_of SELECT g, 'same', 'same', ARRAY['same', 'same'], ROW(1, 'same')::pair FROM generate_series(1, 100) g;
CREATE STATISTICS related (ndistinct, mcv) ON t, s FROM statistics_of;
ANALYZE statistics_of;
SELECT attname, n_distinct, most_common_vals::text ~ '^{sdes1:' AS ciphertext FROM pg_stats WHERE tablename = 'statistics_of' ORDER BY 1;

-- EXPLAIN says which index is larger than it need be
CREATE TABLE looked_up (v sdes.enc_text('crm', 'searchable'));
INSERT INTO looked_up SELECT 'user' || lpad(g::text, 6, '0') || '@example.org' FROM generate_series(1, 10000) g;
CREATE INDEX large ON looked_up (v);
VACUUM ANALYZE looked_up;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF, VERBOSE OFF) SELECT FROM looked_up WHERE v = 'x'::text;
SET enable_indexscan = off;
EXPLAIN (COSTS OFF, VERBOSE OFF) SELECT FROM looked_up WHERE v IN ('x'::text, 'y'::text);
RESET enable_indexscan;
DROP INDEX large;
CREATE INDEX small ON looked_up USING hash (v);
EXPLAIN (COSTS OFF, VERBOSE OFF) SELECT FROM looked_up WHERE v = 'x'::text;
DROP INDEX small;
CREATE UNIQUE INDEX one ON looked_up (v);
EXPLAIN (COSTS OFF, VERBOSE OFF) SELECT FROM looked_up WHERE v = 'x'::text;
RESET enable_seqscan;

-- what cannot serve a key
CREATE INDEX ON statistics_of (l);
CREATE INDEX ON statistics_of (p);
CREATE TABLE pairs (p pair) PARTITION BY HASH (p);
CREATE INDEX ON customer (name);
CREATE INDEX ON customer (id) INCLUDE (name);
CREATE INDEX ON customer (email sdes.enc_text_ci_ops);
CREATE INDEX ON customer (email sdes.enc_text_order_ops);
CREATE INDEX ON customer (lower(email));
ALTER TABLE customer ADD UNIQUE (name);
DROP VIEW sorted; DROP FUNCTION first_id(), some_ids();
ALTER TABLE customer ALTER email TYPE sdes.enc_text('crm');
CREATE TABLE bad (a sdes.enc_text('crm') PRIMARY KEY);
CREATE TABLE bad (a sdes.enc_text('crm')) PARTITION BY HASH (a);
CREATE TABLE bad (a sdes.enc_text('crm', 'searchable')) PARTITION BY RANGE (a);
CREATE TABLE bad (a sdes.enc_pan('crm', 'searchable_ci'));
CREATE TABLE bad (a sdes.enc_text('crm', 'fuzzy'));
-- a column becomes searchable, and is no more
CREATE TABLE later (id int, a sdes.enc_text('crm'));
INSERT INTO later VALUES (1, 'one'), (2, 'two'), (3, NULL);
ALTER TABLE later ALTER a TYPE sdes.enc_text('crm', 'searchable');
CREATE INDEX ON later (a);
SELECT id FROM later WHERE a = 'two';
DROP INDEX later_a_idx;
ALTER TABLE later ALTER a TYPE sdes.enc_text('crm');
SELECT id, octet_length(sdes.enc_text_send(a)) FROM later ORDER BY id;
-- values that are too long for a page of a btree
\set VERBOSITY terse
INSERT INTO customer (id, email) VALUES (700, repeat('long ', 1000));

\set VERBOSITY default
CREATE VIEW secret AS SELECT id FROM customer WHERE email = 'TopSecret';
GRANT SELECT ON secret TO PUBLIC;
-- the privilege to search
\connect - regress_reader
SET search_path = shop;
SELECT id FROM customer WHERE email = 'user9@example.org';
SELECT id FROM customer WHERE email = 'user9@example.org'::text;
SELECT id FROM customer WHERE email::text = 'user9@example.org';
SELECT id FROM customer WHERE lower(login || '') = 'user9@example.org';
SELECT count(*) FROM customer WHERE name = 'Name 1';
\connect - regress_searcher
SET search_path = shop;
SELECT id FROM customer WHERE email = 'user9@example.org';
SELECT id FROM customer WHERE lower(login) = 'user9@example.org';
SELECT count(*) FROM customer WHERE name = 'Name 1';
SELECT id FROM customer ORDER BY email LIMIT 1;
SELECT count(DISTINCT email) FROM customer;
\connect - regress_masked
SET search_path = shop;
SELECT id FROM customer WHERE email = 'user9@example.org';
SELECT id FROM customer WHERE id < 4 ORDER BY name, id;
SELECT id FROM customer WHERE email LIKE 'u%';
\connect - regress_nobody
SET search_path = shop;
SELECT id FROM customer WHERE email = 'user9@example.org';
SELECT count(DISTINCT email), count(*) FROM customer;
SELECT count(*) FROM customer a JOIN customer b USING (email);
SELECT count(DISTINCT name) FROM customer;
SELECT id FROM customer ORDER BY email LIMIT 1;
-- nor somebody else's constant
SET check_function_bodies = off;
SELECT substring(pg_get_viewdef('shop.secret') FROM 'sdes1:[A-Za-z0-9_-]+') AS armor \gset
\set VERBOSITY terse
SELECT :'armor'::sdes.enc_text = 'x' AS refused;
SELECT :'armor'::sdes.enc_text('crm') AS refused;
\set VERBOSITY default
RESET check_function_bodies;
SELECT 'a'::sdes.enc_text AS e UNION ALL SELECT 'b' ORDER BY 1;
-- nor by the functions themselves
SELECT sdes.enc_text_hash_t('user9@example.org');
SELECT sdes.enc_text_lt_tt('a', 'b');
SELECT sdes.enc_text_cmp_vt(email, 'user9@example.org') FROM customer WHERE id = 9;
\connect - postgres
SET client_min_messages = warning;
DROP SCHEMA shop CASCADE;
DROP OWNED BY regress_oms;
DROP ROLE regress_oms, regress_reader, regress_searcher, regress_masked, regress_nobody;
