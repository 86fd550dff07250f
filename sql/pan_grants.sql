-- Card numbers: who sees the mask may not have candidates tried, unless it is forced.
\set VERBOSITY default
SELECT sdes.create_bucket('cards') IS NOT NULL AS created;
SELECT sdes.create_bucket('later_cards') IS NOT NULL AS created;
CREATE TABLE card (id int, pan sdes.enc_pan('cards'));
CREATE ROLE regress_desk;
CREATE ROLE regress_shop;
CREATE ROLE regress_staff;
CREATE ROLE regress_clerk IN ROLE regress_staff;
CREATE ROLE regress_distant NOINHERIT IN ROLE regress_staff;
CREATE ROLE regress_boss SUPERUSER IN ROLE regress_staff;
CREATE VIEW pan_access AS SELECT b.name, a.role, a.privilege, a.forced
FROM sdes.access a JOIN sdes.bucket b ON b.uuid = a.bucket WHERE b.name LIKE '%cards' ORDER BY 1, 2, 3;

-- one role, all at once and one after the other
SELECT sdes.grant_access('cards', 'regress_desk', '{mask,search}');
SELECT sdes.grant_access('cards', 'regress_desk', '{encrypt,mask}');
SELECT sdes.grant_access('cards', 'regress_desk', '{mask}');
SELECT sdes.grant_access('cards', 'regress_desk', '{search}');
SELECT sdes.grant_access('cards', 'regress_desk', '{encrypt}');
SELECT sdes.grant_access('cards', 'regress_desk', '{decrypt,encrypt,search}');
SELECT sdes.grant_access('cards', 'regress_shop', '{encrypt,search}');
SELECT sdes.grant_access('cards', 'regress_shop', '{mask}');
SELECT * FROM pan_access;
-- decrypt taken away is taken away, with a warning
SELECT sdes.revoke_access('cards', 'regress_desk', '{decrypt}');
SELECT "check", ok, detail, hint FROM sdes.health() WHERE "check" = 'grants';
SELECT sdes.revoke_access('cards', 'regress_desk', '{encrypt,search}');
SELECT "check", ok, detail, hint FROM sdes.health() WHERE "check" = 'grants';
-- forced: one of the two is enough, but it must be one of them
SELECT sdes.grant_access('cards', 'regress_desk', '{search}', force => true);
SELECT sdes.grant_access('cards', 'regress_desk', '{mask}');
SELECT sdes.grant_access('cards', 'regress_desk', '{encrypt}');
SELECT sdes.grant_access('cards', 'regress_desk', '{mask}', true);
SELECT sdes.grant_access('cards', 'regress_desk', '{encrypt}');
SELECT * FROM pan_access WHERE role = 'regress_desk';
SELECT ok FROM sdes.health() WHERE "check" = 'grants';
-- granted again without force it is forced no more
SELECT sdes.grant_access('cards', 'regress_desk', '{mask}');
SELECT sdes.revoke_access('cards', 'regress_desk', '{mask,search,encrypt}');

-- by inheritance, either way round; without INHERIT it is not held
SELECT sdes.grant_access('cards', 'regress_clerk', '{mask}');
SELECT sdes.grant_access('cards', 'regress_staff', '{encrypt}');
SELECT sdes.revoke_access('cards', 'regress_clerk', '{mask}');
SELECT sdes.grant_access('cards', 'regress_staff', '{encrypt}');
SELECT sdes.grant_access('cards', 'regress_clerk', '{mask}');
SELECT sdes.grant_access('cards', 'regress_distant', '{mask}');
SELECT sdes.grant_access('cards', 'regress_boss', '{mask}');
SELECT sdes.grant_access('cards', 'regress_boss', '{encrypt}');
SELECT sdes.grant_access('cards', 'regress_clerk', '{mask,decrypt}');
-- by PUBLIC
SELECT sdes.grant_access('cards', 'public', '{mask}');
SELECT sdes.grant_access('cards', 'public', '{mask,encrypt}');
SELECT sdes.revoke_access('cards', 'regress_staff', '{encrypt}');
SELECT sdes.revoke_access('cards', 'regress_shop', '{encrypt,search}');
SELECT sdes.grant_access('cards', 'public', '{mask}');
SELECT sdes.grant_access('cards', 'regress_shop', '{search}');
SELECT sdes.grant_access('cards', 'regress_shop', '{search}', force => true);
SELECT * FROM pan_access;
SELECT sdes.revoke_access('cards', 'public', '{mask}');
SELECT sdes.revoke_access('cards', 'regress_shop', '{search}');
-- a membership that comes later: health() tells
SELECT sdes.grant_access('cards', 'regress_staff', '{search}');
SELECT sdes.grant_access('cards', 'regress_desk', '{mask}');
GRANT regress_staff TO regress_desk;
SELECT "check", ok, detail, hint FROM sdes.health() WHERE "check" = 'grants';
-- what went before keeps nobody from making more columns, or from other grants
ALTER TABLE card ADD COLUMN another sdes.enc_pan('cards');
SELECT sdes.grant_access('cards', 'regress_shop', '{encrypt}');
REVOKE regress_staff FROM regress_desk;
SELECT ok FROM sdes.health() WHERE "check" = 'grants';

-- without card numbers it may be; then they may not come, in whatever form
SELECT sdes.grant_access('later_cards', 'regress_desk', '{mask,search}');
CREATE TABLE text_only (a sdes.enc_text('later_cards'));
CREATE TABLE late (a sdes.enc_pan('later_cards'));
CREATE TABLE late AS SELECT '4111111111111111'::sdes.enc_pan('later_cards') AS a;
CREATE TABLE late (a sdes.enc_pan('later_cards')[]);
CREATE TYPE late AS (a sdes.enc_pan('later_cards'));
CREATE DOMAIN late_number AS sdes.enc_pan('later_cards');
CREATE TABLE late (a late_number);
ALTER TABLE text_only ADD COLUMN b sdes.enc_pan('later_cards');
ALTER TABLE text_only ALTER a TYPE sdes.enc_pan('later_cards') USING NULL;
ALTER TABLE text_only ALTER a TYPE sdes.enc_pan('cards') USING NULL;
ALTER TABLE text_only ALTER a TYPE sdes.enc_pan('later_cards');
CREATE FOREIGN DATA WRAPPER pan_fdw;
CREATE SERVER pan_server FOREIGN DATA WRAPPER pan_fdw;
CREATE FOREIGN TABLE late (a sdes.enc_pan('later_cards')) SERVER pan_server;
-- a view stores nothing; a dump is taken as it is
CREATE VIEW late AS SELECT '4111111111111111'::sdes.enc_pan('later_cards') AS a;
DROP VIEW late;
SET check_function_bodies = off;
CREATE TABLE late (a sdes.enc_pan('later_cards'));
RESET check_function_bodies;
SELECT "check", ok, detail FROM sdes.health() WHERE "check" = 'grants';
SELECT sdes.grant_access('later_cards', 'regress_desk', '{encrypt}');
DROP TABLE late;
-- forced it may come, and in each of those forms it counts
SELECT sdes.grant_access('later_cards', 'regress_desk', '{search}', force => true);
CREATE TABLE late (a late_number[]);
SELECT sdes.grant_access('later_cards', 'regress_shop', '{search,mask}');
DROP TABLE late;
CREATE TYPE late AS (a sdes.enc_pan('later_cards')[]);
SELECT sdes.grant_access('later_cards', 'regress_shop', '{search,mask}');
DROP TYPE late;
CREATE TABLE late (a int, b sdes.enc_pan('later_cards'));
SELECT sdes.grant_access('later_cards', 'regress_shop', '{search,mask}');
ALTER TABLE late DROP COLUMN b;
SELECT sdes.grant_access('later_cards', 'regress_shop', '{search,mask}');
-- a role that is gone counts no more
ALTER TABLE late ADD COLUMN c sdes.enc_pan('later_cards');
DROP ROLE regress_shop;
ALTER TABLE late ADD COLUMN c sdes.enc_pan('later_cards');

DROP FOREIGN DATA WRAPPER pan_fdw CASCADE;
DROP VIEW pan_access;
DROP TABLE card, text_only, late;
DROP DOMAIN late_number;
DROP ROLE regress_desk, regress_staff, regress_clerk, regress_distant, regress_boss;
