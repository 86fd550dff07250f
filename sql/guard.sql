-- A relation has no encrypted column of no bucket.
CREATE TABLE g1 (a sdes.enc_text);
CREATE TABLE g1 (a sdes.enc_text[]);
CREATE TABLE g1 AS SELECT 'x'::sdes.enc_text AS a;
CREATE TABLE g1 (a sdes.enc_text('payment'), b sdes.enc_pan);
CREATE TABLE g1 (a sdes.enc_pan[]);
CREATE TABLE g1 AS SELECT '4111111111111111'::sdes.enc_pan AS a;
CREATE TABLE g1 AS SELECT 'x'::sdes.enc_text('payment') AS a;
ALTER TABLE g1 ADD COLUMN b sdes.enc_text;
ALTER TABLE g1 ALTER COLUMN a TYPE sdes.enc_text;
\d g1
CREATE TEMP TABLE g2 (a sdes.enc_text);
CREATE UNLOGGED TABLE g2 (a sdes.enc_text);
CREATE TYPE gc AS (a sdes.enc_text);
CREATE TYPE gc AS (a sdes.enc_pan);
CREATE TYPE gc AS (a int);
ALTER TYPE gc ADD ATTRIBUTE b sdes.enc_text;
CREATE DOMAIN gd AS sdes.enc_text;
CREATE TABLE g2 (a gd);
CREATE TABLE g2 (a gd[]);
CREATE DOMAIN gdp AS sdes.enc_pan;
CREATE TABLE g2 (a int, b gdp);
CREATE DOMAIN gok AS sdes.enc_text('payment');
CREATE TABLE g2 (a gok, b gok[]);
CREATE MATERIALIZED VIEW gm AS SELECT 'x'::sdes.enc_text AS a;
CREATE TABLE gp (id int, a sdes.enc_text('payment')) PARTITION BY LIST (id);
CREATE TABLE gp1 PARTITION OF gp FOR VALUES IN (1);
CREATE TABLE gi (b sdes.enc_text) INHERITS (gp1);
CREATE TABLE gl (LIKE gp1);
\d gl
-- views store nothing
CREATE VIEW gv AS SELECT 'x'::sdes.enc_text AS a;
-- unless a table has a column of a view's row type
CREATE TABLE gx (a gv);
CREATE VIEW gw AS SELECT 1 AS n;
CREATE TABLE gx (a gw);
CREATE OR REPLACE VIEW gw AS SELECT 1 AS n, 'x'::sdes.enc_text AS a;
DROP TABLE gx;
DROP VIEW gv, gw;
-- equality is equality of bytes
CREATE COLLATION nondet (provider = icu, locale = 'und', deterministic = false);
CREATE TABLE g3 (a sdes.enc_text('payment') COLLATE nondet);
CREATE TABLE g3 (a sdes.enc_pan('payment') COLLATE nondet);
CREATE TABLE g3 (a sdes.enc_text('payment') COLLATE "C");
\d g3
-- ranges have no room for a bucket, but by way of a domain
CREATE TYPE gr AS RANGE (subtype = sdes.enc_text, multirange_type_name = gmr);
CREATE TABLE g4 (a gr);
CREATE TABLE g4 (a gmr);
CREATE TABLE g4 (a gr[]);
CREATE TYPE grok AS RANGE (subtype = gok, multirange_type_name = gmrok);
CREATE TABLE g4 (a grok, b gmrok);
DROP TABLE g4;
DROP TYPE gr, grok;
DROP TABLE g1, g2, g3, gp, gl;
DROP DOMAIN gd, gdp, gok;
DROP TYPE gc;
