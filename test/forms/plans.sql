-- Plans that could take the order of tokens for the order of values, and
-- plans that work on many rows at once.

--- partition and order of a window by one column
SELECT id, row_number() OVER (PARTITION BY name ORDER BY name, id) AS n, count(*) OVER (ORDER BY name, id) AS c FROM customers WHERE id < 300 ORDER BY id;
SELECT name, count(*) OVER (PARTITION BY name) AS n FROM customers WHERE id < 300 ORDER BY name, id;
SELECT name, sum(id) OVER (PARTITION BY name ORDER BY email NULLS FIRST, id) AS s FROM customers WHERE id < 300 ORDER BY name DESC NULLS LAST, id;

--- two windows of different orders
SELECT id, rank() OVER (ORDER BY name) AS a, rank() OVER (ORDER BY name DESC) AS b, rank() OVER (PARTITION BY phone ORDER BY name, id) AS c FROM customers WHERE id < 300 ORDER BY id;

--- groups sorted by another order
SELECT name, count(*) FROM customers GROUP BY name ORDER BY name DESC;
SELECT name, count(*) FROM customers GROUP BY name ORDER BY name COLLATE "C";
SELECT name, country, count(*) FROM customers GROUP BY country, name ORDER BY name, country;
SELECT max(email) AS m, name FROM customers GROUP BY name ORDER BY max(email);
SELECT DISTINCT name, max(id) OVER (PARTITION BY name) AS m FROM customers ORDER BY name DESC;

--- joined by merge, sorted by value | plan
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_nestloop = off;
SET LOCAL enable_seqscan = on;
SET LOCAL enable_indexscan = off;
SET LOCAL enable_indexonlyscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT o.id, c.email || '' AS e FROM orders o JOIN customers c ON c.email = o.customer_email ORDER BY o.id;

--- joined by merge, sorted by the key
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_nestloop = off;
SELECT c.email, o.id FROM orders o JOIN customers c ON c.email = o.customer_email ORDER BY c.email, o.id;
SELECT c.email, count(*) FROM orders o JOIN customers c ON c.email = o.customer_email GROUP BY c.email ORDER BY c.email;
SELECT DISTINCT c.email FROM orders o JOIN customers c ON c.email = o.customer_email ORDER BY c.email LIMIT 20;
SELECT c.email FROM customers c WHERE EXISTS (SELECT FROM orders o WHERE o.customer_email = c.email) ORDER BY email DESC LIMIT 20;

--- read by index, sorted by value
SET LOCAL enable_sort = off;
SET LOCAL enable_seqscan = off;
SELECT phone, id FROM customers WHERE phone IS NOT NULL ORDER BY phone, id;
SELECT email FROM customers WHERE email IS NOT NULL ORDER BY email DESC LIMIT 10;
SELECT DISTINCT phone FROM customers ORDER BY phone;
SELECT phone, count(*) FROM customers GROUP BY phone ORDER BY phone;
SELECT phone, rank() OVER (ORDER BY phone) AS r FROM customers WHERE phone IS NOT NULL ORDER BY phone, id;
SELECT max(phone), min(email) FROM customers;

--- groups without a hash, sorted
SET LOCAL enable_hashagg = off;
SELECT phone, count(*), min(name), max(name) FROM customers GROUP BY phone ORDER BY phone DESC;
SELECT phone FROM customers UNION SELECT name FROM customers ORDER BY 1;
SELECT phone FROM customers INTERSECT SELECT phone FROM customers WHERE id < 100 ORDER BY 1;

--- appended partitions, sorted
SELECT region, n FROM listed WHERE n < 100 ORDER BY region, n;
SELECT email, n FROM listed ORDER BY email, n LIMIT 20;
SELECT email, n FROM hashed ORDER BY email DESC, n LIMIT 20;
SELECT email, n FROM hashed WHERE email IN ('ada@example.org', 'user12@shop5.example') ORDER BY email;
SELECT region, max(email) FROM listed GROUP BY region ORDER BY region NULLS FIRST;

--- appended branches, sorted
SELECT email FROM (SELECT email FROM customers WHERE id < 30 UNION ALL SELECT owner FROM devices WHERE id < 30) s ORDER BY email;
SELECT e FROM (SELECT email AS e FROM customers WHERE id < 30 UNION ALL SELECT name FROM customers WHERE id < 30) s WHERE e = 'ada@example.org' OR e LIKE 'Z%' ORDER BY e DESC;
SELECT e, count(*) FROM (SELECT customer_email AS e FROM orders UNION ALL SELECT email FROM sessions) s GROUP BY e ORDER BY e LIMIT 20;

--- sorted in views, below aggregates and limits
SELECT string_agg(email, ',') AS s FROM (SELECT email FROM customers WHERE id < 30 ORDER BY email DESC) s;
SELECT count(*) FROM (SELECT * FROM customers_sorted LIMIT 10) s;
SELECT id FROM (SELECT * FROM customers_sorted LIMIT 10) s ORDER BY email;
SELECT array_agg(id) AS a FROM (SELECT id FROM customers WHERE id < 30 ORDER BY email COLLATE "C") s;
SELECT id, (SELECT count(*) FROM customers d WHERE d.id < 30 AND d.email < c.email) AS r FROM customers c WHERE id < 30 ORDER BY email;

--- sorted in functions
CREATE FUNCTION pg_temp.f() RETURNS SETOF integer LANGUAGE sql AS $$ SELECT id FROM customers WHERE id < 30 ORDER BY email $$;
SELECT f, n FROM pg_temp.f() WITH ORDINALITY AS x (f, n) ORDER BY n;
CREATE FUNCTION pg_temp.g() RETURNS SETOF integer LANGUAGE plpgsql AS $$ DECLARE i integer; BEGIN FOR i IN SELECT id FROM customers WHERE id < 30 ORDER BY email DESC LOOP RETURN NEXT i; END LOOP; END $$;
SELECT g, n FROM pg_temp.g() WITH ORDINALITY AS x (g, n) ORDER BY n;
CREATE FUNCTION pg_temp.h() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT string_agg(name, ',' ORDER BY name, id) FROM customers WHERE id < 30; END;
SELECT pg_temp.h();

--- sorted writes
CREATE TEMP TABLE t (n serial, e @TEXT@);
INSERT INTO t (e) SELECT email FROM customers WHERE id < 30 ORDER BY email;
SELECT n, e FROM t ORDER BY n;
DELETE FROM t WHERE e IN (SELECT e FROM t ORDER BY e DESC NULLS LAST LIMIT 3) RETURNING e;
CREATE TEMP TABLE u AS SELECT id, email FROM customers WHERE id < 30 ORDER BY email DESC;
SELECT count(*) FROM u;

--- extremes | noindex
SELECT min(email) FROM customers WHERE country = 'de';
SELECT max(email) FROM customers WHERE id < 100 AND email < 'user3';
SELECT country, min(email), max(email), min(name) FILTER (WHERE name > 'a') AS f FROM customers GROUP BY country ORDER BY 1;
SELECT id FROM customers WHERE email = (SELECT min(email) FROM customers WHERE email > 'a');
SELECT min(region), max(region) FROM listed;
SELECT max(main), min(main) FROM people;

--- many rows hashed
SET LOCAL work_mem = '64kB';
SELECT count(*) FROM (SELECT DISTINCT email, name FROM customers) s;
SELECT count(*) FROM orders o JOIN customers c ON c.email = o.customer_email JOIN contacts k ON k.email = c.email;
SELECT count(*) FROM (SELECT name, phone, count(*) FROM customers GROUP BY CUBE (name, phone)) s;

--- many rows sorted, with little memory
SET LOCAL work_mem = '64kB';
SELECT id, email FROM customers ORDER BY email DESC NULLS LAST, id;
SELECT o.id, c.name FROM orders o JOIN customers c ON c.email = o.customer_email ORDER BY c.name, o.id;

--- memoized lookups
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
SELECT d.id, (SELECT count(*) FROM customers c WHERE c.phone = p.phone) AS n FROM devices d JOIN customers p ON p.id = d.id WHERE d.id < 60 ORDER BY d.id;
SELECT count(*) FROM devices a JOIN devices b ON a.owner = b.owner JOIN devices c ON c.serial = b.serial;

--- equality through several columns
SELECT c.id FROM customers c JOIN orders o ON o.customer_email = c.email JOIN contacts k ON k.email = o.customer_email WHERE c.email = 'user15@shop1.example' ORDER BY 1;
SELECT c.id FROM customers c, orders o, contacts k WHERE c.email = o.customer_email AND c.email = k.email AND k.plain_email = c.email AND c.id < 100 ORDER BY 1;
SELECT c.id FROM customers c JOIN contacts k ON k.plain_email = c.email AND k.plain_email = 'user15@shop1.example' ORDER BY 1;
SELECT c.id FROM customers c JOIN contacts k ON k.plain_email = c.email WHERE c.email = k.email AND k.email = 'user15@shop1.example'::text ORDER BY 1;
SELECT id FROM customers WHERE email = name AND name = 'x';

--- outer joins and NULLs
SELECT c.id, o.id FROM customers c LEFT JOIN orders o ON o.customer_email = c.email AND o.customer_email <> '' WHERE c.id < 60 ORDER BY 1, 2;
SELECT count(*) FROM customers c FULL JOIN contacts k ON c.email = k.plain_email;
SELECT count(*) FROM customers c LEFT JOIN contacts k USING (email) WHERE k.id IS NULL;
SELECT COALESCE(c.email, k.email) AS e FROM (SELECT * FROM customers WHERE id < 15) c FULL JOIN (SELECT * FROM contacts WHERE id < 22) k ON k.email = c.email ORDER BY 1;

--- set operations hashed and sorted
SELECT count(*) FROM (SELECT email FROM customers INTERSECT SELECT email FROM contacts) s;
SELECT count(*) FROM (SELECT email FROM customers EXCEPT ALL SELECT customer_email FROM orders) s;
SELECT email, name FROM customers WHERE id < 60 INTERSECT SELECT email, name FROM customers WHERE id > 30 ORDER BY name, email;

--- a column with a collation of its own
CREATE TEMP TABLE t (n serial, e @TEXT@ COLLATE "en-x-icu");
INSERT INTO t (e) SELECT name FROM customers WHERE id < 40;
SELECT e, n FROM t ORDER BY e, n;
SELECT e FROM t GROUP BY e ORDER BY e DESC;
SELECT min(e), max(e) FROM t;
SELECT n FROM t WHERE e > 'zoe' ORDER BY e, n;
SELECT n, rank() OVER (ORDER BY e) AS r FROM t ORDER BY n;
SELECT n FROM t WHERE e = 'Zoë' ORDER BY n;
SELECT n FROM t WHERE lower(e) = 'ada lovelace' ORDER BY n;
