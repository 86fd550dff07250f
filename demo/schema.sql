-- schema.sql
--     The demo's roles, buckets, grants and table. Run by the superuser, in a
--     new database.
--
-- Who does what: the dba declares, security decides who may see, oms (the
-- application) works, support looks after customers, stranger has a login.

\set ON_ERROR_STOP on
\set QUIET on

CREATE ROLE dba LOGIN;
CREATE ROLE security LOGIN;
CREATE ROLE oms LOGIN;
CREATE ROLE support LOGIN;
CREATE ROLE stranger LOGIN;

CREATE EXTENSION sdes;
GRANT sdes_admin TO dba;
GRANT sdes_officer TO security;
GRANT CREATE ON SCHEMA public TO dba;

-- The dba makes the buckets, each with its own key in the HSM, and the table.
SET SESSION AUTHORIZATION dba;

SELECT sdes.create_bucket('customer_pii') \g /dev/null
SELECT sdes.create_bucket('payment') \g /dev/null

CREATE TABLE orders (
    id bigint PRIMARY KEY,
    order_no text NOT NULL UNIQUE,
    placed_at timestamptz NOT NULL,
    status text NOT NULL,
    currency char(3) NOT NULL,
    total numeric(12, 2) NOT NULL,
    items integer NOT NULL,
    full_name sdes.enc_text('customer_pii') NOT NULL,
    email sdes.enc_text('customer_pii') NOT NULL,
    phone sdes.enc_text('customer_pii'),
    address sdes.enc_text('customer_pii'),
    card sdes.enc_pan('payment'),
    tax_id sdes.enc_text('customer_pii'),
    note sdes.enc_text('customer_pii')
);

GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO oms;
GRANT SELECT ON orders TO support, stranger;

-- The security officer says who may do what with the values.
SET SESSION AUTHORIZATION security;

SELECT sdes.grant_access('customer_pii', 'oms', '{encrypt,decrypt}') \g /dev/null
SELECT sdes.grant_access('payment', 'oms', '{encrypt,decrypt}') \g /dev/null
SELECT sdes.grant_access('customer_pii', 'support', '{mask}') \g /dev/null
SELECT sdes.grant_access('payment', 'support', '{mask}') \g /dev/null

RESET SESSION AUTHORIZATION;
