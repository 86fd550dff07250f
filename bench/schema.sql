-- schema.sql
--     What is rotated: four tables with encrypted columns, and a twin of each with bytea
--     columns of the same stored size, the same indexes and the same storage. Variables:
--     pairs, parts, longs and keyed, the rows of each.
--
-- Each table has a bucket of its own, so that each can be rotated alone.

\set ON_ERROR_STOP on

SELECT count(sdes.create_bucket(name)), count(sdes.grant_access(name, 'app', '{encrypt,search,decrypt}'))
FROM unnest('{pairs,parts,longs,keyed}'::text[]) name \g /dev/null
\connect - app

-- The rows of the other parts of the benchmark; this table has a plain twin, too.
CREATE TABLE pairs (id bigint PRIMARY KEY, note sdes.enc_text('pairs') NOT NULL,
    email sdes.enc_text('pairs', 'searchable') NOT NULL);
CREATE TABLE pairs_plain (id bigint PRIMARY KEY, note text NOT NULL, email text NOT NULL);
CREATE TABLE pairs_twin (id bigint PRIMARY KEY, note bytea NOT NULL, email bytea NOT NULL);
ALTER TABLE pairs_twin ALTER note SET STORAGE external, ALTER email SET STORAGE external;
INSERT INTO pairs_plain SELECT id, note, email FROM source LIMIT :pairs;
INSERT INTO pairs SELECT * FROM pairs_plain;

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

SELECT payload(pg_column_size(note)) AS note, payload(pg_column_size(email)) AS email FROM pairs LIMIT 1 \gset
INSERT INTO pairs_twin SELECT id, substr(n || n || n, 1, :note), substr(e || e || e, 1, :email)
FROM pairs_plain, sha256(convert_to(note, 'UTF8')) n, sha256(convert_to(email, 'UTF8')) e;
CREATE INDEX ON pairs (email);
CREATE INDEX ON pairs_plain (email);
CREATE INDEX ON pairs_twin (email);

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
CREATE FUNCTION other(value text) RETURNS text LANGUAGE sql AS
    $$ SELECT left(value, -1) || translate(right(value, 1), '0123456789gh', '1234567890hg') $$;

-- The table itself, or its partitions.
CREATE FUNCTION parts_of(name text) RETURNS SETOF regclass LANGUAGE sql AS
    $$ SELECT oid FROM pg_class WHERE relkind = 'r' AND (oid = name::regclass
        OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = name::regclass)) $$;

-- An UPDATE of all rows in the steps of a rotation: the rows of some pages, and a commit.
CREATE PROCEDURE update_in_steps(name text, assignments text, step_rows int) LANGUAGE plpgsql AS $$
DECLARE
    part regclass;
    pages bigint;
    step bigint;
BEGIN
    FOR part IN SELECT * FROM parts_of(name) LOOP
        pages := pg_relation_size(part) / current_setting('block_size')::int;
        SELECT ceil(step_rows * pages / greatest(reltuples, 1)) INTO step FROM pg_class WHERE oid = part;
        FOR page IN 0 .. pages - 1 BY step LOOP
            EXECUTE format('UPDATE %s SET %s WHERE ctid >= ''(%s,0)'' AND ctid < ''(%s,0)''',
                           part, assignments, page, least(page + step, pages));
            COMMIT;
        END LOOP;
    END LOOP;
END $$;

\connect - postgres
VACUUM ANALYZE;
