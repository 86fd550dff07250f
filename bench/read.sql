\set p random(1, :parts)
\set l random(1, :longs)
\set k random(1, :keyed)
SELECT n, secret FROM parts WHERE id = :p;
SELECT n, secret FROM longs WHERE id = :l;
SELECT k.number, p.mail FROM keyed k JOIN keyed p ON p.number = k.parent WHERE k.mail = 'user' || lpad(:k::text, 9, '0') || '@example.org';
