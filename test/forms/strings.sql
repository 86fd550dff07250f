-- Patterns, functions and operators of text.

--- LIKE
SELECT id, email FROM customers WHERE email LIKE 'user1%@shop5.example' ORDER BY id;
SELECT id FROM customers WHERE email LIKE '%example.org' ORDER BY id LIMIT 20;
SELECT id FROM customers WHERE email LIKE '100\%\_sure%' ORDER BY id;
SELECT id FROM customers WHERE email LIKE '100!%%' ESCAPE '!' ORDER BY id;
SELECT count(*) FROM customers WHERE email NOT LIKE 'user%';
SELECT id FROM customers WHERE email ~~ '_da@%' ORDER BY id;
SELECT id FROM customers WHERE email !~~ 'user%' AND id < 30 ORDER BY id;

--- LIKE with a parameter
--bind text=user1%
SELECT id FROM customers WHERE email LIKE $1 ORDER BY id;

--- LIKE with an untyped parameter
--bind unknown=%shop5%
SELECT id FROM customers WHERE email LIKE $1 ORDER BY id;

--- LIKE with a pattern that is put together
--bind varchar=shop5
SELECT id FROM customers WHERE email LIKE '%' || $1 || '%' ORDER BY id;

--- LIKE ANY
SELECT id FROM customers WHERE email LIKE ANY (ARRAY['ada%', 'Zo%']) ORDER BY id;
SELECT count(*) FROM customers WHERE email NOT LIKE ALL (ARRAY['user%', 'User%']);

--- ILIKE
SELECT id, email FROM customers WHERE email ILIKE 'ADA@%' ORDER BY id;
SELECT id FROM customers WHERE email ILIKE '%EXÄMPLE%' ORDER BY id;
SELECT count(*) FROM customers WHERE email NOT ILIKE 'user%';
SELECT id FROM customers WHERE name ~~* 'zoë' ORDER BY id LIMIT 5;

--- a chain of ILIKE, as a shop's search box sends it
SELECT id, email, name FROM customers WHERE email ILIKE '%ada%' OR name ILIKE '%ada%' OR phone ILIKE '%ada%' OR country ILIKE '%ada%' ORDER BY id LIMIT 25 OFFSET 0;

--- the same with parameters
--bind varchar=%ada%
SELECT id, email, name FROM customers WHERE email ILIKE $1 OR name ILIKE $1 OR phone ILIKE $1 ORDER BY id DESC LIMIT 25;

--- SIMILAR TO
SELECT id FROM customers WHERE email SIMILAR TO '(ada|zoë)@%' ORDER BY id;
SELECT count(*) FROM customers WHERE email NOT SIMILAR TO 'user[0-9]+@%';

--- regular expressions
SELECT id FROM customers WHERE email ~ '^user1[0-3]@' ORDER BY id;
SELECT id FROM customers WHERE email ~* '^USER1[0-3]@' ORDER BY id;
SELECT count(*) FROM customers WHERE email !~ '@example.org$';
SELECT count(*) FROM customers WHERE email !~* 'EXAMPLE';

--- regular expression functions
SELECT id, regexp_replace(email, '@.*', '') AS r FROM customers WHERE id < 20 ORDER BY id;
SELECT id, regexp_match(email, '(.*)@(.*)') AS r FROM customers WHERE id < 20 ORDER BY id;
SELECT id, regexp_matches(email, '[a-z]+', 'g') AS r FROM customers WHERE id < 5 ORDER BY id, r;
SELECT id, regexp_split_to_array(email, '[@.]') AS r FROM customers WHERE id < 20 ORDER BY id;
SELECT id, regexp_split_to_table(email, '@') AS r FROM customers WHERE id < 5 ORDER BY id, r;
SELECT id, regexp_count(email, 'e') AS n, regexp_like(email, 'ada') AS l, regexp_substr(email, '@.*') AS s FROM customers WHERE id < 9 ORDER BY id;

--- LOWER equal | index
SELECT id, email FROM customers WHERE LOWER(email) = 'ada@example.org' ORDER BY id;
SELECT id, email FROM customers WHERE lower(email) = lower('ADA@Example.ORG') ORDER BY id;
SELECT id, email FROM customers WHERE 'ada@example.org' = lower(email) ORDER BY id;
SELECT id FROM customers WHERE lower(email) = 'zoë@exämple.org' ORDER BY id;
SELECT id FROM customers WHERE lower(email) = 'Ada@example.org';
SELECT id FROM customers WHERE lower(email) = '' ORDER BY id;

--- LOWER equal to a text | index
SELECT id, email FROM customers WHERE LOWER(email) = 'ada@example.org'::text ORDER BY id;
SELECT id, email FROM customers WHERE LOWER(email) = 'ada@example.org'::varchar ORDER BY id;

--- LOWER equal to a text parameter | index
--bind text=user20@example.org
SELECT id, email FROM customers WHERE LOWER(email) = $1 ORDER BY id;

--- LOWER equal to a varchar parameter | index
--bind varchar=user20@example.org
SELECT id, email FROM customers WHERE LOWER(email) = $1 ORDER BY id;

--- LOWER equal to the LOWER of a parameter | index
--bind varchar=USER20@example.org
SELECT id, email FROM customers WHERE LOWER(email) = LOWER($1) ORDER BY id;

--- LOWER equal, prepared | index
PREPARE p AS SELECT id, email FROM customers WHERE lower(email) = $1 ORDER BY id;
EXECUTE p ('user20@example.org');
EXECUTE p ('ada@example.org');

--- LOWER IN | index
SELECT id FROM customers WHERE LOWER(email) IN ('ada@example.org', 'zoë@exämple.org') ORDER BY id;
SELECT id FROM customers WHERE LOWER(email) = ANY (ARRAY['ada@example.org', 'zoë@exämple.org']) ORDER BY id;

--- LOWER ANY of a parameter | index
--bind text[]={ada@example.org,zoë@exämple.org}
SELECT id FROM customers WHERE LOWER(email) = ANY ($1) ORDER BY id;

--- LOWER of a cast | index
SELECT id FROM customers WHERE LOWER(email::text) = 'ada@example.org' ORDER BY id;

--- LOWER in a multi-column unique index | index
SELECT id FROM accounts WHERE shop = 'shop 1' AND lower(email) = 'account3@example.org';

--- LOWER in a join
SELECT a.id, b.id FROM customers a JOIN customers b ON lower(a.email) = lower(b.email) AND a.id < b.id WHERE a.id < 100 ORDER BY 1, 2;
SELECT c.id, k.id FROM customers c JOIN contacts k ON lower(c.email) = lower(k.plain_email) WHERE c.id < 40 ORDER BY 1, 2;

--- LOWER in UPDATE and DELETE | index
UPDATE customers SET country = 'xx' WHERE LOWER(email) = 'ada@example.org' RETURNING id, email;
DELETE FROM accounts WHERE lower(email) = 'account3@example.org' AND shop = 'shop 1' RETURNING id, email;

--- LOWER different
SELECT count(*) FROM customers WHERE LOWER(email) <> 'ada@example.org';
SELECT count(*) FROM customers WHERE LOWER(email) NOT IN ('ada@example.org', 'zoë@exämple.org');

--- LOWER LIKE
SELECT id FROM customers WHERE LOWER(email) LIKE 'ada%' ORDER BY id;

--- LOWER of a column without an index for it
SELECT id FROM customers WHERE lower(name) = 'ada lovelace' AND id < 50 ORDER BY id;

--- UPPER
SELECT id, UPPER(email) FROM customers WHERE UPPER(email) = 'ADA@EXAMPLE.ORG' ORDER BY id;
SELECT id, initcap(name) FROM customers WHERE id < 20 ORDER BY id;
SELECT lower(name), upper(name) FROM customers WHERE id < 20 ORDER BY id;

--- length and its kin
SELECT id, length(email), char_length(email), octet_length(email), bit_length(email) FROM customers WHERE id < 12 ORDER BY id;
SELECT id FROM customers WHERE length(email) > 100 ORDER BY id;

--- parts of a value
SELECT id, substring(email FROM 2 FOR 3) AS a, substr(email, 2) AS b, left(email, 3) AS c, right(email, 4) AS d,
    substring(email FROM '@(.*)$') AS e, split_part(email, '@', 2) AS f FROM customers WHERE id < 20 ORDER BY id;
SELECT id FROM customers WHERE split_part(email, '@', 2) = 'shop5.example' ORDER BY id LIMIT 10;
SELECT id FROM customers WHERE left(email, 3) = 'ada' ORDER BY id;

--- positions
SELECT id, position('@' IN email) AS p, strpos(email, 'example') AS s FROM customers WHERE id < 20 ORDER BY id;

--- changed values
SELECT id, replace(email, 'example', 'test') AS a, translate(email, 'abc', 'xyz') AS b, overlay(email PLACING '*' FROM 2 FOR 2) AS c,
    trim(email) AS d, btrim(email, 'a') AS e, ltrim(email) AS f, rtrim(email) AS g, lpad(email, 5) AS h, rpad(email, 30, '.') AS i,
    reverse(email) AS j, repeat(email, 2) AS k, ascii(email) AS l FROM customers WHERE id < 10 ORDER BY id;

--- pieces put together
SELECT id, email || ' <' || COALESCE(name, '') || '>' AS a FROM customers WHERE id < 12 ORDER BY id;
SELECT id, 'mailto:' || email AS a, email || 1 AS b, email || name AS c FROM customers WHERE id < 9 ORDER BY id;
SELECT id FROM customers WHERE email || 'x' = 'ada@example.orgx';

--- concat and format
SELECT id, concat(email, '/', name) AS a, concat_ws(', ', name, phone, email) AS b FROM customers WHERE id < 12 OR id = 97 ORDER BY id;
SELECT id, format('%s <%s> %L', name, email, phone) AS a FROM customers WHERE id < 12 OR id = 97 ORDER BY id;
SELECT id, concat(email::text, name::text) AS a FROM customers WHERE id < 5 ORDER BY id;

--- quote_literal and quote_nullable
SELECT id, quote_literal(email) AS a, quote_nullable(email) AS b, quote_ident(email) AS c FROM customers WHERE id < 9 OR id = 97 ORDER BY id;

--- beginnings
SELECT id FROM customers WHERE starts_with(email, 'ada') ORDER BY id;
SELECT id FROM customers WHERE email ^@ 'Zo' ORDER BY id;

--- digests and encodings
SELECT id, md5(email) FROM customers WHERE id < 10 ORDER BY id;
SELECT id, encode(sha256(convert_to(email, 'UTF8')), 'hex') AS h FROM customers WHERE id < 10 ORDER BY id;
SELECT id FROM customers WHERE md5(email) = md5('ada@example.org');

--- casts
SELECT id, email::text AS a, email::varchar AS b, email::varchar(5) AS c, email::char(5) AS d, CAST(email AS text) AS e FROM customers WHERE id < 9 ORDER BY id;
SELECT id, email::text = 'ada@example.org' AS t FROM customers WHERE id < 4 ORDER BY id;

--- the cast as a function | except: text-function 42883
SELECT id, text(email) AS t FROM customers WHERE id < 4 ORDER BY id;

--- the cast as a cast | instead: text-function
SELECT id, email::text AS t FROM customers WHERE id < 4 ORDER BY id;

--- casts to other types
CREATE TEMP TABLE n (v @TEXT@);
INSERT INTO n VALUES ('42'), ('7');
SELECT v::text::int + 1 AS i, v::text::numeric AS n FROM n ORDER BY 1;

--- casts to name and bytea
SELECT id, email::text::name AS n, email::text::bytea AS b FROM customers WHERE id IN (1, 2) ORDER BY id;

--- full text search
SELECT id, to_tsvector('simple', name) AS v FROM customers WHERE to_tsvector('simple', name) @@ to_tsquery('simple', 'lovelace') ORDER BY id LIMIT 5;
SELECT id FROM customers WHERE to_tsvector('simple', name) @@ plainto_tsquery('simple', 'de la cruz') ORDER BY id LIMIT 5;

--- string_to_array and unnest
SELECT id, string_to_array(name, ' ') AS a FROM customers WHERE id < 9 ORDER BY id;
SELECT id, w FROM customers, unnest(string_to_array(name, ' ')) AS w WHERE id < 9 ORDER BY id, w;
SELECT id, w FROM customers, regexp_split_to_table(email, '@') AS w WHERE id < 9 ORDER BY id, w;

--- a function of the application
CREATE FUNCTION pg_temp.domain_of(text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT split_part($1, '@', 2) $$;
SELECT id, pg_temp.domain_of(email) AS d FROM customers WHERE pg_temp.domain_of(email) = 'shop5.example' ORDER BY id LIMIT 5;

--- functions of card numbers
SELECT id, left(card, 6) AS bin, right(card, 4) AS last, length(card) AS n FROM orders WHERE id < 12 ORDER BY id;
SELECT id FROM orders WHERE card LIKE '4111%' AND id < 50 ORDER BY id;
SELECT id, regexp_replace(card, '\d(?=\d{4})', '*', 'g') AS m FROM orders WHERE id < 12 ORDER BY id;

--- normalized text
SELECT id, normalize(name) = name AS n, name IS NORMALIZED AS i FROM customers WHERE id < 12 ORDER BY id;

--- text arrays from values
SELECT id, ARRAY[email::text, name::text] AS a FROM customers WHERE id < 6 ORDER BY id;

--- a value as a pattern
SELECT id FROM customers WHERE 'ada lovelace' LIKE name AND id < 40 ORDER BY id;
SELECT id FROM customers WHERE 'ada@example.org' ~ email AND email <> '' AND id < 7 ORDER BY id;
