-- What versions of PostgreSQL after 15 have brought.

--- since 16: SQL/JSON constructors | since: 16
SELECT id, JSON_OBJECT('e': email, 'n': name ABSENT ON NULL), JSON_ARRAY(email, phone) FROM customers WHERE id < 12 ORDER BY id;
SELECT JSON_OBJECT('e': email RETURNING jsonb) ->> 'e' FROM customers WHERE id = 1;
SELECT JSON_OBJECTAGG(id: email), JSON_ARRAYAGG(email ORDER BY id) FROM customers WHERE id < 12;
SELECT JSON_ARRAY(SELECT email FROM customers WHERE id < 12 AND email IS NOT NULL ORDER BY id);

--- since 16: any_value | since: 16
SELECT country, any_value(email) IS NOT NULL FROM customers WHERE id IN (1, 2, 4, 5) GROUP BY country ORDER BY country;
SELECT any_value(email) FROM customers WHERE id = 1;

--- since 17: MERGE RETURNING | since: 17
MERGE INTO customers AS c USING (VALUES (1, 'merged@example.org'), (9001, 'nine@example.org')) AS s (id, e) ON c.id = s.id
    WHEN MATCHED THEN UPDATE SET email = s.e WHEN NOT MATCHED THEN INSERT (id, email) VALUES (s.id, s.e)
    RETURNING merge_action(), c.id, c.email, lower(c.email), s.e;
SELECT id, email FROM customers WHERE email IN ('merged@example.org', 'nine@example.org') ORDER BY id;
MERGE INTO customers AS c USING customers AS s ON c.id = s.id + 1 AND s.id IN (1, 4) WHEN MATCHED THEN UPDATE SET email = s.email || '.next'
    RETURNING c.id, c.email, s.email;

--- since 17: MERGE in WITH | since: 17
WITH m AS (MERGE INTO customers AS c USING (VALUES (4, 'merged@example.org')) AS s (id, e) ON c.id = s.id
    WHEN MATCHED THEN UPDATE SET email = s.e RETURNING merge_action() AS action, c.*) SELECT action, email, name FROM m WHERE email LIKE 'm%';

--- since 17: MERGE of what is not in the source | since: 17
MERGE INTO customers AS c USING (VALUES (1)) AS s (id) ON c.id = s.id
    WHEN NOT MATCHED BY SOURCE AND c.email = 'user12@shop5.example' THEN DELETE RETURNING merge_action(), c.id, c.email;

--- since 17: JSON_TABLE | since: 17
SELECT c.id, c.email, j.mail FROM JSON_TABLE(jsonb '["ada@example.org", "user12@shop5.example", "nobody"]', '$[*]' COLUMNS (mail text PATH '$')) AS j
    LEFT JOIN customers AS c ON c.email = j.mail ORDER BY j.mail;
SELECT c.id, j.part FROM customers AS c, JSON_TABLE(to_jsonb(string_to_array(c.email, '@')), '$[*]' COLUMNS (n FOR ORDINALITY, part text PATH '$')) AS j
    WHERE c.id < 9 ORDER BY c.id, j.n;

--- since 17: SQL/JSON queries | since: 17
SELECT JSON_VALUE(JSON_OBJECT('e': email), '$.e'), JSON_QUERY(JSON_ARRAY(email, name), '$[0]') FROM customers WHERE id < 9 ORDER BY id;
SELECT JSON_VALUE(jsonb '{}', '$x' PASSING email AS x) FROM customers WHERE id < 9 ORDER BY id;
SELECT id FROM customers WHERE JSON_EXISTS(jsonb '["ada@example.org"]', '$[*] ? (@ == $x)' PASSING email::text AS x);

--- since 17: COPY that ignores errors | since: 17
--copy 9001\tnine@example.org\nno number\tsecret@example.org\n
COPY customers (id, email) FROM STDIN WITH (ON_ERROR ignore);
SELECT id, email FROM customers WHERE id > 9000;

--- since 18: OLD and NEW of UPDATE | since: 18
UPDATE customers SET email = 'updated@example.org' WHERE id = 1 RETURNING old.email, new.email, email, old.name = new.name, old.email = new.email;
UPDATE customers SET email = upper(email) WHERE id IN (2, 6) RETURNING WITH (OLD AS o, NEW AS n) o.id, o.email || ' to ' || n.email, coalesce(o.email, 'none');

--- since 18: OLD and NEW of others | since: 18
INSERT INTO customers (id, email) VALUES (9001, 'nine@example.org') RETURNING old.email, new.email;
INSERT INTO customers (id, email) VALUES (9002, 'ada@example.org') ON CONFLICT (email) DO UPDATE SET email = 'else@example.org' RETURNING old.email, new.email;
DELETE FROM customers WHERE id = 6 RETURNING old.email, new.email, old.*;
WITH d AS (DELETE FROM customers WHERE id = 9001 RETURNING old.*) SELECT email FROM d ORDER BY email;

--- since 18: a virtual column beside | since: 18
ALTER TABLE customers ADD twice integer GENERATED ALWAYS AS (id * 2) VIRTUAL;
SELECT email, twice FROM customers WHERE id < 9 ORDER BY twice;
UPDATE customers SET email = 'x@example.org' WHERE twice = 4 RETURNING email, twice;
