# 015_processes.pl
#     Nobody who shares the server's uid, such as a program that COPY started,
#     can look into its processes or the agent: not at their memory, not by
#     ptrace, not by a core file. And that costs the server nothing else, namely
#     not the setting that tells the out-of-memory killer whom to spare.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep);
use SdesTest;
use SdesFaults;
use Test::More;

# The scores of this process go to the postmaster, which gives its children
# another one, as Debian's pg_ctlcluster has it (there the first is negative,
# which only root may set).
my ($POSTMASTER_SCORE, $CHILD_SCORE) = (200, 500);

sub score
{
    my ($pid, $set) = @_;
    open my $file, defined $set ? '>' : '<', "/proc/$pid/oom_score_adj" or die "oom_score_adj: $!";
    if (defined $set) { print $file $set; close $file or die "oom_score_adj: $!"; return; }
    chomp(my $score = <$file>);
    return $score;
}

# Of the server, which has its children's for a moment whenever it forks.
sub postmaster_score
{
    my ($node, $expected) = @_;
    my $score;
    wait_for(sub { ($score = score($node->{_pid})) == $expected }, 5);
    return $score;
}

my $hsm = new_hsm('processes');
my $node = new_cluster('processes', hsm => $hsm, start => 0, conf => "restart_after_crash = on\n");
my $dir = $node->basedir;
my $own = score('self');
{
    local $ENV{PG_OOM_ADJUST_FILE} = '/proc/self/oom_score_adj';
    local $ENV{PG_OOM_ADJUST_VALUE} = $CHILD_SCORE;
    score('self', $POSTMASTER_SCORE);
    $node->start;
    score('self', $own);
}
new_shop($node);
works_ok($node, 'it works');

my $session = start_query($node, 'oms', "SELECT email::text FROM orders; SELECT pg_sleep(120)", 'shop');
my $backend = wait_for(sub {
    $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity"
        . " WHERE application_name = '$session->{name}' AND query ~ 'pg_sleep' AND state = 'active'");
});
my %pids = (
    postmaster => $node->{_pid},
    supervisor => supervisor_pid($node),
    agent => agent_pid($node),
    'backend that holds a key' => $backend,
    checkpointer => $node->safe_psql('postgres',
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"),
);

# ---- from beside: another program of the same user ----

my $program = "$dir/look_into";
system_or_bail('sh', '-c', 'exec ${CC:-cc} -D_GNU_SOURCE -O1 -o "$1" test/programs/look_into.c', 'sh', $program);

sub views
{
    my ($said) = @_;
    my %views;
    for my $line (split /\n/, $said)
    {
        my ($who, $way, $result) = split / /, $line, 3;
        $views{$who}{$way} = $result;
    }
    return \%views;
}

my ($said) = run_command([ $program, values %pids ]);
my $views = views($said);
my @ways = sort keys %{ $views->{control} };
is_deeply([ grep { $views->{control}{$_} ne 'open' } @ways ], [], 'a process of ours can be looked into: ' . "@ways");
for my $who (sort keys %pids)
{
    my $view = $views->{ $pids{$who} };
    is(join(', ', grep { $view->{$_} eq 'open' } @ways), '', "the $who cannot be looked into");
    is(scalar(keys %$view), scalar(@ways), "every way into the $who was tried");
}

# ---- from inside: what a superuser can have the server run ----

chmod 0755, $program;
$node->safe_psql('postgres', 'CREATE TABLE seen (line text)');
$node->safe_psql('postgres', "COPY seen FROM PROGRAM '$program " . join(' ', values %pids) . ' $PPID\'');
$views = views($node->safe_psql('postgres', 'SELECT line FROM seen'));
is_deeply([ grep { $views->{control}{$_} ne 'open' } @ways ], [], 'COPY PROGRAM: a process of ours can be looked into');
for my $pid (sort grep { $_ ne 'control' } keys %$views)
{
    is(join(', ', grep { $views->{$pid}{$_} eq 'open' } @ways), '',
        'COPY PROGRAM: cannot look into the ' . ((grep { $pids{$_} eq $pid } keys %pids)[0] // 'session that started it'));
}
is(scalar(keys %$views), 2 + keys %pids, 'COPY PROGRAM: all were tried');

for my $file (qw(mem environ maps))
{
    my ($status, undef, $err) = $node->psql('postgres',
        "COPY seen FROM PROGRAM 'head -c 10 /proc/\$PPID/$file'");
    isnt($status, 0, "COPY PROGRAM: /proc/PPID/$file cannot be read");
}
for my $file ('/proc/self/mem', '/proc/self/environ', "/proc/$pids{postmaster}/environ", "/proc/$pids{agent}/environ")
{
    my ($status, undef, $err) = $node->psql('postgres', "SELECT pg_read_binary_file('$file', 0, 10)");
    (my $name = $file) =~ s/\d+/PID/;
    isnt($status, 0, "pg_read_binary_file: $name cannot be read");
}

# ---- what everybody may see ----

for my $who (sort keys %pids)
{
    open my $file, '<', "/proc/$pids{$who}/cmdline" or die "$who: $!";
    my $line = <$file> // '';
    my $pin = slurp_file($hsm->{pin_file});
    is(index($line, $pin), -1, "$who: no PIN in the command line");
}
open my $file, '<', "/proc/$pids{agent}/cmdline" or die $!;
is(<$file>, "sdes_agent\0--supervised\0", 'the command line of the agent holds nothing');

my $state = $node->data_dir . '/sdes';
is(sprintf('%04o', (stat $state)[2] & 07777), '0700', 'the state directory is for the server only');
is(sprintf('%04o', (stat "$state/pgsql_tmp.agent.sock")[2] & 07777), '0600', 'so is the socket');
my @readable = grep { (stat)[2] & 077 } glob "$state/*";
is("@readable", '', 'and all that is there');

# ---- core files ----

# The kernel gives the files of an undumpable process to root (proc(5)); such a
# process leaves no core either, and nothing but the process itself changes that.
is((stat "/proc/$$/status")[4], $>, 'the files of this process are its own');
is((stat "/proc/$pids{$_}/status")[4], 0, "the $_ is undumpable for the kernel") for sort keys %pids;
for my $row (map { [ split /\|/ ] } split /\n/, $node->safe_psql('postgres',
    'SELECT pid, backend_type FROM pg_stat_activity'))
{
    my @stat = stat "/proc/$row->[0]/status";
    is($stat[4], 0, "so is the $row->[1]") if @stat;
}

kill 'SEGV', $backend;
finish_query($session);
ok(wait_for(sub { ($node->psql('postgres', 'SELECT 1'))[0] == 0 }, 20), 'a backend crashed, the server is back');
kill 'SEGV', agent_pid($node, 10);
sleep(0.5);
is(join(' ', glob $node->data_dir . '/core*'), '', 'there is no core file');

# ---- the out-of-memory killer ----

is(postmaster_score($node, $POSTMASTER_SCORE), $POSTMASTER_SCORE, 'the postmaster has its score, after forks and a crash restart');
my %tree = process_tree($node->{_pid});
my @children = grep { $tree{$_}[0] == $node->{_pid} } keys %tree;
cmp_ok(scalar @children, '>', 5, 'it has children');
is(join(' ', grep { score($_) != $CHILD_SCORE } @children), '', 'they have theirs');
is(score(agent_pid($node, 10)), $CHILD_SCORE, 'and so has the agent');
my $inside = $node->safe_psql('postgres', "SELECT pg_read_file('/proc/self/oom_score_adj', 0, 10)::int");
is($inside, $CHILD_SCORE, 'and a new session');
works_ok($node, 'it works still');
health_ok($node, 'all is well');
$node->stop;

# Without PG_OOM_ADJUST_VALUE children go back to 0, as in PostgreSQL itself.
{
    local $ENV{PG_OOM_ADJUST_FILE} = '/proc/self/oom_score_adj';
    score('self', $POSTMASTER_SCORE);
    $node->start;
    score('self', $own);
}
is(postmaster_score($node, $POSTMASTER_SCORE) . ' ' . score(supervisor_pid($node)), "$POSTMASTER_SCORE 0",
    'without a value for children, they have 0');
$node->restart;

# And without the protection nothing is touched.
is(score($node->{_pid}) . ' ' . score(supervisor_pid($node)), "$own $own", 'without that setting, all have the same');
$node->stop;
done_testing();
