# 016_restore.pl
#     Values and wrapped keys go where the data goes: through dumps, into other
#     encodings, to standbys and subscribers, as the same ciphertext; and who has
#     the HSM and the grants can read them there. Without the library preloaded
#     there is ciphertext to read and nothing to write.

use strict;
use warnings;
use utf8;
use Encode qw(encode);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use Test::More;

my $ORDERS = 500;
my $node = new_cluster('primary', init => { allows_streaming => 'logical' },
    conf => "log_statement = none\nmax_connections = 50\n");
my $dir = $node->basedir;
new_shop($node);
$node->safe_psql('shop', <<'SQL');
CREATE ROLE owner LOGIN;
GRANT USAGE ON SCHEMA public TO owner;
ALTER TABLE orders OWNER TO owner;
ALTER DATABASE shop OWNER TO owner;
CREATE DOMAIN pii AS sdes.enc_text('customer_pii');
CREATE TABLE extras (id int PRIMARY KEY, d pii, many sdes.enc_text('payment')[],
    x sdes.enc_text('customer_pii') DEFAULT 'by default', c sdes.enc_pan('payment') DEFAULT '4111 1111 1111 1111');
CREATE VIEW addresses AS SELECT id, address FROM orders;
ALTER TABLE extras OWNER TO owner;
ALTER VIEW addresses OWNER TO owner;
-- Which partition a row is in is checked before the keys are there.
CREATE TABLE spread (mail sdes.enc_text('customer_pii', 'searchable')) PARTITION BY HASH (mail);
CREATE TABLE spread_0 PARTITION OF spread FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE spread_1 PARTITION OF spread FOR VALUES WITH (MODULUS 2, REMAINDER 1);
ALTER TABLE spread OWNER TO owner;
ALTER TABLE spread_0 OWNER TO owner;
ALTER TABLE spread_1 OWNER TO owner;
GRANT ALL ON extras, addresses, spread TO oms;
SQL
query_as($node, 'oms', orders('insert', 1, $ORDERS), 'shop');
query_as($node, 'oms', "INSERT INTO spread SELECT 'spread ' || i FROM generate_series(1, 20) AS i", 'shop');
query_as($node, 'oms',
    "INSERT INTO extras (id, d, many) SELECT i, 'domain ' || i, ARRAY['a' || i, NULL, ''] FROM generate_series(1, 20) AS i",
    'shop');

# Digests of every stored byte, and of what the application reads.
my $BYTES = <<'SQL';
SELECT md5(string_agg(o.row, E'\n' ORDER BY o.row)) FROM (
    SELECT concat_ws(',', id, sdes.enc_text_send(full_name), sdes.enc_text_send(email), sdes.enc_text_send(phone),
        sdes.enc_text_send(address), sdes.enc_pan_send(card), sdes.enc_text_send(tax_id), sdes.enc_text_send(note))
    FROM orders
    UNION ALL SELECT concat_ws(',', id, sdes.enc_text_send(d), many, sdes.enc_text_send(x), sdes.enc_pan_send(c)) FROM extras
    UNION ALL SELECT sdes.enc_text_send(mail)::text FROM spread) AS o(row)
SQL
my $READ = <<'SQL';
SELECT md5(string_agg(o.row, E'\n' ORDER BY o.row)) FROM (
    SELECT concat_ws(',', id, full_name::text, email::text, phone::text, address::text, card::text, tax_id::text,
        note::text) COLLATE "C" FROM orders
    UNION ALL SELECT concat_ws(',', id, d::text, many[1]::text, x::text, c::text) FROM extras
    UNION ALL SELECT mail::text FROM spread) AS o(row)
SQL
my $bytes = $node->safe_psql('shop', $BYTES);
my $read = query_as($node, 'oms', $READ, 'shop');

sub same_ok
{
    my ($server, $database, $name) = @_;
    is($server->safe_psql($database, $BYTES), $bytes, "$name: the ciphertext is the same, byte for byte");
    is(query_as($server, 'oms', $READ, $database), $read, "$name: who may reads the same");
    like(query_as($server, 'support', 'SELECT email FROM orders WHERE id = 1', $database), qr/^.\*+$/,
        "$name: support sees masks");
    like(query_as($server, 'stranger', 'SELECT email FROM orders WHERE id = 1', $database), qr/^sdes1:/,
        "$name: a stranger sees ciphertext");
    return;
}

same_ok($node, 'shop', 'before');

# ---- dumps ----

is(query_as($node, 'owner', 'SELECT email FROM orders WHERE id = 1', 'shop') =~ /^sdes1:/, 1,
    'the owner of the tables has no grant');
my @as_owner = ('-U', 'owner', $node->connstr('shop'));
my %dumps = (
    plain => [],
    custom => ['-Fc'],
    inserts => [ '--inserts', '--rows-per-insert=50' ],
    'column-inserts' => ['--column-inserts'],
);
for my $format (sort keys %dumps)
{
    my $file = "$dir/dump.$format";
    ok($node->run_log([ 'pg_dump', '-f', $file, @{ $dumps{$format} }, @as_owner ]),
        "$format: the owner can dump");
    is(find_leaks(canaries_of(), $file), '', "$format: the dump holds ciphertext");
    (my $database = "restored_$format") =~ tr/-/_/;
    $node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0");
    my @restore = $format eq 'custom'
        ? ('pg_restore', '--exit-on-error', '-j', '2', '-d', $node->connstr($database), $file)
        : ('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($database), '-f', $file);
    ok($node->run_log(\@restore), "$format: it is restored");
    same_ok($node, $database, $format);
}
query_as($node, 'oms', orders('insert', $ORDERS + 1, 1) . 'INSERT INTO extras (id) VALUES (100);',
    'restored_custom');
is(query_as($node, 'oms', 'SELECT x::text FROM extras WHERE id = 100', 'restored_custom'), 'by default',
    'the restored database goes on, with the columns\' defaults');
isnt(error_as($node, 'dba', "SELECT sdes.create_bucket('payment')", 'restored_custom'), '',
    'its buckets are there');
$node->safe_psql('restored_custom', "SELECT sdes.create_bucket('another')");

# Values of these orders to look for.
sub canaries_of
{
    my @values;
    for my $line (split /\n/, orders('copy', 1, $ORDERS))
    {
        my (undef, undef, undef, undef, undef, undef, undef, undef, $email, $phone) = split /\t/, $line;
        push @values, $email, $phone eq '\N' ? () : $phone;
    }
    return \@values;
}

# ---- encodings ----

# What a client sends in UTF-8, and reads back in it, by the server's encoding.
my %SAID = (
    ascii => 'plain ascii',
    latin => 'Größe à côté',
    wide => 'Ωmega 漢字',
);
my $log = log_size($node);
for my $encoding (qw(SQL_ASCII LATIN1 LATIN2 EUC_JP WIN1251))
{
    my $database = lc $encoding;
    $node->safe_psql('postgres', "CREATE DATABASE $database ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
    $node->safe_psql($database, <<'SQL');
CREATE EXTENSION sdes;
SELECT sdes.create_bucket('customer_pii');
SELECT sdes.grant_access('customer_pii', 'oms', '{encrypt,decrypt}');
CREATE TABLE people (name text PRIMARY KEY, v sdes.enc_text('customer_pii'));
GRANT ALL ON people TO oms;
SQL
    for my $name (sort keys %SAID)
    {
        my $said = encode('UTF-8', $SAID{$name});
        my $sql = "SET client_encoding = 'UTF8'; INSERT INTO people VALUES ('$name', '$said') RETURNING v";
        my $error = error_as($node, 'oms', $sql, $database);
        my $got = query_as($node, 'oms',
            "SET client_encoding = 'UTF8'; SELECT v FROM people WHERE name = '$name'", $database);
        ok($error eq '' ? $got eq $said : ($error =~ /22P05/ && $got eq ''),
            "$encoding, $name: " . ($error eq '' ? 'stored and read' : 'refused, as by any text column'))
            or diag("$error\n$got");
    }
    is(query_as($node, 'oms', "SELECT v FROM people WHERE name = 'ascii'", $database), 'plain ascii',
        "$encoding: ASCII goes everywhere");
}
is(query_as($node, 'oms', "SET client_encoding = 'UTF8'; SELECT v FROM people WHERE name = 'latin'", 'latin1'),
    encode('UTF-8', $SAID{latin}), 'LATIN1 holds what is in it');

# From a database in UTF-8 into one that cannot hold everything: the dump goes in,
# since it is ciphertext; what cannot be shown is an error that shows nothing.
$node->safe_psql('postgres', "CREATE DATABASE utf8 ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0");
$node->safe_psql('utf8', <<'SQL');
CREATE EXTENSION sdes;
SELECT sdes.create_bucket('customer_pii');
SELECT sdes.grant_access('customer_pii', 'oms', '{encrypt,decrypt}');
SELECT sdes.grant_access('customer_pii', 'support', '{mask}');
CREATE TABLE people (name text PRIMARY KEY, v sdes.enc_text('customer_pii'));
GRANT ALL ON people TO oms, support;
SQL
query_as($node, 'oms', "SET client_encoding = 'UTF8'; INSERT INTO people VALUES ('$_', '" . encode('UTF-8', $SAID{$_}) . "')",
    'utf8') for keys %SAID;
ok($node->run_log([ 'pg_dump', '-f', "$dir/utf8.sql", $node->connstr('utf8') ]), 'a dump of UTF-8');
for my $encoding (qw(LATIN1 SQL_ASCII))
{
    my $database = 'from_utf8_' . lc $encoding;
    $node->safe_psql('postgres', "CREATE DATABASE $database ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
    ok($node->run_log([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($database), '-f', "$dir/utf8.sql" ]),
        "into $encoding");
    my $PEOPLE = "SELECT md5(string_agg(concat_ws(',', name, sdes.enc_text_send(v)), ';' ORDER BY name)) FROM people";
    is($node->safe_psql($database, $PEOPLE), $node->safe_psql('utf8', $PEOPLE), "into $encoding: the same ciphertext");
}
is(query_as($node, 'oms', "SET client_encoding = 'UTF8'; SELECT v FROM people WHERE name = 'latin'", 'from_utf8_latin1'),
    encode('UTF-8', $SAID{latin}), 'UTF-8 into LATIN1: what LATIN1 has can be read');
my $error = error_as($node, 'oms', "SELECT v FROM people WHERE name = 'wide'", 'from_utf8_latin1');
like($error, qr/22P05: encrypted value cannot be represented in the encoding "LATIN1"/,
    'UTF-8 into LATIN1: the rest is an error');
unlike($error, qr/mega|0xce|\xe6|\xce/, 'UTF-8 into LATIN1: that shows nothing of it');
unlike(log_since($node, $log), qr/mega|\xe6\xbc|\xce\xa9/, 'the log shows nothing of it');
is(query_as($node, 'oms', "SELECT v FROM people WHERE name = 'wide'", 'from_utf8_sql_ascii'),
    encode('UTF-8', $SAID{wide}), 'UTF-8 into SQL_ASCII: bytes are bytes');

# ---- a standby ----

$node->backup('base');
my $standby = new_cluster('standby', hsm => $node->{hsm}, from_backup => [ $node, 'base', has_streaming => 1 ]);
query_as($node, 'oms', orders('insert', $ORDERS + 1, 20), 'shop');
($bytes, $read) = ($node->safe_psql('shop', $BYTES), query_as($node, 'oms', $READ, 'shop'));
$node->wait_for_catchup($standby);
same_ok($standby, 'shop', 'standby');
one_agent_ok($standby, 'standby: it has an agent of its own');
isnt(agent_pid($standby), agent_pid($node), 'standby: not the primary\'s');
health_ok($standby, 'standby: all is well');
my $before = $node->safe_psql('shop', 'SELECT count(*) FROM sdes.kek');
$error = error_as($standby, 'dba', "SELECT sdes.create_bucket('on_standby')", 'shop');
like($error, qr/25006/, 'standby: a bucket cannot be made there');
is(health($standby)->{orphans}{ok}, 1, 'standby: and no key is left of that in the HSM');
like(error_as($standby, 'oms', orders('insert', 9999, 1), 'shop'), qr/25006/, 'standby: it is read only');

# A revocation arrives with the WAL, also in a session that has read already.
my $session = start_query($standby, 'oms', "SELECT email::text <> '' FROM orders WHERE id = 1;"
        . " SELECT pg_sleep(4); SELECT email::text FROM orders WHERE id = 1", 'shop');
sleep 1;
$node->safe_psql('shop', "SELECT sdes.revoke_access('customer_pii', 'oms', '{decrypt}')");
$node->wait_for_catchup($standby, 'replay');
finish_query($session);
like($session->{err}, qr/42501/, 'standby: a revocation arrives in a running session');
$node->safe_psql('shop', "SELECT sdes.grant_access('customer_pii', 'oms', '{decrypt}')");

# Promoted, it goes on by itself.
$node->wait_for_catchup($standby);
$standby->promote;
works_ok($standby, 'promoted: a new session writes and reads');
create_bucket($standby, 'after_promotion', 'shop');
health_ok($standby, 'promoted: all is well');
$standby->stop;

# ---- a subscriber ----

my $subscriber = new_cluster('subscriber', hsm => $node->{hsm}, conf => "log_statement = none\n");
ok($node->run_log([ 'bash', '-c', 'pg_dumpall --globals-only -d "$1" | psql -X -q -d "$2"', 'bash',
        $node->connstr('postgres'), $subscriber->connstr('postgres') ]), 'subscriber: roles');
$subscriber->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', 'CREATE PUBLICATION pub FOR TABLE orders, extras, spread');
ok($node->run_log([ 'bash', '-c', 'pg_dump --schema-only -d "$1" | psql -X -q -d "$2"', 'bash', $node->connstr('shop'),
        $subscriber->connstr('shop') ]), 'subscriber: schema');
# Keys do not arrive by themselves (087): their rows are brought, and so are grants.
my @KEYS = map { ('-t', "sdes.$_") } qw(bucket kek dek dek_copy usage access);
ok($node->run_log([ 'bash', '-c', 'pg_dump --data-only "${@:3}" -d "$1" | psql -X -q -v ON_ERROR_STOP=1 -d "$2"', 'bash',
        $node->connstr('shop'), $subscriber->connstr('shop'), @KEYS ]), 'subscriber: keys and grants, from a dump of their rows');
(my $connection = $node->connstr('shop')) =~ s{'}{''}g;
$subscriber->safe_psql('shop', "CREATE SUBSCRIPTION sub CONNECTION '$connection' PUBLICATION pub");
$subscriber->wait_for_subscription_sync($node, 'sub', 'shop');
query_as($node, 'oms', orders('insert', $ORDERS + 21, 20)
    . "UPDATE orders SET note = 'changed' WHERE id = 5; DELETE FROM orders WHERE id = 6", 'shop');
($bytes, $read) = ($node->safe_psql('shop', $BYTES), query_as($node, 'oms', $READ, 'shop'));
$node->wait_for_catchup('sub');
same_ok($subscriber, 'shop', 'subscriber');
$subscriber->safe_psql('shop', 'DROP SUBSCRIPTION sub');
$subscriber->stop;

# ---- not preloaded ----

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$log = log_size($node);
$node->restart;
pass('not preloaded: the server starts');
my $armor = query_as($node, 'oms', 'SELECT email FROM orders WHERE id = 1', 'shop');
like($armor, qr/^sdes1:/, 'not preloaded: reading gives ciphertext');
is(query_as($node, 'oms', 'SELECT email FROM orders WHERE id = 1; ' x 2, 'shop'), "$armor\n$armor",
    'not preloaded: also once a session has loaded the library');
$node->safe_psql('shop', "LOAD 'sdes'");
is($node->safe_psql('shop', $BYTES), $bytes, 'not preloaded: the ciphertext can be had');
my %not_loaded = (
    'writing' => orders('insert', 7777, 1),
    'updating' => "UPDATE orders SET note = 'plain'",
    'reading as text' => 'SELECT email::text FROM orders WHERE id = 1',
    'revealing' => 'SELECT sdes.reveal(email) FROM orders WHERE id = 1',
);
for my $name (sort keys %not_loaded)
{
    $error = error_as($node, 'oms', $not_loaded{$name}, 'shop');
    like($error, qr/55000: sdes must be loaded by "shared_preload_libraries".*HINT/s, "not preloaded: $name is an error");
    ok($node->run_log([ 'psql', '-X', '-c', 'SELECT 1', $node->connstr('shop') ]), 'not preloaded: and the server goes on');
}
like(error_as($node, 'dba', "SELECT sdes.create_bucket('x')", 'shop'), qr/55000/, 'not preloaded: a new bucket is an error');
like(error_as($node, 'security', "SELECT sdes.grant_access('customer_pii', 'oms', '{decrypt}')", 'shop'), qr/55000: sdes must be loaded by/, 'not preloaded: a grant is an error');
is($node->psql('shop', 'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sdes TO stranger'), 0, 'not preloaded: functions are given away');
like(error_as($node, 'stranger', "SELECT sdes.grant_access('customer_pii', 'stranger', '{decrypt}')", 'shop'), qr/42501/, 'not preloaded: who may not grant is told so');
is($node->safe_psql('shop', "SELECT count(*) FROM orders WHERE id = 7777"), '0', 'not preloaded: nothing is stored');
is($node->safe_psql('shop', q{SELECT "check", ok FROM sdes.health()}), 'preload|f', 'not preloaded: health() says so');
is(scalar(agent_pids($node)), 0, 'not preloaded: there is no agent');
ok($node->run_log([ 'pg_dump', '-f', "$dir/unloaded.sql", $node->connstr('shop') ]), 'not preloaded: a dump can be made');
no_crash_ok($node, $log, 'not preloaded: nothing crashed');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'sdes'");
$node->restart;
is(query_as($node, 'oms', $READ, 'shop'), $read, 'preloaded again: all can be read');

$node->stop;
done_testing();
