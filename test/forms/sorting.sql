-- ORDER BY, DISTINCT, GROUP BY, aggregates, windows, set operations.

--- ORDER BY
SELECT email FROM customers ORDER BY email;
SELECT id, email FROM customers ORDER BY email, id;
SELECT id FROM customers ORDER BY email, id;

--- ORDER BY descending
SELECT id, email FROM customers ORDER BY email DESC, id;
SELECT id, name FROM customers ORDER BY name DESC, id DESC;

--- ORDER BY with NULLS
SELECT id, email FROM customers WHERE id < 300 ORDER BY email NULLS FIRST, id;
SELECT id, email FROM customers WHERE id < 300 ORDER BY email DESC NULLS LAST, id;

--- ORDER BY with a collation
SELECT id, name FROM customers ORDER BY name COLLATE "C", id;
SELECT id, name FROM customers ORDER BY name COLLATE "en-x-icu", id;
SELECT id, name FROM customers ORDER BY name COLLATE "da-x-icu" DESC, id;

--- ORDER BY position, alias, expression
SELECT email, id FROM customers WHERE id < 200 ORDER BY 1, 2;
SELECT email AS e, id FROM customers WHERE id < 200 ORDER BY e, id;
SELECT id, email FROM customers WHERE id < 200 ORDER BY lower(email), id;
SELECT id, email FROM customers WHERE id < 200 ORDER BY length(email), email, id;
SELECT id, email FROM customers WHERE id < 200 ORDER BY email IS NULL, email, id;
SELECT id FROM customers WHERE id < 200 ORDER BY email || 'x', id;
SELECT id FROM customers WHERE id < 200 ORDER BY COALESCE(email, 'none'), id;
SELECT id FROM customers WHERE id < 200 ORDER BY email::text, id;

--- ORDER BY of several columns
SELECT id, name, email FROM customers WHERE id < 400 ORDER BY name, email DESC NULLS LAST, id;
SELECT id, country, name FROM customers WHERE id < 400 ORDER BY country DESC, name, id;

--- ORDER BY of an encrypted column that is not in the list
SELECT id FROM customers WHERE id < 100 ORDER BY email;
SELECT id, lower(name) AS n FROM customers WHERE id < 100 ORDER BY email;

--- ORDER BY USING the operators of the type | except: using-operator 42883
plain: SELECT email FROM customers WHERE id < 20 ORDER BY email USING <;
enc: SELECT email FROM customers WHERE id < 20 ORDER BY email USING <;

--- ORDER BY instead of USING | instead: using-operator
SELECT email FROM customers WHERE id < 20 ORDER BY email ASC;
SELECT email FROM customers WHERE id < 20 ORDER BY email::text USING <;

--- LIMIT and OFFSET
SELECT id, email FROM customers ORDER BY email LIMIT 10;
SELECT id, email FROM customers WHERE email IS NOT NULL ORDER BY email DESC LIMIT 10 OFFSET 20;
SELECT email FROM customers ORDER BY email OFFSET 1400;
SELECT email FROM customers ORDER BY email FETCH FIRST 3 ROWS ONLY;
SELECT email FROM customers ORDER BY email LIMIT 0;
SELECT email FROM customers ORDER BY email LIMIT ALL OFFSET 1490;

--- WITH TIES
SELECT phone FROM customers ORDER BY phone FETCH FIRST 3 ROWS WITH TIES;
SELECT name FROM customers WHERE name IS NOT NULL ORDER BY name DESC FETCH FIRST 1 ROW WITH TIES;
SELECT note FROM orders ORDER BY note OFFSET 1 FETCH NEXT 2 ROWS WITH TIES;

--- a page with parameters | noindex
--bind int4=5 | int4=10
SELECT id, email FROM customers WHERE email > 'u' ORDER BY email LIMIT $1 OFFSET $2;

--- keyset pagination | noindex
SELECT id, email FROM customers WHERE (email, id) > ('user12@shop5.example', 12) AND id < 300 ORDER BY email, id LIMIT 10;

--- LIMIT 1 without a sort | index
SELECT id FROM customers WHERE email = 'ada@example.org' LIMIT 1;

--- sorted lookup by index | index
SELECT id, customer_email FROM orders WHERE customer_email IN ('user22@shop1.example', 'user15@shop1.example') ORDER BY customer_email, id;
SELECT id, placed_at FROM orders WHERE customer_email = 'user22@shop1.example' ORDER BY placed_at DESC LIMIT 1;

--- DISTINCT
SELECT DISTINCT name FROM customers;
SELECT DISTINCT phone FROM customers;
SELECT DISTINCT name, country FROM customers;
SELECT DISTINCT note FROM orders;
SELECT DISTINCT card FROM orders;
SELECT DISTINCT lower(name) FROM customers;

--- DISTINCT with ORDER BY
SELECT DISTINCT name FROM customers ORDER BY name;
SELECT DISTINCT name FROM customers ORDER BY name DESC NULLS LAST LIMIT 5;
SELECT DISTINCT name, country FROM customers ORDER BY country, name;
SELECT DISTINCT name AS n FROM customers ORDER BY n;
SELECT DISTINCT card FROM orders ORDER BY card;
SELECT DISTINCT note FROM orders ORDER BY 1;

--- DISTINCT ON
SELECT DISTINCT ON (name) name, id, email FROM customers ORDER BY name, id;
SELECT DISTINCT ON (country) country, email FROM customers ORDER BY country, email;
SELECT DISTINCT ON (customer_email) customer_email, id, total FROM orders ORDER BY customer_email, placed_at DESC, id;
SELECT DISTINCT ON (lower(name)) lower(name) AS l, id FROM customers ORDER BY lower(name), id;

--- GROUP BY
SELECT name, count(*) FROM customers GROUP BY name;
SELECT name, count(*) FROM customers GROUP BY name ORDER BY name;
SELECT name, count(*) FROM customers GROUP BY 1 ORDER BY 2 DESC, 1;
SELECT country, name, count(*), max(id) FROM customers GROUP BY country, name ORDER BY country, name;
SELECT note, count(*) FROM orders GROUP BY note ORDER BY note;
SELECT card, sum(total) FROM orders GROUP BY card ORDER BY card;
SELECT count(*) FROM customers GROUP BY phone ORDER BY 1;

--- GROUP BY an expression
SELECT lower(name) AS l, count(*) FROM customers GROUP BY lower(name) ORDER BY l;
SELECT split_part(email, '@', 2) AS domain, count(*) FROM customers GROUP BY domain ORDER BY domain;
SELECT left(name, 1) AS c, count(*) FROM customers GROUP BY 1 ORDER BY 1;
SELECT upper(name) AS u, count(*) FROM customers GROUP BY name ORDER BY name;

--- GROUP BY the primary key
SELECT c.id, c.email, count(o.id) FROM customers c LEFT JOIN orders o ON o.customer_email = c.email WHERE c.id < 50 GROUP BY c.id ORDER BY c.id;

--- HAVING
SELECT name, count(*) FROM customers GROUP BY name HAVING count(*) > 90 ORDER BY name;
SELECT name FROM customers GROUP BY name HAVING name = 'Zoë';
SELECT name FROM customers GROUP BY name HAVING name LIKE 'a%' ORDER BY name;
SELECT country FROM customers GROUP BY country HAVING max(name) > 'a' ORDER BY country;

--- GROUPING SETS, ROLLUP, CUBE
SELECT country, name, count(*), grouping(country, name) AS g FROM customers GROUP BY ROLLUP (country, name) ORDER BY country, name, g;
SELECT country, name, count(*) FROM customers GROUP BY CUBE (country, name) ORDER BY 3 DESC, 1, 2;
SELECT country, name, count(*) FROM customers GROUP BY GROUPING SETS ((country), (name), ()) ORDER BY 1, 2, 3;

--- count DISTINCT
SELECT count(DISTINCT name) FROM customers;
SELECT count(DISTINCT email), count(email), count(*) FROM customers;
SELECT country, count(DISTINCT name), count(DISTINCT phone) FROM customers GROUP BY country ORDER BY country;
SELECT count(DISTINCT note), count(DISTINCT card) FROM orders;
SELECT count(DISTINCT (name, country)) FROM customers;

--- min and max | noindex
SELECT min(email), max(email) FROM customers;
SELECT country, min(name), max(name) FROM customers GROUP BY country ORDER BY country;
SELECT min(note), max(card) FROM orders;
SELECT min(email COLLATE "C"), max(name COLLATE "en-x-icu") FROM customers;
SELECT max(email) FROM customers WHERE id < 0;

--- string_agg
SELECT string_agg(name, ', ' ORDER BY name, id) FROM customers WHERE id < 30;
SELECT country, string_agg(DISTINCT name, ',' ORDER BY name) FROM customers WHERE id < 200 GROUP BY country ORDER BY country;
SELECT string_agg(email, '; ' ORDER BY email DESC) FROM customers WHERE id < 20;
SELECT string_agg(DISTINCT phone, ',') IS NOT NULL AS s FROM customers;

--- array_agg
SELECT array_agg(email ORDER BY id) FROM customers WHERE id < 20;
SELECT array_agg(name ORDER BY name, id) FROM customers WHERE id < 20;
SELECT country, array_agg(DISTINCT name ORDER BY name) FROM customers WHERE id < 100 GROUP BY country ORDER BY country;
SELECT array_agg(id ORDER BY email, id) FROM customers WHERE id < 50;
SELECT array_agg(email::text ORDER BY email) FROM customers WHERE id < 20;

--- ordered-set aggregates
SELECT mode() WITHIN GROUP (ORDER BY country) AS m FROM customers;
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY name) AS p FROM customers;
SELECT mode() WITHIN GROUP (ORDER BY card) AS m FROM orders WHERE id < 9;
SELECT rank('m') WITHIN GROUP (ORDER BY name) AS r FROM customers;

--- FILTER
SELECT count(*) FILTER (WHERE email = 'ada@example.org') AS a, count(*) FILTER (WHERE email LIKE 'user%') AS b,
    max(email) FILTER (WHERE country = 'de') AS c FROM customers;
SELECT count(*) FILTER (WHERE name IN ('Zoë', 'zoe')) AS n, bool_or(email = 'x') AS b, every(email <> 'x') AS e FROM customers;

--- aggregates of expressions
SELECT sum(length(email)), avg(length(name)), max(length(email)) FROM customers;
SELECT sum(CASE WHEN email = 'ada@example.org' THEN 1 ELSE 0 END) AS n FROM customers;

--- window: PARTITION BY
SELECT id, name, row_number() OVER (PARTITION BY name ORDER BY id) AS n FROM customers WHERE id < 200 ORDER BY id;
SELECT id, count(*) OVER (PARTITION BY phone) AS n FROM customers ORDER BY id;
SELECT id, sum(total) OVER (PARTITION BY customer_email ORDER BY placed_at) AS s FROM orders ORDER BY id;
SELECT id, count(*) OVER (PARTITION BY note) AS n FROM orders WHERE id < 200 ORDER BY id;

--- window: ORDER BY
SELECT id, rank() OVER (ORDER BY name) AS r, dense_rank() OVER (ORDER BY name DESC) AS d FROM customers WHERE id < 200 ORDER BY id;
SELECT id, row_number() OVER (ORDER BY email, id) AS n FROM customers ORDER BY id;
SELECT id, ntile(4) OVER (ORDER BY email NULLS FIRST, id) AS n FROM customers ORDER BY id;
SELECT id, count(*) OVER (ORDER BY name RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS n FROM customers WHERE id < 200 ORDER BY id;

--- window: values of other rows
SELECT id, lag(email) OVER (ORDER BY id) AS a, lead(email) OVER (ORDER BY email) AS b FROM customers WHERE id < 30 ORDER BY id;
SELECT id, first_value(email) OVER w AS f, last_value(email) OVER w AS l, nth_value(email, 2) OVER w AS n
    FROM customers WHERE id < 60 WINDOW w AS (PARTITION BY country ORDER BY email ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) ORDER BY id;
SELECT id, max(email) OVER (PARTITION BY country) AS m FROM customers WHERE id < 60 ORDER BY id;

--- window in a subquery
SELECT id, email FROM (SELECT id, email, row_number() OVER (PARTITION BY country ORDER BY email DESC NULLS LAST) AS n FROM customers) AS s WHERE n <= 3 ORDER BY id;

--- UNION
SELECT email FROM customers WHERE id < 20 UNION SELECT email FROM customers WHERE id < 30;
SELECT email FROM customers WHERE id < 20 UNION ALL SELECT email FROM customers WHERE id < 30;
SELECT email FROM customers WHERE id < 20 UNION SELECT name FROM customers WHERE id < 30 ORDER BY email;
SELECT email FROM customers WHERE id < 20 UNION SELECT name FROM customers WHERE id < 30 ORDER BY 1 DESC LIMIT 10;

--- UNION with plain text
SELECT email FROM customers WHERE id < 20 UNION SELECT plain_email FROM contacts WHERE id < 30 ORDER BY 1;
SELECT plain_email FROM contacts WHERE id < 20 UNION ALL SELECT email FROM customers WHERE id < 30 ORDER BY 1;

--- UNION with a literal | except: literal-branch 42501
SELECT email FROM customers WHERE id < 5 UNION ALL SELECT 'literal';

--- UNION with a literal that begins | except: literal-branch 42501
SELECT 'literal' AS email UNION ALL SELECT email FROM customers WHERE id < 5;

--- lag with a literal | except: literal-branch 42501
SELECT id, lag(email, 1, 'none') OVER (ORDER BY id) AS a FROM customers WHERE id < 10;

--- UNION with a literal and lag, cast | instead: literal-branch
SELECT email::text FROM customers WHERE id < 5 UNION ALL SELECT 'literal' ORDER BY 1;
SELECT 'literal' AS email UNION ALL SELECT email::text FROM customers WHERE id < 5 ORDER BY 1;
SELECT 'ada@example.org'::text AS email UNION ALL SELECT email::text FROM customers WHERE id < 5 ORDER BY 1;
SELECT id, lag(email::text, 1, 'none') OVER (ORDER BY id) AS a FROM customers WHERE id < 10 ORDER BY id;

--- UNION with NULL and with text
SELECT email FROM customers WHERE id < 5 UNION ALL SELECT NULL ORDER BY 1;
SELECT email FROM customers WHERE id < 5 UNION ALL SELECT 'literal'::text ORDER BY 1;

--- UNION of two buckets
SELECT email FROM customers WHERE id < 12 UNION SELECT email FROM contacts WHERE id < 22 ORDER BY 1;
SELECT email FROM customers WHERE id < 12 UNION ALL SELECT email FROM contacts WHERE id < 22;

--- INTERSECT and EXCEPT
SELECT email FROM customers WHERE id < 60 INTERSECT SELECT email FROM contacts;
SELECT email FROM customers WHERE id < 60 EXCEPT SELECT customer_email FROM orders;
SELECT phone FROM customers WHERE id < 600 INTERSECT ALL SELECT phone FROM customers WHERE id > 300 ORDER BY 1;
SELECT phone FROM customers EXCEPT ALL SELECT phone FROM customers WHERE id > 300 ORDER BY 1;
SELECT email FROM customers WHERE id < 60 EXCEPT SELECT plain_email FROM contacts ORDER BY 1;

--- set operations nested
(SELECT email FROM customers WHERE id < 10 UNION SELECT email FROM customers WHERE id < 20) EXCEPT SELECT email FROM customers WHERE id < 5 ORDER BY 1;
SELECT count(*) FROM (SELECT email FROM customers UNION SELECT email FROM contacts) AS s;
(SELECT email FROM customers WHERE id < 9 ORDER BY email LIMIT 3) UNION ALL (SELECT email FROM customers WHERE id > 9 AND id < 19 ORDER BY email DESC LIMIT 3);

--- sorted in a subquery
SELECT email FROM (SELECT email FROM customers WHERE id < 90 ORDER BY email DESC LIMIT 5) AS s ORDER BY email;
SELECT array(SELECT email FROM customers WHERE id < 20 ORDER BY email) AS a;
SELECT id FROM customers WHERE email = (SELECT email FROM customers ORDER BY email DESC NULLS LAST LIMIT 1);

--- sorted by index where plain is
SELECT email FROM customers WHERE email IS NOT NULL ORDER BY email LIMIT 3;

--- incremental sort over two columns
SELECT id, country, email FROM customers WHERE id < 300 ORDER BY country, email, id;
