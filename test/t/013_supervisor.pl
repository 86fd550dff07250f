# 013_supervisor.pl
#     The lives of supervisor and agent: one agent at any time, started again
#     whoever of the two dies; none when the server is gone, however it went; and
#     no second crash after one, also where the postmaster is process 1, as in
#     every container, and inherits the orphans.

use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);
use SdesTest;
use SdesFaults;
use Test::More;

my $node = new_cluster('supervised', conf => "restart_after_crash = on\n");
new_shop($node);
works_ok($node, 'it works');
one_agent_ok($node, 'there is one agent');

# How often the server started its processes anew after a crash.
sub crash_restarts
{
    my ($offset, $log) = @_;
    return scalar(() = slurp_file($log // $node->logfile, $offset)
            =~ /all server processes terminated; reinitializing/g);
}

sub wait_until_up
{
    my ($server) = @_;
    return wait_for(sub { ($server->psql('postgres', 'SELECT 1'))[0] == 0 }, 20);
}

# Waits for the agent with this pid to go. True if it does.
sub gone_ok
{
    my ($pid, $name, $seconds) = @_;
    my $began = time;
    my $gone = wait_for(sub { process_state($pid) eq 'Z' }, $seconds // 5);
    return ok($gone, sprintf '%s (%.1f s)', $name, time - $began);
}

# ---- the supervisor is ended ----

my $log = log_size($node);
my ($supervisor, $agent) = (supervisor_pid($node), agent_pid($node));
kill 'TERM', $supervisor;
gone_ok($agent, 'terminated: its agent goes');
ok(supervisor_pid($node, $supervisor), 'terminated: there is a new supervisor');
one_agent_ok($node, 'terminated: and one agent');
is(crash_restarts($log), 0, 'terminated: that is no crash');
works_ok($node, 'terminated: a new session writes and reads');

# ---- the supervisor is killed: one crash restart, not two ----

$log = log_size($node);
($supervisor, $agent) = (supervisor_pid($node), agent_pid($node));
kill 'KILL', $supervisor;
gone_ok($agent, 'killed: its agent goes');
ok(wait_until_up($node), 'killed: the server comes back');
one_agent_ok($node, 'killed: with one agent');
sleep(2);
is(crash_restarts($log), 1, 'killed: there was one crash restart');
works_ok($node, 'killed: a new session writes and reads');
health_ok($node, 'killed: all is well');

# ---- a backend is killed ----

for my $round (1 .. soak(3, 20))
{
    $log = log_size($node);
    $agent = agent_pid($node);
    my $session = start_query($node, 'postgres', 'SELECT pg_sleep(60)');
    my $backend = wait_for(sub {
        $node->safe_psql('postgres',
            "SELECT pid FROM pg_stat_activity WHERE application_name = '$session->{name}' AND state = 'active'");
    });
    kill 'KILL', $backend;
    finish_query($session);
    gone_ok($agent, "backend killed ($round): the agent of before goes");
    ok(wait_until_up($node), "backend killed ($round): the server comes back");
    ok(agent_pid($node, 10), "backend killed ($round): an agent comes back");
    is(scalar(agent_pids($node)), 1, "backend killed ($round): no second one");
    is(crash_restarts($log), 1, "backend killed ($round): there was one crash restart");
}
works_ok($node, 'backend killed: a new session writes and reads');

# ---- the agent dies ----

$log = log_size($node);
for my $signal (qw(KILL TERM SEGV ABRT))
{
    $agent = agent_pid($node);
    kill $signal, $agent;
    gone_ok($agent, "agent gets SIG$signal: it goes");
    ok(wait_for(sub { my ($new) = agent_pids($node); $new && $new != $agent }, 15),
        "agent gets SIG$signal: there is a new one");
}
is(crash_restarts($log), 0, 'agent dies: that is no crash of the server');
no_crash_ok($node, $log, 'agent dies: no process of the server crashed');
one_agent_ok($node, 'agent dies: there is one agent');
works_ok($node, 'agent dies: a new session writes and reads');

# ---- the server stops ----

for my $mode (qw(smart fast immediate))
{
    $agent = agent_pid($node, 10);
    $node->stop($mode);
    gone_ok($agent, "server stopped ($mode): the agent goes");
    $node->start;
    one_agent_ok($node, "server stopped ($mode): one agent after the next start");
}

# The postmaster dies without a word, and so the supervisor: end of file it is.
for my $round (1 .. soak(2, 20))
{
    $agent = agent_pid($node, 10);
    my $began = time;
    crash_server($node);
    gone_ok($agent, "postmaster killed ($round): the agent goes");
    cmp_ok(time - $began, '<', 5, "postmaster killed ($round): in time");
    $node->start;
    one_agent_ok($node, "postmaster killed ($round): one agent after the next start");
}

# Supervisor and postmaster both killed, and the agent stopped meanwhile: the
# next server must get on with an agent that still sits there.
$agent = agent_pid($node);
kill 'STOP', $agent;
crash_server($node, stopped => [$agent]);
$node->start;
ok(wait_for(sub { my ($new) = agent_pids($node); $new && $new != $agent }, 10),
    'an old agent that hangs: the next server has its own');
ok(settle($node), 'an old agent that hangs: and it logs in');
kill 'CONT', $agent;
gone_ok($agent, 'an old agent that hangs: it goes when it can');
sleep(0.5);
works_ok($node, 'an old agent that hangs: it takes nothing with it');
$node->stop;

# ---- the postmaster as process 1 ----

# In a new process namespace, as in a container. A user other than root may make
# one with a user namespace around it, in which it keeps its uid.
my @namespace = ('unshare', '--user', "--map-user=$>", '--pid', '--fork', '--mount-proc',
    '--kill-child=SIGKILL');
my ($first, $err) = run_command([ @namespace, 'sh', '-c', 'echo $$' ]);
is($first, '1', 'this system allows a process namespace') or diag($err);

my $container;
END { stop_contained() if $container; }

sub start_contained
{
    # pg_ctl cannot be used: it would take the 1 in postmaster.pid for its own.
    local %ENV = $node->_get_env();
    $container = IPC::Run::start([ @namespace, 'postgres', '-D', $node->data_dir ],
        '<', \undef, '>>', $node->logfile, '2>&1');
    my ($unshare) = map { $_->{PID} } @{ $container->{KIDS} };
    my $postmaster = wait_for(sub {
        my %tree = process_tree($unshare);
        my ($pid) = grep { $tree{$_}[0] == $unshare && $tree{$_}[1] eq 'postgres' } keys %tree;
        return $pid;
    }, 10);
    # agent_pids() and others look below the postmaster, seen from here.
    $node->{_pid} = $postmaster;
    return $postmaster;
}

sub stop_contained
{
    my $postmaster = $node->{_pid};
    $node->{_pid} = undef;
    return if !$container;
    kill 'INT', $postmaster if $postmaster;
    if ($postmaster && wait_for(sub { process_state($postmaster) eq 'Z' }, 20)) { $container->finish; }
    else { $container->kill_kill; } # --kill-child ends all that is in there
    $container = undef;
    return;
}

sub lives_as_process_1
{
    $log = log_size($node);
    my $postmaster = start_contained();
    ok($postmaster && wait_until_up($node), 'process 1: the server starts');
    open my $status, '<', "/proc/$postmaster/status" or die $!;
    my ($seen) = join('', <$status>) =~ /^NSpid:\s.*\s(\d+)$/m;
    is($seen, 1, 'process 1: the postmaster is that');
    one_agent_ok($node, 'process 1: there is one agent');
    works_ok($node, 'process 1: a new session writes and reads');

    $agent = agent_pid($node);
    kill 'KILL', $agent;
    ok(wait_for(sub { my ($new) = agent_pids($node); $new && $new != $agent }, 10),
        'process 1, agent killed: there is a new one');
    is(crash_restarts($log), 0, 'process 1, agent killed: no crash');

    for my $round (1 .. soak(3, 20))
    {
        $log = log_size($node);
        $agent = agent_pid($node, 10);
        $supervisor = supervisor_pid($node);
        kill 'KILL', $supervisor;
        gone_ok($agent, "process 1, supervisor killed ($round): the orphan goes");
        ok(wait_until_up($node), "process 1, supervisor killed ($round): the server comes back");
        ok(agent_pid($node, 10), "process 1, supervisor killed ($round): with an agent");
        sleep(2);
        is(scalar(agent_pids($node)), 1, "process 1, supervisor killed ($round): with one agent");
        is(crash_restarts($log), 1, "process 1, supervisor killed ($round): there was one crash restart");
    }
    works_ok($node, 'process 1, supervisor killed: a new session writes and reads');

    # The agent becomes an orphan while it is stopped, so that it ends after the
    # server started anew: process 1 reaps it then.
    $log = log_size($node);
    $agent = agent_pid($node);
    $supervisor = supervisor_pid($node);
    kill 'STOP', $agent;
    kill 'KILL', $supervisor;
    ok(wait_until_up($node), 'process 1, late orphan: the server comes back');
    my $start = $node->safe_psql('postgres', 'SELECT min(backend_start) FROM pg_stat_activity');
    kill 'CONT', $agent;
    gone_ok($agent, 'process 1, late orphan: it goes');
    sleep(1);
    is(crash_restarts($log), 1, 'process 1, late orphan: its end is no second crash');
    is($node->safe_psql('postgres', 'SELECT min(backend_start) FROM pg_stat_activity'), $start,
        'process 1, late orphan: the processes of the server are the same');
    one_agent_ok($node, 'process 1, late orphan: there is one agent');
    works_ok($node, 'process 1, late orphan: a new session writes and reads');

    $agent = agent_pid($node);
    stop_contained();
    gone_ok($agent, 'process 1: the agent goes with the server');
    return;
}

# Whatever happens in there, nobody may end that server by its postmaster.pid:
# the 1 in it is another process here.
if ($first eq '1')
{
    my $lived = eval { lives_as_process_1(); 1 };
    my $trouble = $@;
    stop_contained();
    ok($lived, 'process 1: the test came to its end') or diag($trouble);
}

$node->start;
one_agent_ok($node, 'and after all that there is one agent');
works_ok($node, 'and a new session writes and reads');
$node->stop;
done_testing();
