# 023_many_clients.pl
#     As many clients as the server takes come at once, each to read a value, and
#     each reads it: while all is well, while the agent of a server that was just
#     started still logs in, and when the agent has just been killed. However many
#     they are, the HSM sees one login per agent.

use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep);
use SdesTest;
use SdesFaults;
use Test::More;

my $CLIENTS = 200;
my $ROUNDS = soak(1, 20);

my ($node, $proxy, $email, @seconds);

sub start_crowd
{
    my $crowd = { out => '', err => '' };
    local %ENV = $node->_get_env;
    $crowd->{handle} = IPC::Run::start(
        [ 'test/programs/crowd.py', $node->connstr('shop') . ' user=oms', $CLIENTS,
            'SELECT email FROM orders WHERE id = 1' ],
        '<', \undef, '>', \$crowd->{out}, '2>', \$crowd->{err});
    return $crowd;
}

# A test: all of them got the value.
sub crowd_ok
{
    my ($crowd, $name) = @_;
    $crowd->{handle}->finish;
    my ($connected, $answered) = map { $crowd->{out} =~ s/^$_ (\S+)\n//m ? $1 : -1 } qw(connected answered);
    push @seconds, $answered;
    note("$name: connected after $connected s, answered after $answered s");
    return is($crowd->{out} . $crowd->{err}, "$CLIENTS $email\n", "$name: $CLIENTS clients read the value");
}

# How many sessions wait in the server.
sub waiting
{
    return $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity"
        . " WHERE usename = 'oms' AND state = 'active' AND wait_event_type = 'Extension'");
}

# A test: so many more logins than before.
my $logins;
sub logins_ok
{
    my ($more, $name) = @_;
    my $now = proxy_calls($proxy, 'C_Login');
    is($now - $logins, $more, $name);
    $logins = $now;
    return;
}

for my $kind ('softhsm', 'nss')
{
    my $hsm = new_hsm("crowd_$kind", kind => $kind);
    $proxy = new_proxy($hsm);
    $node = new_cluster("crowd_$kind", hsm => $hsm, conf => <<'CONF');
max_connections = 250
shared_buffers = 16MB
log_connections = off
log_disconnections = off
log_statement = none
CONF
    new_shop($node);
    query_as($node, 'oms', orders('insert', 1, 1), 'shop');
    $email = query_as($node, 'oms', 'SELECT email FROM orders WHERE id = 1', 'shop');
    like($email, qr/@/, "$kind: there is an order");
    $logins = 0;
    logins_ok(1, "$kind: one login so far");
    my $log = log_size($node);

    for my $round (1 .. $ROUNDS)
    {
        crowd_ok(start_crowd(), "$kind, round $round");
        logins_ok(0, "$kind, round $round: no further login");

        # The login takes so long that all of them have come before its end.
        append_to_file($proxy->{control}, "C_Login hang\n");
        $node->restart;
        my $crowd = start_crowd();
        ok(wait_for(sub { waiting() == $CLIENTS }, 20), "$kind, round $round, agent starting: all wait");
        unlink $proxy->{control} or die $!;
        crowd_ok($crowd, "$kind, round $round, agent starting");
        logins_ok(1, "$kind, round $round, agent starting: one login");

        my $pid = agent_pid($node);
        kill 'KILL', $pid;
        crowd_ok(start_crowd(), "$kind, round $round, agent killed before");
        logins_ok(1, "$kind, round $round, agent killed before: one login");

        $pid = agent_pid($node);
        $crowd = start_crowd();
        sleep(rand() * 0.5);
        kill 'KILL', $pid;
        crowd_ok($crowd, "$kind, round $round, agent killed meanwhile");
        agent_pid($node);
        settle($node);
        logins_ok(1, "$kind, round $round, agent killed meanwhile: one login");
    }
    no_crash_ok($node, $log, "$kind: no process of the server crashed");
    one_agent_ok($node, "$kind: there is one agent");
    $node->stop;
}
diag(sprintf '%d crowds of %d clients; the slowest was answered after %.1f s',
    scalar @seconds, $CLIENTS, (sort { $b <=> $a } @seconds)[0]);
done_testing();
