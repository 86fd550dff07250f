-- What sdes.health() says when all is well.
SELECT "check", ok, CASE WHEN "check" IN ('preload', 'memory', 'orphans') THEN detail END AS detail, hint
FROM sdes.health();
SELECT current_setting('sdes.pkcs11_module') ~ 'lib(softhsm2|softokn3)' AS set;
-- settings: syntax is checked when they are set
ALTER SYSTEM SET sdes.pkcs11_module = '/tmp/evil.so';
ALTER SYSTEM SET sdes.pin_source = '|cat /etc/passwd';
SET sdes.pkcs11_token = 'pkcs11:token=x';
