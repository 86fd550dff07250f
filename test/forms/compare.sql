-- Equality in all its spellings.

--- equal to a literal | index
SELECT id, email, name FROM customers WHERE email = 'ada@example.org';

--- literal on the left | index
SELECT id FROM customers WHERE 'Ada@example.org' = email;

--- equal to a literal that is cast | index
SELECT id, email FROM customers WHERE email = 'ada@example.org'::text;
SELECT id, email FROM customers WHERE email = 'ada@example.org'::varchar;
SELECT id, email FROM customers WHERE email = 'ada@example.org'::varchar(100);
SELECT id, email FROM customers WHERE email = CAST('ada@example.org' AS text);

--- equal to a literal of type char | index
SELECT id, email FROM customers WHERE email = 'ada@example.org'::char(15)::text;

--- equal to a literal of type char that is padded
SELECT id, email FROM customers WHERE email = 'ada@example.org'::char(20);

--- equal to special values | index
SELECT id FROM customers WHERE email = '';
SELECT id FROM customers WHERE email = 'o''brien@example.org';
SELECT id FROM customers WHERE email = E'back\\slash "quoted"@example.org';
SELECT id FROM customers WHERE email = $x$o'brien@example.org$x$;
SELECT id FROM customers WHERE email = 'zoë@exämple.org';
SELECT id FROM customers WHERE email = U&'zo\00eb@ex\00e4mple.org';
SELECT id FROM customers WHERE email = ' space@example.org ';
SELECT id FROM customers WHERE email = 'space@example.org';
SELECT id FROM customers WHERE email = '100%_sure@example.org';
SELECT id FROM customers WHERE email = repeat('long', 150) || '@example.org';

--- equal to NULL | index
SELECT count(*) FROM customers WHERE email = NULL;
SELECT count(*) FROM customers WHERE email IS NULL;
SELECT count(*) FROM customers WHERE email IS NOT NULL;

--- text parameter of the protocol | index
--bind text=ada@example.org
SELECT id, email, name FROM customers WHERE email = $1;

--- varchar parameter of the protocol | index
--bind varchar=ada@example.org
SELECT id, email, name FROM customers WHERE email = $1;

--- untyped parameter of the protocol | except: parameter-type parameters
--bind unknown=ada@example.org
SELECT id, email, name FROM customers WHERE email = $1;

--- parameter that is cast | index | instead: parameter-type
--bind text=user12@shop5.example
SELECT id, email FROM customers WHERE email = $1::text;

--- NULL parameter of the protocol
--bind text=\N
SELECT id, email FROM customers WHERE email = $1 OR ($1 IS NULL AND email IS NULL);

--- parameter that may be NULL | index
--bind text=ada@example.org
SELECT id, email FROM customers WHERE email = $1 AND $1 IS NOT NULL;

--- two parameters of the protocol | index
--bind varchar=ada@example.org | int4=1
SELECT id, email FROM customers WHERE email = $1 AND id = $2;

--- PREPARE with a typed parameter | index
PREPARE p (text) AS SELECT id, email FROM customers WHERE email = $1;
EXECUTE p ('ada@example.org');
EXECUTE p ('nobody');
EXECUTE p (NULL);

--- PREPARE with a varchar parameter | index
PREPARE p (varchar) AS SELECT id, email FROM customers WHERE email = $1;
EXECUTE p ('ada@example.org');

--- PREPARE with an untyped parameter | index
PREPARE p AS SELECT id, email FROM customers WHERE email = $1;
EXECUTE p ('ada@example.org');
EXECUTE p ('Ada@example.org');
EXECUTE p ('ADA@example.org');

--- PREPARE, executed until the plan is generic
PREPARE p (text) AS SELECT id, email FROM customers WHERE email = $1;
EXECUTE p ('user12@shop5.example');
EXECUTE p ('user13@shop6.example');
EXECUTE p ('user14@shop0.example');
EXECUTE p ('user15@shop1.example');
EXECUTE p ('user16@shop2.example');
EXECUTE p ('user17@shop3.example');
EXECUTE p ('user18@shop4.example');
EXECUTE p ('ada@example.org');

--- not equal
SELECT id FROM customers WHERE email <> 'ada@example.org' AND id < 20 ORDER BY id;
SELECT id FROM customers WHERE email != 'ada@example.org' AND id < 20 ORDER BY id;
SELECT id FROM customers WHERE 'ada@example.org' <> email AND id < 20 ORDER BY id;
SELECT count(*) FROM customers WHERE NOT email = 'ada@example.org';

--- IN a list | index
SELECT id, email FROM customers WHERE email IN ('ada@example.org', 'Ada@example.org', 'nobody') ORDER BY id;

--- IN a list of one, of equal ones, with NULL | index
SELECT id FROM customers WHERE email IN ('ada@example.org');
SELECT id FROM customers WHERE email IN ('ada@example.org', 'ada@example.org');
SELECT id FROM customers WHERE email IN ('ada@example.org', NULL);

--- IN a list of casts | index
SELECT id FROM customers WHERE email IN ('ada@example.org'::text, 'Ada@example.org'::text) ORDER BY id;
SELECT id FROM customers WHERE email IN ('ada@example.org'::varchar, 'Ada@example.org'::varchar) ORDER BY id;

--- IN a long list | index
SELECT id, email FROM customers WHERE email IN ('user12@shop5.example', 'user13@shop6.example', 'user14@shop0.example', 'user15@shop1.example',
    'user16@shop2.example', 'user17@shop3.example', 'user18@shop4.example', 'user22@shop1.example', 'user23@shop2.example', 'a', 'b', 'c', 'd') ORDER BY id;

--- IN a list of parameters of the protocol | index
--bind varchar=ada@example.org | text=Ada@example.org
SELECT id, email FROM customers WHERE email IN ($1, $2) ORDER BY id;

--- NOT IN a list
SELECT id FROM customers WHERE email NOT IN ('ada@example.org', 'Ada@example.org') AND id < 20 ORDER BY id;
SELECT count(*) FROM customers WHERE email NOT IN ('ada@example.org', NULL);

--- a hashed NOT IN list
SELECT count(*) FROM customers WHERE email NOT IN ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'ada@example.org');

--- ANY of an array | index
SELECT id, email FROM customers WHERE email = ANY ('{ada@example.org,Ada@example.org,"",nobody}') ORDER BY id;

--- ANY of an array of text | index
SELECT id, email FROM customers WHERE email = ANY (ARRAY['ada@example.org', 'Ada@example.org']) ORDER BY id;
SELECT id, email FROM customers WHERE email = ANY (ARRAY['ada@example.org', 'Ada@example.org']::text[]) ORDER BY id;
SELECT id, email FROM customers WHERE email = ANY ('{ada@example.org,Ada@example.org}'::text[]) ORDER BY id;
SELECT id, email FROM customers WHERE email = ANY ('{}'::text[]);
SELECT id, email FROM customers WHERE email = ANY (ARRAY['ada@example.org']::varchar[]);

--- ANY of a text array parameter | index
--bind text[]={ada@example.org,Ada@example.org,NULL}
SELECT id, email FROM customers WHERE email = ANY ($1) ORDER BY id;

--- ANY of a varchar array parameter | index
--bind varchar[]={ada@example.org,Ada@example.org}
SELECT id, email FROM customers WHERE email = ANY ($1) ORDER BY id;

--- ANY of an untyped array parameter, prepared | index
PREPARE p AS SELECT id, email FROM customers WHERE email = ANY ($1) ORDER BY id;
EXECUTE p ('{ada@example.org,Ada@example.org}');

--- different from ALL
SELECT count(*) FROM customers WHERE email <> ALL ('{ada@example.org,Ada@example.org}');
SELECT count(*) FROM customers WHERE email <> ALL (ARRAY['ada@example.org', 'nobody']);

--- equal to SOME
SELECT id FROM customers WHERE email = SOME (ARRAY['ada@example.org', 'nobody']);

--- IN a subquery | index
SELECT o.id, o.customer_email FROM orders o WHERE o.customer_email IN (SELECT email FROM customers WHERE id < 30) ORDER BY o.id;

--- IN a subquery of text | index
SELECT id, email FROM customers WHERE email IN (SELECT plain_email FROM contacts WHERE id < 40) ORDER BY id;

--- text IN a subquery of encrypted values
SELECT id FROM contacts WHERE plain_email IN (SELECT email FROM customers WHERE id < 40) ORDER BY id;

--- NOT IN a subquery
SELECT id FROM customers WHERE email NOT IN (SELECT customer_email FROM orders WHERE customer_email IS NOT NULL) AND id < 100 ORDER BY id;

--- EXISTS
SELECT c.id FROM customers c WHERE EXISTS (SELECT FROM orders o WHERE o.customer_email = c.email AND o.total > 240) ORDER BY c.id;

--- NOT EXISTS
SELECT c.id FROM customers c WHERE NOT EXISTS (SELECT FROM orders o WHERE o.customer_email = c.email) ORDER BY c.id;

--- ANY of a subquery
SELECT id FROM customers WHERE email = ANY (SELECT customer_email FROM orders WHERE total < 10) ORDER BY id;
SELECT count(*) FROM customers WHERE email <> ALL (SELECT customer_email FROM orders WHERE total < 10 AND customer_email IS NOT NULL);

--- equal to a scalar subquery | index
SELECT id FROM orders WHERE customer_email = (SELECT email FROM customers WHERE id = 8) ORDER BY id;

--- equal to a function's result | index
SELECT id FROM customers WHERE email = lower('ADA@example.org');
SELECT id FROM customers WHERE email = concat('ada', '@', 'example.org');
SELECT id FROM customers WHERE email = trim('  ada@example.org ');
SELECT id FROM customers WHERE email = coalesce(NULL, 'ada@example.org');

--- rows compared | index
SELECT id FROM accounts WHERE (shop, email) = ('shop 1', 'account3@example.org');
SELECT id FROM accounts WHERE ROW(shop, email) = ROW('shop 1', 'account3@example.org');
SELECT id FROM accounts WHERE (shop, email) IN (('shop 1', 'account3@example.org'), ('shop 2', 'account4@example.org')) ORDER BY id;

--- rows compared with a subquery
SELECT id FROM accounts WHERE (shop, email) IN (SELECT shop, email FROM accounts WHERE id < 10) ORDER BY id;
SELECT id FROM accounts WHERE (shop, email) <> ('shop 1', 'account3@example.org') AND id < 10 ORDER BY id;

--- rows in order
SELECT id FROM customers WHERE (email, id) > ('user12', 5) AND id < 60 ORDER BY id;
SELECT id FROM customers WHERE (email, id) <= ('User20@Example.org', 20) AND id < 60 ORDER BY id;

--- IS DISTINCT FROM
SELECT id FROM customers WHERE email IS DISTINCT FROM 'ada@example.org' AND id IN (1, 2, 97, 98) ORDER BY id;
SELECT id FROM customers WHERE email IS NOT DISTINCT FROM 'ada@example.org';
SELECT count(*) FROM customers WHERE email IS NOT DISTINCT FROM NULL;
SELECT count(*) FROM customers c JOIN customers d ON c.email IS NOT DISTINCT FROM d.email WHERE c.id < 100 AND d.id < 100;
SELECT count(*) FROM customers WHERE (email, name) IS DISTINCT FROM ('ada@example.org', 'ada lovelace');

--- NULLIF
SELECT id, NULLIF(email, 'ada@example.org') FROM customers WHERE id < 5 ORDER BY id;
SELECT id, NULLIF(email, '') IS NULL AS missing FROM customers WHERE id IN (3, 4, 97) ORDER BY id;

--- COALESCE
SELECT id, COALESCE(email, 'none') FROM customers WHERE id IN (1, 97) ORDER BY id;
SELECT id, COALESCE(name, phone, 'none') AS n FROM customers WHERE id IN (20, 50, 97, 100) ORDER BY id;
SELECT id FROM customers WHERE COALESCE(email, '') = '' ORDER BY id;
SELECT id FROM customers WHERE COALESCE(email, 'none') = 'none' ORDER BY id;

--- COALESCE below an operator of text
SELECT id FROM customers WHERE COALESCE(email, '') LIKE 'a%' ORDER BY id;
SELECT id FROM customers WHERE COALESCE(email, '') ~* 'ada' ORDER BY id;
SELECT id, length(COALESCE(email, 'none')) FROM customers WHERE id IN (1, 97) ORDER BY id;
SELECT id, 'x' || COALESCE(email, 'none') AS x FROM customers WHERE id IN (1, 97) ORDER BY id;
SELECT id, lower(CASE WHEN id = 1 THEN 'One' ELSE email END) AS x FROM customers WHERE id IN (1, 97) ORDER BY id;

--- COALESCE in a subquery | except: literal-branch 42501
SELECT e FROM (SELECT id, COALESCE(email, 'none') AS e FROM customers) AS s WHERE id IN (1, 97);

--- COALESCE in a view | except: literal-branch 42501
CREATE TEMP VIEW v AS SELECT id, COALESCE(email, 'none') AS e FROM customers;
SELECT * FROM v WHERE id IN (1, 97);

--- NULLIF of a literal | except: literal-branch 42501
SELECT id, lower(NULLIF('ada@example.org', email)) FROM customers WHERE id < 5;

--- COALESCE in views and subqueries, cast | instead: literal-branch
SELECT e FROM (SELECT id, COALESCE(email::text, 'none') AS e FROM customers) AS s WHERE id IN (1, 97) ORDER BY id;
CREATE TEMP VIEW v AS SELECT id, COALESCE(email::text, 'none') AS e FROM customers;
SELECT * FROM v WHERE id IN (1, 97) ORDER BY id;
SELECT length(COALESCE(email::text, 'none')) FROM customers WHERE id IN (1, 97) ORDER BY id;
SELECT id, NULLIF('ada@example.org', email::text) FROM customers WHERE id < 5 ORDER BY id;

--- CASE with values
SELECT id, CASE email WHEN 'ada@example.org' THEN 'ada' WHEN '' THEN 'empty' ELSE 'other' END FROM customers WHERE id < 8 ORDER BY id;

--- CASE with conditions
SELECT id, CASE WHEN email = 'ada@example.org' THEN 1 WHEN email LIKE 'Zo%' THEN 2 WHEN email IS NULL THEN 3 ELSE 4 END
    FROM customers WHERE id IN (1, 2, 5, 6, 97) ORDER BY id;

--- CASE whose result is encrypted
SELECT id, CASE WHEN id % 2 = 0 THEN email ELSE name END AS x FROM customers WHERE id < 10 ORDER BY id;
SELECT id, CASE WHEN id % 2 = 0 THEN email ELSE 'odd' END AS x FROM customers WHERE id < 10 ORDER BY id;
SELECT id, CASE WHEN id % 2 = 0 THEN email ELSE country END AS x FROM customers WHERE id < 10 ORDER BY id;
SELECT id FROM customers WHERE CASE WHEN id = 1 THEN email ELSE 'ada@example.org' END = 'ada@example.org' ORDER BY id LIMIT 3;

--- GREATEST and LEAST
SELECT id, GREATEST(email, name) AS g, LEAST(email, name) AS l FROM customers WHERE id < 20 ORDER BY id;
SELECT id, GREATEST(email, 'user') AS g FROM customers WHERE id < 20 ORDER BY id;

--- one column of a table with another
SELECT id FROM customers WHERE email = name ORDER BY id;
SELECT id FROM customers WHERE name = phone OR email <> name ORDER BY id LIMIT 5;
SELECT id FROM contacts WHERE email = plain_email AND id < 30 ORDER BY id;
SELECT count(*) FROM contacts WHERE email <> plain_email;

--- without a token
SELECT id FROM orders WHERE note = 'gift 31' ORDER BY id;
SELECT count(*) FROM orders WHERE note IN ('gift 31', 'note 1', 'note 2');
SELECT count(*) FROM orders WHERE note <> 'note 1';
SELECT count(*) FROM orders a JOIN orders b ON a.note = b.note WHERE a.id < 60 AND b.id < 60;

--- card numbers | index
SELECT id, card FROM orders WHERE card = '378282246310005' AND id < 100 ORDER BY id;
SELECT id, card FROM orders WHERE card IN ('378282246310005', '4111111111111111') AND id < 50 ORDER BY id;
SELECT count(*) FROM orders WHERE card = '378282246310005'::text;
SELECT count(*) FROM orders WHERE card <> '378282246310005';

--- card numbers by a parameter | index
--bind varchar=378282246310005
SELECT count(*) FROM orders WHERE card = $1;

--- with OR | index
SELECT id FROM customers WHERE email = 'ada@example.org' OR phone = '+49 30 1017' ORDER BY id;

--- with AND | index
SELECT id FROM customers WHERE email = 'ada@example.org' AND country = 'fr';
SELECT id FROM orders WHERE customer_email = 'user22@shop1.example' AND placed_at > '2026-01-01' ORDER BY id;

--- by a multi-column index | index
SELECT id FROM accounts WHERE shop = 'shop 2' AND email = 'account12@example.org';

--- index-only lookup | indexonly
SELECT count(*) FROM customers WHERE phone = '+49 30 1017';
SELECT email FROM customers WHERE email = 'ada@example.org';

--- by a hash index | index
SELECT id FROM devices WHERE serial = 'SN-7' ORDER BY id;
SELECT id FROM devices WHERE serial IN ('SN-7', 'SN-8') ORDER BY id;

--- by a hash index, text parameter | index
--bind text=SN-7
SELECT id FROM devices WHERE serial = $1 ORDER BY id;

--- a partial index | index
SELECT id FROM accounts WHERE backup = 'x' AND deleted_at IS NULL;

--- a domain searched | index
SELECT id, main FROM people WHERE main = 'main7@example.org' ORDER BY id;
SELECT id, main FROM people WHERE main IN ('main7@example.org', 'main8@example.org') ORDER BY id;

--- pgjdbc's setString on all kinds of columns | index
--bind varchar=session7@example.org | varchar=token 7
SELECT email, token, seen FROM sessions WHERE email = $1 AND token = $2;

--- BETWEEN, less, greater | noindex
SELECT id FROM customers WHERE email BETWEEN 'a' AND 'b' ORDER BY id;
SELECT id FROM customers WHERE email < 'b' ORDER BY id;
SELECT id FROM customers WHERE email >= 'user99' ORDER BY id;
SELECT id FROM customers WHERE email > 'user99'::text AND email <= 'v' ORDER BY id;
SELECT id FROM customers WHERE NOT email > 'b' ORDER BY id;

--- BETWEEN SYMMETRIC, and two columns | noindex
SELECT id FROM customers WHERE email BETWEEN SYMMETRIC 'b' AND 'a' ORDER BY id;
SELECT id FROM customers WHERE email < name AND id < 100 ORDER BY id;
SELECT count(*) FROM customers c JOIN customers d ON c.email < d.email WHERE c.id < 30 AND d.id < 30;

--- a range with parameters | noindex
--bind text=b
SELECT id FROM customers WHERE email < $1 ORDER BY id;

--- a range with a collation
SELECT id FROM customers WHERE email COLLATE "C" < 'b' AND id < 100 ORDER BY id;
SELECT id FROM customers WHERE email > 'user' COLLATE "en-x-icu" AND id < 100 ORDER BY id;

--- equality with a collation
SELECT id FROM customers WHERE email = 'ada@example.org' COLLATE "C";
