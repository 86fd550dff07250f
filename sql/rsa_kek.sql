-- A bucket whose data keys are wrapped by an RSA key: values are sealed as in any
-- other of mode cached.
SELECT sdes.create_bucket('by_rsa', kek => 'rsa-4096') IS NOT NULL AS created;
SELECT k.bucket, k.mode, k.kek_kind, k.wrapped_by, octet_length(d.wrapped)
FROM sdes.keys AS k JOIN sdes.dek AS d ON encode(d.key_id, 'hex') = k.key_id WHERE k.bucket = 'by_rsa';
CREATE ROLE regress_writer LOGIN;
SELECT sdes.grant_access('by_rsa', 'regress_writer', '{encrypt,decrypt}');
CREATE TABLE far (id int, secret sdes.enc_text('by_rsa'));
GRANT ALL ON far TO regress_writer;
\connect - regress_writer
INSERT INTO far VALUES (1, 'Ada by RSA') RETURNING secret;
\connect - regress_writer
SELECT * FROM far;
UPDATE far SET secret = secret || ' again';
SELECT * FROM far;
\connect - postgres
SELECT "check", ok FROM sdes.health() WHERE "check" IN ('kek', 'dek') ORDER BY 1;
DROP TABLE far;
SELECT sdes.revoke_access('by_rsa', 'regress_writer', '{encrypt,decrypt}');
DROP ROLE regress_writer;
