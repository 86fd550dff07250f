-- The extension as a newcomer meets it.
-- (not into a schema that somebody has prepared)
CREATE ROLE regress_squatter;
CREATE SCHEMA sdes AUTHORIZATION regress_squatter;
\set SHOW_CONTEXT never
CREATE EXTENSION sdes;
\set SHOW_CONTEXT errors
DROP SCHEMA sdes;
DROP ROLE regress_squatter;
CREATE EXTENSION sdes;
SELECT extname, extversion, extnamespace::regnamespace, obj_description(oid, 'pg_extension') FROM pg_extension WHERE extname = 'sdes';
-- \dx+, but for the types of rows and arrays, which PostgreSQL 17 lists, too
SELECT pg_describe_object(classid, objid, 0) AS "Object description"
FROM pg_depend d
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
    AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'sdes')
    AND NOT EXISTS (SELECT FROM pg_type t
        WHERE classid = 'pg_type'::regclass AND t.oid = objid AND (typrelid <> 0 OR typcategory = 'A'))
ORDER BY 1;
-- every object says what it is
SELECT pg_describe_object(classid, objid, objsubid)
FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'sdes')
  AND classid <> 'pg_type'::regclass
  AND obj_description(objid, classid::regclass::name) IS NULL
ORDER BY 1;
SELECT rolname, rolcanlogin, shobj_description(oid, 'pg_authid')
FROM pg_roles WHERE rolname LIKE 'sdes\_%' ORDER BY 1;
-- it has no other place
ALTER EXTENSION sdes SET SCHEMA public;
-- before the first bucket: clear errors, nothing stored
SELECT 'a'::sdes.enc_text;
SELECT '4111111111111111'::sdes.enc_pan;
SELECT 'a'::sdes.enc_pan;
CREATE TABLE early (a sdes.enc_text('nobucket'));
SELECT * FROM sdes.buckets;
