-- Cursors, prepared statements, COPY, EXPLAIN, transactions, catalogs.

--- cursor
DECLARE c CURSOR FOR SELECT id, email FROM customers WHERE id < 20 ORDER BY id;
FETCH 3 FROM c;
FETCH NEXT FROM c;
MOVE 2 FROM c;
FETCH ALL FROM c;
CLOSE c;

--- cursor that scrolls
DECLARE c SCROLL CURSOR FOR SELECT email FROM customers WHERE id < 20 ORDER BY email;
FETCH LAST FROM c;
FETCH BACKWARD 3 FROM c;
FETCH ABSOLUTE 2 FROM c;
FETCH RELATIVE -1 FROM c;
FETCH FIRST FROM c;
FETCH FORWARD ALL FROM c;
FETCH BACKWARD ALL FROM c;

--- cursor with an encrypted condition | index
DECLARE c CURSOR FOR SELECT id, name, email FROM customers WHERE email = 'ada@example.org';
FETCH ALL FROM c;

--- cursor WITH HOLD | commit
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT id, email FROM customers WHERE id < 10 ORDER BY email;
FETCH 2 FROM c;
COMMIT;
FETCH ALL FROM c;
CLOSE c;

--- cursor WITH HOLD, outside a transaction, that scrolls | commit
DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT email, name FROM customers WHERE id < 10 ORDER BY id;
FETCH LAST FROM c;
FETCH BACKWARD ALL FROM c;
FETCH 3 FROM c;
CLOSE c;

--- binary cursor
DECLARE c BINARY CURSOR FOR SELECT email, name FROM customers WHERE id < 10 ORDER BY id;
FETCH ALL FROM c;

--- WHERE CURRENT OF
DECLARE c CURSOR FOR SELECT id, email FROM customers WHERE id < 6 ORDER BY id FOR UPDATE;
FETCH 1 FROM c;
UPDATE customers SET name = 'current', email = 'current@example.org' WHERE CURRENT OF c RETURNING id, email, name;
FETCH 1 FROM c;
DELETE FROM customers WHERE CURRENT OF c RETURNING id, email;
FETCH ALL FROM c;

--- WHERE CURRENT OF, without a sort
DECLARE c CURSOR FOR SELECT * FROM customers WHERE email = 'ada@example.org';
FETCH 1 FROM c;
UPDATE customers SET name = 'current' WHERE CURRENT OF c RETURNING email, name;

--- cursor over a join, aggregates, set operations
DECLARE a CURSOR FOR SELECT c.email, o.id FROM customers c JOIN orders o ON o.customer_email = c.email WHERE o.id < 20 ORDER BY o.id;
FETCH ALL FROM a;
DECLARE b CURSOR FOR SELECT name, count(*) FROM customers GROUP BY name ORDER BY name;
FETCH ALL FROM b;
DECLARE c CURSOR FOR SELECT email FROM customers WHERE id < 9 UNION SELECT name FROM customers WHERE id < 9 ORDER BY 1;
FETCH ALL FROM c;

--- cursor over a prepared statement's query
PREPARE p AS SELECT id, email FROM customers WHERE id < 5 ORDER BY id;
DECLARE c CURSOR FOR SELECT id, email FROM customers WHERE id < 5 ORDER BY id;
EXECUTE p;
FETCH ALL FROM c;
EXECUTE p;

--- PREPARE and ANALYZE
PREPARE p AS SELECT id, email FROM customers WHERE id < 5 ORDER BY id;
EXECUTE p;
ANALYZE customers;
EXECUTE p;

--- PREPARE and ALTER
PREPARE p (text) AS SELECT id, email, name FROM customers WHERE email = $1;
EXECUTE p ('ada@example.org');
ALTER TABLE customers ADD COLUMN extra integer;
EXECUTE p ('ada@example.org');

--- PREPARE and an index that goes
PREPARE p (text) AS SELECT id, email FROM customers WHERE phone = $1 ORDER BY id;
EXECUTE p ('+49 30 1017');
DROP INDEX customers_phone;
EXECUTE p ('+49 30 1017');

--- PREPARE and a changed result
PREPARE p AS SELECT * FROM sessions WHERE seen < 3;
EXECUTE p;
ALTER TABLE sessions ADD COLUMN extra integer;
EXECUTE p;

--- PREPARE of all statements
PREPARE i (text, text) AS INSERT INTO sessions (email, token) VALUES ($1, $2) RETURNING email, token;
PREPARE u (text, text) AS UPDATE sessions SET token = $2 WHERE email = $1 RETURNING *;
PREPARE d (text) AS DELETE FROM sessions WHERE email = $1 RETURNING email;
EXECUTE i ('prepared@example.org', 't');
EXECUTE u ('prepared@example.org', 'u');
EXECUTE d ('prepared@example.org');
DEALLOCATE d;

--- PREPARE of VALUES, TABLE and WITH
PREPARE a AS VALUES ((SELECT email FROM customers WHERE id = 1));
PREPARE b AS TABLE sessions;
PREPARE c AS WITH x AS (SELECT email FROM customers WHERE id < 5) SELECT * FROM x ORDER BY email;
EXECUTE a;
EXECUTE b;
EXECUTE c;

--- types of prepared statements
PREPARE p (text, int) AS SELECT email FROM customers WHERE email = $1 AND id = $2;
SELECT name, parameter_types FROM pg_prepared_statements;

--- COPY of a query
COPY (SELECT id, email, name FROM customers WHERE id < 20 ORDER BY id) TO STDOUT;
COPY (SELECT email FROM customers WHERE id < 20 ORDER BY email) TO STDOUT WITH (FORMAT csv, HEADER, FORCE_QUOTE *);
COPY (SELECT id, name FROM customers WHERE id IN (50, 51, 52) ORDER BY id) TO STDOUT (NULL 'nil', DELIMITER '|');
COPY (SELECT DISTINCT name FROM customers ORDER BY name) TO STDOUT;
COPY (SELECT customer_email, count(*) FROM orders GROUP BY 1 ORDER BY 1 LIMIT 10) TO STDOUT;

--- COPY of a query in upper and lower case, with comments
/* report */ copy (
    select email, -- the address
        card
    from customers join orders on customer_email = email where orders.id < 20 order by orders.id) to stdout;

--- COPY of RETURNING
COPY (UPDATE customers SET country = 'xx' WHERE id < 5 RETURNING id, email) TO STDOUT;
COPY (DELETE FROM sessions WHERE seen < 5 RETURNING email, token) TO STDOUT;

--- COPY of a table | except: copy-table copy
COPY (SELECT 1) TO STDOUT;
COPY sessions TO STDOUT;

--- COPY of all of a table by a query | instead: copy-table
COPY (SELECT * FROM sessions ORDER BY seen) TO STDOUT;
COPY (TABLE sessions) TO STDOUT;

--- EXPLAIN of a lookup
EXPLAIN (COSTS OFF, FORMAT JSON) SELECT 1;

--- EXPLAIN ANALYZE runs it
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT JSON) SELECT 1;

--- savepoints
SAVEPOINT a;
INSERT INTO sessions (email) VALUES ('savepoint@example.org');
ROLLBACK TO a;
SELECT count(*) FROM sessions WHERE email = 'savepoint@example.org';
INSERT INTO sessions (email) VALUES ('session7@example.org');
ROLLBACK TO a;
INSERT INTO sessions (email) VALUES ('savepoint@example.org') RETURNING email;
RELEASE a;
SELECT email FROM sessions WHERE email = 'savepoint@example.org';

--- errors within a transaction
SAVEPOINT a;
SELECT email::text::integer FROM customers WHERE id = 1;
SELECT 1;
ROLLBACK TO a;
SELECT email FROM customers WHERE id = 1;

--- errors of other kinds
SAVEPOINT a;
SELECT emial FROM customers;
ROLLBACK TO a;
SELECT email + 1 FROM customers;
ROLLBACK TO a;
SELECT sum(email) FROM customers;
ROLLBACK TO a;
SELECT nofunction(email) FROM customers;
ROLLBACK TO a;
SELECT email FROM customers WHERE email;
ROLLBACK TO a;
SELECT email, count(*) FROM customers;
ROLLBACK TO a;
SELECT length(email, 1, 2) FROM customers;
ROLLBACK TO a;
SELECT email = 1 FROM customers;
ROLLBACK TO a;
SELECT * FROM customers WHERE email = ARRAY['x'];
ROLLBACK TO a;
SELECT email FROM customers WHERE email LIKE 1;

--- two-phase commit | commit
BEGIN;
UPDATE customers SET name = name || '' WHERE email = 'ada@example.org';
plain: PREPARE TRANSACTION 'forms plain';
enc: PREPARE TRANSACTION 'forms enc';
plain: ROLLBACK PREPARED 'forms plain';
enc: ROLLBACK PREPARED 'forms enc';

--- several isolation levels
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;
SELECT id FROM customers WHERE email = 'ada@example.org';
UPDATE customers SET name = 'x' WHERE email = 'ada@example.org' RETURNING name;

--- read only
SET TRANSACTION READ ONLY;
SELECT email FROM customers WHERE email = 'ada@example.org' ORDER BY email;

--- listen and notify with values
SELECT pg_notify('forms', email) FROM customers WHERE id = 1;

--- catalog: tables and columns
SELECT c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() ORDER BY 1;
SELECT a.attname, a.attnum, a.attnotnull, a.atthasdef FROM pg_attribute a WHERE a.attrelid = 'customers'::regclass AND a.attnum > 0 ORDER BY a.attnum;
SELECT column_name, is_nullable, ordinal_position FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = 'customers' ORDER BY 3;

--- catalog: constraints and indexes
SELECT conname, contype, condeferrable FROM pg_constraint WHERE connamespace = current_schema()::regnamespace ORDER BY 1;
SELECT c.relname, i.indisunique, i.indisprimary, i.indnatts FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = current_schema()::regnamespace ORDER BY 1;
SELECT constraint_name, column_name FROM information_schema.key_column_usage WHERE table_schema = current_schema() ORDER BY 1, ordinal_position;
SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1;

--- catalog: names as text
SELECT relname FROM pg_class WHERE relname = 'customers' AND relnamespace = current_schema()::regnamespace;
SELECT relname FROM pg_class WHERE relname = ANY (ARRAY['customers', 'orders']::text[]) AND relnamespace = current_schema()::regnamespace ORDER BY relname;
SELECT count(*) FROM pg_class WHERE relname IN (SELECT country FROM customers);
SELECT typname = 'text' AS t FROM pg_type WHERE typname = 'text';
SELECT 'a' = 'a' AS x, 'a' < 'b' AS y, 'a'::text = 'a'::varchar AS z, 'a'::name = 'a'::text AS n, 'a'::char(2) = 'a' AS c;
SELECT min('a'), max('b'::varchar), 'x' || 'y' AS z, ARRAY['a', 'b'] = '{a,b}' AS e;
SELECT NULLIF('a', 'b'), 'a' IS DISTINCT FROM 'b' AS d, 'a' IN ('a', 'b') AS i, greatest('a', 'b');

--- current_user | except: type-name 42725
SELECT id FROM customers WHERE email = current_user;

--- current_user as text | instead: type-name
SELECT id FROM customers WHERE email = current_user::text;

--- psql's \d
SELECT a.attname, (SELECT substring(pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) for 128) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef) AS def, a.attnotnull, a.attidentity, a.attgenerated
    FROM pg_catalog.pg_attribute a WHERE a.attrelid = 'orders'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;

--- psql's \d of views
SELECT viewname FROM pg_views WHERE schemaname = current_schema() AND definition ~ 'email' ORDER BY 1;

--- parameters and settings
SELECT current_setting('app.none', true) IS NULL AS n;
SELECT set_config('app.email', email, true) FROM customers WHERE id = 1;
SELECT id FROM customers WHERE email = current_setting('app.email');

--- multiple commands of a transaction
UPDATE customers SET name = 'one' WHERE email = 'ada@example.org';
SELECT name FROM customers WHERE email = 'ada@example.org';
UPDATE customers SET email = 'two@example.org' WHERE email = 'ada@example.org';
SELECT name FROM customers WHERE email = 'two@example.org';
SELECT name FROM customers WHERE email = 'ada@example.org';
INSERT INTO customers (id, email) VALUES (9001, 'ada@example.org');
SELECT id FROM customers WHERE email = 'ada@example.org';
