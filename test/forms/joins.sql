-- Joins, subqueries, CTEs, set-returning functions.

--- inner join | index
SELECT c.id, o.id, o.total FROM customers c JOIN orders o ON o.customer_email = c.email WHERE c.id = 8 ORDER BY 1, 2;

--- inner join of all
SELECT c.email, o.id, o.note FROM customers c JOIN orders o ON c.email = o.customer_email ORDER BY o.id;

--- comma join
SELECT count(*) FROM customers c, orders o WHERE c.email = o.customer_email AND c.country = 'de';

--- left and right join
SELECT c.id, o.id FROM customers c LEFT JOIN orders o ON o.customer_email = c.email WHERE c.id < 100 ORDER BY 1, 2;
SELECT c.id, o.id FROM customers c RIGHT JOIN orders o ON o.customer_email = c.email AND c.country = 'de' WHERE o.id < 100 ORDER BY 2, 1;
SELECT c.id, c.email FROM customers c LEFT JOIN orders o ON o.customer_email = c.email WHERE o.id IS NULL ORDER BY 1;

--- full join
SELECT c.id, k.id, c.email, k.email FROM (SELECT * FROM customers WHERE id < 40) c FULL JOIN (SELECT * FROM contacts WHERE id BETWEEN 20 AND 60) k ON c.email = k.email ORDER BY 1, 2;

--- join with another bucket | index
SELECT c.id, k.company FROM customers c JOIN contacts k ON k.email = c.email WHERE c.id = 11;
SELECT c.id, k.company FROM contacts k JOIN customers c ON k.email = c.email WHERE k.id = 11;

--- join with plain text | index
SELECT c.id, k.company FROM contacts k JOIN customers c ON c.email = k.plain_email WHERE k.id = 11;

--- join of plain text with all encrypted values
SELECT c.id, k.company FROM contacts k JOIN customers c ON c.email = k.plain_email ORDER BY 1;
SELECT c.id, k.company FROM customers c LEFT JOIN contacts k ON c.email = k.plain_email WHERE c.id < 60 ORDER BY 1;

--- join USING and NATURAL
SELECT email, c.id, k.company FROM customers c JOIN contacts k USING (email) WHERE c.id < 60 ORDER BY c.id;
SELECT email, id FROM customers NATURAL JOIN (SELECT email, id FROM customers WHERE id < 20) s ORDER BY id;
SELECT email, a.id FROM customers a FULL JOIN (SELECT email, id FROM customers WHERE id < 20) b USING (email) WHERE a.id < 30 ORDER BY a.id;
SELECT * FROM (SELECT email, name FROM customers WHERE id < 9) a JOIN (SELECT email, phone FROM customers WHERE id < 9) b USING (email) ORDER BY email;

--- self join
SELECT a.id, b.id FROM customers a JOIN customers b ON a.phone = b.phone AND a.id < b.id WHERE a.id < 40 ORDER BY 1, 2;
SELECT a.id, b.email AS referrer FROM customers a LEFT JOIN customers b ON b.id = a.referrer WHERE a.id < 60 ORDER BY 1;

--- LATERAL | index
SELECT c.id, c.email, l.id AS last_order FROM customers c, LATERAL (SELECT o.id FROM orders o WHERE o.customer_email = c.email ORDER BY o.placed_at DESC LIMIT 1) l WHERE c.id < 60 ORDER BY 1;

--- LATERAL function
SELECT c.id, p.part FROM customers c CROSS JOIN LATERAL regexp_split_to_table(c.email, '@') AS p (part) WHERE c.id < 10 ORDER BY 1, 2;
SELECT c.id, f.id FROM customers c CROSS JOIN LATERAL customer_by_email(c.email) AS f WHERE c.id < 10 ORDER BY 1;

--- semi and anti join
SELECT count(*) FROM customers WHERE email IN (SELECT customer_email FROM orders);
SELECT count(*) FROM customers c WHERE EXISTS (SELECT 1 FROM contacts k WHERE k.email = c.email);
SELECT count(*) FROM customers c WHERE NOT EXISTS (SELECT 1 FROM contacts k WHERE k.email = c.email);

--- join without a token
SELECT count(*) FROM orders a JOIN orders b ON a.note = b.note WHERE a.id < 100 AND b.id < 100;

--- join of a column without a token with an indexed one
SELECT count(*) FROM orders o JOIN customers c ON c.email = o.note;
SELECT count(*) FROM orders o JOIN customers c ON c.name = o.note WHERE o.id < 30;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_nestloop = off;
SELECT count(*) FROM orders o JOIN customers c ON c.email = o.note;

--- join of a column without a token with an indexed one, by nested loop
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
SELECT count(*) FROM orders o JOIN customers c ON c.email = o.note WHERE o.id < 100;

--- a value without a token looked up in an index
SELECT id FROM customers WHERE email = (SELECT token FROM sessions WHERE seen = 1);
SELECT id FROM customers WHERE email IN (SELECT token FROM sessions) ORDER BY id;
SELECT count(*) FROM sessions s WHERE EXISTS (SELECT FROM customers c WHERE c.email = s.token);

--- join of three
SELECT c.id, o.id, k.company FROM customers c JOIN orders o ON o.customer_email = c.email JOIN contacts k ON k.email = o.customer_email WHERE c.id < 60 ORDER BY 1, 2;

--- join with several conditions
SELECT count(*) FROM accounts a JOIN accounts b ON a.shop = b.shop AND a.email = b.email;
SELECT count(*) FROM customers c JOIN orders o ON o.customer_email = c.email AND o.note LIKE 'gift%';

--- join by inequality
SELECT count(*) FROM customers a JOIN customers b ON a.name <> b.name WHERE a.id < 30 AND b.id < 30;

--- nested loop by index | index
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
SELECT count(*) FROM customers c JOIN orders o ON o.customer_email = c.email WHERE c.country = 'de';

--- hash join | plan
SET LOCAL enable_nestloop = off;
SET LOCAL enable_mergejoin = off;
SET LOCAL enable_seqscan = on;
SET LOCAL enable_indexscan = off;
SET LOCAL enable_indexonlyscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT c.id, o.id FROM customers c JOIN orders o ON o.customer_email = c.email ORDER BY 1, 2;

--- merge join
SET LOCAL enable_nestloop = off;
SET LOCAL enable_hashjoin = off;
SELECT c.id, o.id FROM customers c JOIN orders o ON o.customer_email = c.email ORDER BY 1, 2;
SELECT c.id, k.id FROM customers c FULL JOIN contacts k ON k.email = c.email ORDER BY 1, 2;

--- join with VALUES | index
SELECT c.id, v.n FROM (VALUES ('ada@example.org', 1), ('Ada@example.org', 2)) AS v (email, n) JOIN customers c ON c.email = v.email ORDER BY 2;

--- join with generate_series
SELECT g, c.email FROM generate_series(1, 5) AS g LEFT JOIN customers c ON c.id = g ORDER BY g;
SELECT g, c.id FROM generate_series(12, 15) AS g JOIN customers c ON c.email = 'user' || g || '@shop' || g % 7 || '.example' ORDER BY g;

--- join with unnest of a parameter | index
--bind text[]={ada@example.org,Ada@example.org}
SELECT c.id, u FROM unnest($1) AS u JOIN customers c ON c.email = u ORDER BY 1;

--- scalar subqueries in the list
SELECT id, (SELECT c.name FROM customers c WHERE c.email = o.customer_email) AS name FROM orders o WHERE id < 30 ORDER BY id;
SELECT (SELECT email FROM customers WHERE id = 1) AS e, (SELECT max(email) FROM customers) AS m;

--- subqueries in FROM
SELECT s.email, s.n FROM (SELECT customer_email AS email, count(*) AS n FROM orders GROUP BY customer_email) s WHERE s.n > 1 ORDER BY s.n DESC, s.email LIMIT 10;
SELECT e FROM (SELECT email AS e, id FROM customers OFFSET 0) s WHERE e = 'ada@example.org';
SELECT * FROM (SELECT DISTINCT name FROM customers) s ORDER BY name;

--- CTE | index
WITH c AS (SELECT id, email FROM customers WHERE email = 'ada@example.org') SELECT * FROM c;

--- CTE materialized
WITH c AS MATERIALIZED (SELECT id, email, name FROM customers WHERE id < 50) SELECT email, name FROM c WHERE name = 'Zoë' ORDER BY email;
WITH c AS MATERIALIZED (SELECT email FROM customers WHERE id < 50) SELECT a.email FROM c a JOIN c b USING (email) ORDER BY email;
WITH c AS NOT MATERIALIZED (SELECT email FROM customers WHERE id < 50) SELECT count(*) FROM c a JOIN c b USING (email);

--- several CTEs
WITH c AS (SELECT email, country FROM customers WHERE id < 100), o AS (SELECT customer_email, sum(total) AS s FROM orders GROUP BY customer_email)
    SELECT c.email, o.s FROM c LEFT JOIN o ON o.customer_email = c.email ORDER BY c.email;

--- recursive CTE
WITH RECURSIVE chain AS (SELECT id, email, referrer, 1 AS depth FROM customers WHERE id = 1234
    UNION ALL SELECT c.id, c.email, c.referrer, depth + 1 FROM customers c JOIN chain ON c.id = chain.referrer)
    SELECT id, email, depth FROM chain ORDER BY depth;

--- recursive CTE with UNION
WITH RECURSIVE seen AS (SELECT email FROM customers WHERE id = 12
    UNION SELECT d.email FROM seen s JOIN customers c ON c.email = s.email JOIN customers d ON d.phone = c.phone)
    SELECT email FROM seen ORDER BY email;

--- recursive CTE with SEARCH and CYCLE
WITH RECURSIVE chain AS (SELECT id, email, referrer FROM customers WHERE id = 1234
    UNION ALL SELECT c.id, c.email, c.referrer FROM customers c JOIN chain ON c.id = chain.referrer)
    SEARCH DEPTH FIRST BY id SET path CYCLE id SET looped USING visited
    SELECT id, email, looped FROM chain ORDER BY id;

--- data-modifying CTEs
WITH u AS (UPDATE customers SET country = 'xx' WHERE email = 'ada@example.org' RETURNING id, email) SELECT * FROM u;
WITH d AS (DELETE FROM sessions WHERE seen < 4 RETURNING email, token) SELECT email, token FROM d ORDER BY email;
WITH i AS (INSERT INTO sessions (email, token) VALUES ('cte@example.org', 't') RETURNING *) SELECT * FROM i;
WITH i AS (INSERT INTO sessions (email) VALUES ('cte2@example.org') RETURNING email) SELECT email FROM i UNION ALL SELECT email FROM sessions WHERE email = 'session9@example.org' ORDER BY 1;

--- rows moved by a CTE
WITH d AS (DELETE FROM sessions WHERE seen < 4 RETURNING *) INSERT INTO devices (id, serial, owner) SELECT 9000 + seen, 'moved', email FROM d;
SELECT id, serial, owner FROM devices WHERE id > 9000 ORDER BY id;

--- VALUES
SELECT * FROM (VALUES (1, 'a'), (2, 'b')) v (n, t) WHERE NOT EXISTS (SELECT FROM customers WHERE email = v.t) ORDER BY 1;
VALUES ((SELECT email FROM customers WHERE id = 1)), ((SELECT email FROM customers WHERE id = 2));

--- TABLESAMPLE
SELECT email FROM customers TABLESAMPLE BERNOULLI (100) WHERE id < 10 ORDER BY email;
SELECT count(*) > 0 AS some FROM customers TABLESAMPLE BERNOULLI (50) REPEATABLE (1);

--- row locks | index
SELECT id, email FROM customers WHERE email = 'ada@example.org' FOR UPDATE;
SELECT id, email FROM customers WHERE email = 'ada@example.org' FOR NO KEY UPDATE SKIP LOCKED;
SELECT id, email FROM customers WHERE email = 'ada@example.org' FOR SHARE NOWAIT;

--- row locks of a join and a queue
SELECT c.email, o.id FROM customers c JOIN orders o ON o.customer_email = c.email WHERE o.id < 5 ORDER BY o.id FOR UPDATE OF o;
SELECT email FROM sessions ORDER BY email LIMIT 2 FOR UPDATE SKIP LOCKED;

--- TABLE and star
TABLE sessions;
SELECT * FROM customers WHERE id < 12 ORDER BY id;
SELECT c.*, o.* FROM customers c JOIN orders o ON o.customer_email = c.email WHERE c.id < 20 ORDER BY c.id, o.id;
SELECT count(c) FROM customers c;

--- names of columns
SELECT email, email AS "E-Mail", lower(email), COALESCE(email, name), email || '', (SELECT email FROM customers WHERE id = 1), email::text, CASE WHEN true THEN email END FROM customers WHERE id = 1;
