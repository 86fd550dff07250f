-- roles.sql
--     Who the clients log in as: oms (the application) may all, support sees masks,
--     stranger has no grant. app may become each of them, but is none (PgBouncer's test).
CREATE ROLE oms LOGIN;
CREATE ROLE support LOGIN;
CREATE ROLE stranger LOGIN;
CREATE ROLE app LOGIN NOINHERIT IN ROLE oms, support, stranger;

-- Makes the roles that every database's extension shares, before two make them at once.
CREATE EXTENSION sdes;
