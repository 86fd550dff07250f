-- The twins: run once in schema "plain" and once in schema "enc", see
-- test/programs/forms.py. All that is random comes from the row's number.

--- customers

CREATE TABLE customers (
    id integer PRIMARY KEY,
    email @CI@ CONSTRAINT customers_email_key UNIQUE,
    name @TEXT@,
    phone @TEXT@,
    country text,
    referrer integer
);
INSERT INTO customers SELECT i,
    CASE
        WHEN i % 97 = 0 THEN NULL
        WHEN i = 1 THEN 'ada@example.org'
        WHEN i = 2 THEN 'Ada@Example.org'
        WHEN i = 3 THEN ''
        WHEN i = 4 THEN 'o''brien@example.org'
        WHEN i = 5 THEN 'zoë@exämple.org'
        WHEN i = 6 THEN 'Zoë@exämple.org'
        WHEN i = 7 THEN 'back\slash "quoted"@example.org'
        WHEN i = 8 THEN ' space@example.org '
        WHEN i = 9 THEN '100%_sure@example.org'
        WHEN i = 10 THEN repeat('long', 150) || '@example.org'
        WHEN i % 10 = 0 THEN 'User' || i || '@Example.org'
        WHEN i % 10 = 1 THEN 'user' || i - 1 || '@example.org'
        ELSE 'user' || i || '@shop' || i % 7 || '.example'
    END,
    CASE WHEN i % 50 = 0 THEN NULL WHEN i % 50 = 1 THEN '' WHEN i = 10 THEN repeat('Ünïcödé ', 150)
        ELSE (ARRAY['Ada Lovelace', 'ada lovelace', 'Ångström', 'Zoë', 'zoe', 'Émile', 'O''Brien',
            'back\slash', 'a"quote"b', 'Ærøskøbing', 'de la Cruz', 'De La Cruz', 'ß', 'ss', '日本'])[i % 15 + 1] END,
    CASE WHEN i % 20 = 0 THEN NULL ELSE '+49 30 ' || 1000 + i % 300 END,
    (ARRAY['de', 'fr', 'it', 'dk'])[i % 4 + 1],
    CASE WHEN i > 10 THEN i / 10 END
FROM generate_series(1, 1500) AS i;
plain: CREATE INDEX customers_email_ci ON customers (lower(email));
enc: CREATE INDEX customers_email_ci ON customers (email sdes.enc_text_ci_ops);
CREATE INDEX customers_phone ON customers (phone);

--- orders

CREATE TABLE orders (
    id integer PRIMARY KEY,
    customer_email @TEXT@ CONSTRAINT orders_customer_fkey REFERENCES customers (email) ON UPDATE CASCADE ON DELETE CASCADE,
    card @PAN@,
    note @NOTE@,
    total numeric(10,2),
    placed_at timestamptz
);
INSERT INTO orders SELECT i,
    (SELECT email FROM customers WHERE id = i * 7 % 1500 + 1),
    CASE WHEN i % 40 = 0 THEN NULL ELSE
        (ARRAY['4111111111111111', '5555555555554444', '378282246310005', '6011111111111117',
            '3530111333300000', '4012888888881881', '5105105105105100', '30569309025904'])[i * i % 8 + 1] END,
    CASE WHEN i % 3 = 0 THEN NULL WHEN i % 30 = 1 THEN 'gift ' || i ELSE 'note ' || i % 20 END,
    i * 37 % 1000 / 4.0,
    timestamptz '2026-01-01 00:00+00' + i * interval '1 hour'
FROM generate_series(1, 2000) AS i;
CREATE INDEX orders_card ON orders (card);
CREATE INDEX orders_customer ON orders (customer_email, placed_at);

--- contacts, whose addresses are in another bucket

CREATE TABLE contacts (id integer PRIMARY KEY, email @OTHER@, plain_email text, company text);
INSERT INTO contacts SELECT id, email::text, email::text, 'company ' || id % 9 FROM customers WHERE id % 5 IN (0, 1, 2);
CREATE INDEX contacts_email ON contacts (email);
CREATE INDEX contacts_plain_email ON contacts (plain_email);

--- partitioned by an encrypted key

CREATE TABLE hashed (email @TEXT@, n integer, PRIMARY KEY (email, n)) PARTITION BY HASH (email);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 4, REMAINDER 0);
CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 4, REMAINDER 1);
CREATE TABLE hashed_2 PARTITION OF hashed FOR VALUES WITH (MODULUS 4, REMAINDER 2);
CREATE TABLE hashed_3 PARTITION OF hashed FOR VALUES WITH (MODULUS 4, REMAINDER 3);
INSERT INTO hashed SELECT email, id FROM customers WHERE email IS NOT NULL AND id <= 400;
CREATE TABLE listed (region @TEXT@, n integer, email @TEXT@) PARTITION BY LIST (region);
CREATE TABLE listed_north PARTITION OF listed FOR VALUES IN ('dk', 'se');
CREATE TABLE listed_south PARTITION OF listed FOR VALUES IN ('it', 'es');
CREATE TABLE listed_none PARTITION OF listed FOR VALUES IN (NULL);
CREATE TABLE listed_other PARTITION OF listed DEFAULT;
INSERT INTO listed SELECT (ARRAY['dk', 'se', 'it', 'es', 'de', NULL, 'fr'])[id % 7 + 1], id, email FROM customers WHERE id <= 300;
CREATE INDEX listed_email ON listed (email);

--- other keys and indexes

CREATE TABLE seats (seat integer, guest @TEXT@, CONSTRAINT seats_guest_excl EXCLUDE USING btree (guest WITH =));
INSERT INTO seats VALUES (1, 'ada@example.org'), (2, 'bob@example.org'), (3, NULL), (4, NULL);
CREATE TABLE devices (id integer PRIMARY KEY, serial @TEXT@, owner @TEXT@);
CREATE INDEX devices_serial ON devices USING hash (serial);
INSERT INTO devices SELECT i, 'SN-' || i % 250, 'owner ' || i % 40 FROM generate_series(1, 500) AS i;
CREATE TABLE accounts (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shop text NOT NULL,
    email @CI@ NOT NULL DEFAULT 'nobody@example.org',
    backup @TEXT@ DEFAULT NULL,
    deleted_at date,
    CONSTRAINT accounts_shop_email_key UNIQUE (shop, email)
);
INSERT INTO accounts (shop, email, deleted_at)
    SELECT 'shop ' || i % 3, 'account' || i / 3 || '@example.org', CASE WHEN i % 5 = 0 THEN date '2026-02-02' END
    FROM generate_series(1, 600) AS i;
CREATE UNIQUE INDEX accounts_backup_live ON accounts (backup) WHERE deleted_at IS NULL;
plain: CREATE UNIQUE INDEX accounts_shop_email_ci ON accounts (shop, lower(email));
enc: CREATE UNIQUE INDEX accounts_shop_email_ci ON accounts (shop, email sdes.enc_text_ci_ops);
CREATE TABLE sessions (email @TEXT@ PRIMARY KEY, token @NOTE@, seen integer DEFAULT 0);
INSERT INTO sessions SELECT 'session' || i || '@example.org', 'token ' || i, i FROM generate_series(1, 50) AS i;

--- arrays, domains, composites

CREATE DOMAIN address AS @TEXT@ CONSTRAINT address_has_at CHECK (VALUE IS NULL OR position('@' IN VALUE) > 0);
CREATE TYPE place AS (street @TEXT@, city text);
CREATE TABLE people (id integer PRIMARY KEY, aliases @TEXT@[], main address, home place);
INSERT INTO people SELECT i,
    CASE WHEN i % 10 = 0 THEN NULL WHEN i % 10 = 1 THEN '{}' ELSE ARRAY['alias' || i || '@example.org', 'shared' || i % 4, NULL] END,
    CASE WHEN i % 6 > 0 THEN 'main' || i % 30 || '@example.org' END,
    ROW('Street ' || i, 'City ' || i % 5)::place
FROM generate_series(1, 90) AS i;
CREATE INDEX people_main ON people (main);

--- views

CREATE VIEW customers_view AS SELECT id, email, name, phone, country FROM customers;
CREATE VIEW customers_barrier WITH (security_barrier) AS SELECT id, email, name FROM customers WHERE country = 'de';
CREATE VIEW customers_sorted AS SELECT id, email FROM customers WHERE id < 200 ORDER BY email DESC NULLS LAST, id;
CREATE VIEW customers_lower AS SELECT id, lower(email) AS email FROM customers;
CREATE VIEW customer_orders AS SELECT c.email, o.id AS order_id, o.card, o.total FROM customers c JOIN orders o ON o.customer_email = c.email;
CREATE VIEW order_sums AS SELECT customer_email, count(*) AS n, sum(total) AS total FROM orders GROUP BY customer_email;
CREATE VIEW shop_1 AS SELECT id, shop, email, backup FROM accounts WHERE shop = 'shop 1' WITH CHECK OPTION;
CREATE VIEW one_customer AS SELECT id, email FROM customers WHERE email = 'ada@example.org' WITH LOCAL CHECK OPTION;
CREATE MATERIALIZED VIEW customers_kept AS SELECT id, email, name FROM customers WHERE id <= 100;
CREATE UNIQUE INDEX customers_kept_email ON customers_kept (email);

--- row level security, also for the owner

CREATE TABLE mailbox (id integer PRIMARY KEY, owner @TEXT@, subject @NOTE@);
INSERT INTO mailbox SELECT i, 'user' || i % 5, 'subject ' || i FROM generate_series(1, 50) AS i;
CREATE INDEX mailbox_owner ON mailbox (owner);
CREATE POLICY mailbox_own ON mailbox USING (owner = current_setting('app.user', true))
    WITH CHECK (owner = current_setting('app.user', true));
ALTER TABLE mailbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE mailbox FORCE ROW LEVEL SECURITY;

--- triggers

CREATE TABLE subscribers (id integer PRIMARY KEY, email @TEXT@ UNIQUE, name @NOTE@);
CREATE TABLE subscribers_history (n integer GENERATED ALWAYS AS IDENTITY, op text, old_email @TEXT@, new_email @TEXT@);
CREATE FUNCTION lower_email() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.email := lower(NEW.email);
    RETURN NEW;
END $$;
CREATE FUNCTION keep_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO subscribers_history (op, new_email) VALUES (TG_OP, NEW.email);
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO subscribers_history (op, old_email, new_email) VALUES (TG_OP, OLD.email, NEW.email);
    ELSE
        INSERT INTO subscribers_history (op, old_email) VALUES (TG_OP, OLD.email);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER subscribers_lower BEFORE INSERT OR UPDATE ON subscribers FOR EACH ROW EXECUTE FUNCTION lower_email();
CREATE TRIGGER subscribers_history AFTER INSERT OR UPDATE OR DELETE ON subscribers FOR EACH ROW EXECUTE FUNCTION keep_history();
INSERT INTO subscribers VALUES (1, 'Ada@Example.org', 'Ada'), (2, 'bob@example.org', 'Bob');

--- functions

CREATE FUNCTION customer_by_email(text) RETURNS SETOF customers STABLE LANGUAGE sql
    AS 'SELECT * FROM customers WHERE email = $1';
CREATE FUNCTION email_of(integer) RETURNS text STABLE LANGUAGE sql AS 'SELECT email FROM customers WHERE id = $1';
CREATE FUNCTION id_of(wanted text) RETURNS integer STABLE LANGUAGE plpgsql AS $$
DECLARE
    found customers.id%TYPE;
BEGIN
    SELECT id INTO found FROM customers WHERE email = wanted;
    RETURN found;
END $$;
CREATE FUNCTION all_of(wanted text) RETURNS SETOF customers STABLE LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT * FROM customers WHERE country = wanted;
END $$;

--- statistics

VACUUM ANALYZE;
