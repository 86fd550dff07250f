# 011_ciphertext_input.pl
#     Who holds a stolen dump, and an account in the application, must not be able
#     to type its ciphertext into a form and read the plaintext back. So armor,
#     and the envelope in binary, is refused on every way that a value can take
#     into a column, nothing is stored, and the log does not repeat it; while a
#     restore takes it, byte for byte.

use strict;
use warnings;
use MIME::Base64 ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use Test::More;

my $node = new_cluster('form', conf => "log_statement = none\n");
my $root = $ENV{PWD};
$node->safe_psql('postgres', 'CREATE DATABASE shop; CREATE ROLE app LOGIN; CREATE ROLE thief LOGIN');
$node->safe_psql('shop', <<'SQL');
CREATE EXTENSION sdes;
SELECT sdes.create_bucket('customer_pii');
SELECT sdes.grant_access('customer_pii', 'app', '{encrypt,decrypt}');
CREATE DOMAIN pii AS sdes.enc_text('customer_pii');
CREATE TYPE pair AS (id int, a sdes.enc_text('customer_pii'));
CREATE TABLE form (
    id int PRIMARY KEY,
    a sdes.enc_text('customer_pii'),
    d pii,
    many sdes.enc_text('customer_pii')[],
    p pair
);
CREATE TABLE plain (id int, v text);
CREATE VIEW form_view AS SELECT id, a FROM form;
CREATE TABLE parted (id int, a sdes.enc_text('customer_pii')) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE FUNCTION store(v sdes.enc_text) RETURNS void LANGUAGE sql AS
    'INSERT INTO form (id, a) VALUES (100, v)';
CREATE FUNCTION store_text(v text) RETURNS void LANGUAGE plpgsql AS
    'BEGIN INSERT INTO form (id, a) VALUES (101, v); END';
GRANT ALL ON form, plain, form_view, parted TO app;
GRANT SELECT ON form TO thief;
GRANT CREATE ON SCHEMA public TO app;
GRANT pg_execute_server_program, pg_read_server_files TO app;
SQL
query_as($node, 'app', "INSERT INTO form (id, a) VALUES (1, 'the victim''s secret'), (2, 'mine')", 'shop');

# What the thief has: ciphertext, as a stolen dump holds it.
my $armor = query_as($node, 'thief', 'SELECT a FROM form WHERE id = 1', 'shop');
like($armor, qr/^sdes1:[-\w]{40,}$/, 'the stolen value');
(my $base64 = substr $armor, 6) =~ tr{-_}{+/};
my $envelope = MIME::Base64::decode_base64($base64);
is(ord $envelope, 0, 'and its bytes');
$node->safe_psql('shop', "INSERT INTO plain VALUES (1, '$armor')");
my ($hex_armor, $hex_envelope) = (unpack('H*', $armor), unpack('H*', $envelope));

# All that is stored, to see that an attempt changes nothing.
my $STATE = <<'SQL';
SELECT md5(string_agg(t::text, ';' ORDER BY t::text)) FROM
    (SELECT f::text FROM form AS f UNION ALL SELECT p::text FROM parted AS p) AS s(t)
SQL
my $state = $node->safe_psql('shop', $STATE);
my $log = log_size($node);
my $tries = 0;

sub refused_ok
{
    my ($error, $name) = @_;
    $tries++;
    my $ok = like($error, qr/22000:? *(?:encrypted text is not accepted as input|$)/m, "$name: refused");
    $ok &&= is($node->safe_psql('shop', $STATE), $state, "$name: nothing is stored");
    return $ok;
}

# ---- SQL ----

my %sql = (
    'literal' => "INSERT INTO form (id, a) VALUES (9, '$armor')",
    'literal with a cast' => "INSERT INTO form (id, a) VALUES (9, '$armor'::sdes.enc_text)",
    'literal with the column\'s type' =>
        "INSERT INTO form (id, a) VALUES (9, '$armor'::sdes.enc_text('customer_pii'))",
    'escape string' => "INSERT INTO form (id, a) VALUES (9, E'\\x73" . substr($armor, 1) . "')",
    'concatenation' => "INSERT INTO form (id, a) VALUES (9, 'sdes' || substr('$armor', 5))",
    'text' => "INSERT INTO form (id, a) VALUES (9, '$armor'::text)",
    'varchar' => "INSERT INTO form (id, a) VALUES (9, '$armor'::varchar)",
    'char' => "INSERT INTO form (id, a) VALUES (9, '$armor'::char(500))",
    'name of a text column' => 'INSERT INTO form (id, a) SELECT 9, v FROM plain',
    'several rows' => "INSERT INTO form (id, a) VALUES (8, 'good'), (9, '$armor')",
    'UPDATE' => "UPDATE form SET a = '$armor' WHERE id = 2",
    'UPDATE from a text column' => 'UPDATE form SET a = v FROM plain WHERE form.id = 2',
    'UPDATE of several columns' => "UPDATE form SET (a, d) = ('$armor', '$armor') WHERE id = 2",
    'ON CONFLICT' =>
        "INSERT INTO form (id, a) VALUES (2, 'x') ON CONFLICT (id) DO UPDATE SET a = '$armor'",
    'ON CONFLICT, excluded' =>
        "INSERT INTO form (id, a) VALUES (2, '$armor') ON CONFLICT (id) DO UPDATE SET a = excluded.a",
    'MERGE, update' =>
        "MERGE INTO form USING plain ON form.id = plain.id + 1 WHEN MATCHED THEN UPDATE SET a = plain.v",
    'MERGE, insert' => 'MERGE INTO form USING plain ON form.id = plain.id + 8'
        . ' WHEN NOT MATCHED THEN INSERT (id, a) VALUES (9, plain.v)',
    'prepared statement' => "PREPARE p(int, text) AS INSERT INTO form (id, a) VALUES (\$1, \$2);"
        . " EXECUTE p(9, '$armor')",
    'prepared statement, parameter of the type' =>
        "PREPARE p(int, sdes.enc_text) AS INSERT INTO form (id, a) VALUES (\$1, \$2); EXECUTE p(9, '$armor')",
    'domain' => "INSERT INTO form (id, d) VALUES (9, '$armor')",
    'domain with a cast' => "INSERT INTO form (id, d) VALUES (9, '$armor'::pii)",
    'array literal' => "INSERT INTO form (id, many) VALUES (9, '{$armor}')",
    'array constructor' => "INSERT INTO form (id, many) VALUES (9, ARRAY['good', '$armor'])",
    'array element' => "UPDATE form SET many[1] = '$armor' WHERE id = 2",
    'array of text' => "INSERT INTO form (id, many) VALUES (9, ARRAY['$armor'::text])",
    'record literal' => "INSERT INTO form (id, p) VALUES (9, '(1,$armor)')",
    'row' => "INSERT INTO form (id, p) VALUES (9, ROW(1, '$armor'))",
    'record literal of the table' => "INSERT INTO form SELECT ('(9,$armor,,,)'::form).*",
    'field of a composite' => "UPDATE form SET p.a = '$armor' WHERE id = 2",
    'json_populate_record' =>
        "INSERT INTO form SELECT * FROM json_populate_record(NULL::form, '{\"id\": 9, \"a\": \"$armor\"}')",
    'jsonb_populate_recordset' =>
        "INSERT INTO form SELECT * FROM jsonb_populate_recordset(NULL::form, '[{\"id\": 9, \"a\": \"$armor\"}]')",
    'json_to_record' => 'INSERT INTO form (id, a) SELECT id, a FROM'
        . " json_to_record('{\"id\": 9, \"a\": \"$armor\"}') AS r(id int, a sdes.enc_text('customer_pii'))",
    'json_populate_record, escaped' => "INSERT INTO form SELECT * FROM json_populate_record(NULL::form,"
        . " '{\"id\": 9, \"a\": \"\\u0073" . substr($armor, 1) . "\"}')",
    'xmltable' => "INSERT INTO form (id, a) SELECT 9, a FROM xmltable('/r' PASSING"
        . " xmlparse(DOCUMENT '<r>$armor</r>') COLUMNS a sdes.enc_text('customer_pii') PATH '.')",
    'view' => "INSERT INTO form_view VALUES (9, '$armor')",
    'partitioned table' => "INSERT INTO parted VALUES (9, '$armor')",
    'CASE' => "UPDATE form SET a = CASE WHEN id = 2 THEN '$armor' ELSE a END WHERE id = 2",
    'coalesce with the column' => "UPDATE form SET a = coalesce('$armor', a) WHERE id = 2",
    'DEFAULT' => "CREATE TABLE mine (id int, a sdes.enc_text('customer_pii') DEFAULT '$armor')",
    'function argument' => "SELECT store('$armor')",
    'function argument, text' => "SELECT store_text('$armor')",
    'common table expression' =>
        "WITH new AS (SELECT '$armor'::text AS v) INSERT INTO form (id, a) SELECT 9, v FROM new",
    'ALTER TYPE of a text column' => 'ALTER TABLE mine_plain ALTER v TYPE sdes.enc_text(\'customer_pii\')',
    'plpgsql, assignment' => "DO \$\$ DECLARE r form; BEGIN r.a := '$armor'; INSERT INTO form VALUES (r.*); END \$\$",
    'plpgsql, variable' => "DO \$\$ DECLARE v sdes.enc_text('customer_pii') := '$armor';"
        . ' BEGIN INSERT INTO form (id, a) VALUES (9, v); END $$',
    'plpgsql, INSERT' => "DO \$\$ DECLARE v text := '$armor'; BEGIN INSERT INTO form (id, a) VALUES (9, v); END \$\$",
    'plpgsql, SELECT INTO' => 'DO $$ DECLARE v sdes.enc_text(\'customer_pii\');'
        . ' BEGIN SELECT p.v INTO v FROM plain AS p; INSERT INTO form (id, a) VALUES (9, v); END $$',
    'plpgsql, EXECUTE' =>
        "DO \$\$ BEGIN EXECUTE format('INSERT INTO form (id, a) VALUES (9, %L)', '$armor'); END \$\$",
    'plpgsql, EXECUTE USING' =>
        "DO \$\$ BEGIN EXECUTE 'INSERT INTO form (id, a) VALUES (9, \$1)' USING '$armor'::text; END \$\$",
    'COPY from a program, text' => "COPY form (id, a) FROM PROGRAM 'printf ''9\\t$armor\\n'''",
    'COPY from a program, csv' => "COPY form (id, a) FROM PROGRAM 'printf ''9,\"$armor\"\\n''' (FORMAT csv)",
    'COPY to an array' => "COPY form (id, many) FROM PROGRAM 'printf ''9\\t{$armor}\\n'''",
    'COPY to a partitioned table' => "COPY parted FROM PROGRAM 'printf ''9\\t$armor\\n'''",
);
query_as($node, 'app', 'CREATE TABLE mine_plain AS SELECT * FROM plain', 'shop');
$log = log_size($node);
for my $name (sort keys %sql)
{
    refused_ok(error_as($node, 'app', $sql{$name}, 'shop'), $name);
}

# ---- COPY from the client ----

my $dir = $node->basedir;

sub copy_ok
{
    my ($name, $options, $bytes) = @_;
    my $file = "$dir/copy.data";
    unlink $file;
    append_to_file($file, $bytes);
    refused_ok(error_as($node, 'app', "\\copy form (id, a) FROM '$file' $options", 'shop'), $name);
}

# COPY's binary format: header, rows of int and value, trailer.
sub binary
{
    my ($value) = @_;
    return "PGCOPY\n\xff\r\n\0" . pack('NN', 0, 0)
        . pack('n N N', 2, 4, 9) . pack('N/a', $value) . pack('n', 0xffff);
}

copy_ok('COPY text', '', "8\tgood\n9\t$armor\n");
copy_ok('COPY text, escaped', '', "9\t\\163" . substr($armor, 1) . "\n");
copy_ok('COPY csv', '(FORMAT csv)', "9,$armor\n");
copy_ok('COPY csv, quoted', '(FORMAT csv)', "9,\"$armor\"\n");
copy_ok('COPY binary, armor', '(FORMAT binary)', binary($armor));
copy_ok('COPY binary, envelope', '(FORMAT binary)', binary($envelope));

# The same files, so made, go in where they hold something else.
append_to_file("$dir/good.data", binary('good'));
query_as($node, 'app',
    "BEGIN; \\copy form (id, a) FROM '$dir/good.data' (FORMAT binary)\nSELECT a FROM form WHERE id = 9; ROLLBACK",
    'shop') =~ /^good$/m
    or fail('COPY binary takes a value that is no ciphertext');

# ---- bound parameters ----

my $conninfo = $node->connstr('shop') . ' user=app';
my $type = $node->safe_psql('shop', "SELECT 'sdes.enc_text'::regtype::oid");

sub bind_state
{
    my ($sql, @parameters) = @_;
    my ($out, $err) = run_command([ 'python3', "$root/test/programs/bind.py", $conninfo, $sql, @parameters ]);
    return $out ne '' ? $out : $err;
}

my $insert = 'INSERT INTO form (id, a) VALUES (9, $1)';
my %TEXT_OID = (text => 25, varchar => 1043, bpchar => 1042);
refused_ok(bind_state($insert, "t:0:$hex_armor"), 'bound text');
refused_ok(bind_state($insert, "b:0:$hex_armor"), 'bound binary, armor');
refused_ok(bind_state($insert, "b:0:$hex_envelope"), 'bound binary, envelope');
refused_ok(bind_state($insert, "t:$type:$hex_armor"), 'bound text of the type');
refused_ok(bind_state($insert, "b:$type:$hex_armor"), 'bound binary of the type, armor');
refused_ok(bind_state($insert, "b:$type:$hex_envelope"), 'bound binary of the type, envelope');
for my $name (sort keys %TEXT_OID)
{
    refused_ok(bind_state($insert, "$_:$TEXT_OID{$name}:$hex_armor"), "bound $name, format $_") for qw(t b);
}
refused_ok(bind_state('UPDATE form SET a = $1 WHERE id = 2', "t:0:$hex_armor"), 'bound text, UPDATE');
refused_ok(bind_state('UPDATE form SET a = $1 WHERE id = 2', "b:0:$hex_envelope"), 'bound binary, UPDATE');
refused_ok(bind_state('INSERT INTO form (id, many) VALUES (9, ARRAY[$1]::sdes.enc_text[])', "b:0:$hex_envelope"),
    'bound binary, array element');
# An array in binary: one dimension, no nulls, the element's type, size, bound, value.
my $array = unpack 'H*', pack('NNN NN', 1, 0, $type, 1, 1) . pack('N/a', $envelope);
refused_ok(bind_state('INSERT INTO form (id, many) VALUES (9, $1)', "b:0:$array"), 'bound binary array');
my $record = unpack 'H*', pack('N NN N N', 2, 23, 4, 9, $type) . pack('N/a', $envelope);
refused_ok(bind_state('INSERT INTO form (id, p) VALUES (9, $1)', "b:0:$record"), 'bound binary record');
is(bind_state('UPDATE form SET a = $1 WHERE id = 3', 'b:0:' . unpack('H*', 'good')), '00000',
    'a binary value that is no ciphertext is accepted');
# Bytes that begin with zero are no text of any encoding.
refused_ok(bind_state($insert, 'b:0:00' . '61' x 60), 'bytes with the mark of an envelope');

# ---- the log ----

my $said = log_since($node, $log);
my @errors = $said =~ /(ERROR:  encrypted text is not accepted as input)/g;
is(scalar @errors, $tries, 'the log has every refusal');
is(index($said, substr $armor, 6, 20), -1, 'and in none of them the ciphertext');
is(index(lc $said, substr $hex_envelope, 10, 40), -1, 'nor its bytes');
is(index($said, 'victim'), -1, 'nor the plaintext');

# The client is told what to do, and not the value.
my $error = error_as($node, 'app', 'INSERT INTO form (id, a) SELECT 9, v FROM plain', 'shop');
like($error, qr/^HINT:  .*restore/m, 'the error has a hint');
unlike($error, qr/\Q$armor\E/, 'and does not repeat the value');

# ---- a restore takes it ----

my $dump = "$dir/dump.sql";
query_as($node, 'app', "UPDATE form SET d = 'a domain', many = '{one,two}', p = ROW(1, 'pair') WHERE id = 2", 'shop');
$node->run_log([ 'pg_dump', '-f', $dump, $node->connstr('shop') ]) or die 'pg_dump failed';
like(slurp_file($dump), qr/\Q$armor\E/, 'a dump holds the ciphertext');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
is($node->psql('copy', "\\i $dump", on_error_stop => 1), 0, 'it is restored');
my $BYTES = <<'SQL';
SELECT md5(string_agg(concat_ws(',', id, sdes.enc_text_send(a), sdes.enc_text_send(d), many, p), ';' ORDER BY id))
    FROM form
SQL
is($node->safe_psql('copy', $BYTES), $node->safe_psql('shop', $BYTES), 'byte for byte');
is(query_as($node, 'app', 'SELECT a FROM form WHERE id = 1', 'copy'), "the victim's secret",
    'and can be read by who may');
$state = $node->safe_psql('shop', $STATE);
refused_ok(error_as($node, 'app', $sql{literal}, 'copy'), 'literal in the restored database');

$node->stop;
done_testing();
