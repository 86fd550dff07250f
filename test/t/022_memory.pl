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

# Of AES and HMAC: the fastest here, and OpenSSL.
my %PROVIDERS = (softhsm => 'auto', nss => 'openssl');
my $READ = 'SELECT count(email::text) FROM orders';
my ($node, %wanted);

# A session of a role that has done these queries, and its pid.
sub session
{
    my ($role, @queries) = @_;
    my $session = $node->background_psql('shop', on_error_stop => 0, extra_params => [ '-U', $role ]);
    $session->query($_) for @queries;
    return { psql => $session, pid => $session->query('SELECT pg_backend_pid()') };
}

# What a process holds, as "KEY:FORM ...".
sub holds
{
    my ($pid) = @_;
    return join ' ', sort keys %{ hunt(\%wanted, $pid)->{$pid} };
}

# A test: none of these processes, { who => pid }, holds anything.
sub nothing_ok
{
    my ($pids, $name) = @_;
    my $found = hunt(\%wanted, values %$pids);
    for my $who (sort keys %$pids)
    {
        my $held = $found->{ $pids->{$who} };
        is(join(' ', map { "$_ $held->{$_}[0]" } sort keys %$held), '', "$name: nothing in the $who");
    }
    return;
}

# A server with orders on a new token of that kind, and what to look for there:
# "BUCKET-PURPOSE-VERSION:FORM" => bytes.
sub new_server
{
    my ($kind) = @_;
    my $hsm = new_hsm("memory_$kind", kind => $kind);
    my $proxy = new_proxy($hsm);
    append_to_file($proxy->{control}, "C_Login hang\n");
    # The processes map the shared memory, too: a small one is searched sooner.
    $node = new_cluster("memory_$kind", hsm => $hsm, conf => <<"CONF");
sdes.crypto_provider = $PROVIDERS{$kind}
shared_buffers = 1MB
wal_buffers = 64kB
max_connections = 20
restart_after_crash = on
CONF
    %wanted = (pin => slurp_file($hsm->{pin_file}));
    cmp_ok(length $wanted{pin}, '>=', 16, "$kind: a PIN is a pattern as good as a key");
    wait_for(sub { slurp_file($proxy->{log}) =~ /C_Login .*hangs/ }, 10);
    is(holds(agent_pid($node)), 'pin', "$kind: while the login runs, the agent holds the PIN");
    unlink $proxy->{control} or die $!;
    wait_for(sub { slurp_file($node->logfile) =~ /ready: token/ }, 10);
    is(holds(agent_pid($node)), '', "$kind: and no longer");

    new_shop($node);
    query_as($node, 'oms', orders('insert', 1, 50), 'shop');
    my $service = start_service($node);
    my $keys = data_keys($node, 'shop', $service);
    is(join(', ', sort keys %$keys), 'customer_pii data 1, payment data 1, system literal 1, system search 1',
        "$kind: the test got the data keys by an agent of its own");
    for my $name (keys %$keys)
    {
        my $forms = key_forms($keys->{$name}{dek}, $keys->{$name}{purpose});
        (my $short = $name) =~ tr/ /-/;
        $wanted{"$short:$_"} = $forms->{$_} for keys %$forms;
    }
    return $service;
}

for my $kind ('softhsm', 'nss')
{
    my $service = new_server($kind);

    # ---- the search finds what is there ----

    my $reader = session('oms', $READ);
    is(holds($reader->{pid}), 'customer_pii-data-1:schedule',
        "$kind: a backend that opened values holds the expanded key, and nothing it was made of");
    my $payer = session('oms', 'SELECT count(card::text) FROM orders');
    is(holds($payer->{pid}), 'payment-data-1:schedule', "$kind: each backend holds the keys that it used");
    my $writer = session('oms', orders('insert', 51, 1));
    is(holds($writer->{pid}),
        'customer_pii-data-1:schedule payment-data-1:schedule system-literal-1:schedule',
        "$kind: who inserts literals holds their key as well");
    $node->safe_psql('shop', <<'SQL');
CREATE TABLE searched (email sdes.enc_text('customer_pii', 'searchable'));
GRANT SELECT, INSERT ON searched TO oms;
SELECT sdes.grant_access('customer_pii', 'oms', '{search}');
SQL
    my $searcher = session('oms', "INSERT INTO searched SELECT 'a' || g FROM generate_series(1, 9) g;"
        . "SELECT count(*) FROM searched WHERE email = 'a1'::text");
    # OpenSSL keeps the bytes of HMAC's key, too.
    my $by_openssl = $node->safe_psql('shop', q{SELECT detail ~ 'HMAC-SHA-256 by OpenSSL' FROM sdes.health() WHERE "check" = 'crypto'});
    is(holds($searcher->{pid}),
        join(' ', 'customer_pii-data-1:schedule', map { "system-search-1:$_" } 'inner', ($by_openssl eq 't' ? 'mac' : ()), 'outer'),
        "$kind: who searches holds the search key, and nothing it was made of");
    is(holds($$), join(' ', sort keys %wanted),
        "$kind: every form of every key, and the PIN, is found in this process, which has them all");

    # ---- and is nowhere else ----

    my $idle = session('oms', 'SELECT count(*) FROM orders');
    my $denied = session('stranger', $READ);
    my $ciphertext = session('stranger', 'SELECT email FROM orders LIMIT 3');
    my %pids = (
        postmaster => $node->{_pid},
        supervisor => supervisor_pid($node),
        'backend that opened nothing' => $idle->{pid},
        'backend that was refused' => $denied->{pid},
        'backend that saw ciphertext' => $ciphertext->{pid},
        agent => agent_pid($node),
    );
    for my $type ('checkpointer', 'background writer', 'walwriter', 'autovacuum launcher')
    {
        $pids{$type} = $node->safe_psql('postgres',
            "SELECT pid FROM pg_stat_activity WHERE backend_type = '$type'");
    }
    $node->safe_psql('shop', 'CHECKPOINT');
    nothing_ok(\%pids, $kind);

    # The agents once more, after a good deal of work of each kind.
    query_as($node, 'oms', "$READ; SELECT count(card::text) FROM orders", 'shop') for 1 .. 10;
    create_bucket($node, 'more', 'shop');
    nothing_ok({ agent => $pids{agent}, 'agent that gave the test its keys' => $service->{pid} },
        "$kind, after many answers");

    # Who wraps keys anew has had them for a moment.
    my $wrapper = session('dba', "SELECT sdes.rewrap_bucket('payment')");
    nothing_ok({ agent => $pids{agent}, 'backend that wrapped a key anew' => $wrapper->{pid} },
        "$kind, keys wrapped anew");
    $wrapper->{psql}->quit;

    # ---- a key that went ----

    is(holds($reader->{pid}), 'customer_pii-data-1:schedule', "$kind: an idle backend keeps its key");
    my $row = "WHERE purpose = 'data' AND bucket = (SELECT uuid FROM sdes.bucket WHERE name = 'customer_pii')";
    $node->safe_psql('shop', "UPDATE sdes.dek SET state = 'retired' $row");
    $reader->{psql}->query($READ);
    is(holds($reader->{pid}), '', "$kind: key retired: the backend has wiped it");
    $node->safe_psql('shop', "UPDATE sdes.dek SET state = 'active' $row");
    $reader->{psql}->query($READ);
    is(holds($reader->{pid}), 'customer_pii-data-1:schedule', "$kind: key active again: it is fetched");
    $node->safe_psql('shop', "CREATE TABLE kept AS SELECT * FROM sdes.dek $row; DELETE FROM sdes.dek $row");
    $reader->{psql}->query($READ);
    is(holds($reader->{pid}), '', "$kind: key's row gone: the backend has wiped it");
    $node->safe_psql('shop', 'INSERT INTO sdes.dek SELECT * FROM kept');

    # Keys get old, and the backend does not have to be asked for anything.
    set_conf($node, 'sdes.key_cache_max_age' => '3s');
    $node->reload;
    sleep(0.5);
    my $aging = session('oms', $READ);
    is(holds($aging->{pid}), 'customer_pii-data-1:schedule', "$kind: a new session fetches it");
    ok(wait_for(sub { holds($aging->{pid}) eq '' }, 20), "$kind: and has wiped it when it is too old, idle as it is");

    # A process that ended has no memory, but shared memory stays.
    $_->{psql}->quit for $reader, $payer, $writer, $searcher, $aging;
    nothing_ok(\%pids, "$kind, other backends ended");
    $_->{psql}->quit for $idle, $denied, $ciphertext;
    stop_service($service);
    $node->stop if $kind ne 'nss';
}

# ---- no core for the server's own user ----

# As the server's environment may have it. The control: a process of ours that
# dies so leaves a core, if the system writes cores into the working directory.
system('prlimit', "--pid=$$", '--core=unlimited:unlimited') == 0
    or die 'this test must be allowed cores of any size: "ulimit -Hc" has to say "unlimited"';
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
my $reader = session('oms', $READ);
my @limits = map { slurp_file("/proc/$_/limits") =~ /^Max core file size\s+(\S+)/m } $node->{_pid};
is("@limits", 'unlimited', 'the server may leave cores as large as they are');
my %pids = (
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
