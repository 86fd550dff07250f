# 022_memory.pl
#     Where keys are in memory, and where they are not. Root's eyes, which see at
#     least what a core file would hold, search the server's processes and the
#     agent for the data keys, all that is derived from them, and the PIN: a
#     backend that works with a key holds its expanded form and nothing else, and
#     no longer than it should; nobody else holds anything. And the server's own
#     user gets no core of any of them.
#
#     A search that finds nothing proves nothing: the same search must find the
#     key where it has to be.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep);
use SdesTest;
use SdesFaults;
use SdesMemory;
use Test::More;

my $READ = 'SELECT count(email::text) FROM orders';

my $hsm = new_hsm('memory');
# The processes map the shared memory, too: a small one is searched sooner.
my $node = new_cluster('memory', hsm => $hsm, conf => <<'CONF');
shared_buffers = 1MB
wal_buffers = 64kB
max_connections = 20
restart_after_crash = on
CONF
new_shop($node);
query_as($node, 'oms', orders('insert', 1, 50), 'shop');
my $service = start_service($node);
my $keys = data_keys($node, 'shop', $service);
is(join(', ', sort keys %$keys), 'customer_pii data 1, payment data 1, system literal 1',
    'the test got the data keys by an agent of its own');

# What is looked for: "KEY: FORM" => bytes.
my %wanted;
for my $name (keys %$keys)
{
    my $forms = key_forms($keys->{$name});
    (my $short = $name) =~ tr/ /-/;
    $wanted{"$short:$_"} = $forms->{$_} for keys %$forms;
}
my $pin = slurp_file($hsm->{pin_file});
is(length $pin, 16, 'a PIN is a pattern as good as a key');
$wanted{pin} = $pin;

# What a process holds, as "KEY:FORM ...".
sub holds
{
    my ($pid) = @_;
    return join ' ', sort keys %{ hunt(\%wanted, $pid)->{$pid} };
}

sub session
{
    my ($role, @queries) = @_;
    my $session = $node->background_psql('shop', on_error_stop => 0, extra_params => [ '-U', $role ]);
    $session->query($_) for @queries;
    return { psql => $session, pid => $session->query('SELECT pg_backend_pid()') };
}

# ---- the search finds what is there ----

my $reader = session('oms', $READ);
is(holds($reader->{pid}), 'customer_pii-data-1:schedule',
    'a backend that opened values holds the expanded key, and nothing it was made of');
my $payer = session('oms', 'SELECT count(card::text) FROM orders');
is(holds($payer->{pid}), 'payment-data-1:schedule', 'each backend holds the keys that it used');
my $writer = session('oms', orders('insert', 51, 1));
is(holds($writer->{pid}),
    'customer_pii-data-1:schedule payment-data-1:schedule system-literal-1:schedule',
    'who inserts literals holds their key as well');
is_deeply([ sort keys %{ hunt(\%wanted, $$)->{$$} } ], [ sort keys %wanted ],
    'every form of every key, and the PIN, is found in this process, which has them all');

# ---- and is nowhere else ----

my $idle = session('oms', 'SELECT count(*) FROM orders');
my $denied = session('stranger', $READ);
my $masked = session('stranger', 'SELECT email FROM orders LIMIT 3');
my %pids = (
    postmaster => $node->{_pid},
    supervisor => supervisor_pid($node),
    'backend that opened nothing' => $idle->{pid},
    'backend that was refused' => $denied->{pid},
    'backend that saw ciphertext' => $masked->{pid},
    agent => agent_pid($node),
);
for my $type ('checkpointer', 'background writer', 'walwriter', 'autovacuum launcher')
{
    $pids{$type} = $node->safe_psql('postgres',
        "SELECT pid FROM pg_stat_activity WHERE backend_type = '$type'");
}
$node->safe_psql('shop', 'CHECKPOINT');
my $found = hunt(\%wanted, values %pids);
is(join(' ', sort keys %{ $found->{ $pids{$_} } }), '', "nothing in the $_") for sort keys %pids;

# The agent once more, after a good deal of work of each kind.
query_as($node, 'oms', "$READ; SELECT count(card::text) FROM orders", 'shop') for 1 .. 20;
create_bucket($node, 'more', 'shop');
is(holds($pids{agent}), '', 'nothing in the agent, after many answers');
is(holds($service->{pid}), '', 'nor in the agent that gave the test its keys');

# ---- a key that went ----

is(holds($reader->{pid}), 'customer_pii-data-1:schedule', 'an idle backend keeps its key');
my $row = "WHERE purpose = 'data' AND bucket = (SELECT uuid FROM sdes.bucket WHERE name = 'customer_pii')";
$node->safe_psql('shop', "UPDATE sdes.dek SET state = 'retired' $row");
$reader->{psql}->query($READ);
is(holds($reader->{pid}), '', 'key retired: the backend has wiped it');
$node->safe_psql('shop', "UPDATE sdes.dek SET state = 'active' $row");
$reader->{psql}->query($READ);
is(holds($reader->{pid}), 'customer_pii-data-1:schedule', 'key active again: it is fetched');
$node->safe_psql('shop', "CREATE TABLE kept AS SELECT * FROM sdes.dek $row; DELETE FROM sdes.dek $row");
$reader->{psql}->query($READ);
is(holds($reader->{pid}), '', "key's row gone: the backend has wiped it");
$node->safe_psql('shop', 'INSERT INTO sdes.dek SELECT * FROM kept');

# A process that ended has no memory, but what it leaves in shared memory stays.
$_->{psql}->quit for $reader, $payer, $writer;
$found = hunt(\%wanted, values %pids);
is(join(' ', map { keys %{ $found->{$_} } } keys %$found), '', 'backends that ended leave nothing with the others');
$_->{psql}->quit for $idle, $denied, $masked;
stop_service($service);

# ---- no core for the server's own user ----

# As the server's environment may have it. The control: a process of ours that
# dies so leaves a core, if the system writes cores into the working directory.
system_or_bail('prlimit', "--pid=$$", '--core=unlimited:unlimited');
my $cores = $node->basedir . '/cores';
mkdir $cores or die $!;
my $pattern = slurp_file('/proc/sys/kernel/core_pattern');
my ($into_folder) = $pattern !~ m{[/|]};
sub cores_in { return join ' ', glob "$_[0]/core* $_[0]/gcore*" }

my $victim = IPC::Run::start([ 'sh', '-c', "cd $cores && exec sleep 60" ]);
sleep(0.2);
my ($victim_pid) = map { $_->{PID} } @{ $victim->{KIDS} };
run_command([ 'gcore', '-o', "$cores/gcore", $victim_pid ]);
isnt(cores_in($cores), '', 'gcore gives a core of a process of ours');
unlink glob "$cores/*";
kill 'ABRT', $victim_pid;
$victim->finish;
isnt(cores_in($cores), '', 'so does SIGABRT') if $into_folder;
note("core_pattern is \"$pattern\"") if !$into_folder;
unlink glob "$cores/*";

$node->restart;
$reader = session('oms', $READ);
my @limits = map { slurp_file("/proc/$_/limits") =~ /^Max core file size\s+(\S+)/m } $node->{_pid};
is("@limits", 'unlimited', 'the server may leave cores as large as they are');
%pids = (
    agent => agent_pid($node),
    supervisor => supervisor_pid($node),
    'backend that holds a key' => $reader->{pid},
    postmaster => $node->{_pid},
);
for my $who (sort keys %pids)
{
    my ($out, $err) = run_command([ 'gcore', '-o', "$cores/gcore", $pids{$who} ]);
    is(cores_in($cores), '', "gcore gives no core of the $who");
    like("$out$err", qr/Operation not permitted/, 'but is refused');
}
for my $who ('agent', 'supervisor', 'backend that holds a key', 'postmaster')
{
    my $pid = $pids{$who};
    $pid = { agent => sub { agent_pid($node) }, supervisor => sub { supervisor_pid($node) } }->{$who}->()
        if $who =~ /agent|supervisor/;
    kill 'ABRT', $pid;
    ok(wait_for(sub { process_state($pid) eq 'Z' }, 10), "the $who was aborted");
    is(cores_in($node->data_dir) . cores_in($node->data_dir . '/sdes') . cores_in('.'), '', "no core of the $who");
    wait_for(sub { ($node->psql('postgres', 'SELECT 1'))[0] == 0 }, 20) if $who ne 'postmaster';
}
eval { $reader->{psql}->quit };
$node->{_pid} = undef;

done_testing();
