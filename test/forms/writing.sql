-- INSERT, UPDATE, DELETE, MERGE, constraints.

--- INSERT
INSERT INTO customers VALUES (9001, 'new@example.org', 'New', '+1', 'de', NULL);
INSERT INTO customers (id, email) VALUES (9002, 'new2@example.org');
SELECT * FROM customers WHERE id > 9000 ORDER BY id;
SELECT id FROM customers WHERE email = 'new@example.org';

--- INSERT of several rows
INSERT INTO customers (id, email, name) VALUES (9001, 'a@b', NULL), (9002, NULL, ''), (9003, 'ünï', 'o''x');
SELECT * FROM customers WHERE id > 9000 ORDER BY id;

--- INSERT of parameters
--bind int4=9001 | varchar=p@example.org | text=P
INSERT INTO customers (id, email, name) VALUES ($1, $2, $3);
--bind int4=9002 | text=\N | varchar=x
INSERT INTO customers (id, email, name) VALUES ($1, $2, $3) RETURNING id, email, name;
SELECT id, email, name FROM customers WHERE id > 9000 ORDER BY id;

--- INSERT of untyped parameters, prepared
PREPARE i AS INSERT INTO customers (id, email, name) VALUES ($1, $2, $3) RETURNING *;
EXECUTE i (9001, 'p@example.org', 'P');
EXECUTE i (9002, NULL, 'Q');

--- INSERT of a SELECT
INSERT INTO customers (id, email, name) SELECT id + 9000, 'copy-' || email, name FROM customers WHERE id < 10;
SELECT id, email, name FROM customers WHERE id > 9000 ORDER BY id;

--- INSERT of a SELECT, as it is
INSERT INTO devices (id, serial, owner) SELECT id + 9000, phone, email FROM customers WHERE id < 10;
SELECT * FROM devices WHERE id > 9000 ORDER BY id;

--- INSERT of a SELECT from another bucket
INSERT INTO devices (id, serial, owner) SELECT id + 9000, email, email FROM contacts WHERE id < 10;
SELECT * FROM devices WHERE owner = 'ada@example.org';

--- INSERT of defaults
INSERT INTO accounts (shop) VALUES ('shop 9') RETURNING shop, email, backup;
INSERT INTO accounts (shop, email) VALUES ('shop 8', DEFAULT) RETURNING email;
CREATE TEMP TABLE d (id int DEFAULT 1, e @TEXT@ DEFAULT 'default ' || 'value');
INSERT INTO d DEFAULT VALUES RETURNING *;

--- INSERT RETURNING
INSERT INTO customers (id, email) VALUES (9001, 'Ret@example.org') RETURNING id, email, lower(email), email = 'Ret@example.org' AS same, length(email) AS n;
INSERT INTO customers (id, email) VALUES (9002, 'x'), (9003, 'y') RETURNING *;

--- INSERT of expressions
INSERT INTO customers (id, email, name) VALUES (9001, lower('UPPER@EXAMPLE.ORG'), concat('a', 'b')), (9002, (SELECT email FROM customers WHERE id = 1) || '.copy', upper('x'));
SELECT id, email, name FROM customers WHERE id > 9000 ORDER BY id;

--- INSERT of what is no text
INSERT INTO customers (id, email, name) VALUES (9001, 12345, current_date - current_date);
SELECT email, name FROM customers WHERE id = 9001;

--- unique violation
INSERT INTO customers (id, email) VALUES (9001, 'ada@example.org');

--- unique violation of UPDATE
UPDATE customers SET email = 'ada@example.org' WHERE id = 2;

--- unique violation within a statement
INSERT INTO customers (id, email) VALUES (9001, 'twice@example.org'), (9002, 'twice@example.org');

--- unique is case-sensitive
INSERT INTO customers (id, email) VALUES (9001, 'ADA@example.org') RETURNING email;

--- unique lets NULLs be
INSERT INTO customers (id, email) VALUES (9001, NULL), (9002, NULL) RETURNING id;

--- unique violation of the lower-cased value
INSERT INTO accounts (shop, email) VALUES ('shop 1', 'ACCOUNT3@example.org');

--- unique violation of a partial index
UPDATE accounts SET backup = 'same@example.org' WHERE id IN (5, 10);
UPDATE accounts SET backup = 'same@example.org' WHERE id IN (1, 2);

--- not null violation
INSERT INTO accounts (shop, email) VALUES ('shop 1', NULL);

--- exclusion violation
INSERT INTO seats VALUES (5, 'carol@example.org');
INSERT INTO seats VALUES (6, 'ada@example.org');

--- foreign key violation
INSERT INTO orders (id, customer_email) VALUES (9001, 'nobody@example.org');

--- foreign key violation of UPDATE
UPDATE orders SET customer_email = 'nobody@example.org' WHERE id = 1;

--- foreign key satisfied
INSERT INTO orders (id, customer_email, card, total) VALUES (9001, 'ada@example.org', '4111111111111111', 1) RETURNING customer_email, card;
INSERT INTO orders (id, customer_email) VALUES (9002, NULL) RETURNING customer_email;
INSERT INTO orders (id, customer_email) SELECT 9003, email FROM customers WHERE id = 2 RETURNING customer_email;

--- foreign key cascades an update
UPDATE customers SET email = 'cascade@example.org' WHERE email = 'user15@shop1.example';
SELECT id, customer_email FROM orders WHERE customer_email IN ('cascade@example.org', 'user15@shop1.example') ORDER BY id;

--- foreign key cascades a delete
DELETE FROM customers WHERE email = 'user15@shop1.example';
SELECT count(*), count(customer_email) FROM orders;

--- foreign keys of other kinds
CREATE TEMP TABLE parent (e @TEXT@ PRIMARY KEY);
CREATE TEMP TABLE child (n int, e @TEXT@ DEFAULT 'fallback' REFERENCES parent ON DELETE SET DEFAULT ON UPDATE SET NULL);
INSERT INTO parent VALUES ('a'), ('b'), ('fallback');
INSERT INTO child VALUES (1, 'a'), (2, 'b');
DELETE FROM parent WHERE e = 'a';
UPDATE parent SET e = 'B' WHERE e = 'b';
SELECT * FROM child ORDER BY n;

--- foreign key, restricted
CREATE TEMP TABLE parent (e @TEXT@ PRIMARY KEY);
CREATE TEMP TABLE child (e @TEXT@ REFERENCES parent);
INSERT INTO parent VALUES ('a');
INSERT INTO child VALUES ('a');
DELETE FROM parent WHERE e = 'a';

--- foreign key, deferred
CREATE TEMP TABLE parent (e @TEXT@ PRIMARY KEY);
CREATE TEMP TABLE child (e @TEXT@ REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
INSERT INTO child VALUES ('later');
INSERT INTO parent VALUES ('later');
SET CONSTRAINTS ALL IMMEDIATE;
SELECT * FROM child;

--- foreign key across buckets
CREATE TEMP TABLE parent (e @TEXT@ PRIMARY KEY);
CREATE TEMP TABLE child (n int, e @OTHER@ REFERENCES parent ON UPDATE CASCADE);
INSERT INTO parent VALUES ('a');
INSERT INTO child VALUES (1, 'a') RETURNING e;
UPDATE parent SET e = 'b';
SELECT * FROM child;
INSERT INTO child VALUES (2, 'x');

--- foreign key validated on existing rows
CREATE TEMP TABLE parent (e @TEXT@ PRIMARY KEY);
CREATE TEMP TABLE child (e @TEXT@);
INSERT INTO parent VALUES ('a'), ('b');
INSERT INTO child VALUES ('a'), ('b'), (NULL);
ALTER TABLE child ADD CONSTRAINT child_fkey FOREIGN KEY (e) REFERENCES parent;
DELETE FROM parent WHERE e = 'b';

--- check constraint
CREATE TEMP TABLE c (e @TEXT@ CONSTRAINT c_has_at CHECK (e LIKE '%@%'));
INSERT INTO c VALUES ('a@b');
INSERT INTO c VALUES ('ab');

--- check constraint with equality
CREATE TEMP TABLE c (e @TEXT@ CONSTRAINT c_not_empty CHECK (e <> ''));
INSERT INTO c VALUES ('a@b') RETURNING e;
INSERT INTO c VALUES ('');

--- a deferred unique constraint
CREATE TEMP TABLE u (n int, e @TEXT@ UNIQUE DEFERRABLE INITIALLY DEFERRED);
INSERT INTO u VALUES (1, 'a'), (2, 'b');
UPDATE u SET e = CASE e WHEN 'a' THEN 'b' ELSE 'a' END;
SET CONSTRAINTS ALL IMMEDIATE;
SELECT * FROM u ORDER BY n;

--- ON CONFLICT DO NOTHING
INSERT INTO customers (id, email) VALUES (9001, 'ada@example.org') ON CONFLICT DO NOTHING;
INSERT INTO customers (id, email) VALUES (9001, 'ada@example.org'), (9002, 'fresh@example.org') ON CONFLICT (email) DO NOTHING RETURNING id, email;

--- ON CONFLICT of a column DO UPDATE
INSERT INTO customers (id, email, name) VALUES (9001, 'ada@example.org', 'Changed') ON CONFLICT (email) DO UPDATE SET name = excluded.name RETURNING id, email, name;
INSERT INTO sessions (email, token) VALUES ('session7@example.org', 'fresh') ON CONFLICT (email) DO UPDATE SET token = excluded.token, seen = sessions.seen + 1 RETURNING *;

--- ON CONFLICT of a constraint
INSERT INTO customers (id, email) VALUES (9001, 'ada@example.org') ON CONFLICT ON CONSTRAINT customers_email_key DO UPDATE SET email = excluded.email || '.new' RETURNING id, email;
INSERT INTO accounts (shop, email) VALUES ('shop 1', 'account3@example.org') ON CONFLICT ON CONSTRAINT accounts_shop_email_key DO UPDATE SET backup = excluded.email RETURNING shop, email, backup;

--- ON CONFLICT with a condition
INSERT INTO customers (id, email) VALUES (9001, 'ada@example.org') ON CONFLICT (email) DO UPDATE SET country = 'xx' WHERE customers.email = excluded.email AND excluded.email = 'ada@example.org' RETURNING id, country;
INSERT INTO customers (id, email) VALUES (9001, 'ada@example.org') ON CONFLICT (email) DO UPDATE SET country = 'yy' WHERE customers.name <> 'ada lovelace';

--- ON CONFLICT of a partial index
UPDATE accounts SET backup = 'b@example.org' WHERE id = 1;
INSERT INTO accounts (shop, email, backup) VALUES ('shop 7', 'z@example.org', 'b@example.org') ON CONFLICT (backup) WHERE deleted_at IS NULL DO UPDATE SET shop = 'shop 77' RETURNING id, shop, backup;

--- ON CONFLICT with parameters
--bind int4=9001 | varchar=ada@example.org | varchar=By parameter
INSERT INTO customers (id, email, name) VALUES ($1, $2, $3) ON CONFLICT (email) DO UPDATE SET name = $3 RETURNING id, email, name;

--- ON CONFLICT of the lower-cased value
plain: INSERT INTO accounts (shop, email) VALUES ('shop 1', 'ACCOUNT3@example.org') ON CONFLICT (shop, lower(email)) DO UPDATE SET deleted_at = '2026-05-05' RETURNING id, email;
enc: INSERT INTO accounts (shop, email) VALUES ('shop 1', 'ACCOUNT3@example.org') ON CONFLICT (shop, email sdes.enc_text_ci_ops) DO UPDATE SET deleted_at = '2026-05-05' RETURNING id, email;

--- UPDATE by an encrypted column | index
UPDATE customers SET name = 'Changed' WHERE email = 'ada@example.org';
SELECT id, name FROM customers WHERE email = 'ada@example.org';

--- UPDATE of an encrypted column
UPDATE customers SET email = 'changed@example.org', phone = NULL WHERE id = 12 RETURNING id, email, phone;
UPDATE customers SET name = upper(name) WHERE id < 10 RETURNING id, name;
UPDATE customers SET name = email WHERE id = 13 RETURNING name;
UPDATE customers SET (name, phone) = (phone, name) WHERE id = 14 RETURNING name, phone;
UPDATE customers SET name = DEFAULT WHERE id = 15 RETURNING name;
UPDATE customers SET name = replace(name, 'Ada', 'Bda') WHERE name LIKE 'Ada%';

--- UPDATE by a parameter | index
--bind text=Changed | varchar=ada@example.org
UPDATE customers SET name = $1 WHERE email = $2;

--- UPDATE from a subquery
UPDATE customers SET name = (SELECT o.note FROM orders o WHERE o.customer_email = customers.email ORDER BY o.id LIMIT 1) WHERE id < 20 RETURNING id, name;
UPDATE customers SET (name, phone) = (SELECT k.company, k.email FROM contacts k WHERE k.email = customers.email) WHERE id < 20 RETURNING id, name, phone;

--- UPDATE FROM
UPDATE orders o SET note = 'from ' || c.country FROM customers c WHERE c.email = o.customer_email AND c.id < 20 RETURNING o.id, o.note, c.email;
UPDATE customers c SET name = k.plain_email FROM contacts k WHERE k.email = c.email AND c.id < 20 RETURNING c.id, c.name;

--- UPDATE of all rows
UPDATE devices SET owner = owner || '!';
SELECT DISTINCT owner FROM devices ORDER BY owner LIMIT 5;

--- UPDATE that changes nothing
UPDATE customers SET email = email WHERE id < 100;
UPDATE customers SET email = email::text WHERE id < 100;

--- DELETE | index
DELETE FROM orders WHERE customer_email = 'user22@shop1.example' RETURNING id, customer_email, card;
DELETE FROM devices WHERE serial = 'SN-7';

--- DELETE by a parameter | index
--bind varchar=session7@example.org
DELETE FROM sessions WHERE email = $1 RETURNING email, token;

--- DELETE USING
DELETE FROM orders o USING customers c WHERE c.email = o.customer_email AND c.id < 20 RETURNING o.id, c.email;
DELETE FROM orders WHERE customer_email IN (SELECT email FROM customers WHERE id BETWEEN 20 AND 30) RETURNING id;

--- MERGE
MERGE INTO sessions s USING (VALUES ('session3@example.org', 'three'), ('merge@example.org', 'new')) AS v (email, token) ON s.email = v.email
    WHEN MATCHED THEN UPDATE SET token = v.token
    WHEN NOT MATCHED THEN INSERT (email, token) VALUES (v.email, v.token);
SELECT email, token FROM sessions WHERE token IN ('three', 'new') ORDER BY email;

--- MERGE of two tables
MERGE INTO customers c USING contacts k ON c.email = k.email
    WHEN MATCHED AND k.company = 'company 1' THEN UPDATE SET name = k.company
    WHEN MATCHED AND k.company = 'company 2' THEN DELETE
    WHEN NOT MATCHED THEN DO NOTHING;
SELECT id, email, name FROM customers WHERE id < 40 ORDER BY id;

--- MERGE with conditions on encrypted columns
MERGE INTO sessions s USING (SELECT email, token FROM sessions WHERE seen < 5) v ON s.email = v.email
    WHEN MATCHED AND s.token = 'token 3' THEN DELETE
    WHEN MATCHED AND s.token LIKE 'token%' THEN UPDATE SET token = upper(v.token);
SELECT email, token FROM sessions WHERE seen < 7 ORDER BY email;

--- TRUNCATE
TRUNCATE devices, sessions;
SELECT count(*) FROM devices;
TRUNCATE customers;

--- too long for an index | except: long-value 54000
INSERT INTO customers (id, phone) VALUES (9001, repeat('x', 2650));

--- as long as an index takes | instead: long-value
INSERT INTO customers (id, phone) VALUES (9001, (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 80) AS i));
SELECT id, length(phone) FROM customers WHERE phone = (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 80) AS i);
INSERT INTO customers (id, name) VALUES (9002, repeat('x', 100000));
SELECT id, length(name) FROM customers WHERE name = repeat('x', 100000);

--- a card number that is none
plain: ALTER TABLE orders ADD CONSTRAINT c CHECK (card ~ '^\d{12,19}$');
enc: ALTER TABLE orders ADD CONSTRAINT c CHECK (card <> '4222222222222');
plain: DO $$ BEGIN INSERT INTO orders (id, card) VALUES (9001, 'abc'); EXCEPTION WHEN check_violation THEN RAISE EXCEPTION SQLSTATE '22P02'; END $$;
enc: INSERT INTO orders (id, card) VALUES (9001, 'abc');

--- RETURNING in all forms
INSERT INTO orders (id, card, note) VALUES (9001, '4111111111111111', 'n') RETURNING id, card, note, right(card, 4) AS last;
UPDATE orders SET note = 'm' WHERE id = 9001 RETURNING card || '/' || note AS x;
DELETE FROM orders WHERE id = 9001 RETURNING *;
