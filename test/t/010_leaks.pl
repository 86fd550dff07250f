# 010_leaks.pl
#     Orders go in as plain SQL, in every way a client has, and no value of them
#     is anywhere in the data directory, the WAL or the server log, be it as it
#     is, as hexadecimal digits, base64 or UTF-16.
#
#     A search that finds nothing proves nothing until it has found something:
#     each place and each form is searched once more with a value planted there.

use strict;
use warnings;
use Encode ();
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use Test::More;

my $ORDERS = soak(4000, 100_000);

# The log as it is by default, where PostgreSQL's test module would have all
# statements in it; and little memory, so that sorts and hashes spill.
my $node = new_cluster('leaks', conf => <<'CONF');
log_statement = none
log_line_prefix = '%m [%p] '
log_replication_commands = off
wal_level = logical
full_page_writes = on
work_mem = 64kB
temp_buffers = 800kB
shared_buffers = 2MB
CONF
new_shop($node);
my @default = split /\n/, $node->safe_psql('postgres', <<'SQL');
SELECT name || '=' || setting FROM pg_settings
    WHERE name IN ('log_statement', 'log_min_duration_statement', 'log_min_error_statement',
        'log_parameter_max_length', 'log_parameter_max_length_on_error', 'log_min_messages')
    AND setting <> boot_val
SQL
is("@default", '', 'the log has its default settings');

# ---- the load ----

my $half = $ORDERS / 2;
my $base = $node->basedir;
append_to_file("$base/insert.sql", orders('insert', 1, $half));
append_to_file("$base/copy.data", orders('copy', $half + 1, $half));
my @client = ('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-U', 'oms', '-d', $node->connstr('shop'));
ok($node->run_log([ @client, '-1', '-f', "$base/insert.sql" ]), "$half orders by INSERT");
ok($node->run_log([ @client, '-c', "\\copy orders FROM '$base/copy.data'" ]), "$half orders by COPY");
is(query_as($node, 'oms', 'SELECT count(email::text) FROM orders', 'shop'), $ORDERS, 'all are there');

query_as($node, 'oms', <<"SQL", 'shop');
UPDATE orders SET note = 'moved: ' || address::text WHERE id % 10 = 0;
UPDATE orders SET email = replace(email::text, '\@', '+new\@') WHERE id % 7 = 0;
UPDATE orders SET status = 'paid' WHERE id % 3 = 0;
DELETE FROM orders WHERE id % 11 = 0;
BEGIN;
UPDATE orders SET phone = '+1 ' || phone::text;
ROLLBACK;
CREATE TEMPORARY TABLE mine AS SELECT * FROM orders;
DELETE FROM mine WHERE id % 2 = 0;
DECLARE held CURSOR WITH HOLD FOR SELECT * FROM orders;
CLOSE held;
SELECT count(*) FROM (SELECT * FROM orders AS a ORDER BY a.placed_at DESC OFFSET 0) s;
SELECT count(*) FROM orders AS a JOIN orders AS b ON a.total = b.total AND a.id < b.id;
SQL
# What fails writes to the log. An error of sdes leaves statement and values out;
# other errors of a statement with literals do not, which SECURITY.md says.
my $armor = query_as($node, 'stranger', 'SELECT email FROM orders WHERE id = 1', 'shop');
my ($new) = orders('insert', $ORDERS + 1, 1);
$node->safe_psql('shop', 'GRANT INSERT, UPDATE ON orders TO support');
like(error_as($node, 'support', $new, 'shop'), qr/42501.*grant_access/s, 'who may not encrypt cannot');
isnt(error_as($node, 'oms', "UPDATE orders SET email = '$armor' WHERE id = 2", 'shop'), '',
    'ciphertext from outside is refused');

# Card numbers with a slip in them, which no column takes.
my %slips = (
    'a literal' => [ '4916338506082833', "UPDATE orders SET card = '%s' WHERE id = 2" ],
    'a text' => [ '5280934283171081', "UPDATE orders SET card = '%s'::text WHERE id = 2" ],
    'a number' => [ '4556474670906443', 'UPDATE orders SET card = %s WHERE id = 2' ],
    'COPY' => [ '6011-7963-4932-2290', "COPY orders (card) FROM stdin;\n%s\n\\.\n" ],
    'an array' => [ '371449 635398 4319', "SELECT '{%s}'::sdes.enc_pan[]" ],
    'a parameter' => [ '3589295535870727', "PREPARE p(text) AS UPDATE orders SET card = \$1; EXECUTE p('%s')" ],
    'plpgsql' => [ '4929 7226 5337 7143', "DO \$\$ DECLARE c sdes.enc_pan := '%s'; BEGIN END \$\$" ],
    'dynamic SQL' => [ '60115564485789452',
        "DO \$\$ BEGIN EXECUTE 'UPDATE orders SET card = ' || quote_literal('%s'); END \$\$" ],
    'json' => [ '5500000000000055', "SELECT json_populate_record(NULL::orders, '{\"card\": \"%s\"}')" ],
);
for my $way (sort keys %slips)
{
    my ($slip, $sql) = @{ $slips{$way} };
    like(error_as($node, 'oms', sprintf($sql, $slip), 'shop'), qr/22P02: value is not a card number/,
        "a card number with a slip is refused from $way");
}
$node->safe_psql('shop', 'VACUUM; ANALYZE; CHECKPOINT');
$node->safe_psql('shop', 'VACUUM FULL orders; REINDEX TABLE orders; CLUSTER orders USING orders_pkey');
$node->safe_psql('shop', "SELECT pg_switch_wal()");
$node->safe_psql('shop', 'CHECKPOINT');

# ---- the search ----

my $n = 40;
my @values = map { values_of_orders(1 + int($_ * $ORDERS / $n), 3) } 0 .. $n - 1;
my %unique = map { $_ => 1 } @values;
@values = sort keys %unique;
cmp_ok(scalar(grep { /^[\d -]{14,}$/ } @values), '>=', 30, 'there are card numbers');
cmp_ok(scalar @values, '>=', 200, 'there are ' . @values . ' values to search for');

# Values must be findable at all: the orders themselves hold every one of them.
my $found = find_leaks(\@values, "$base/insert.sql", "$base/copy.data");
my ($hits) = $found =~ /(\d+) hits?/;
ok(defined $hits && $hits >= @values, 'the search finds them in the orders as the client sent them')
    or diag($found);
@values = sort(keys %unique, map { $_->[0] } values %slips);

no_leaks_ok($node, \@values, 'running server: no value in data directory, WAL and log');
$node->stop;
no_leaks_ok($node, \@values, 'stopped server: no value in data directory, WAL and log');

# ---- the search searches ----

$node->start;
my @planted = ('Grzegorz.Planted@canary.example', 'плантированная канарейка 7041', '4000001234567899');
is(find_leaks(\@planted, $node->data_dir, $node->logfile), '', 'nothing is planted yet');

sub planted_ok
{
    my ($value, $what) = @_;
    my $hit = find_leaks([$value], $node->data_dir, $node->logfile);
    return ok($hit ne '', "a value is found $what");
}

$node->safe_psql('postgres',
    "CREATE TABLE plain (v text); INSERT INTO plain VALUES ('$planted[0]'); CHECKPOINT");
my $file = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('plain')");
isnt(find_leaks([ $planted[0] ], $file), '', 'a value is found in a table');
isnt(find_leaks([ $planted[0] ], $node->data_dir . '/pg_wal'), '', 'a value is found in the WAL');
$node->safe_psql('postgres', "DO \$\$ BEGIN RAISE LOG '%', '$planted[1]'; END \$\$");
isnt(find_leaks([ $planted[1] ], $node->logfile), '', 'a value is found in the log');
$node->safe_psql('postgres',
    "INSERT INTO plain SELECT '$planted[2] ' || i % 20 FROM generate_series(1, 20000) AS i; ANALYZE plain;");
my $stats = $node->safe_psql('postgres', "SELECT pg_relation_filepath('pg_statistic')");
$node->safe_psql('postgres', 'CHECKPOINT');
isnt(find_leaks([ $planted[2] ], $node->data_dir . "/$stats"), '', 'a value is found in the statistics');

# A sort that spills leaves its file for as long as the cursor is open.
my $spilling = start_query($node, 'postgres',
    "SET work_mem = '64kB'; BEGIN; DECLARE c CURSOR FOR SELECT v || ' sorted' FROM plain ORDER BY 1;"
        . ' FETCH 1 FROM c; SELECT pg_sleep(60)');
my $temporary = $node->data_dir . '/base/pgsql_tmp';
ok(wait_for(sub { -d $temporary && find_leaks([ $planted[2] ], $temporary) ne '' }, 10),
    'a value is found in a temporary file');
$node->safe_psql('postgres',
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '$spilling->{name}'");
finish_query($spilling);

# The same while the orders themselves are sorted by what is not encrypted.
$spilling = start_query($node, 'oms',
    "SET work_mem = '64kB'; BEGIN; DECLARE c CURSOR FOR SELECT *, repeat('x', 100) AS wide FROM orders ORDER BY placed_at DESC;"
        . ' FETCH 1 FROM c; SELECT pg_sleep(60)', 'shop');
ok(wait_for(sub { my @files = glob "$temporary/*"; grep { -s } @files }, 10), 'a sort of orders spills');
is(find_leaks(\@values, $temporary), '', 'no value in its temporary files');
$node->safe_psql('postgres',
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '$spilling->{name}'");
finish_query($spilling);

# Every form, at every place in longer data.
my $value = 'Żaneta.Müller@canary.example';
my $text = Encode::decode('UTF-8', $value);
my %forms = (
    'as it is' => $value,
    'in capital letters' => uc $value,
    'in small letters' => lc $value,
    'in hexadecimal digits' => unpack('H*', $value),
    'in capital hexadecimal digits' => uc unpack('H*', $value),
    'in UTF-16LE' => Encode::encode('UTF-16LE', $text),
    'in UTF-16BE' => Encode::encode('UTF-16BE', $text),
    map { ("in base64 after $_ byte(s)" => encode_base64(('x' x $_) . $value . 'tail', '')) } 0 .. 2,
);
is(find_leaks([$value], $node->data_dir, $node->logfile), '', 'the value is nowhere yet');
for my $form (sort keys %forms)
{
    my $path = $node->data_dir . '/base/planted';
    append_to_file($path, "\0\1binary\xff" . $forms{$form} . "\0\0");
    planted_ok($value, $form);
    unlink $path;
}

# Of a card number its digits, too, two in a byte.
my $number = '4000 0012 3456 7899';
is(find_leaks([$number], $node->data_dir, $node->logfile), '', 'a card number is nowhere yet');
for my $before ('', '9')
{
    my $path = $node->data_dir . '/base/planted';
    append_to_file($path, "\0" . pack('H*', $before . ($number =~ s/ //gr) . ($before eq '' ? '' : 'f')) . "\0");
    planted_ok($number, 'in BCD' . ($before eq '' ? '' : ', between two halves'));
    unlink $path;
}

$node->stop;
done_testing();
