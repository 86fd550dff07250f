# 012_agent_faults.pl
#     The agent killed, stopped and stuck in the HSM, while clients go on. What a
#     client may see is a clear error or nothing at all: never a wrong value, a
#     lost order, a crashed server, or a session that cannot be cancelled.

use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);
use SdesTest;
use SdesFaults;
use Test::More;

my $KILLS = soak(20, 200);
my $FRESH = "SELECT email::text FROM orders WHERE id = 1";

my $hsm = new_hsm('faults');
my $proxy = new_proxy($hsm);
my $node = new_cluster('faults', hsm => $hsm);
new_shop($node);
$node->safe_psql('postgres', 'CREATE TABLE plain (id int); INSERT INTO plain VALUES (1)');
query_as($node, 'oms', orders('insert', 1, 10), 'shop');
my $email = query_as($node, 'oms', $FRESH, 'shop');
like($email, qr/@/, 'an order is there and can be read');

my $server_start = postmaster_start($node);

# ---- SIGKILL, over and over, under load ----

my $log = log_size($node);
my $load = start_writers($node, clients => 3, first => 1000, batch => 2);
my ($token, $killed) = ("pkcs11:token=$hsm->{label}", 0);
for my $round (1 .. $KILLS)
{
    my $pid = agent_pid($node, 15) or last;
    # At every moment of an agent's life, also while it starts.
    sleep(rand() * 0.4);
    $killed += kill 'KILL', $pid;
    wait_for(sub { !grep { $_ == $pid } agent_pids($node) }, 10);

    # The supervisor starts an agent that dies young ever more slowly. A new
    # setting, which replaces the agent as well, makes it quick again.
    if ($round % 4 == 0)
    {
        $token = $token =~ /;/ ? "pkcs11:token=$hsm->{label}"
            : "pkcs11:token=$hsm->{label};manufacturer=SoftHSM%20project";
        set_conf($node, 'sdes.pkcs11_token' => $token);
        $node->reload;
    }
}
is($killed, $KILLS, "the agent was killed $KILLS times");
settle($node);
sleep(0.5);
stop_writers($load);
my $committed = journal_ok($load, 'agent killed');
my @errors = errors_ok($load,
    qr/^(?:58000|55000) .*(?:key agent is not running|lost the connection to the key agent|key agent refused|HSM is not ready yet)/,
    'agent killed: every error that a client saw is a clear one');
diag("$committed orders committed, " . @errors . " errors seen by clients");
no_crash_ok($node, $log, 'agent killed: no process of the server crashed');
is(postmaster_start($node), $server_start, 'agent killed: the server is the same');
one_agent_ok($node, 'agent killed: there is one agent');
health_ok($node, 'agent killed: all is well again');
works_ok($node, 'agent killed: a new session writes and reads');

# ---- keys that nobody needs any more ----

# Tests that a bucket whose transaction ends so leaves no key in the token.
sub no_orphan_ok
{
    my ($name, $end) = @_;
    my ($made, $destroyed) = map { proxy_calls($proxy, $_) } qw(C_GenerateKey C_DestroyObject);
    $end->();
    is(proxy_calls($proxy, 'C_GenerateKey'), $made + 1, "$name: a key was made");
    ok(wait_for(sub { proxy_calls($proxy, 'C_DestroyObject') > $destroyed }, 15), "$name: and destroyed");
    ok(wait_for_health($node, 'orphans', sub { $_[0]{ok} }, 15), "$name: the token holds no key without its row");
    return;
}

my $create = "BEGIN; SELECT sdes.create_bucket('aborted')";
no_orphan_ok('bucket rolled back', sub { query_as($node, 'dba', "$create; ROLLBACK", 'shop') });
no_orphan_ok('bucket rolled back, then the agent killed', sub {
    my $session = start_query($node, 'dba', "$create; SELECT pg_sleep(60)", 'shop');
    wait_for(sub { proxy_calls($proxy, 'C_GenerateKey') > 0 && $node->safe_psql('postgres',
        "SELECT wait_event FROM pg_stat_activity WHERE application_name = '$session->{name}'") eq 'PgSleep' });
    kill 'STOP', agent_pid($node);
    $node->safe_psql('postgres', 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity'
        . " WHERE application_name = '$session->{name}'");
    finish_query($session);
    kill 'KILL', agent_pid($node);
});
settle($node);

# ---- SIGSTOP ----

# Queries of new sessions, which all have to fetch a key. They end, in this
# order, by cancel, by termination, by timeout and, if they may, with a result.
sub waiting_queries
{
    my %queries = (
        cancel => start_query($node, 'oms', $FRESH, 'shop'),
        terminate => start_query($node, 'oms', $FRESH, 'shop'),
        stay => start_query($node, 'oms', $FRESH, 'shop'),
    );
    ok(wait_for_waiters(values %queries), "$_[0]: new sessions wait for a key");
    return \%queries;
}

sub pid_of
{
    my ($query) = @_;
    return "(SELECT pid FROM pg_stat_activity WHERE application_name = '$query->{name}')";
}

sub interrupts_ok
{
    my ($queries, $name) = @_;
    my $timeout = start_query($node, 'oms', "SET statement_timeout = 300; $FRESH", 'shop');
    my $cut = finish_query($timeout);
    like($cut->{err}, qr/57014.*statement timeout/, "$name: statement_timeout works");
    cmp_ok($cut->{seconds}, '<', 1.3, "$name: in time");

    $node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . pid_of($queries->{cancel}) . ')');
    my $cancelled = finish_query($queries->{cancel});
    like($cancelled->{err}, qr/57014.*user request/, "$name: a waiting backend is cancelled");
    cmp_ok($cancelled->{seconds}, '<', 1, "$name: within a second");

    $node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . pid_of($queries->{terminate}) . ')');
    my $ended = finish_query($queries->{terminate});
    like($ended->{err}, qr/57P01/, "$name: a waiting backend is terminated");
    cmp_ok($ended->{seconds}, '<', 1, "$name: within a second");

    my $began = time;
    is($node->safe_psql('postgres', 'INSERT INTO plain VALUES (2); SELECT count(*) > 0 FROM plain'),
        't', "$name: unprotected tables work");
    cmp_ok(time - $began, '<', 1, "$name: without waiting");
    return;
}

$log = log_size($node);
my $stopped = agent_pid($node);
kill 'STOP', $stopped or die "could not stop the agent";
my $queries = waiting_queries('agent stopped');
interrupts_ok($queries, 'agent stopped');
my $stayed = finish_query($queries->{stay});
# It depends on how long it had waited when the agent was given up.
ok($stayed->{out} eq $email
    || $stayed->{err} =~ /58000: (?:key agent is not running|lost the connection to the key agent).*HINT/s,
    'agent stopped: who waits gets the value from the next agent, or a clear error')
    or diag("$stayed->{out}\n$stayed->{err}");
ok(wait_for(sub { my ($pid) = agent_pids($node); $pid && $pid != $stopped }, 10),
    'agent stopped: the supervisor replaces it');
like(log_since($node, $log), qr/replacing the key agent: it does not answer/,
    'agent stopped: the log says so');
one_agent_ok($node, 'agent stopped: there is one agent');
works_ok($node, 'agent stopped: a new session writes and reads');

# ---- stuck in the HSM ----

settle($node);
my $stuck = agent_pid($node);
append_to_file($proxy->{control}, "C_Decrypt hang\n");
$queries = waiting_queries('HSM hangs');
interrupts_ok($queries, 'HSM hangs');
# Those four took the agent's four threads with them.
my $late = finish_query(start_query($node, 'oms', $FRESH, 'shop'));
like($late->{err}, qr/58000: HSM did not answer in time.*HINT/s, 'HSM hangs: who comes late is told');
cmp_ok($late->{seconds}, '<', 5, 'HSM hangs: soon');
is(health($node)->{agent}{ok}, 1, 'HSM hangs: health() still answers');
like(health($node)->{hsm}{detail}, qr/^out of service for \d+ s: .*has not returned/,
    'HSM hangs: and says so');
$stayed = finish_query($queries->{stay});
like($stayed->{err}, qr/58000: HSM did not answer in time.*HINT/s,
    'HSM hangs: who waits gets a clear error in the end');
cmp_ok($stayed->{seconds}, '<', 12, 'HSM hangs: within the deadline');
ok(wait_for(sub { my ($pid) = agent_pids($node); $pid && $pid != $stuck }, 10),
    'HSM hangs: the agent is replaced');
unlink $proxy->{control} or die "could not unhang: $!";
settle($node);
is(query_as($node, 'oms', $FRESH, 'shop'), $email, 'HSM answers again: so does sdes');
works_ok($node, 'HSM answers again: a new session writes and reads');
no_crash_ok($node, $log, 'stopped and hanging: no process of the server crashed');
is(postmaster_start($node), $server_start, 'stopped and hanging: the server is the same');
one_agent_ok($node, 'stopped and hanging: there is one agent');

$node->stop;
done_testing();
