# SdesFaults.pm
#     What tests need that break things: the demo's tables, clients that write a
#     diary while parts of the server die, queries that wait, and a PKCS#11
#     module between agent and token that misbehaves when told to.

package SdesFaults;

use strict;
use warnings;

use Exporter 'import';
use File::Basename qw(dirname);
use Cwd qw(abs_path);
use IPC::Run ();
use Test::More ();
use Time::HiRes qw(time sleep);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;

our @EXPORT = qw(new_shop start_query finish_query wait_for_waiters start_writers
    stop_writers journal_ok errors_ok process_tree process_state crash_server postmaster_start one_agent_ok
    no_crash_ok supervisor_pid worker_pid log_size log_since new_proxy proxy_calls health
    health_ok wait_for_health set_conf works_ok settle);

my $ROOT = abs_path(dirname(__FILE__) . '/../..');

# ---- tables and queries ----

# The demo's roles, buckets, grants and table in a new database "shop".
sub new_shop
{
    my ($node) = @_;
    $node->safe_psql('postgres', 'CREATE DATABASE shop');
    $node->run_log([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('shop'),
        '-f', "$ROOT/demo/schema.sql" ])
        or die "the demo's schema could not be made";
    return;
}

# A query in the background; finish_query() waits for its end.
sub start_query
{
    my ($node, $role, $sql, $database) = @_;
    my $query = { node => $node, out => '', err => '', name => "query_$$" . int(rand(1e9)) };
    local %ENV = $node->_get_env(PGAPPNAME => $query->{name});
    $query->{handle} = IPC::Run::start(
        [ 'psql', '-X', '-A', '-t', '-q', '-v', 'VERBOSITY=verbose', '-v', 'ON_ERROR_STOP=1',
            '-U', $role, '-d', $node->connstr($database // 'postgres'), '-c', $sql ],
        '<', \undef, '>', \$query->{out}, '2>', \$query->{err});
    return $query;
}

# Its result or error, and how long that took from now on.
sub finish_query
{
    my ($query) = @_;
    my $began = time;
    $query->{handle}->finish;
    $query->{seconds} = time - $began;
    chomp $query->{out};
    return $query;
}

# Waits until these queries all wait in the server for the agent. True if so.
sub wait_for_waiters
{
    my (@queries) = @_;
    my $names = join ', ', map { "'$_->{name}'" } @queries;
    return wait_for(sub {
        $queries[0]{node}->safe_psql('postgres',
            "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ($names)"
                . " AND state = 'active' AND wait_event_type = 'Extension'") == @queries;
    }, 5);
}

# ---- clients with a diary ----

my $loads = 0;

# Starts clients, each with its own orders; see test/programs/writer.py. Options:
# clients, orders (for each), first (number of the first order), batch (orders
# in a transaction), pause (seconds after each), role, database.
sub start_writers
{
    my ($node, %opts) = @_;
    my $each = $opts{orders} // 5000;
    my $dir = $node->basedir . "/load_" . ++$loads;
    my %load = (node => $node, database => $opts{database} // 'shop', writers => []);
    mkdir $dir or die "$dir: $!";
    for my $n (1 .. $opts{clients} // 3)
    {
        my $base = "$dir/$n";
        append_to_file("$base.orders",
            orders('copy', ($opts{first} // 1) + ($n - 1) * $each, $each));
        my $conninfo = $node->connstr($load{database}) . ' user=' . ($opts{role} // 'oms');
        my $handle = IPC::Run::start(
            [ 'python3', "$ROOT/test/programs/writer.py", $conninfo, "$base.orders",
                "$base.journal", "$base.errors", $opts{batch} // 1, $opts{pause} // 0 ],
            '<', \undef, '>', "$base.out", '2>&1');
        push @{ $load{writers} }, { base => $base, handle => $handle };
    }
    return \%load;
}

# Has them stop after their transaction and waits for that.
sub stop_writers
{
    my ($load) = @_;
    append_to_file("$_->{base}.journal.stop", '') for @{ $load->{writers} };
    for my $writer (@{ $load->{writers} })
    {
        $writer->{handle}->finish;
        # libpq's warnings of a server that ends are there, too.
        die 'a writer failed: ' . slurp_file("$writer->{base}.out") if $writer->{handle}->result != 0;
    }
    return;
}

# What the clients were told became of their transactions: [ fate, ids ].
sub journal
{
    my ($load) = @_;
    my @journal;
    for my $writer (@{ $load->{writers} })
    {
        for my $line (split /\n/, slurp_file("$writer->{base}.journal"))
        {
            my ($fate, @ids) = split / /, $line;
            push @journal, [ $fate, \@ids ];
        }
    }
    return @journal;
}

# Tests of all that was written: what a client saw committed is there, every
# order that is there is the one that was inserted, in all its columns, and of
# each transaction there is all or nothing. Returns how many were seen committed.
sub journal_ok
{
    my ($load, $name) = @_;
    my (%expected, %found);
    for my $writer (@{ $load->{writers} })
    {
        open my $file, '<', "$writer->{base}.orders" or die $!;
        while (my $line = <$file>)
        {
            chomp $line;
            my ($id, undef, undef, undef, undef, undef, undef, @secret) = split /\t/, $line, -1;
            $expected{$id} = join "\t", @secret;
        }
    }
    my $columns = join ', ', map { "$_\::text" } qw(full_name email phone address card tax_id note);
    my $out = "$load->{writers}[0]{base}.found";
    $load->{node}->safe_psql($load->{database},
        "\\copy (SELECT id, $columns FROM orders) TO '$out'", extra_params => [ '-U', 'oms' ]);
    open my $file, '<', $out or die $!;
    while (my $line = <$file>)
    {
        chomp $line;
        my ($id, $secret) = split /\t/, $line, 2;
        $found{$id} = $secret;
    }
    my @lost;
    my @wrong = grep { exists $expected{$_} && $found{$_} ne $expected{$_} } sort keys %found;
    my (@torn, $committed);
    for my $entry (journal($load))
    {
        my ($fate, $ids) = @$entry;
        my @there = grep { exists $found{$_} } @$ids;
        push @lost, grep { !exists $found{$_} } @$ids if $fate eq 'C';
        push @torn, "@$ids" if @there && @there < @$ids;
        $committed += @$ids if $fate eq 'C';
    }
    Test::More::is("@lost[0 .. ($#lost > 9 ? 9 : $#lost)]", '',
        "$name: every committed order is there");
    Test::More::is("@wrong[0 .. ($#wrong > 9 ? 9 : $#wrong)]", '',
        "$name: every order decrypts to what was inserted");
    Test::More::is("@torn", '', "$name: every transaction is there whole or not at all");
    Test::More::cmp_ok($committed // 0, '>', 0, "$name: orders were committed");
    return $committed // 0;
}

# A test that clients saw no other errors than those that match.
sub errors_ok
{
    my ($load, $allowed, $name) = @_;
    my @errors = map { split /\n/, slurp_file("$_->{base}.errors") } @{ $load->{writers} };
    my @others = grep { $_ !~ $allowed } @errors;
    splice @others, 10 if @others > 10;
    Test::More::is(join("\n", @others), '', $name);
    return @errors;
}

# ---- processes ----

# All processes below one, and itself: pid => [ parent, name ].
sub process_tree
{
    my ($root) = @_;
    my (%of, %tree);
    for my $path (glob '/proc/[0-9]*/stat')
    {
        open my $file, '<', $path or next;
        my $line = <$file> // next;
        my ($pid, $name, $state, $parent) = $line =~ /^(\d+) \((.*)\) (\S) (\d+)/s or next;
        $of{$pid} = [ $parent, $name ] if $state ne 'Z';
    }
    for my $pid (keys %of)
    {
        my $up = $pid;
        $up = $of{$up}[0] while defined $up && $up != $root && exists $of{$up};
        $tree{$pid} = $of{$pid} if defined $up && $up == $root && exists $of{$up};
    }
    return %tree;
}

# By the server's own word, so that a restart of the postmaster is noticed.
sub postmaster_start
{
    my ($node) = @_;
    return $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
}

# The pid of one of sdes' workers, once it is there: a child of the postmaster that has
# renamed itself, as all of the server's processes do. $not is one that it is not.
sub worker_pid
{
    my ($node, $worker, $not) = @_;
    my $pid = wait_for(sub {
        my %tree = process_tree($node->{_pid});
        for my $child (grep { $tree{$_}[0] == $node->{_pid} && $_ != ($not // 0) } keys %tree)
        {
            open my $file, '<', "/proc/$child/cmdline" or next;
            return $child if (<$file> // '') =~ /\Q$worker\E/;
        }
        return;
    }, 10);
    return $pid // die "there is no $worker";
}

sub supervisor_pid
{
    my ($node, $not) = @_;
    return worker_pid($node, 'sdes supervisor', $not);
}

# R, S, T and so on; Z also for a process that is not there any more.
sub process_state
{
    my ($pid) = @_;
    open my $file, '<', "/proc/$pid/stat" or return 'Z';
    my ($state) = (<$file> // '') =~ /\) (\S)/;
    return $state // 'Z';
}

# Ends the server without a warning: the postmaster alone, or with all => 1 all
# of its processes at one time, as a power cut does. Waits until none
# is left but those of stopped => [pids].
sub crash_server
{
    my ($node, %opts) = @_;
    my $postmaster = $node->{_pid} // die 'the server does not run';
    my %except = map { $_ => 1 } @{ $opts{stopped} // [] };
    my %tree = process_tree($postmaster);
    my @others = grep { !$except{$_} && $_ != $postmaster } keys %tree;
    kill 'KILL', $postmaster, $opts{all} ? @others : ();
    $node->{_pid} = undef;
    wait_for(sub { !grep { process_state($_) ne 'Z' } $postmaster, @others }, 10)
        or die 'processes of the server did not end';

    # Who has inherited the dead postmaster may take its time to bury it, and the
    # next one would take it for alive.
    wait_for(sub { !-e "/proc/$postmaster" }, 5)
        or unlink $node->data_dir . '/postmaster.pid';
    return;
}

# A test: there is exactly one agent, now and a moment later.
sub one_agent_ok
{
    my ($node, $name) = @_;
    agent_pid($node, 10);
    my @now = agent_pids($node);
    sleep(1.5);
    my @later = agent_pids($node);
    return Test::More::is(scalar(@now) . ' ' . scalar(@later), '1 1', $name);
}

sub log_size
{
    my ($node) = @_;
    return -s $node->logfile // 0;
}

sub log_since
{
    my ($node, $offset) = @_;
    return slurp_file($node->logfile, $offset);
}

# A test: since that place in the log no process of the server crashed. The
# agent is none, and the supervisor tells of its end in other words.
sub no_crash_ok
{
    my ($node, $offset, $name) = @_;
    my @crashes = grep {
        /was terminated by signal|terminating any other active server processes|TRAP:|PANIC:|server process .* exited with exit code/
    } split /\n/, log_since($node, $offset);
    return Test::More::is(join("\n", @crashes), '', $name);
}

# ---- agent, HSM and their health ----

# A PKCS#11 module that passes calls on to the token's module and misbehaves by
# the rules in a file. The server gets to know of it by its environment.
sub new_proxy
{
    my ($hsm) = @_;
    my $dir = "$PostgreSQL::Test::Utils::tmp_check/proxy_$hsm->{label}";
    my %proxy = (module => "$dir/p11_proxy.so", log => "$dir/log", control => "$dir/control");
    mkdir $dir or die "$dir: $!";
    system_or_bail('sh', '-c', 'exec ${CC:-cc} -D_GNU_SOURCE -O1 -shared -fPIC -o "$1" "$2"'
            . ' $(pkg-config --cflags p11-kit-1) -ldl -lpthread',
        'sh', $proxy{module}, "$ROOT/test/agent/p11_proxy.c");
    $ENV{SDES_PROXY_MODULE} = $hsm->{module};
    delete $ENV{SDES_PROXY_INIT_ARGS};
    $ENV{SDES_PROXY_INIT_ARGS} = 1 if defined $hsm->{init_args};
    $ENV{SDES_PROXY_LOG} = $proxy{log};
    $ENV{SDES_PROXY_CONTROL} = $proxy{control};
    append_to_file($proxy{log}, '');
    $hsm->{module} = $proxy{module};
    return \%proxy;
}

# How often a function of the module was called. (One that hangs is written
# down twice, as it begins and as it ends.)
sub proxy_calls
{
    my ($proxy, $function) = @_;
    return scalar grep { /^\Q$function\E / && !/ hangs$/ } split /\n/, slurp_file($proxy->{log});
}

# The rows of sdes.health(): check => { ok, detail, hint }.
sub health
{
    my ($node, $database) = @_;
    my %health;
    for my $row (split /\n/, $node->safe_psql($database // 'shop',
        q{SELECT "check", ok, detail, hint FROM sdes.health()}))
    {
        my ($check, $ok, $detail, $hint) = split /\|/, $row, 4;
        $health{$check} = { ok => $ok eq 't', detail => $detail, hint => $hint };
    }
    return \%health;
}

# Waits until a check says what it should, by a function of its row. Returns
# the row, or nothing.
sub wait_for_health
{
    my ($node, $check, $wanted, $seconds) = @_;
    return wait_for(sub {
        my $row = health($node)->{$check};
        return $row && $wanted->($row) ? $row : undef;
    }, $seconds // 10);
}

# A test: sooner or later all checks are well.
sub health_ok
{
    my ($node, $name, $seconds) = @_;
    my $health;
    my $well = wait_for(sub {
        $health = health($node);
        return !grep { !$_->{ok} } values %$health;
    }, $seconds // 15);
    my $ok = Test::More::ok($well, $name);
    Test::More::diag(map { "$_: $health->{$_}{detail}\n" } grep { !$health->{$_}{ok} } keys %$health)
        if !$ok;
    return $ok;
}

# Waits until the agent is logged in.
sub settle
{
    my ($node, $seconds) = @_;
    return wait_for_health($node, 'login', sub { $_[0]{ok} }, $seconds // 15);
}

# Sets parameters for the next start or reload; later lines win.
sub set_conf
{
    my ($node, %values) = @_;
    $node->append_conf('postgresql.conf',
        join '', map { "$_ = '$values{$_}'\n" } sort keys %values);
    return;
}

# A test: a new session writes an order and reads it back.
my $probe = 9_000_000;
sub works_ok
{
    my ($node, $name) = @_;
    my ($status, $out, $err) = $node->psql('shop', orders('insert', ++$probe, 1)
            . "SELECT email FROM orders WHERE id = $probe", extra_params => [ '-U', 'oms' ]);
    my ($email) = (split /\t/, orders('copy', $probe, 1))[8];
    return Test::More::is($status == 0 ? $out : $err, $email, $name);
}

1;
