-- schema.sql
--     An order stream twice: in the schema plain with text, in the schema enc with
--     encrypted columns of the same names, so that a statement runs on either by
--     search_path alone. Read by random_queries.py; :enc(...) is the encrypted type in one
--     and text in the other.

CREATE TABLE customer (
    id int PRIMARY KEY,
    name :enc('random_pii', 'searchable'),
    email :enc('random_pii', 'searchable') UNIQUE,
    phone :enc('random_pii'),
    city text,
    score int
);
CREATE TABLE orders (
    id int PRIMARY KEY,
    customer_id int,
    email :enc('random_order', 'searchable'),
    note :enc('random_order'),
    card :pan('random_card', 'searchable'),
    status text,
    total numeric
);
CREATE INDEX ON orders (email);
CREATE INDEX ON orders (card);
CREATE TABLE item (
    id int PRIMARY KEY,
    order_id int,
    sku :enc('random_pii', 'searchable') NOT NULL,
    descr :enc('random_order'),
    tags :enc('random_pii', 'searchable')[],
    qty int
);
CREATE INDEX ON item USING hash (sku);
CREATE TABLE shop (
    code :enc('random_pii', 'searchable') PRIMARY KEY,
    title :enc('random_pii')
);
CREATE TABLE visit (
    id int,
    shop :enc('random_order', 'searchable') REFERENCES shop ON UPDATE CASCADE ON DELETE CASCADE,
    who :enc('random_pii', 'searchable')
) PARTITION BY HASH (who);
CREATE TABLE visit_0 PARTITION OF visit FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE visit_1 PARTITION OF visit FOR VALUES WITH (MODULUS 2, REMAINDER 1);

CREATE VIEW people AS SELECT id, name, email, city, score FROM customer;
CREATE VIEW order_lines WITH (security_barrier) AS
    SELECT i.id, o.email, o.card, i.sku, i.descr, o.status, i.qty
      FROM orders AS o JOIN item AS i ON i.order_id = o.id;
CREATE VIEW sorted AS SELECT id, name, phone FROM customer ORDER BY name, id LIMIT 20;

CREATE FUNCTION customer_of(address text) RETURNS int LANGUAGE sql STABLE
    AS 'SELECT min(id) FROM customer WHERE email = address';
CREATE FUNCTION name_of(wanted int) RETURNS text LANGUAGE plpgsql STABLE AS
    'DECLARE found text; BEGIN SELECT name INTO found FROM customer WHERE id = wanted; RETURN found; END';
