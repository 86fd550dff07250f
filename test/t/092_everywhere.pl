# 092_everywhere.pl
#     1,000 values of orders go in, are sorted, grouped, joined and fetched, and are in none
#     of the places where the data goes: data directory, WAL, its archive, a base backup,
#     dumps, a logical slot, a standby, a subscriber, temporary files, the statistics'
#     files, and a server log that has everything in it that can be had.
#
#     Each place is searched once more with a value planted there.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use Test::More;

my $VALUES = 1000;
my $ORDERS = 400;

my $LOG_ALL = <<'CONF';
log_statement = all
log_min_duration_statement = 0
log_parameter_max_length = -1
log_parameter_max_length_on_error = -1
log_min_messages = debug1
log_temp_files = 0
debug_print_parse = on
debug_print_rewritten = on
debug_print_plan = on
CONF

my $node = new_cluster('everywhere', init => { allows_streaming => 'logical', has_archiving => 1 },
    conf => "$LOG_ALL\nshared_preload_libraries = 'pg_stat_statements, sdes'\nmax_wal_senders = 10\nwork_mem = 64kB\ntemp_buffers = 800kB\nautovacuum = off\n");
new_shop($node);
$node->safe_psql('shop', <<'SQL');
CREATE EXTENSION pg_stat_statements;
CREATE TABLE found (id bigint, email sdes.enc_text('customer_pii', 'searchable'), card sdes.enc_pan('payment', 'searchable'));
CREATE INDEX ON found (email);
GRANT ALL ON found TO oms;
CREATE PUBLICATION everything FOR TABLE orders, found;
ALTER TABLE found REPLICA IDENTITY FULL;
SQL
$node->safe_psql('shop', "GRANT sdes_officer TO postgres; SELECT sdes.grant_access('customer_pii', 'oms', '{search}'), sdes.grant_access('payment', 'oms', '{search}')");
my $slot = 'decoded';
$node->safe_psql('shop', "SELECT pg_create_logical_replication_slot('$slot', 'test_decoding')");

my @values = values_of_orders(1, $ORDERS);
cmp_ok(scalar @values, '>=', $VALUES, "there are $VALUES values") or BAIL_OUT('too few values');
splice @values, $VALUES;
my $dir = $node->basedir;

# ---- the others ----

my $subscriber = new_cluster('subscriber', conf => $LOG_ALL);
$subscriber->safe_psql('postgres', 'CREATE DATABASE shop');
$subscriber->safe_psql('shop', "CREATE EXTENSION sdes; SELECT sdes.create_bucket('customer_pii'), sdes.create_bucket('payment')");
ok($node->run_log([ 'bash', '-c', 'pg_dumpall --roles-only -d "$1" | psql -X -q -d "$2" && pg_dump --schema-only -t orders -t found -d "$1" | psql -X -q -d "$2"',
    'bash', $node->connstr('shop'), $subscriber->connstr('shop') ]), 'the subscriber has the tables');
(my $connection = $node->connstr('shop')) =~ s{'}{''}g;
$node->backup('base');
my $standby = new_cluster('standby', hsm => $node->{hsm}, from_backup => [ $node, 'base', has_streaming => 1 ]);

# ---- the load ----

append_to_file("$dir/insert.sql", orders('insert', 1, $ORDERS / 2));
append_to_file("$dir/copy.data", orders('copy', $ORDERS / 2 + 1, $ORDERS / 2));
my @client = ('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-U', 'oms', '-d', $node->connstr('shop'));
ok($node->run_log([ @client, '-f', "$dir/insert.sql" ]), 'orders by INSERT');
ok($node->run_log([ @client, '-c', "\\copy orders FROM '$dir/copy.data'" ]), 'orders by COPY');
$subscriber->safe_psql('shop', "CREATE SUBSCRIPTION s CONNECTION '$connection' PUBLICATION everything");
$subscriber->wait_for_subscription_sync($node, 's', 'shop');
query_as($node, 'oms', <<'SQL', 'shop');
INSERT INTO found SELECT id, email::text, card::text FROM orders WHERE id <= 400;
UPDATE found SET email = email::text WHERE id % 3 = 0;
UPDATE orders SET note = 'moved: ' || address::text WHERE id % 10 = 0;
DELETE FROM found WHERE id % 11 = 0;
SQL
query_as($node, 'oms', "SELECT id FROM found WHERE email = '$_'; SELECT id FROM found WHERE card::text = '$_'", 'shop') for grep { /\@/ } @values[ 0 .. 60 ];
error_as($node, 'oms', $_, 'shop') for "INSERT INTO orders (id, email) VALUES (1, '$values[0]')", "SELECT '$values[1]'::int", "INSERT INTO orders (id, email) VALUES ('$values[2]', 'x)";

# ---- temporary files: what spills while it lasts ----

my $temporary = $node->data_dir . '/base/pgsql_tmp';
my %spills = (
    'ORDER BY' => 'SELECT * FROM (SELECT o.* FROM orders AS o, generate_series(1, 20)) AS w ORDER BY email, card',
    'DISTINCT' => 'SELECT DISTINCT f.email, f.card, g FROM found AS f, generate_series(1, 40) AS g',
    'GROUP BY' => 'SELECT w.email, count(*) FROM (SELECT f.* FROM found AS f, generate_series(1, 40) OFFSET 0) AS w GROUP BY w.email',
    'a hash join' => 'SELECT a.id FROM (SELECT f.* FROM found AS f, generate_series(1, 30) OFFSET 0) AS a JOIN (SELECT f.* FROM found AS f, generate_series(1, 20) OFFSET 0) AS b USING (email)',
    'a merge join' => 'SELECT a.id FROM (SELECT f.* FROM found AS f, generate_series(1, 30) OFFSET 0) AS a JOIN (SELECT f.* FROM found AS f, generate_series(1, 20) OFFSET 0) AS b USING (email)',
    'a window' => 'SELECT email, count(*) OVER (PARTITION BY card ORDER BY email) FROM (SELECT f.* FROM found AS f, generate_series(1, 40)) AS w',
    'a cursor that is held' => 'SELECT o.* FROM orders AS o, generate_series(1, 5)',
    'a materialized CTE' => 'WITH m AS MATERIALIZED (SELECT o.* FROM orders AS o, generate_series(1, 5)) SELECT * FROM m AS a ORDER BY a.id, a.email',
);
my %settings = ('a hash join' => 'SET enable_mergejoin = off; SET enable_nestloop = off;', 'a merge join' => 'SET enable_hashjoin = off; SET enable_nestloop = off;',
    'GROUP BY' => 'SET enable_hashagg = off;', 'DISTINCT' => 'SET enable_hashagg = off;');
for my $way (sort keys %spills)
{
    my ($begin, $hold) = $way =~ /held/ ? ('', 'WITH HOLD') : ('BEGIN;', '');
    my $session = start_query($node, 'oms', 'SET jit = off;' . ($settings{$way} // '') . "$begin DECLARE c CURSOR $hold FOR $spills{$way}; FETCH 10 FROM c; SELECT pg_sleep(60)", 'shop');
    # Results that the server would spool are kept in memory.
    my $spilled = wait_for(sub { (grep { -s } glob("$temporary/*"), glob("$temporary/*/*")) ? 1 : $node->safe_psql('postgres', "SELECT 1 FROM pg_stat_activity WHERE application_name = '$session->{name}' AND wait_event = 'PgSleep'") ? 2 : 0 }, 60);
    my @files = grep { -s } glob("$temporary/*"), glob("$temporary/*/*");
    ok($spilled && ($way =~ /held/ || @files > 0), "$way spills") or diag($session->{err});
    is(find_leaks(\@values, $temporary), '', "$way: no value in its temporary files") if -d $temporary;
    $node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '$session->{name}'");
    finish_query($session);
}

# ---- dumps, backups, copies ----

$node->safe_psql('shop', 'VACUUM; ANALYZE; CHECKPOINT');
my %dumps = (plain => [], custom => [ '-Fc', '-Z0' ], directory => [ '-Fd', '-Z0', '-j', '2' ], inserts => ['--inserts']);
ok($node->run_log([ 'pg_dump', @{ $dumps{$_} }, '-f', "$dir/dump_$_", '-U', 'oms', '-t', 'orders', '-t', 'found', $node->connstr('shop') ]), "a dump: $_") for sort keys %dumps;
ok($node->run_log([ 'pg_dumpall', '-f', "$dir/dump_all", '-d', $node->connstr('postgres') ]), 'a dump of all');
$node->backup('later');
$node->safe_psql('shop', "CREATE TABLE decoded AS SELECT data FROM pg_logical_slot_peek_changes('$slot', NULL, NULL); SELECT pg_switch_wal()");
cmp_ok($node->safe_psql('shop', q{SELECT count(*) FROM decoded WHERE data LIKE '%sdes1:%'}), '>', $ORDERS, 'the slot has ciphertext');
append_to_file("$dir/decoded", $node->safe_psql('shop', 'SELECT data FROM decoded'));
$node->wait_for_catchup($standby, 'replay', $node->lsn('write'));
$node->wait_for_catchup('s');
is($subscriber->safe_psql('shop', 'SELECT count(*) FROM orders'), $ORDERS, 'the subscriber has the orders');
is(query_as($standby, 'oms', 'SELECT count(email::text) FROM orders', 'shop'), $ORDERS, 'so has the standby, and opens them');
wait_for(sub { my $last = $node->safe_psql('postgres', 'SELECT last_archived_wal FROM pg_stat_archiver'); $last ne '' }, 30);
$_->stop for $standby, $subscriber, $node;

# ---- the search ----

my %places = (
    'the data directory' => $node->data_dir,
    'the WAL' => $node->data_dir . '/pg_wal',
    'the archive' => $node->archive_dir,
    'the first backup' => $node->backup_dir . '/base',
    'the last backup' => $node->backup_dir . '/later',
    'the log' => $node->logfile,
    'the statistics' => $node->data_dir . '/pg_stat',
    'what was decoded' => "$dir/decoded",
    'the standby' => $standby->data_dir,
    'its log' => $standby->logfile,
    'the subscriber' => $subscriber->data_dir,
    'the log there' => $subscriber->logfile,
    'the audit journal' => $node->data_dir . '.audit',
    (map { ("the dump, $_" => "$dir/dump_$_") } keys %dumps, 'all'),
);
my ($found) = find_leaks(\@values, "$dir/insert.sql", "$dir/copy.data") =~ /(\d+) hits?/;
cmp_ok($found // 0, '>=', $VALUES, 'all are found in the orders as the client sent them');
for my $place (sort keys %places)
{
    ok(-e $places{$place}, "there is $place");
    is(find_leaks(\@values, $places{$place}), '', "no value in $place");
    my $planted = -d $places{$place} ? "$places{$place}/planted" : $places{$place};
    append_to_file($planted, "planted: $values[-1]\n");
    isnt(find_leaks(\@values, $places{$place}), '', "a value that is planted is found in $place");
    unlink $planted if -d $places{$place};
}

done_testing();
