-- As applications' frameworks write it, and COPY FROM.

--- Django: exact, iexact, contains, icontains, in, isnull
SELECT "customers"."id", "customers"."email", "customers"."name" FROM "customers" WHERE "customers"."email" = 'ada@example.org' LIMIT 21;
SELECT "customers"."id", "customers"."email" FROM "customers" WHERE UPPER("customers"."email"::text) = UPPER('ADA@example.org') ORDER BY "customers"."id" ASC;
SELECT "customers"."id" FROM "customers" WHERE "customers"."email"::text LIKE '%shop5%' ORDER BY "customers"."email" DESC LIMIT 21;
SELECT "customers"."id" FROM "customers" WHERE UPPER("customers"."email"::text) LIKE UPPER('%SHOP5%') ORDER BY "customers"."id" ASC;
SELECT "customers"."id" FROM "customers" WHERE "customers"."email" IN ('ada@example.org', 'Ada@example.org') ORDER BY 1;
SELECT (1) AS "a" FROM "customers" WHERE ("customers"."email" = 'ada@example.org' AND NOT ("customers"."id" = 7)) LIMIT 1;
SELECT COUNT(*) AS "__count" FROM "customers" WHERE "customers"."email" IS NULL;
SELECT COUNT(*) FROM (SELECT DISTINCT "customers"."name" AS "col1" FROM "customers") subquery;

--- Rails: uniqueness, find_by, pluck, order, group
SELECT 1 AS one FROM "customers" WHERE LOWER("customers"."email") = LOWER('ADA@example.org') LIMIT 1;
SELECT "customers".* FROM "customers" WHERE "customers"."email" = 'ada@example.org' LIMIT 1;
SELECT "customers"."email" FROM "customers" WHERE "customers"."id" < 9 ORDER BY "customers"."email" ASC;
SELECT COUNT(*) AS "count_all", "customers"."name" AS "customers_name" FROM "customers" GROUP BY "customers"."name" ORDER BY 2;
SELECT DISTINCT "customers"."email", "customers"."email" AS alias_0 FROM "customers" WHERE "customers"."id" < 30 ORDER BY "customers"."email" ASC LIMIT 5;

--- Rails: uniqueness by parameters | index
--bind unknown=ADA@example.org | int4=1
SELECT 1 AS one FROM "customers" WHERE LOWER("customers"."email") = LOWER($1) LIMIT $2;

--- Hibernate: find, page, count | index
--bind varchar=ada@example.org
select c1_0.id,c1_0.country,c1_0.email,c1_0.name,c1_0.phone from customers c1_0 where c1_0.email=$1;

--- Hibernate: a page
--bind varchar=user% | int4=5 | int4=10
select c1_0.id,c1_0.email from customers c1_0 where lower(c1_0.email) like $1 escape '' order by c1_0.email asc,c1_0.id offset $2 rows fetch first $3 rows only;

--- Prisma | index
--bind text=ada@example.org | int4=1 | int4=0
SELECT "t0"."id", "t0"."email", "t0"."name" FROM "customers" AS "t0" WHERE ("t0"."email" = $1 AND 1=1) LIMIT $2 OFFSET $3;

--- Prisma: some relation
SELECT "t0"."id" FROM "customers" AS "t0" WHERE ("t0"."email") IN (SELECT "t1"."customer_email" FROM "orders" AS "t1" WHERE ("t1"."note" ILIKE '%gift%' AND "t1"."customer_email" IS NOT NULL)) ORDER BY "t0"."id" ASC;

--- SQLAlchemy | index
--bind varchar=ada@example.org | int4=1
SELECT customers.id, customers.email, customers.name FROM customers WHERE customers.email = $1::VARCHAR LIMIT $2::INTEGER;

--- SQLAlchemy: insertmanyvalues
INSERT INTO customers (id, email) SELECT p0::INTEGER, p1::VARCHAR FROM (VALUES (9001, 'im1@example.org', 0), (9002, 'im2@example.org', 1)) AS imp_sen(p0, p1, sen_counter) ORDER BY sen_counter RETURNING customers.id, customers.id AS id__1;
SELECT email FROM customers WHERE id > 9000 ORDER BY id;

--- Sequelize and TypeORM
SELECT "id", "email", "name" FROM "customers" AS "Customer" WHERE ("Customer"."email" ILIKE '%ada%' OR "Customer"."name" ILIKE '%ada%') ORDER BY "Customer"."name" ASC, "Customer"."id" LIMIT 20;
SELECT DISTINCT "distinctAlias"."Customer_id" AS "ids_Customer_id", "distinctAlias"."Customer_email" FROM (SELECT "Customer"."id" AS "Customer_id", "Customer"."email" AS "Customer_email" FROM "customers" "Customer" WHERE "Customer"."id" < 40) "distinctAlias" ORDER BY "distinctAlias"."Customer_email" ASC, "Customer_id" ASC LIMIT 10;

--- an ERP
SELECT "customers".id FROM "customers" WHERE (("customers"."email"::text ilike '%ada%') OR ("customers"."name"::text ilike '%ada%')) ORDER BY "customers"."name", "customers"."id" DESC LIMIT 80;
SELECT "customers".id FROM "customers" WHERE ("customers"."email" in ('ada@example.org', 'x') OR "customers"."email" IS NULL) AND id < 100 ORDER BY "customers"."email" LIMIT 8;
SELECT min(id) AS id, count(id) AS n, "name" FROM customers GROUP BY "name" HAVING count(id) > 1 ORDER BY "name" LIMIT 80;
SELECT id, email FROM customers WHERE (COALESCE("email", '') ~* 'ada') ORDER BY id;

--- a page with its total
SELECT id, email, count(*) OVER () AS total FROM customers WHERE email LIKE '%shop5%' ORDER BY email LIMIT 10;

--- a report
SELECT date_trunc('day', o.placed_at AT TIME ZONE 'UTC') AS day, count(DISTINCT o.customer_email) AS customers, count(*) AS orders, sum(o.total) AS total,
    max(c.name) AS last_name, string_agg(DISTINCT right(o.card, 4), ',' ORDER BY right(o.card, 4)) AS cards
    FROM orders o LEFT JOIN customers c ON c.email = o.customer_email GROUP BY 1 HAVING count(*) > 2 ORDER BY 1 LIMIT 20;

--- duplicates by name
SELECT name, array_agg(id ORDER BY id) AS ids FROM customers WHERE id < 60 GROUP BY name HAVING count(*) > 1 ORDER BY name;
DELETE FROM customers a USING customers b WHERE a.phone = b.phone AND a.id > b.id AND a.id < 400 RETURNING a.id;

--- the order of a status
SELECT id, name FROM customers WHERE id < 60 ORDER BY CASE name WHEN 'Zoë' THEN 1 WHEN 'zoe' THEN 2 ELSE 3 END, name, id;

--- a queue
UPDATE sessions SET token = 'taken' WHERE email = (SELECT email FROM sessions WHERE token <> 'taken' ORDER BY seen LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING email, token;

--- login | index
--bind varchar=Session7@example.org
SELECT email, token FROM sessions WHERE email = lower($1);

--- COPY FROM
--copy 9001\tcopied@example.org\tCopied\n9002\t\\N\t\n9003\tzoë2@exämple.org\tO'x\n
COPY customers (id, email, name) FROM STDIN;
SELECT id, email, name FROM customers WHERE id > 9000 ORDER BY id;
SELECT id FROM customers WHERE email = 'copied@example.org';

--- COPY FROM of CSV
--copy id,email,name\n9001,"quoted, ""mail""",\n9002,,"Name"\n
COPY customers (id, email, name) FROM STDIN WITH (FORMAT csv, HEADER);
SELECT id, email, name FROM customers WHERE id > 9000 ORDER BY id;

--- COPY FROM of a duplicate
--copy 9001\tada@example.org\n
COPY customers (id, email) FROM STDIN;

--- COPY FROM into partitions and arrays
--copy dk\t1\ta@b\npt\t2\tc@d\n\\N\t3\te@f\n
COPY listed FROM STDIN;
SELECT tableoid::regclass AS part, region, email FROM listed WHERE email IN ('a@b', 'c@d', 'e@f') ORDER BY n;
--copy 901\t{a,"b c"}\tx@y\t(street,city)\n
COPY people FROM STDIN;
SELECT id, aliases, main, (home).street FROM people WHERE id = 901;

--- COPY FROM with WHERE
--copy 9001\twhere1@example.org\n9002\twhere2@example.org\n
COPY customers (id, email) FROM STDIN WHERE email <> 'where1@example.org';
SELECT id, email FROM customers WHERE id > 9000;

--- CREATE INDEX CONCURRENTLY | commit
CREATE INDEX CONCURRENTLY customers_name_later ON customers (name);
SELECT count(*) FROM customers WHERE name = 'Zoë';
REINDEX INDEX CONCURRENTLY customers_name_later;
DROP INDEX customers_name_later;
