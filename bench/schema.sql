-- schema.sql
--     Three tables with encrypted columns, and a twin of each with bytea columns of the
--     same stored size, the same indexes and the same storage. Variables: parts, longs
--     and keyed, the rows of each.
--
-- Each table has a bucket of its own, so that each can be rotated alone.

\set ON_ERROR_STOP on

CREATE EXTENSION sdes;
CREATE ROLE app LOGIN;
SELECT count(sdes.create_bucket(name)), count(sdes.grant_access(name, 'app', '{encrypt,search,decrypt}'))
FROM unnest('{parts,longs,keyed}'::text[]) name \g /dev/null
GRANT CREATE ON SCHEMA public TO app;
\connect - app

-- Hash-partitioned by 16; what an order or a person has: a short text.
CREATE TABLE parts (id bigint NOT NULL PRIMARY KEY, n int NOT NULL DEFAULT 0, secret sdes.enc_text('parts') NOT NULL)
    PARTITION BY HASH (id);
-- Values that are stored out of line.
CREATE TABLE longs (id bigint NOT NULL PRIMARY KEY, n int NOT NULL DEFAULT 0, secret sdes.enc_text('longs') NOT NULL);
-- Keys: every index holds ciphertext. "parent" references another row of the table.
CREATE TABLE keyed (number sdes.enc_text('keyed', 'searchable') NOT NULL,
    mail sdes.enc_text('keyed', 'searchable') NOT NULL, parent sdes.enc_text('keyed', 'searchable') NOT NULL,
    n int NOT NULL DEFAULT 0);

CREATE TABLE parts_twin (id bigint NOT NULL PRIMARY KEY, n int NOT NULL DEFAULT 0, secret bytea NOT NULL)
    PARTITION BY HASH (id);
CREATE TABLE longs_twin (id bigint NOT NULL PRIMARY KEY, n int NOT NULL DEFAULT 0, secret bytea NOT NULL);
CREATE TABLE keyed_twin (number bytea NOT NULL, mail bytea NOT NULL, parent bytea NOT NULL, n int NOT NULL DEFAULT 0);
ALTER TABLE parts_twin ALTER secret SET STORAGE external;
ALTER TABLE longs_twin ALTER secret SET STORAGE external;
ALTER TABLE keyed_twin ALTER number SET STORAGE external, ALTER mail SET STORAGE external, ALTER parent SET STORAGE external;

SELECT format('CREATE TABLE %s_%s PARTITION OF %s FOR VALUES WITH (MODULUS 16, REMAINDER %s)', t, i, t, i)
FROM unnest('{parts,parts_twin}'::text[]) t, generate_series(0, 15) i \gexec

INSERT INTO parts SELECT i, 0, 'order ' || lpad(i::text, 14, '0') FROM generate_series(1, :parts) i;
INSERT INTO longs SELECT i, 0, repeat(md5(i::text), 94) FROM generate_series(1, :longs) i;
INSERT INTO keyed SELECT 'K' || lpad(i::text, 9, '0'), 'user' || lpad(i::text, 9, '0') || '@example.org',
    'K' || lpad((i / 10 + 1)::text, 9, '0'), 0 FROM generate_series(1, :keyed) i;

-- How many bytes of bytea take as much room as such a value.
CREATE FUNCTION payload(stored int) RETURNS int LANGUAGE sql AS 'SELECT stored - CASE WHEN stored <= 127 THEN 1 ELSE 4 END';
-- Bytes that look like ciphertext: in an index they are as scattered as tokens are.
CREATE FUNCTION noise(seed text, size int) RETURNS bytea LANGUAGE sql AS
    $$ SELECT substr(string_agg(sha256(convert_to(seed || i, 'UTF8')), ''), 1, size) FROM generate_series(0, (size - 1) / 32) i $$;

SELECT payload(pg_column_size(secret)) AS size FROM parts LIMIT 1 \gset
INSERT INTO parts_twin SELECT i, 0, noise('p' || i, :size) FROM generate_series(1, :parts) i;
-- Out of line, there is no header.
SELECT pg_column_size(secret) AS size FROM longs LIMIT 1 \gset
INSERT INTO longs_twin SELECT i, 0, noise('l' || i, :size) FROM generate_series(1, :longs) i;
SELECT payload(pg_column_size(number)) AS number, payload(pg_column_size(mail)) AS mail,
    payload(pg_column_size(parent)) AS parent FROM keyed LIMIT 1 \gset
INSERT INTO keyed_twin SELECT noise('n' || i, :number), noise('m' || i, :mail), noise('n' || i / 10 + 1, :parent), 0
FROM generate_series(1, :keyed) i;

ALTER TABLE keyed ADD PRIMARY KEY (number), ADD UNIQUE (mail);
CREATE INDEX ON keyed (parent);
ALTER TABLE keyed ADD FOREIGN KEY (parent) REFERENCES keyed;
-- No foreign key here: an UPDATE of the key would check it, which re-encryption has no
-- need to. So the twin has the easier task.
ALTER TABLE keyed_twin ADD PRIMARY KEY (number), ADD UNIQUE (mail);
CREATE INDEX ON keyed_twin (parent);

-- Another value of the same length, at the same place in an index, as re-encryption
-- makes one.
CREATE FUNCTION other(value bytea) RETURNS bytea LANGUAGE sql AS
    'SELECT set_byte(value, octet_length(value) - 1, 255 - get_byte(value, octet_length(value) - 1))';

\connect - postgres
VACUUM ANALYZE;
