# 041_usage.pl
#     Each value that is sealed under a key was counted on disk before: after servers
#     that are killed, transactions that abort, plans with parallel workers, on a standby
#     that is promoted, in a database that is restored. At most a block is lost for each
#     start of the server.

use strict;
use warnings;
use List::Util qw(sum0);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);
use SdesTest;
use SdesFaults;
use Test::More;

my $BLOCK = 2**20;
my $CRASHES = soak(3, 50);
my $BATCH = 300_000; # values in a statement
my $CLIENTS = 3;

# The WAL writer must not put down what a backend should have.
my $hsm = new_hsm('usage');
my $node = new_cluster('usage', hsm => $hsm, init => { allows_streaming => 1 }, conf => <<'CONF');
wal_writer_delay = 10s
sdes.rotation_naptime = 1
log_statement = none
jit = off
CONF
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION sdes;
SELECT sdes.create_bucket('pii');
SELECT sdes.create_bucket('hsm', mode => 'hsm');
CREATE ROLE shop LOGIN;
SELECT sdes.grant_access('pii', 'shop', '{encrypt}');
SELECT sdes.grant_access('hsm', 'shop', '{encrypt}');
GRANT CREATE ON SCHEMA public TO shop;
SQL

sub messages
{
    my ($server, $bucket, $database) = @_;
    return $server->safe_psql($database // 'postgres',
        "SELECT messages FROM sdes.keys WHERE bucket = '" . ($bucket // 'pii') . "' AND purpose <> 'search' ORDER BY version");
}

# A statement that seals that many values and stores none.
sub seals
{
    my ($n, $bucket) = @_;
    $bucket //= 'pii';
    return "SELECT count((g || '')::sdes.enc_text('$bucket')) FROM generate_series(1, $n) g";
}

# ---- a block at a time ----

is(messages($node), 0, 'a new key has sealed nothing');
is(query_as($node, 'shop', seals(1)), 1, 'one value');
is(messages($node), $BLOCK, 'is a block');
query_as($node, 'shop', seals(1000));
is(messages($node), $BLOCK, 'for many more values');
query_as($node, 'shop', 'BEGIN READ ONLY; ' . seals($BLOCK) . '; COMMIT');
is(messages($node), 2 * $BLOCK, 'the next block, in a transaction that only reads');
query_as($node, 'shop', 'BEGIN; SAVEPOINT s; ' . seals($BLOCK) . '; ROLLBACK TO s; ROLLBACK');
is(messages($node), 3 * $BLOCK, 'what was rolled back stays counted');
like(error_as($node, 'shop', 'SET statement_timeout = 200; ' . seals(20 * $BLOCK)), qr/57014/, 'a statement is cancelled');
my $cancelled = messages($node);
cmp_ok($cancelled, '>=', 3 * $BLOCK, 'it takes nothing back');
is(query_as($node, 'shop', seals(10, 'hsm')), 10, 'values are sealed in the HSM');
is(messages($node, 'hsm'), $BLOCK, 'and counted');
cmp_ok(messages($node, '#system'), '>=', 0, 'literals have a key of their own');
query_as($node, 'shop', q{SELECT 'a'::sdes.enc_text IS NOT NULL});
is(messages($node, '#system'), $BLOCK, 'which counts them');

# ---- parallel workers ----

query_as($node, 'shop', 'CREATE TABLE plain AS SELECT g::text AS v FROM generate_series(1, 500000) g; ANALYZE plain');
my $PARALLEL = 'SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off;';
my $WIDE = 'SELECT ' . join(' + ', map { "count((v || $_)::sdes.enc_text('pii'))" } 1 .. 5) . ' FROM plain';
like(query_as($node, 'shop', "$PARALLEL EXPLAIN $WIDE"), qr/Partial Aggregate/, 'a plan seals in parallel workers');
my $before = messages($node);
is(query_as($node, 'shop', "$PARALLEL $WIDE"), 2_500_000, 'which seal more than a block');
cmp_ok(messages($node) - $before, '>=', 2_500_000 - $BLOCK, 'all of them counted');
cmp_ok(messages($node) - $before, '<=', 2_500_000 + 3 * $BLOCK, 'and not many more');

# ---- many at once ----

$before = messages($node);
my @queries = map { start_query($node, 'shop', seals($BATCH)) } 1 .. 12;
finish_query($_) for @queries;
cmp_ok(messages($node) - $before, '<=', 12 * $BATCH + 2 * $BLOCK, 'twelve who come at once do not take a block each');

# ---- a server that is killed at once ----

$node->safe_psql('postgres', q{SELECT sdes.create_bucket('flushed'); SELECT sdes.grant_access('flushed', 'shop', '{encrypt}'); CHECKPOINT});
is(query_as($node, 'shop', seals(1, 'flushed')), 1, 'one value under a new key');
crash_server($node, all => 1);
$node->start;
is(messages($node, 'flushed'), $BLOCK, 'it is on disk before the value is sealed');

# ---- servers that are killed in the midst ----

# Statements one after the other; the file tells how many were done.
sub start_sealing
{
    my ($round, $n) = @_;
    my $file = $node->basedir . "/seal_${round}_$n.sql";
    append_to_file($file, (seals($BATCH) . ";\n") x 500);
    my %run = (err => '', out => "$file.out");
    local %ENV = $node->_get_env();
    $run{handle} = IPC::Run::start([ 'psql', '-XAtq', '-U', 'shop', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $file ],
        '<', \undef, '>', $run{out}, '2>', \$run{err});
    return \%run;
}

$before = messages($node);
my $sealed = 0;
for my $round (1 .. $CRASHES)
{
    my @running = map { start_sealing($round, $_) } 1 .. $CLIENTS;
    wait_for(sub { slurp_file($running[0]{out}) ne '' }, 30);
    sleep(0.2 + rand);
    crash_server($node, all => $round % 2);
    $_->{handle}->finish for @running;
    $sealed += $BATCH * sum0(map { scalar(() = slurp_file($_->{out}) =~ /^$BATCH$/mg) } @running);
    $node->start;
    my $counted = messages($node) - $before;
    cmp_ok($counted, '>=', $sealed - $BLOCK, "crash $round: what was sealed is counted");
    # What a client did not hear the end of may have been sealed as well.
    cmp_ok($counted, '<=', $sealed + $round * ($CLIENTS * $BATCH + 2 * $BLOCK), "crash $round: and not much more");
}
diag(sprintf '%d values sealed, %d counted, in %d runs of the server', $sealed, messages($node) - $before, $CRASHES);

# ---- what administrators do ----

$before = messages($node);
$node->restart;
query_as($node, 'shop', seals(1));
is(messages($node) - $before, $BLOCK, 'a restart costs a block');
my $running = start_query($node, 'shop', seals(4 * $BLOCK));
$node->safe_psql('postgres', 'VACUUM FULL sdes.usage') for 1 .. 20;
$node->safe_psql('postgres', 'VACUUM FREEZE sdes.usage; REINDEX TABLE sdes.usage');
finish_query($running);
is($running->{err}, '', 'sealing goes on while the table is rewritten');
cmp_ok(messages($node) - $before, '>=', 5 * $BLOCK, 'and is counted');
is($node->safe_psql('postgres', 'SELECT count(*) FROM sdes.usage'), $node->safe_psql('postgres', 'SELECT count(*) FROM sdes.dek'), 'one row for each key');

# ---- enough is enough ----

$node->safe_psql('postgres', q{SELECT sdes.create_bucket('busy')});
my $set = q{UPDATE sdes.usage SET messages = %d WHERE encode(key_id, 'hex') = (SELECT key_id FROM sdes.keys WHERE bucket = 'busy')};
sub busy_versions
{
    return $node->safe_psql('postgres', q{SELECT string_agg(version || ' ' || state, ', ' ORDER BY version) FROM sdes.keys WHERE bucket = 'busy'});
}
$node->safe_psql('postgres', sprintf $set, 2**30 - 1);
sleep(3);
is(busy_versions(), '1 active', 'a key stays while it has sealed less than 2^30 values');
$node->safe_psql('postgres', sprintf $set, 2**30);
ok(wait_for(sub { busy_versions() =~ /, 2 active/ }, 20), 'then it gets a successor by itself');

# ---- a database that is restored ----

my $dump = $node->basedir . '/usage.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'the database is dumped');
$node->safe_psql('postgres', 'CREATE DATABASE again');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('again'), $dump ], 'and restored');
$before = messages($node);
is(messages($node, 'pii', 'again'), $before, 'a restored database knows what was sealed');
query_as($node, 'shop', seals(1), 'again');
is(messages($node, 'pii', 'again'), "$before\n$BLOCK", 'and seals under a key of its own, which it counts');
is(messages($node), $before, 'each for itself');

# ---- a standby ----

# It would have a new key soon after its promotion.
$node->safe_psql('postgres', q{SELECT sdes.pause_rotation('pii')});
$node->backup('base');
my $standby = new_cluster('usage_standby', hsm => $hsm, from_backup => [ $node, 'base', has_streaming => 1 ]);
query_as($node, 'shop', seals($BLOCK));
$node->wait_for_catchup($standby);
$before = messages($node);
is(messages($standby), $before, 'standby: it knows what the primary has reserved');
my $on_standby = 3 * $BLOCK;
is(query_as($standby, 'shop', seals($on_standby)), $on_standby, 'standby: it seals what it never stores');
is(messages($standby), $before, 'standby: it cannot put that down');
$node->stop;
$standby->promote;
is(query_as($standby, 'shop', seals(1)), 1, 'promoted: it seals');
cmp_ok(messages($standby), '>=', $before + $on_standby, 'promoted: and makes good what it sealed before');

no_crash_ok($standby, 0, 'no process of the standby crashed');
$standby->stop;
done_testing();
