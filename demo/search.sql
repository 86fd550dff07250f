-- search.sql
--     The demo's e-mail addresses become searchable: equality, by an index, on tokens.

\set ON_ERROR_STOP on
\set QUIET on

SET SESSION AUTHORIZATION dba;
ALTER TABLE orders ALTER email TYPE sdes.enc_text('customer_pii', 'searchable');
CREATE INDEX orders_email ON orders (email);

SET SESSION AUTHORIZATION security;
SELECT sdes.grant_access('customer_pii', 'oms', '{search}') \g /dev/null

RESET SESSION AUTHORIZATION;
