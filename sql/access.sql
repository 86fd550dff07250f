-- Who may do what: grants by role, inheritance, SET ROLE, superusers.
CREATE ROLE regress_app LOGIN;
CREATE ROLE regress_support LOGIN;
CREATE ROLE regress_writer LOGIN;
CREATE ROLE regress_stranger LOGIN;
CREATE ROLE regress_team;
CREATE ROLE regress_member IN ROLE regress_team;
CREATE ROLE regress_noinherit NOINHERIT IN ROLE regress_team;
CREATE ROLE regress_officer IN ROLE sdes_officer;
CREATE ROLE regress_super SUPERUSER LOGIN;
CREATE TABLE client (id int, name sdes.enc_text('customer_pii'));
GRANT ALL ON client TO PUBLIC;

-- only officers and, as yet, superusers
SET ROLE regress_stranger;
SELECT sdes.grant_access('customer_pii', 'regress_stranger', '{decrypt}');
SELECT sdes.revoke_access('customer_pii', 'regress_app', '{decrypt}');
INSERT INTO sdes.access VALUES (gen_random_uuid(), 'x', 'decrypt', 0, 0, now(), 'x', false);
SET ROLE regress_officer;
SELECT sdes.grant_access('customer_pii', 'regress_app', '{encrypt,decrypt}');
SELECT sdes.grant_access('customer_pii', 'regress_support', '{mask}');
SELECT sdes.grant_access('customer_pii', 'regress_writer', '{encrypt}');
SELECT sdes.grant_access('customer_pii', 'regress_team', '{decrypt}');
SELECT sdes.grant_access('no_such', 'regress_app', '{decrypt}');
SELECT sdes.grant_access('customer_pii', 'no_such_role', '{decrypt}');
SELECT sdes.grant_access('customer_pii', 'regress_app', '{read}');
SELECT sdes.grant_access('customer_pii', 'regress_app', '{}');
SELECT sdes.grant_access('customer_pii', 'regress_app', '{NULL}');
SELECT sdes.grant_access(NULL, 'regress_app', '{decrypt}');
SELECT sdes.grant_access('customer_pii', NULL, '{decrypt}');
SELECT sdes.grant_access('customer_pii', 'regress_app', NULL);
SELECT sdes.grant_access('customer_pii', 'regress_app', '{decrypt}', NULL);
SELECT sdes.revoke_access('customer_pii', NULL, '{decrypt}');
SELECT sdes.grant_access('#system', 'regress_app', '{decrypt}');
SELECT sdes.revoke_access('customer_pii', 'regress_app', '{search}');
RESET ROLE;

-- reading and writing, each as granted
\connect - regress_app
INSERT INTO client VALUES (1, 'Grace Hopper'), (2, 'Ada'), (3, 'Émilie du Châtelet');
SELECT id, name FROM client ORDER BY id;
SELECT id FROM client WHERE name = 'Ada';
\connect - regress_support
SELECT id, name FROM client ORDER BY id;
SELECT id FROM client WHERE name = 'Ada';
SELECT name::text FROM client;
INSERT INTO client VALUES (4, 'x');
\connect - regress_writer
INSERT INTO client VALUES (4, 'written blind') RETURNING id, lower(name) AS name;
INSERT INTO client VALUES (4, 'written blind');
SELECT id, left((sdes.reveal(name)), 6) AS name FROM client WHERE id = 4;
UPDATE client SET name = lower(name) WHERE id = 4;
-- nor read them by way of a bucket of one's own: moving needs decrypt where they are
\connect - postgres
SELECT sdes.grant_access('payment', 'regress_writer', '{encrypt,decrypt}');
CREATE TABLE mine (id int, name sdes.enc_text('payment'));
GRANT ALL ON mine TO regress_writer;
\connect - regress_writer
INSERT INTO mine SELECT id, name FROM client;
INSERT INTO mine VALUES (1, 'my own') RETURNING name;
UPDATE mine SET name = (SELECT name FROM client WHERE id = 1);
INSERT INTO client SELECT 4, name FROM mine;
\connect - postgres
SELECT sdes.revoke_access('payment', 'regress_writer', '{encrypt,decrypt}');
DROP TABLE mine;
-- who was let call the functions is checked again inside
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sdes TO regress_stranger;
\connect - regress_stranger
SELECT sdes.grant_access('customer_pii', 'regress_stranger', '{decrypt}');
SELECT sdes.revoke_access('customer_pii', 'regress_app', '{decrypt}');
SELECT sdes.create_bucket('strange');
SELECT sdes.retry_pin();
SELECT sdes.invalidate();
\connect - postgres
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA sdes FROM regress_stranger;
\connect - regress_stranger
SELECT id, name ~ '^sdes1:' AS armor FROM (SELECT id, sdes.reveal(name) AS name FROM client) c ORDER BY id;
SELECT lower(name) FROM client;
INSERT INTO client VALUES (5, 'x');
COPY client (name) FROM stdin;
secret
\.
\connect - postgres

-- through roles
SET ROLE regress_member;
SELECT id, name FROM client WHERE id = 2;
SET ROLE regress_noinherit;
SELECT left(sdes.reveal(name), 6) AS name FROM client WHERE id = 2;
RESET ROLE;
CREATE FUNCTION read_as_owner() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER
    SET search_path = public, pg_temp AS 'SELECT name::text FROM client WHERE id = 2';
ALTER FUNCTION read_as_owner() OWNER TO regress_app;
SET ROLE regress_stranger;
SELECT * FROM read_as_owner();
RESET ROLE;
-- a view opens as who asks
CREATE VIEW client_names AS SELECT id, upper(name) AS name FROM client;
GRANT SELECT ON client_names TO PUBLIC;
SET ROLE regress_app;
SELECT name FROM client_names WHERE id = 2;
SET ROLE regress_stranger;
SELECT name FROM client_names WHERE id = 2;
RESET ROLE;

-- a superuser has no grant by default, by whatever role
SELECT sdes.revoke_access('customer_pii', current_user, '{encrypt,decrypt}');
SELECT left(sdes.reveal(name), 6) AS name FROM client WHERE id = 2;
SELECT name::text FROM client WHERE id = 2;
INSERT INTO client VALUES (6, 'x');
SET ROLE regress_app;
SELECT name::text FROM client WHERE id = 2;
SET SESSION AUTHORIZATION regress_app;
SELECT name::text FROM client WHERE id = 2;
RESET SESSION AUTHORIZATION;
-- nor by being one no more
CREATE FUNCTION make_less() RETURNS void LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS 'ALTER ROLE regress_super NOSUPERUSER';
\connect - regress_super
BEGIN;
SET LOCAL SESSION AUTHORIZATION regress_app;
SELECT make_less();
SELECT name::text FROM client WHERE id = 2;
ROLLBACK;
\connect - postgres
-- nor by public, nor by a role it belongs to; by its own name only
SELECT sdes.grant_access('customer_pii', 'public', '{decrypt}');
SELECT name::text FROM client WHERE id = 2;
GRANT regress_app TO CURRENT_USER;
SELECT name::text FROM client WHERE id = 2;
SELECT sdes.grant_access('customer_pii', current_user, '{decrypt}');
SELECT name::text FROM client WHERE id = 2;
SET ROLE regress_super;
SELECT name::text FROM client WHERE id = 2;
SET ROLE regress_stranger;
SELECT name::text FROM client WHERE id = 2;
RESET ROLE;
SELECT sdes.revoke_access('customer_pii', 'public', '{decrypt}');
-- of one who may decrypt and one who may see a mask both may see the mask
SET ROLE regress_support;
SELECT name FROM client WHERE id = 1;
SELECT name::text FROM client WHERE id = 1;
RESET ROLE;
SET ROLE regress_stranger;
SELECT name::text FROM client WHERE id = 2;
SET ROLE regress_app;
SELECT name::text FROM client WHERE id = 2;
RESET ROLE;

-- a grant and its revocation act at once, in prepared statements too
PREPARE q AS SELECT left(sdes.reveal(name), 6) AS name FROM client WHERE id = 2;
EXECUTE q;
SELECT sdes.revoke_access('customer_pii', current_user, '{decrypt}');
EXECUTE q;
SELECT sdes.grant_access('customer_pii', current_user, '{mask}');
EXECUTE q;
BEGIN;
SELECT sdes.grant_access('customer_pii', current_user, '{encrypt,decrypt}');
EXECUTE q;
ROLLBACK;
EXECUTE q;
SELECT sdes.revoke_access('customer_pii', current_user, '{mask}');
SELECT sdes.grant_access('customer_pii', current_user, '{encrypt,decrypt}');

-- a role dropped and made again is another role; so is one that took the name
SET ROLE regress_writer;
INSERT INTO client VALUES (7, 'x');
RESET ROLE;
REVOKE ALL ON client FROM regress_writer;
DROP ROLE regress_writer;
CREATE ROLE regress_writer;
SET ROLE regress_writer;
INSERT INTO client VALUES (7, 'x');
RESET ROLE;
ALTER ROLE regress_support RENAME TO regress_helpdesk;
SET ROLE regress_helpdesk;
SELECT left(sdes.reveal(name), 6) AS name FROM client WHERE id = 2;
RESET ROLE;
ALTER ROLE regress_stranger RENAME TO regress_support;
SET ROLE regress_support;
SELECT left(sdes.reveal(name), 6) AS name FROM client WHERE id = 2;
RESET ROLE;
-- a row that a superuser writes by hand is noticed (signatures come later)
UPDATE sdes.access SET role = 'regress_support',
    role_oid = 'regress_support'::regrole WHERE role = 'regress_team';
SET ROLE regress_support;
SELECT left(sdes.reveal(name), 6) AS name FROM client WHERE id = 2;
SET ROLE regress_member;
SELECT left(sdes.reveal(name), 6) AS name FROM client WHERE id = 2;
RESET ROLE;
-- the system bucket's values open for nobody
SELECT 'literal'::sdes.enc_text::text;
SELECT left(sdes.reveal('literal'::sdes.enc_text), 6) AS literal;
SELECT b.name, a.role, a.privilege FROM sdes.access a JOIN sdes.bucket b ON b.uuid = a.bucket
ORDER BY 1, 2, 3;
DROP VIEW client_names;
DROP FUNCTION read_as_owner(), make_less();
DROP TABLE client;
DROP ROLE regress_app, regress_helpdesk, regress_writer, regress_support, regress_team,
    regress_member, regress_noinherit, regress_officer, regress_super;
