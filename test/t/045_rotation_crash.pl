# 045_rotation_crash.pl
#     Keys rotate while clients read and write, and the server, the agent or the worker
#     is killed, or a standby promoted, at any moment. After each of it: every value is
#     what its plain copy says, no row is lost, indexes agree, re-encryption goes on where
#     it was, and in the end nothing is left under an older key.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep);
use SdesTest;
use SdesFaults;
use SdesRotation;
use Test::More;

my $SERVER_KILLS = soak(4, 100);
my $AGENT_KILLS = soak(4, 100);
my $WORKER_KILLS = soak(6, 100);
my $PROMOTIONS = soak(1, 5);

my $node = new_cluster('rotation', conf => <<'CONF', init => { allows_streaming => 1 });
log_statement = none
restart_after_crash = on
sdes.rotation_batch_rows = 50
sdes.rotation_share = 30
sdes.rotation_naptime = 1s
max_wal_size = 128MB
CONF
new_ledger($node);
my $version = 1;

# ---- undisturbed, under load ----

my $load = start_load($node);
sleep(1);
is(rotate($node), ++$version, 'a new version');
emptied_ok($node, $version, 'under load, all values are re-encrypted');
is(stop_load($load), '', 'no client met an error');
intact_ok($node, 'and all is as it was');

# ---- the server is killed ----

# Rows done of each table since its first pass began, by the time of that. Batches do not
# wait for the disk, but the message does, and all that was committed before it with it.
sub progress
{
    my ($progress) = $node->safe_psql('ledger', <<'SQL');
SELECT string_agg(relation || ' ' || started_at || '|' || rows_done, chr(10)) FROM sdes.rotation WHERE relation <> 0;
SELECT 1 FROM pg_logical_emit_message(true, 'progress', '') \g /dev/null
SQL
    return map { split /\|/ } split /\n/, $progress;
}

for my $kill (1 .. $SERVER_KILLS)
{
    $load = start_load($node);
    is(rotate($node), ++$version, "server kill $kill: a new version");
    sleep(rand() * 1.5);
    my %done = progress();
    crash_server($node, all => $kill % 2);
    stop_load($load);
    $node->start;
    my %now = progress();
    is(join(' ', grep { $now{$_} < $done{$_} } grep { exists $now{$_} } keys %done), '',
        "server kill $kill: no table's progress falls back");
    emptied_ok($node, $version, "server kill $kill: it goes on to the end");
    intact_ok($node, "server kill $kill: nothing is lost");
}

# ---- the worker is killed, cancelled, terminated ----

$load = start_load($node);
my $restarted = postmaster_start($node);
my %ended;
for my $kill (1 .. $WORKER_KILLS)
{
    is(rotate($node), ++$version, "worker $kill: a new version");
    my ($pid) = wait_for(sub { rotation_workers($node) }, 10);
    sleep(rand() * 0.5);
    my $how = (qw(pg_cancel_backend pg_terminate_backend))[ $kill % 2 ];
    $ended{$how} += $node->safe_psql('postgres',
        "SELECT count($how(pid)) FROM pg_stat_activity WHERE backend_type = 'sdes worker'");
    emptied_ok($node, $version, "worker $kill: $how does not end the rotation");
}
is(stop_load($load), '', 'no client met an error');
diag(join ', ', map { "$ended{$_} x $_" } sort keys %ended);
intact_ok($node, 'workers ended: nothing is lost');

# SIGKILL makes the postmaster restart all processes, as for any backend.
for my $kill (1 .. soak(1, 20))
{
    rotate($node);
    $version++;
    my $pid = wait_for(sub { (rotation_workers($node))[0] }, 10);
    if ($pid) { kill 'KILL', $pid; }
    wait_for(sub { ($node->psql('postgres', 'SELECT 1'))[0] == 0 }, 60);
    emptied_ok($node, $version, "worker SIGKILL $kill: it goes on to the end");
    intact_ok($node, "worker SIGKILL $kill: nothing is lost");
}

# ---- the agent is killed ----

$load = start_load($node);
for my $kill (1 .. $AGENT_KILLS)
{
    is(rotate($node), ++$version, "agent kill $kill: a new version");
    sleep(rand() * 0.5);
    my $agent = agent_pid($node);
    kill 'KILL', $agent if $agent;
    emptied_ok($node, $version, "agent kill $kill: it goes on to the end");
}
is(stop_load($load), '', 'no client met an error');
intact_ok($node, 'agents killed: nothing is lost');

# ---- the search key, with a kill in each of its phases ----

sub search_key_settled
{
    return wait_for(sub {
        my ($status, $out) = $node->psql('ledger',
            q{SELECT count(*) FROM sdes.keys WHERE purpose = 'search' AND state IN ('incoming', 'decrypt-only') AND emptied_at IS NULL});
        return $status == 0 && $out eq '0';
    }, 60);
}

for my $n (1 .. soak(1, 10))
{
    $load = start_load($node);
    cmp_ok($node->safe_psql('ledger', 'SELECT sdes.rotate_search_key()'), '>', 0, "search key $n: a new one");
    sleep(rand() * 0.5);
    crash_server($node, all => 1);
    stop_load($load);
    $node->start;
    $load = start_load($node);
    ok(search_key_settled(), "search key $n: after a kill, all values get its token");
    $node->safe_psql('ledger', 'CALL sdes.switch_search_key()');
    is(wrong_rows($node), '0', "search key $n: the switch under load");
    sleep(rand() * 0.5);
    is(stop_load($load), '', "search key $n: no client met an error");
    $load = start_load($node);
    crash_server($node, all => 1);
    stop_load($load);
    $node->start;
    intact_ok($node, "search key $n: after another kill, nothing is lost");
    ok(search_key_settled(), "search key $n: values lose the old tokens");
    intact_ok($node, "search key $n: indexes agree with tables");
}

# ---- a standby is promoted in the middle ----

for my $n (1 .. $PROMOTIONS)
{
    $node->backup("backup_$n");
    my $standby = new_cluster("standby_$n", hsm => $node->{hsm},
        from_backup => [ $node, "backup_$n", has_streaming => 1 ]);
    $load = start_load($node);
    is(rotate($node), ++$version, "promotion $n: a new version");
    sleep(rand());
    $node->wait_for_catchup($standby, 'replay');
    stop_load($load);
    $node->stop('immediate');
    is($standby->safe_psql('ledger', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'sdes rotation%'"), '0',
        "promotion $n: a standby does not re-encrypt");
    $standby->promote;
    $node = $standby;
    # It makes one of its own, by which values go on to be re-encrypted.
    ok($node->poll_query_until('ledger', "SELECT max(version) > $version FROM sdes.keys WHERE bucket = 'ledger'"),
        "promotion $n: the new primary has a version of its own");
    emptied_ok($node, ++$version, "promotion $n: the new primary goes on to the end");
    intact_ok($node, "promotion $n: nothing is lost");
}

is($node->safe_psql('ledger', q{SELECT count(*) FROM sdes.keys WHERE bucket = 'ledger' AND state = 'active'}), '1',
    'one version is active');
is($node->safe_psql('ledger', 'SELECT string_agg("check", chr(32)) FROM sdes.health() WHERE NOT ok'), '', 'all is well');
$node->stop;
done_testing();
