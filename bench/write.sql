\set p random(1, :parts)
\set k random(1, :keyed)
\set v random(1, 100000000)
BEGIN;
UPDATE parts SET n = n + 1, secret = 'order ' || lpad(:v::text, 14, '0') WHERE id = :p;
UPDATE keyed SET n = n + 1 WHERE number = 'K' || lpad(:k::text, 9, '0');
COMMIT;
