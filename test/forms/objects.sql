-- Views, policies, triggers, functions, partitions, temporary tables, DDL.

--- a view | index
SELECT id, email, name FROM customers_view WHERE email = 'ada@example.org';
SELECT email FROM customers_view WHERE id < 20 ORDER BY email;
SELECT * FROM customers_view WHERE id < 9 ORDER BY id;

--- a view by a parameter | index
--bind varchar=ada@example.org
SELECT * FROM customers_view WHERE email = $1;

--- a view with security_barrier | index
SELECT id, email FROM customers_barrier WHERE email = 'user12@shop5.example';
SELECT id, email FROM customers_barrier WHERE email LIKE 'user1%' ORDER BY id;

--- a sorted view
SELECT * FROM customers_sorted;
SELECT id FROM customers_sorted WHERE email IS NOT NULL LIMIT 5;

--- a view of lower-cased values | noindex
SELECT * FROM customers_lower WHERE email = 'ada@example.org' ORDER BY id;
SELECT id, email FROM customers_lower WHERE id < 20 ORDER BY email, id;

--- views of joins and sums | index
SELECT * FROM customer_orders WHERE email = 'user22@shop1.example' ORDER BY order_id;
SELECT * FROM order_sums WHERE customer_email = 'user22@shop1.example';
SELECT * FROM order_sums ORDER BY customer_email LIMIT 10;

--- a view of views
CREATE TEMP VIEW deep AS SELECT v.email, s.total FROM customers_view v JOIN order_sums s ON s.customer_email = v.email;
SELECT * FROM deep ORDER BY email LIMIT 10;
SELECT count(*) FROM deep WHERE email = 'user22@shop1.example';

--- views that encrypt literals
CREATE TEMP VIEW lit AS SELECT id, CASE WHEN email = 'ada@example.org' THEN 'Ada' ELSE 'other' END AS who FROM customers WHERE email IN ('ada@example.org', 'Ada@example.org');
SELECT * FROM lit ORDER BY id;

--- an updatable view
UPDATE customers_view SET email = 'via-view@example.org' WHERE email = 'ada@example.org' RETURNING id, email;
INSERT INTO customers_view (id, email) VALUES (9001, 'view@example.org') RETURNING *;
DELETE FROM customers_view WHERE email = 'view@example.org' RETURNING id;
SELECT id, email FROM customers WHERE email = 'via-view@example.org';

--- WITH CHECK OPTION
INSERT INTO shop_1 (shop, email) VALUES ('shop 1', 'checked@example.org') RETURNING shop, email;
UPDATE shop_1 SET shop = 'shop 2' WHERE email = 'checked@example.org';

--- WITH CHECK OPTION on an encrypted column
UPDATE one_customer SET email = 'other@example.org';

--- a view with a trigger and a rule
CREATE TEMP TABLE base (id int, e @TEXT@);
CREATE RULE base_copy AS ON INSERT TO base DO ALSO INSERT INTO devices (id, serial, owner) VALUES (NEW.id, NEW.e, NEW.e);
INSERT INTO base VALUES (9001, 'ruled');
SELECT serial, owner FROM devices WHERE serial = 'ruled';

--- a materialized view | index
SELECT id, name FROM customers_kept WHERE email = 'ada@example.org';
SELECT * FROM customers_kept ORDER BY email LIMIT 5;

--- a materialized view, refreshed
UPDATE customers SET email = 'refreshed@example.org' WHERE id = 1;
REFRESH MATERIALIZED VIEW customers_kept;
SELECT id FROM customers_kept WHERE email IN ('ada@example.org', 'refreshed@example.org');

--- a materialized view, refreshed concurrently | commit
REFRESH MATERIALIZED VIEW CONCURRENTLY customers_kept;

--- a materialized view of opened values | except: stored-text 42804
CREATE MATERIALIZED VIEW opened AS SELECT id, lower(email) AS email FROM customers;

--- a view of opened values | instead: stored-text
CREATE TEMP VIEW opened AS SELECT id, lower(email) AS email FROM customers;
SELECT * FROM opened WHERE id < 9 ORDER BY id;

--- a view replaced, with more columns
CREATE TEMP VIEW v AS SELECT id, email FROM customers;
CREATE OR REPLACE TEMP VIEW v AS SELECT id, email, name FROM customers;
SELECT * FROM v WHERE id < 4 ORDER BY id;

--- row level security | index
SELECT set_config('app.user', 'user2', true);
SELECT id, owner, subject FROM mailbox ORDER BY id;
SELECT count(*) FROM mailbox WHERE owner = 'user1';

--- row level security, without a user
SELECT count(*) FROM mailbox;

--- row level security, writing
SELECT set_config('app.user', 'user2', true);
INSERT INTO mailbox VALUES (100, 'user2', 'mine') RETURNING owner, subject;
UPDATE mailbox SET subject = subject || '!' RETURNING id, subject;
DELETE FROM mailbox WHERE id < 20 RETURNING id;
INSERT INTO mailbox VALUES (101, 'user3', 'not mine');

--- row level security with a pattern
CREATE POLICY mailbox_like ON mailbox FOR SELECT USING (owner LIKE 'user1%');
SELECT id, owner FROM mailbox ORDER BY id;

--- a trigger that changes NEW
INSERT INTO subscribers VALUES (3, 'UPPER@Example.org', 'U') RETURNING email;
UPDATE subscribers SET email = 'SECOND@Example.org' WHERE email = 'upper@example.org' RETURNING email, name;
SELECT id FROM subscribers WHERE email = 'second@example.org';
DELETE FROM subscribers WHERE id = 1 RETURNING email;
SELECT op, old_email, new_email FROM subscribers_history ORDER BY n;

--- a trigger with WHEN
CREATE FUNCTION pg_temp.say() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'changed %', NEW.id; RETURN NEW; END $$;
CREATE TRIGGER say BEFORE UPDATE ON customers FOR EACH ROW WHEN (OLD.email IS DISTINCT FROM NEW.email) EXECUTE FUNCTION pg_temp.say();
UPDATE customers SET email = email WHERE id = 12;
UPDATE customers SET email = 'said@example.org' WHERE id = 13;
UPDATE customers SET email = email::text WHERE id = 14;

--- a trigger on a column
CREATE FUNCTION pg_temp.say() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.email <> OLD.email THEN RAISE NOTICE 'changed %', NEW.id; END IF; RETURN NEW; END $$;
CREATE TRIGGER say BEFORE UPDATE OF email ON customers FOR EACH ROW EXECUTE FUNCTION pg_temp.say();
UPDATE customers SET email = 'said@example.org' WHERE id = 13;
UPDATE customers SET name = 'said' WHERE id = 13;

--- a trigger with transition tables
CREATE FUNCTION pg_temp.say() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE n int; BEGIN SELECT count(*) INTO n FROM new_rows JOIN customers USING (email); RAISE NOTICE '% rows', n; RETURN NULL; END $$;
CREATE TRIGGER say AFTER UPDATE ON customers REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.say();
UPDATE customers SET name = 'x' WHERE id < 50;

--- a trigger that refuses
CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.email LIKE '%@spam.example' THEN RAISE EXCEPTION 'no' USING ERRCODE = 'P0099'; END IF; RETURN NEW; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION pg_temp.refuse();
INSERT INTO sessions (email) VALUES ('ok@example.org') RETURNING email;
INSERT INTO sessions (email) VALUES ('x@spam.example');

--- suppress_redundant_updates_trigger
CREATE TRIGGER z BEFORE UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
UPDATE sessions SET email = email WHERE seen < 5;

--- an SQL function | index
SELECT id, email FROM customer_by_email('ada@example.org');
SELECT email_of(1), email_of(97), email_of(0);
SELECT id FROM customers WHERE email = email_of(8);

--- an SQL function with a column as argument
SELECT c.id, f.name FROM customers c, customer_by_email(c.email) f WHERE c.id < 20 ORDER BY 1;

--- an SQL function of the new kind
CREATE FUNCTION pg_temp.who(e text) RETURNS integer STABLE BEGIN ATOMIC SELECT id FROM customers WHERE email = e; END;
SELECT pg_temp.who('ada@example.org'), pg_temp.who('nobody');

--- an SQL function that returns a table
CREATE FUNCTION pg_temp.found(text) RETURNS TABLE (id integer, email text) STABLE LANGUAGE sql AS $$ SELECT id, email FROM customers WHERE name = $1 ORDER BY id LIMIT 5 $$;
SELECT * FROM pg_temp.found('Zoë');

--- an SQL function that writes
CREATE FUNCTION pg_temp.put(integer, text) RETURNS text LANGUAGE sql AS $$ INSERT INTO customers (id, email) VALUES ($1, $2) RETURNING email $$;
SELECT pg_temp.put(9001, 'put@example.org');
SELECT id FROM customers WHERE email = 'put@example.org';

--- an SQL function with an encrypted parameter
CREATE FUNCTION pg_temp.who(e @ENC@) RETURNS integer STABLE LANGUAGE sql AS $$ SELECT id FROM customers WHERE email = e $$;
SELECT id, pg_temp.who(email) AS same FROM customers WHERE id < 6 ORDER BY id;
SELECT pg_temp.who('ada@example.org');

--- plpgsql variables
SELECT id_of('ada@example.org'), id_of('nobody');
CREATE FUNCTION pg_temp.f(integer) RETURNS text LANGUAGE plpgsql AS $$ DECLARE e customers.email%TYPE; t text; r customers%ROWTYPE; x record; BEGIN
    SELECT email INTO e FROM customers WHERE id = $1;
    SELECT email INTO t FROM customers WHERE id = $1;
    SELECT * INTO r FROM customers WHERE email = e;
    SELECT id, email INTO x FROM customers WHERE email = t;
    RETURN concat_ws('|', upper(e), t, lower(r.email), r.id, x.id, lower(x.email), e = t, r.email = x.email, r.email = t);
END $$;
SELECT pg_temp.f(1), pg_temp.f(5);

--- plpgsql: a variable of the type is assigned
CREATE FUNCTION pg_temp.f(text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE e customers.email%TYPE := $1; BEGIN e := lower(e); e := e || '!'; RETURN e; END $$;
SELECT pg_temp.f('ADA');

--- plpgsql loops
CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE plpgsql AS $$ DECLARE r record; e text; s text := ''; BEGIN
    FOR r IN SELECT id, email FROM customers WHERE id < 6 ORDER BY email LOOP s := s || r.id || ':' || r.email || ';'; END LOOP;
    FOR e IN SELECT email FROM customers WHERE id < 6 ORDER BY id LOOP s := s || e || ','; END LOOP;
    FOREACH e IN ARRAY ARRAY(SELECT email::text FROM customers WHERE id < 4 ORDER BY id) LOOP s := s || e || '.'; END LOOP;
    RETURN s;
END $$;
SELECT pg_temp.f();

--- plpgsql RETURN QUERY of rows
SELECT id, email FROM all_of('de') WHERE id < 30 ORDER BY id;
SELECT * FROM all_of('de') WHERE email LIKE 'user1%' ORDER BY email LIMIT 5;

--- plpgsql RETURN QUERY of a text column | except: return-query 42804
CREATE FUNCTION pg_temp.f() RETURNS TABLE (e text) LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY SELECT email FROM customers WHERE id < 5; END $$;
SELECT * FROM pg_temp.f();

--- plpgsql RETURN QUERY of a text column, cast | instead: return-query
CREATE FUNCTION pg_temp.f() RETURNS TABLE (e text) LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY SELECT email::text FROM customers WHERE id < 5; END $$;
SELECT * FROM pg_temp.f() ORDER BY 1;

--- plpgsql RETURN NEXT
CREATE FUNCTION pg_temp.f() RETURNS TABLE (i integer, e text) LANGUAGE plpgsql AS $$ BEGIN FOR i, e IN SELECT id, email FROM customers WHERE id < 5 LOOP RETURN NEXT; END LOOP; END $$;
SELECT * FROM pg_temp.f() ORDER BY 1;

--- plpgsql EXECUTE
CREATE FUNCTION pg_temp.f(text, text) RETURNS integer LANGUAGE plpgsql AS $$ DECLARE n integer; BEGIN EXECUTE format('SELECT id FROM customers WHERE %I = $1', $1) INTO n USING $2; RETURN n; END $$;
SELECT pg_temp.f('email', 'ada@example.org');
CREATE FUNCTION pg_temp.g(text, text) RETURNS integer LANGUAGE plpgsql AS $$ DECLARE n integer; BEGIN EXECUTE format('SELECT id FROM customers WHERE %I = %L', $1, $2) INTO n; RETURN n; END $$;
SELECT pg_temp.g('email', 'o''brien@example.org');

--- plpgsql exceptions
CREATE FUNCTION pg_temp.f(text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE c text; BEGIN INSERT INTO customers (id, email) VALUES (9001, $1); RETURN 'stored'; EXCEPTION WHEN unique_violation THEN GET STACKED DIAGNOSTICS c = CONSTRAINT_NAME; RETURN c; END $$;
SELECT pg_temp.f('ada@example.org');
SELECT pg_temp.f('other@example.org');

--- plpgsql: FOUND, ROW_COUNT, PERFORM, IF
CREATE FUNCTION pg_temp.f(text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE n integer; BEGIN
    PERFORM FROM customers WHERE email = $1; IF NOT FOUND THEN RETURN 'none'; END IF;
    UPDATE customers SET name = 'x' WHERE email = $1; GET DIAGNOSTICS n = ROW_COUNT;
    IF EXISTS (SELECT FROM orders WHERE customer_email = $1) THEN RETURN n || ' with orders'; ELSE RETURN n || ' without'; END IF; END $$;
SELECT pg_temp.f('ada@example.org'), pg_temp.f('user22@shop1.example'), pg_temp.f('x');

--- plpgsql cursors
CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE plpgsql AS $$ DECLARE c CURSOR (x text) FOR SELECT id, email FROM customers WHERE email = x; r record; BEGIN OPEN c ('ada@example.org'); FETCH c INTO r; CLOSE c; RETURN r.id || lower(r.email); END $$;
SELECT pg_temp.f();

--- plpgsql: a refcursor for the client | except: refcursor columns rows
CREATE FUNCTION pg_temp.f() RETURNS refcursor LANGUAGE plpgsql AS $$ DECLARE c refcursor := 'mine'; BEGIN OPEN c FOR SELECT id, email FROM customers WHERE id < 5 ORDER BY id; RETURN c; END $$;
SELECT pg_temp.f();
FETCH ALL FROM mine;

--- plpgsql: a refcursor of text | instead: refcursor
CREATE FUNCTION pg_temp.f() RETURNS refcursor LANGUAGE plpgsql AS $$ DECLARE c refcursor := 'mine'; BEGIN OPEN c FOR SELECT id, email::text FROM customers WHERE id < 5 ORDER BY id; RETURN c; END $$;
SELECT pg_temp.f();
FETCH ALL FROM mine;

--- a notice with a value | except: raise notices
DO $$ DECLARE r record; BEGIN SELECT email INTO r FROM customers WHERE id = 1; RAISE NOTICE '%', r.email; END $$;

--- a notice with a text | instead: raise
DO $$ DECLARE e text; r record; BEGIN SELECT email INTO e FROM customers WHERE id = 1; RAISE NOTICE '%', e; SELECT email INTO r FROM customers WHERE id = 1; RAISE NOTICE '%', r.email::text; END $$;

--- DO
DO $$ BEGIN UPDATE customers SET name = 'done' WHERE email = 'ada@example.org'; IF (SELECT email FROM customers WHERE id = 1) = 'ada@example.org' THEN RAISE NOTICE 'yes'; END IF; END $$;
SELECT name FROM customers WHERE id = 1;

--- a procedure
CREATE PROCEDURE pg_temp.p(IN who text, INOUT n integer) LANGUAGE plpgsql AS $$ BEGIN UPDATE customers SET name = 'called' WHERE email = who; GET DIAGNOSTICS n = ROW_COUNT; END $$;
CALL pg_temp.p('ada@example.org', 0);
SELECT name FROM customers WHERE id = 1;

--- a procedure that gives a text back | instead: call-inout
CREATE PROCEDURE pg_temp.p(IN i integer, INOUT e text) LANGUAGE plpgsql AS $$ BEGIN SELECT email INTO e FROM customers WHERE id = i; END $$;
CALL pg_temp.p(1, NULL);

--- a procedure that gives an encrypted value back | except: call-inout columns rows
CREATE PROCEDURE pg_temp.p(IN i integer, INOUT e @ENC@) LANGUAGE plpgsql AS $$ BEGIN SELECT email INTO e FROM customers WHERE id = i; END $$;
CALL pg_temp.p(1, NULL);

--- a function that returns the type
CREATE FUNCTION pg_temp.f(integer) RETURNS @ENC@ STABLE LANGUAGE sql AS $$ SELECT email FROM customers WHERE id = $1 $$;
SELECT pg_temp.f(1) AS e, upper(pg_temp.f(2)) AS u, pg_temp.f(1) = 'ada@example.org' AS t;

--- an aggregate of the application
CREATE FUNCTION pg_temp.longer(text, text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT CASE WHEN length($2) > length(coalesce($1, '')) THEN $2 ELSE $1 END $$;
CREATE AGGREGATE pg_temp.longest(text) (SFUNC = pg_temp.longer, STYPE = text);
SELECT pg_temp.longest(phone) FROM customers WHERE id = 7;
SELECT country, pg_temp.longest(name) AS l FROM customers WHERE id IN (1, 2, 5, 6) GROUP BY country ORDER BY country;

--- hash partitions | index | partitions
SELECT n FROM hashed WHERE email = 'ada@example.org';
SELECT count(*) FROM hashed;

--- hash partitions by a parameter
--bind text=ada@example.org
SELECT n FROM hashed WHERE email = $1;

--- hash partitions: rows
SELECT * FROM hashed WHERE n < 20 ORDER BY n;
INSERT INTO hashed VALUES ('routed@example.org', 1) RETURNING *;
SELECT n FROM hashed WHERE email = 'routed@example.org';
UPDATE hashed SET email = 'moved@example.org' WHERE email = 'routed@example.org' RETURNING email, n;
DELETE FROM hashed WHERE email = 'moved@example.org' RETURNING n;
INSERT INTO hashed VALUES ('ada@example.org', 1);

--- partitions pruned while it runs | commit
SELECT a.n FROM hashed a WHERE a.email = (SELECT max(z.email) FROM sessions z WHERE z.seen < 99);

--- list partitions pruned while it runs | commit
SELECT count(*) FROM listed a WHERE a.region = (SELECT min(z.region) FROM listed z WHERE z.n < 99);

--- list partitions | partitions
SELECT count(*) FROM listed WHERE region = 'dk';
SELECT n FROM listed WHERE region = 'it' ORDER BY n LIMIT 5;
SELECT count(*) FROM listed WHERE region IS NULL;
SELECT count(*) FROM listed WHERE region = 'elsewhere';
SELECT count(*) FROM listed WHERE region IN ('dk', 'it');
SELECT count(*) FROM listed WHERE region = ANY ('{dk,se}');

--- list partitions: rows
SELECT tableoid::regclass AS part, region, count(*) FROM listed GROUP BY 1, 2 ORDER BY 1, 2;
INSERT INTO listed VALUES ('dk', 1, 'a'), ('pt', 2, 'b'), (NULL, 3, 'c') RETURNING tableoid::regclass AS part, region;
UPDATE listed SET region = 'it' WHERE region = 'pt' RETURNING tableoid::regclass AS part, region;
SELECT region, count(*) FROM listed GROUP BY region ORDER BY region;

--- list partitions: lookups | index
SELECT n FROM listed WHERE email = 'ada@example.org';

--- a partition of its own
SELECT region, n FROM listed_north WHERE n < 30 ORDER BY n;
CREATE TABLE listed_pt PARTITION OF listed FOR VALUES IN ('pt');
INSERT INTO listed VALUES ('pt', 1) RETURNING tableoid::regclass AS part;
ALTER TABLE listed DETACH PARTITION listed_pt;
SELECT region FROM listed_pt;
ALTER TABLE listed ATTACH PARTITION listed_pt FOR VALUES IN ('pt');

--- a partition that does not fit
ALTER TABLE listed DETACH PARTITION listed_other;
INSERT INTO listed VALUES ('nowhere', 1);

--- a partition that overlaps
CREATE TABLE listed_twice PARTITION OF listed FOR VALUES IN ('dk');

--- range partitions by an encrypted key | except: range-partition 0A000
CREATE TABLE ranged (e @TEXT@) PARTITION BY RANGE (e);

--- range partitions by another column | instead: range-partition
CREATE TABLE ranged (e @TEXT@, initial text) PARTITION BY RANGE (initial);
CREATE TABLE ranged_1 PARTITION OF ranged FOR VALUES FROM ('a') TO ('m');
INSERT INTO ranged VALUES ('ada', 'a') RETURNING tableoid::regclass AS part, e;

--- joins of partitioned tables
SELECT count(*) FROM hashed h JOIN customers c ON c.email = h.email;
SET LOCAL enable_partitionwise_join = on;
SET LOCAL enable_partitionwise_aggregate = on;
SELECT count(*) FROM hashed a JOIN hashed b USING (email);
SELECT email, count(*) FROM hashed GROUP BY email ORDER BY email LIMIT 5;

--- a temporary table
CREATE TEMP TABLE t (id int PRIMARY KEY, e @TEXT@ UNIQUE) ON COMMIT DROP;
INSERT INTO t SELECT id, email FROM customers WHERE id < 50;
SELECT * FROM t WHERE e = 'ada@example.org';
SELECT * FROM t ORDER BY e;
SELECT count(*) FROM t JOIN customers c ON c.email = t.e;

--- CREATE TABLE AS
CREATE TEMP TABLE t AS SELECT id, email, name FROM customers WHERE id < 50;
SELECT * FROM t WHERE email = 'ada@example.org';
SELECT * FROM t ORDER BY email;
SELECT count(*) FROM t JOIN customers USING (email);

--- CREATE TABLE AS with names, SELECT INTO, WITH NO DATA
CREATE TEMP TABLE t (a, b) AS SELECT id, email FROM customers WHERE id < 5;
SELECT a, b FROM t ORDER BY a;
SELECT email, country INTO TEMP u FROM customers WHERE id < 5;
SELECT * FROM u ORDER BY email;
CREATE TEMP TABLE w AS SELECT email FROM customers WITH NO DATA;
SELECT * FROM w;

--- CREATE TABLE AS of DISTINCT and GROUP BY
CREATE TEMP TABLE t AS SELECT DISTINCT name FROM customers;
CREATE TEMP TABLE u AS SELECT customer_email, count(*) AS n FROM orders GROUP BY customer_email;
SELECT * FROM t ORDER BY name;
SELECT * FROM u ORDER BY customer_email LIMIT 10;

--- CREATE TABLE AS of an expression | except: stored-text 42804
CREATE TEMP TABLE t AS SELECT id, lower(email) AS e FROM customers;

--- CREATE TABLE AS of a cast | instead: stored-text
CREATE TEMP TABLE t AS SELECT id, lower(email::text) AS e FROM customers WHERE id < 9;
SELECT * FROM t ORDER BY id;

--- INSERT into a plain column | except: stored-text 42804
CREATE TEMP TABLE t (e text);
INSERT INTO t SELECT email FROM customers WHERE id < 9;

--- INSERT of a cast into a plain column | instead: stored-text
CREATE TEMP TABLE t (e text);
INSERT INTO t SELECT email::text FROM customers WHERE id < 9;
SELECT * FROM t ORDER BY e;

--- CREATE TABLE LIKE
CREATE TEMP TABLE t (LIKE customers INCLUDING ALL);
INSERT INTO t SELECT * FROM customers WHERE id < 20;
SELECT id FROM t WHERE email = 'ada@example.org';
INSERT INTO t (id, email) VALUES (100, 'ada@example.org');

--- inheritance
CREATE TABLE vip (level int) INHERITS (customers);
INSERT INTO vip (id, email, level) VALUES (9001, 'vip@example.org', 1);
SELECT id, email FROM customers WHERE email = 'vip@example.org';
SELECT id, email, level FROM vip;
SELECT id, email FROM ONLY customers WHERE email = 'vip@example.org';

--- generated columns of the type
CREATE TEMP TABLE g (e @TEXT@, copy @TEXT@ GENERATED ALWAYS AS (e) STORED);
INSERT INTO g VALUES ('a@b') RETURNING e, copy;
UPDATE g SET e = 'c@d' RETURNING copy;
SELECT count(*) FROM g WHERE copy = 'c@d';

--- generated columns of plain text | except: generated-text 42P17
CREATE TEMP TABLE g (e @TEXT@, domain text GENERATED ALWAYS AS (split_part(e, '@', 2)) STORED);

--- generated columns by a trigger | instead: generated-text
CREATE TEMP TABLE g (e @TEXT@, domain text);
CREATE FUNCTION pg_temp.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.domain := split_part(NEW.e::text, '@', 2); RETURN NEW; END $$;
CREATE TRIGGER f BEFORE INSERT OR UPDATE ON g FOR EACH ROW EXECUTE FUNCTION pg_temp.f();
INSERT INTO g VALUES ('a@b.example') RETURNING e, domain;

--- ALTER TABLE
ALTER TABLE customers ADD COLUMN second @TEXT@;
UPDATE customers SET second = email WHERE id < 5;
SELECT id, second FROM customers WHERE second IS NOT NULL ORDER BY id;
ALTER TABLE customers ALTER COLUMN second SET DEFAULT 'x';
ALTER TABLE customers RENAME COLUMN second TO third;
INSERT INTO customers (id) VALUES (9001) RETURNING third;
ALTER TABLE customers ALTER COLUMN third SET NOT NULL;

--- ALTER TABLE ADD COLUMN with a default
ALTER TABLE sessions ADD COLUMN kind @TEXT@ DEFAULT 'web' NOT NULL;
SELECT email, kind FROM sessions WHERE seen < 4 ORDER BY email;
SELECT count(*) FROM sessions WHERE kind = 'web';
INSERT INTO sessions (email) VALUES ('kind@example.org') RETURNING kind;

--- ALTER TABLE to and from text
CREATE TEMP TABLE t (id int, e text);
INSERT INTO t VALUES (1, 'a'), (2, NULL), (3, '');
ALTER TABLE t ALTER e TYPE @TEXT@;
SELECT * FROM t ORDER BY id;
SELECT id FROM t WHERE e = 'a';
ALTER TABLE t ALTER e TYPE text USING e::text;
SELECT * FROM t ORDER BY id;

--- CREATE INDEX and a lookup by it | index
CREATE INDEX customers_name ON customers (name);
SELECT id FROM customers WHERE name = 'Zoë' ORDER BY id;
REINDEX INDEX customers_name;
SELECT id FROM customers WHERE name = 'Zoë' ORDER BY id;

--- indexes of other kinds | index
CREATE INDEX ON sessions (seen) INCLUDE (email);
CREATE INDEX devices_owner ON devices USING hash (owner);
CREATE INDEX customers_name_de ON customers (name) WHERE country = 'de';
DROP INDEX devices_serial;
CREATE UNIQUE INDEX ON devices (serial, id);
SELECT email FROM sessions WHERE seen = 7;
SELECT count(*) FROM devices WHERE owner = 'owner 3';
SELECT count(*) FROM customers WHERE name = 'Zoë' AND country = 'de';
SELECT id FROM devices WHERE serial = 'SN-9' AND id > 250;

--- an index with a predicate that opens values | except: index-predicate 42P17
CREATE INDEX ON customers (id) WHERE name LIKE 'Z%';

--- an index with a predicate of equality | instead: index-predicate | index
CREATE INDEX customers_zoe ON customers (id) WHERE name = 'Zoë';
SELECT id FROM customers WHERE name = 'Zoë' AND id < 100 ORDER BY id;

--- CLUSTER, VACUUM's kin
CLUSTER customers USING customers_phone;
SELECT id FROM customers WHERE email = 'ada@example.org';
ANALYZE customers (email);

--- an index on lower() | except: lower-index 42P17
CREATE INDEX ON customers (lower(name));

--- an index for lower() | instead: lower-index | index
CREATE TEMP TABLE t AS SELECT id, email FROM customers;
plain: CREATE INDEX t_email_ci ON t (lower(email));
enc: CREATE INDEX t_email_ci ON t (email sdes.enc_text_ci_ops);
SELECT id FROM t WHERE lower(email) = 'ada@example.org' ORDER BY id;

--- an index for patterns | except: pattern-index 42804
CREATE INDEX ON customers (name text_pattern_ops);

--- an index on a column without a token | except: no-token 0A000
CREATE INDEX ON orders (note);

--- ANALYZE of arrays and composites without a token
CREATE TYPE pg_temp.noted AS (n @NOTE@, i integer);
CREATE TEMP TABLE t (a @NOTE@[], c pg_temp.noted);
INSERT INTO t SELECT ARRAY['x' || i, 'y'], ROW('z' || i, i)::pg_temp.noted FROM generate_series(1, 20) AS i;
ANALYZE t (a);
ANALYZE t (c);

--- extended statistics on a column
CREATE STATISTICS customers_stats (ndistinct, dependencies, mcv) ON country, name FROM customers;
ANALYZE customers;
SELECT count(*) FROM customers WHERE country = 'de' AND name = 'Zoë';

--- COMMENT, GRANT, and columns of privileges
COMMENT ON COLUMN customers.email IS 'the address';
GRANT SELECT (email) ON customers TO PUBLIC;
SELECT col_description('customers'::regclass, 2);
SELECT has_column_privilege('customers', 'email', 'SELECT') AS p;

--- LOCK and a sequence beside it
LOCK TABLE accounts;
INSERT INTO accounts (shop, email) VALUES ('s', 'seq@example.org') RETURNING id > 600 AS more, email;
