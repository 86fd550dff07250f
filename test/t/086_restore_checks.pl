# 086_restore_checks.pl
#     CHECK constraints on plaintext do not stand in the way of a restore: where a value
#     cannot be opened while a dump's rows are loaded, they pass. Nothing else does, and
#     what can be opened is checked as ever.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use Test::More;

my $node = new_cluster('checks', conf => "log_statement = none\n");
my $dir = $node->basedir;
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE owner LOGIN;
CREATE ROLE oms LOGIN;
CREATE ROLE writer LOGIN;
CREATE ROLE other LOGIN;
CREATE DATABASE shop;
SQL
$node->safe_psql('shop', <<'SQL');
CREATE EXTENSION sdes;
SELECT sdes.create_bucket('customer_pii');
SELECT sdes.create_bucket('vault', mode => 'hsm');
-- A copy of a database would re-encrypt what it has.
SELECT sdes.pause_rotation(b) FROM unnest('{customer_pii,vault}'::text[]) AS b;
SELECT sdes.grant_access(b, 'oms', '{encrypt,search,decrypt}') FROM unnest('{customer_pii,vault}'::text[]) AS b;
SELECT sdes.grant_access('customer_pii', 'writer', '{encrypt}');
GRANT CREATE ON SCHEMA public TO owner, other, oms;
SET ROLE owner;
CREATE DOMAIN mail AS sdes.enc_text('customer_pii') CHECK (VALUE::text LIKE '%@%');
CREATE TABLE people (id int PRIMARY KEY,
    email sdes.enc_text('customer_pii', 'searchable') CHECK (email::text LIKE '%@%'), login mail,
    secret sdes.enc_text('vault') CHECK (length(secret) > 3 AND secret::varchar <> 'none'),
    status sdes.enc_text('customer_pii', 'searchable') CHECK (status IN ('open', 'done')),
    city sdes.enc_text('customer_pii', 'searchable_ci') CHECK (city <> 'nowhere' AND city IS DISTINCT FROM 'void'));
CREATE TABLE parts (id int, email sdes.enc_text('customer_pii') CHECK (email::text LIKE '%@%')) PARTITION BY LIST (id);
CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF parts (CONSTRAINT short CHECK (length(email) < 40)) FOR VALUES IN (2);
CREATE TABLE loose (id int PRIMARY KEY, email sdes.enc_text('customer_pii', 'searchable'), note sdes.enc_text('customer_pii'));
CREATE TABLE sizes (id int, size int);
CREATE FUNCTION note_size() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO public.sizes VALUES (NEW.id, length(NEW.email::text)); RETURN NEW; END';
CREATE TABLE noted (id int, email sdes.enc_text('customer_pii') CHECK (email::text LIKE '%@%'));
CREATE TRIGGER note BEFORE INSERT ON noted FOR EACH ROW EXECUTE FUNCTION note_size();
GRANT SELECT, INSERT ON people, parts, part_1, part_2, loose, noted, sizes TO oms, writer;
SQL
query_as($node, 'oms', <<'SQL', 'shop');
INSERT INTO people SELECT i, 'c' || i || '@example.org', 'd' || i || '@example.org', 'secret ' || i,
    CASE WHEN i % 3 = 0 THEN 'open' WHEN i % 3 = 1 THEN 'done' END, 'City ' || i FROM generate_series(1, 30) AS i;
INSERT INTO parts SELECT 1 + i % 2, 'p' || i || '@example.org' FROM generate_series(1, 30) AS i;
INSERT INTO loose SELECT i, m, m FROM generate_series(1, 10) AS i, LATERAL (SELECT CASE WHEN i % 2 = 0 THEN 'l' || i || '@example.org' ELSE 'no address' END) AS v(m);
INSERT INTO noted SELECT i, 'n' || i || '@example.org' FROM generate_series(1, 5) AS i;
SQL

my $BYTES = <<'SQL';
SELECT md5(string_agg(o.row, E'\n' ORDER BY o.row COLLATE "C")) FROM (
    SELECT concat_ws(',', id, sdes.enc_text_send(email), sdes.enc_text_send(login), sdes.enc_text_send(secret),
        sdes.enc_text_send(status), sdes.enc_text_send(city)) FROM people
    UNION ALL SELECT concat_ws(',', id, sdes.enc_text_send(email)) FROM parts
    UNION ALL SELECT concat_ws(',', id, sdes.enc_text_send(email)) FROM loose
    UNION ALL SELECT concat_ws(',', id, sdes.enc_text_send(email)) FROM noted
    UNION ALL SELECT concat_ws(',', 'size', id, size) FROM sizes) AS o(row)
SQL
my $bytes = $node->safe_psql('shop', $BYTES);

sub new_database
{
    my ($database) = @_;
    $node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0");
    return $node->connstr($database);
}

sub checks_hold_ok
{
    my ($database, $name) = @_;
    like(error_as($node, 'oms', "INSERT INTO people VALUES (100, 'nowhere')", $database), qr/23514.*people_email_check/s,
        "$name: the constraint holds");
    like(error_as($node, 'oms', "INSERT INTO people (id, login) VALUES (100, 'nowhere')", $database), qr/23514.*mail_check/s,
        "$name: the domain's holds");
    like(error_as($node, 'oms', "INSERT INTO people (id, status) VALUES (100, 'lost')", $database), qr/23514.*people_status_check/s,
        "$name: one that compares");
    like(error_as($node, 'oms', "INSERT INTO people (id, city) VALUES (100, 'nowhere')", $database), qr/23514.*people_check|23514.*people_city_check/s,
        "$name: and another");
    like(error_as($node, 'oms', "INSERT INTO parts VALUES (2, repeat('x', 40) || '\@example.org')", $database), qr/23514.*short/s,
        "$name: the partition's holds");
    is(query_as($node, 'oms', "INSERT INTO people VALUES (100, 'a\@b', 'c\@d', 'secret', 'open', 'Rome') RETURNING email::text", $database), 'a@b',
        "$name: what fits goes in");
    return;
}

# ---- whole dumps ----

my %dumps = (
    plain => [],
    custom => ['-Fc'],
    directory => [ '-Fd', '-j', '2' ],
    inserts => ['--inserts'],
    rows => [ '--inserts', '--rows-per-insert=7', '--on-conflict-do-nothing' ],
    column => ['--column-inserts'],
    root => ['--load-via-partition-root'],
);
sub restore
{
    my ($form, $connstr, $file, @more) = @_;
    my @restore = $form =~ /custom|directory/
        ? ('pg_restore', '--exit-on-error', @more, '-d', $connstr, $file)
        : ('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $connstr, '-f', $file);
    return $node->run_log(\@restore);
}
for my $form (sort keys %dumps)
{
    my $file = "$dir/checks.$form";
    ok($node->run_log([ 'pg_dump', '-f', $file, @{ $dumps{$form} }, $node->connstr('shop') ]), "$form: dumped");
    my $connstr = new_database("from_$form");
    ok(restore($form, $connstr, $file, $form eq 'directory' ? ('-j', '2') : ()), "$form: restored");
    is($node->safe_psql("from_$form", $BYTES), $bytes, "$form: with every byte");
    checks_hold_ok("from_$form", $form);
}

# ---- a table into a database that has the keys, by its owner, who may not decrypt ----

ok($node->run_log([ 'pg_dump', '-f', "$dir/people.sql", '-t', 'people', '-t', 'parts', '-t', 'part_1', '-t', 'part_2', '--data-only', $node->connstr('shop') ]),
    'tables: dumped');
sub load_as
{
    my ($role, $file, $database) = @_;
    return $node->run_log([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-U', $role, '-d', $node->connstr($database), '-f', $file ]);
}
$node->safe_psql('shop', 'TRUNCATE people, parts');
ok(load_as('owner', "$dir/people.sql", 'shop'), 'tables: loaded by their owner');
is($node->safe_psql('shop', $BYTES), $bytes, 'tables: with every byte');
$node->safe_psql('shop', 'TRUNCATE people, parts');
ok(!load_as('writer', "$dir/people.sql", 'shop'), 'tables: not by who only may insert');
is($node->safe_psql('shop', 'SELECT count(*) FROM people'), '0', 'tables: so nothing is loaded');
ok(load_as('oms', "$dir/people.sql", 'shop'), 'tables: loaded by who may decrypt');
is($node->safe_psql('shop', $BYTES), $bytes, 'tables: with every byte, too');

# ---- rows into a table with a trigger ----

for my $form (qw(plain custom))
{
    my $file = "$dir/noted.$form";
    ok($node->run_log([ 'pg_dump', '-f', $file, @{ $dumps{$form} }, '-t', 'noted', '--data-only', $node->connstr('shop') ]),
        "trigger, $form: dumped");
}
$node->safe_psql('shop', 'TRUNCATE noted');
my ($status, undef, $error) = $node->psql('shop', "\\set VERBOSITY verbose\n" . slurp_file("$dir/noted.plain"), on_error_stop => 1);
isnt($status, 0, 'trigger: its rows are not loaded by who may not decrypt');
like($error, qr/42501: permission denied to decrypt.*note_size/s, 'trigger: its own cast is an error as ever');
$node->safe_psql('shop', <<'SQL');
CREATE OR REPLACE FUNCTION note_size() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RETURN NEW; END';
SQL
($status, undef, $error) = $node->psql('shop', "\\set VERBOSITY verbose\n" . slurp_file("$dir/noted.plain"), on_error_stop => 1);
isnt($status, 0, 'trigger: nor if it reads nothing');
like($error, qr/55000: encrypted value cannot be opened to check the constraints of table "noted".*"note".*--disable-triggers/s,
    'trigger: the error says what to do');
$node->safe_psql('shop', 'CREATE OR REPLACE FUNCTION note_size() RETURNS trigger LANGUAGE plpgsql AS '
    . q{'BEGIN INSERT INTO public.sizes VALUES (NEW.id, length(NEW.email::text)); RETURN NEW; END'});
ok(restore('custom', $node->connstr('shop'), "$dir/noted.custom", '--data-only', '--disable-triggers'),
    'trigger: disabled, they are');
is($node->safe_psql('shop', $BYTES), $bytes, 'trigger: with every byte');
is($node->safe_psql('shop', "SELECT tgenabled FROM pg_trigger WHERE tgname = 'note'"), 'O', 'trigger: which is enabled again');

# ---- rows only ----

$bytes = $node->safe_psql('shop', $BYTES);
ok($node->run_log([ 'pg_dump', '-f', "$dir/schema.sql", '--schema-only', $node->connstr('shop') ]), 'schema only: dumped');
ok($node->run_log([ 'pg_dump', '-Fc', '-f', "$dir/data.custom", '--data-only', $node->connstr('shop') ]), 'rows only: dumped');
ok($node->run_log([ 'pg_dump', '-f', "$dir/rows.sql", '--data-only', '--disable-triggers', '--exclude-table-data=sdes.*', $node->connstr('shop') ]),
    'rows only, without those of sdes: dumped');
for my $database (qw(rows_all rows_keys_first))
{
    ok(restore('plain', new_database($database), "$dir/schema.sql"), "$database: the schema is restored");
}
ok(!restore('custom', $node->connstr('rows_all'), "$dir/data.custom", '--data-only', '--single-transaction'), 'rows_all: not with triggers');
ok(restore('custom', $node->connstr('rows_all'), "$dir/data.custom", '--data-only', '--disable-triggers'), 'rows_all: restored with keys and all');
is($node->safe_psql('rows_all', $BYTES), $bytes, 'rows_all: with every byte');
checks_hold_ok('rows_all', 'rows_all');
ok(!restore('custom', $node->connstr('rows_all'), "$dir/data.custom", '--data-only', '--disable-triggers', '--single-transaction'),
    'rows_all: not once more, since the keys\' rows collide');
for my $how (qw(custom plain))
{
    $node->safe_psql('rows_all', 'TRUNCATE people, parts, loose, noted, sizes');
    ok($how eq 'custom'
        ? restore('custom', $node->connstr('rows_all'), "$dir/data.custom", '--data-only', '--disable-triggers', '-N', 'sdes')
        : restore('plain', $node->connstr('rows_all'), "$dir/rows.sql"), "rows_all, $how: but without these");
    is($node->safe_psql('rows_all', $BYTES), $bytes, "rows_all, $how: with every byte");
}
$node->safe_psql('rows_keys_first', 'GRANT owner TO oms');
ok(restore('custom', $node->connstr('rows_keys_first'), "$dir/data.custom", '--data-only', '-n', 'sdes'), 'rows_keys_first: the keys');
ok(restore('custom', $node->connstr('rows_keys_first') . ' user=oms', "$dir/data.custom", '--data-only', '-N', 'sdes'),
    'rows_keys_first: then rows, by who may decrypt, triggers and all');
is($node->safe_psql('rows_keys_first', 'SELECT count(*), count(DISTINCT id) FROM sizes'), '10|5', 'rows_keys_first: triggers saw the rows');
$node->safe_psql('shop', 'REVOKE owner FROM oms');

# What could not be checked can be, later.
my $ASK = <<'SQL';
SELECT format('SELECT %L AS "table", %L AS "constraint", count(*) FROM ONLY %s WHERE NOT (%s)',
    conrelid::regclass, conname, conrelid::regclass, pg_get_expr(conbin, conrelid))
FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0 AND connamespace <> 'sdes'::regnamespace
    AND pg_get_expr(conbin, conrelid) NOT LIKE '%sdes1:%' ORDER BY 1 \gexec
SQL
my $clean = query_as($node, 'oms', $ASK, 'rows_all');
like($clean, qr/^people\|people_email_check\|0$/m, 'afterwards: a constraint that was asked about');
unlike($clean, qr/\|[1-9]\d*$/m, 'afterwards: no row breaks one');
my ($email, $login) = map { $node->safe_psql('rows_all', "SELECT sdes.enc_text_out($_) FROM loose WHERE id = 1") } qw(email note);
query_as($node, 'owner', "SET check_function_bodies = off; INSERT INTO people (id, email, login, status) VALUES (500, '$email', '$login', '$email')",
    'rows_all');
like(query_as($node, 'oms', $ASK, 'rows_all'), qr/^people\|people_email_check\|1$/m, 'afterwards: a row that does is found');
$node->safe_psql('rows_all', 'GRANT owner TO oms');
like(error_as($node, 'oms', "ALTER DOMAIN mail ADD CONSTRAINT again CHECK (VALUE::text LIKE '%\@%')", 'rows_all'), qr/23514/,
    'afterwards: by a domain\'s constraint, added again');
like(error_as($node, 'oms', "ALTER TABLE people ADD CONSTRAINT again CHECK (status IN ('open', 'done'))", 'rows_all'), qr/23514/,
    'afterwards: and by one with constants');
$node->safe_psql('shop', 'REVOKE owner FROM oms');

# ---- what gets no NULL ----

# A value of the table, and one that no constraint would pass, as ciphertext.
my ($good_note, $bad_note) = map { $node->safe_psql('shop', "SELECT sdes.enc_text_out(note) FROM loose WHERE id = $_") } (2, 1);
my ($good, $bad) = map { $node->safe_psql('shop', "SELECT sdes.enc_text_out(email) FROM loose WHERE id = $_") } (2, 1);
$node->safe_psql('shop', <<'SQL');
SET ROLE owner;
CREATE TABLE plain (t text);
CREATE FUNCTION store(v text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS
    $f$ BEGIN EXECUTE format('INSERT INTO people (id, email) VALUES (999, %L)', v); END $f$;
CREATE FUNCTION is_mail(v sdes.enc_text) RETURNS boolean LANGUAGE plpgsql AS 'DECLARE t text; BEGIN t := v; RETURN t LIKE ''%@%''; END';
CREATE TABLE by_function (id int, email sdes.enc_text('customer_pii') CHECK (is_mail(email)));
CREATE TABLE guarded (id int, email sdes.enc_text('customer_pii') CHECK (email::text LIKE '%@%'));
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER unless BEFORE INSERT ON guarded FOR EACH ROW WHEN (NEW.email::text = 'no address') EXECUTE FUNCTION nothing();
CREATE TABLE ruled (id int, email sdes.enc_text('customer_pii'));
CREATE RULE also AS ON INSERT TO ruled DO ALSO INSERT INTO plain VALUES (NEW.email::text);
CREATE FUNCTION probe() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS
    'DECLARE v sdes.enc_text; m mail; BEGIN SELECT note INTO v FROM loose WHERE id = 1; m := v; RETURN 1; END';
CREATE FUNCTION reads() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT length(email) FROM loose WHERE id = 1); END';
CREATE TABLE read (size int DEFAULT reads(), email sdes.enc_text('customer_pii'));
CREATE TABLE converted (email sdes.enc_text('customer_pii'));
CREATE FUNCTION converts() RETURNS int LANGUAGE plpgsql AS
    'BEGIN ALTER TABLE converted ALTER email TYPE text USING email::text; RETURN 1; END';
CREATE TABLE convert (id int DEFAULT converts(), email sdes.enc_text('customer_pii'));
INSERT INTO converted SELECT note FROM loose;
CREATE TABLE lent (id int DEFAULT probe(), email sdes.enc_text('customer_pii') CHECK (email::text LIKE '%@%'));
GRANT INSERT ON lent TO writer;
RESET ROLE;
CREATE FUNCTION copies(file text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS
    $f$ BEGIN EXECUTE format('COPY people (id, email) FROM %L', file); END $f$;
SET ROLE owner;
CREATE TABLE family (id int, email sdes.enc_text('customer_pii')) PARTITION BY LIST (id);
GRANT SELECT ON people TO other;
RESET ROLE;
GRANT owner TO other;
SET ROLE other;
CREATE TABLE child (id int, email sdes.enc_text('customer_pii') CONSTRAINT strict CHECK (email::text LIKE '%@%'));
GRANT ALL ON child TO owner;
RESET ROLE;
ALTER TABLE family ATTACH PARTITION child FOR VALUES IN (1);
REVOKE owner FROM other;
GRANT EXECUTE ON FUNCTION store TO writer;
SQL
append_to_file("$dir/people.copy", "999\t$bad\n");
my $OFF = 'SET check_function_bodies = off;';
my $owner = "$OFF INSERT INTO people (id, email) VALUES (999, '$bad')";
my %ERRORS = (
    'as a statement of its own' => [ 'owner', "$owner RETURNING id" ],
    'RETURNING' => [ 'owner', "$OFF INSERT INTO loose (id, email) VALUES (999, '$good') RETURNING email::text" ],
    'RETURNING a comparison' => [ 'owner', "$OFF INSERT INTO loose (id, email) VALUES (999, '$good') RETURNING email = 'a'" ],
    'SELECT' => [ 'owner', "$OFF SELECT email::text FROM loose" ],
    'INSERT ... SELECT' => [ 'owner', "$OFF INSERT INTO plain SELECT email::text FROM loose" ],
    'INSERT ... SELECT of VALUES' => [ 'owner', "$OFF INSERT INTO plain SELECT v.e::text FROM (VALUES ('$good_note'::sdes.enc_text('customer_pii')), ('$good_note'::sdes.enc_text('customer_pii'))) AS v(e)" ],
    'VALUES' => [ 'owner', "$OFF INSERT INTO plain VALUES (('$good_note'::sdes.enc_text('customer_pii'))::text)" ],
    'subselect' => [ 'owner', "$OFF INSERT INTO plain VALUES ((SELECT email::text FROM loose LIMIT 1))" ],
    'WITH' => [ 'owner', "$OFF WITH w AS (SELECT email::text AS e FROM loose) INSERT INTO plain SELECT e FROM w" ],
    'UPDATE' => [ 'owner', "$OFF UPDATE people SET id = id + 1000 WHERE id = 1" ],
    'ON CONFLICT' => [ 'owner', "$OFF INSERT INTO loose VALUES (1, '$good') ON CONFLICT (id) DO UPDATE SET id = length(EXCLUDED.email)" ],
    'COPY ... WHERE' => [ 'owner', "$OFF COPY loose (id, email) FROM stdin WHERE email::text <> '';\n999\t$good\n\\.\n" ],
    'a block' => [ 'owner', "$OFF DO \$\$ BEGIN INSERT INTO people (id, email) VALUES (999, '$bad'); END \$\$" ],
    'a function' => [ 'owner', "$OFF SELECT store('$bad')" ],
    'a function that is run as the owner' => [ 'writer', "$OFF SELECT store('$bad')" ],
    'a function that copies as a superuser' => [ 'writer', "$OFF SELECT copies('$dir/people.copy')" ],
    'who does not own the table' => [ 'writer', "$OFF INSERT INTO people (id, email) VALUES (999, '$bad')" ],
    'who does not own it, COPY' => [ 'writer', "$OFF COPY people (id, email) FROM stdin;\n999\t$bad\n\\.\n" ],
    'a prepared statement' => [ 'owner', "$OFF PREPARE p AS INSERT INTO people (id, email) VALUES (999, '$bad'); EXECUTE p" ],
    'a CHECK by a function' => [ 'owner', "$OFF INSERT INTO by_function VALUES (1, '$good_note')" ],
    'a partition of somebody else' => [ 'owner', "$OFF INSERT INTO family VALUES (1, '$bad_note')" ],
    'a rule' => [ 'owner', "$OFF INSERT INTO ruled VALUES (1, '$good_note')" ],
    'a default by a function that is run as the owner' => [ 'writer', "$OFF INSERT INTO lent (email) VALUES ('$bad_note')" ],
    'what a default reads' => [ 'owner', "$OFF INSERT INTO read (email) VALUES ('$bad_note')" ],
    'what a default reads, COPY' => [ 'owner', "$OFF COPY read (email) FROM stdin;\n$bad_note\n\\.\n" ],
    'what a default converts' => [ 'owner', "$OFF INSERT INTO convert (email) VALUES ('$bad_note')" ],
    'not restoring' => [ 'owner', "SET sdes.accept_ciphertext = on; INSERT INTO people (id, email) VALUES (999, '$bad')" ],
    'not restoring, COPY' => [ 'owner', "SET sdes.accept_ciphertext = on; COPY people (id, email) FROM stdin;\n999\t$bad\n\\.\n" ],
);
for my $name (sort keys %ERRORS)
{
    my ($role, $sql) = @{ $ERRORS{$name} };
    like(error_as($node, $role, $sql, 'shop'), qr/42501: permission denied to (?:decrypt|search)/, "$name: an error");
}
like(error_as($node, 'owner', "$OFF INSERT INTO guarded VALUES (1, '$bad_note')", 'shop'), qr/55000: encrypted value cannot be opened.*"unless"/s,
    'WHEN of a trigger: an error');
is($node->safe_psql('shop', "SELECT count(*) FROM people WHERE id = 999 UNION ALL SELECT count(*) FROM plain UNION ALL SELECT count(*) FROM guarded"),
    "0\n0\n0", 'and nothing of it is stored');

# The same that is let through, so that none of these was an error for another reason.
is(error_as($node, 'owner', $owner, 'shop'), '', 'the owner can load what it cannot open');
is(error_as($node, 'owner', "$OFF COPY people (id, email) FROM stdin;\n998\t$bad\n\\.\n", 'shop'), '', 'by COPY, too');
is($node->safe_psql('shop', 'DELETE FROM people WHERE id > 900 RETURNING id'), "999\n998", 'and only that');

# What is plaintext is checked, too, or not stored.
$node->safe_psql('shop', "SELECT sdes.grant_access('customer_pii', 'owner', '{encrypt}')");
my %PLAINTEXT = (
    'INSERT' => "INSERT INTO people (id, email) VALUES (999, 'nowhere')",
    'INSERT into a domain' => "INSERT INTO people (id, login) VALUES (999, 'nowhere')",
    'INSERT of more rows' => "INSERT INTO people (id, email) VALUES (998, '$bad'), (999, 'nowhere')",
    'COPY' => "COPY people (id, email) FROM stdin;\n998\t$bad\n999\tnowhere\n\\.\n",
    'COPY into a domain' => "COPY people (id, login) FROM stdin;\n999\tnowhere\n\\.\n",
);
like(error_as($node, 'owner', "$OFF $PLAINTEXT{$_}", 'shop'), qr/42501: permission denied to decrypt/, "plaintext, $_: an error")
    for sort keys %PLAINTEXT;
is(error_as($node, 'owner', $owner, 'shop'), '', 'ciphertext is let through as before');
$node->safe_psql('shop', "DELETE FROM people WHERE id = 999; SELECT sdes.revoke_access('customer_pii', 'owner', '{encrypt}')");

# What can be opened is checked: by an owner who may decrypt.
$node->safe_psql('shop', 'GRANT owner TO oms');
like(error_as($node, 'oms', $owner, 'shop'), qr/23514.*people_email_check/s, 'what can be opened is checked');
like(error_as($node, 'oms', "$OFF COPY people (id, login) FROM stdin;\n998\t$bad_note\n\\.\n", 'shop'), qr/23514.*mail_check/s, 'by a domain, too');

# ---- an HSM without the keys ----

my $stranger = new_cluster('stranger', conf => "log_statement = none\n");
$stranger->safe_psql('postgres', 'CREATE ROLE owner LOGIN; CREATE ROLE oms LOGIN; CREATE ROLE writer LOGIN; CREATE ROLE other LOGIN; CREATE DATABASE shop');
$node->safe_psql('shop', 'REVOKE owner FROM oms; DROP TABLE read, convert, converted, lent, ruled, guarded, by_function, family, plain');
$bytes = $node->safe_psql('shop', $BYTES);
ok($node->run_log([ 'pg_dump', '-Fc', '-f', "$dir/far", $node->connstr('shop') ]), 'another HSM: dumped');
ok($node->run_log([ 'pg_restore', '--exit-on-error', '-d', $stranger->connstr('shop'), "$dir/far" ]), 'another HSM: restored');
is($stranger->safe_psql('shop', $BYTES), $bytes, 'another HSM: with every byte');
ok($node->run_log([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-c', 'TRUNCATE people, parts', '-f', "$dir/people.sql", $stranger->connstr('shop') ]),
    'another HSM: and again, where the keys\' rows are there');
like(error_as($stranger, 'oms', 'SELECT email FROM people', 'shop'), qr/42704: key encryption key is not in the HSM token.*HINT/s,
    'another HSM: reading says what is missing');
$stranger->stop;

$node->stop;
done_testing();
