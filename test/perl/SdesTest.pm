# SdesTest.pm
#     What sdes adds to PostgreSQL::Test::Cluster: servers with an HSM token
#     (SoftHSM2's or NSS's, made for the test), the agent's process, and the search for
#     plaintext. The runner test/run sets the environment that this needs.

package SdesTest;

use strict;
use warnings;

use Exporter 'import';
use File::Basename qw(basename dirname);
use File::Temp ();
use Cwd qw(abs_path);
use Test::More ();
use Time::HiRes ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(new_hsm another_token token_uri new_cluster new_extension create_bucket query_as
    error_as agent_pid agent_pids wait_for soak force_parallel orders canaries values_of_orders
    find_leaks no_leaks_ok);

my $ROOT = abs_path(dirname(__FILE__) . '/../..');

# A new token: { kind, dir, conf, module, init_args, label, pin_file }. Clusters may
# share one. Options:
#   label => its label, else made of the name
#   kind  => 'softhsm' or 'nss'; conf is of the first only, init_args of the second
sub new_hsm
{
    my ($name, %opts) = @_;
    my $kind = $opts{kind} // 'softhsm';
    my $label = $opts{label} // "sdes-$name";
    # All tests share the folder.
    my $dir = "$PostgreSQL::Test::Utils::tmp_check/hsm_" . basename($0, '.pl') . "_$name";
    my %hsm = (kind => $kind, dir => $dir, label => $label, pin_file => "$dir/pin");
    if ($kind eq 'nss')
    {
        _lib('make_nss_token "$@"', $dir);
        $hsm{module} = _lib('nss_module');
        $hsm{init_args} = _lib('nss_init_args "$@"', $dir, $label);
    }
    else
    {
        _lib('make_token "$@"', $dir, $label);
        $hsm{module} = _lib('softhsm_module');
        $hsm{conf} = "$dir/softhsm2.conf";
    }
    return \%hsm;
}

# One more token in the folder of a SoftHSM2 token, whose configuration names one folder
# only: what the server has in its environment holds for both.
sub another_token
{
    my ($hsm, $name) = @_;
    my %token = (%$hsm, label => "sdes-$name", pin_file => "$hsm->{dir}/pin-$name");
    _lib('set -- "$@"; export SOFTHSM2_CONF=$1/softhsm2.conf; umask 077
        od -An -N8 -tx1 /dev/urandom | tr -d " \n" >"$2"
        softhsm2-util --init-token --free --label "$3" --pin "$(cat "$2")" --so-pin 12345678 >/dev/null
        chmod 400 "$1"/tokens/*/token.object', $hsm->{dir}, $token{pin_file}, $token{label});
    $token{module} = _lib('softhsm_module');
    return \%token;
}

# A token's PKCS#11 URI, with module and PIN source of its own.
sub token_uri
{
    my ($token) = @_;
    return "pkcs11:token=$token->{label}?module-path=$token->{module}&pin-source=file:$token->{pin_file}";
}

# Runs a line of bash that knows scripts/lib.sh; returns what it printed.
sub _lib
{
    my ($line, @arguments) = @_;
    open my $pipe, '-|', 'bash', '-euo', 'pipefail', '-c',
        "source '$ROOT/scripts/lib.sh'; $line", 'bash', @arguments
        or die "could not run bash: $!";
    my $printed = join '', <$pipe>;
    close $pipe or die "failed: $line";
    chomp $printed;
    return $printed;
}

# A server with sdes, started. Options:
#   hsm         => a token of new_hsm(), else a new one
#   conf        => lines for postgresql.conf, after ours
#   preload     => 0: without shared_preload_libraries
#   start       => 0: leave it stopped
#   from_backup => [ $cluster, 'name', %params of init_from_backup ]
#   init        => { params of init(), such as allows_streaming => 1 }
#   install_path => the folder of another PostgreSQL than the one that is tested
sub new_cluster
{
    my ($name, %opts) = @_;
    my $hsm = $opts{hsm} // new_hsm($name);
    my $node = SdesTest::Cluster->new($name, install_path => $opts{install_path});
    $node->{hsm} = $hsm;
    if ($opts{from_backup})
    {
        $node->init_from_backup(@{ $opts{from_backup} });
    }
    else
    {
        my %init = %{ $opts{init} // {} };
        push @{ $init{extra} }, '--locale=C.UTF-8', '--encoding=UTF8';
        $node->init(%init);
    }
    $node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'sdes'
sdes.pkcs11_module = '$hsm->{module}'
sdes.pkcs11_token = 'pkcs11:token=$hsm->{label}'
sdes.pin_source = 'file:$hsm->{pin_file}'
sdes.rotation_share = 25
CONF
    (my $init_args = $hsm->{init_args} // '') =~ s/'/''/g;
    $node->append_conf('postgresql.conf', "sdes.pkcs11_init_args = '$init_args'");
    $node->append_conf('postgresql.conf', "shared_preload_libraries = ''")
        if exists $opts{preload} && !$opts{preload};
    $node->append_conf('postgresql.conf', $opts{conf}) if $opts{conf};
    $node->start if $opts{start} // 1;
    return $node;
}

sub new_extension
{
    my ($node, $database) = @_;
    $node->safe_psql($database // 'postgres', 'CREATE EXTENSION sdes');
}

sub create_bucket
{
    my ($node, $bucket, $database) = @_;
    $node->safe_psql($database // 'postgres', "SELECT sdes.create_bucket('$bucket')");
}

# The result of a query by a role; dies when it fails.
sub query_as
{
    my ($node, $role, $query, $database) = @_;
    return $node->safe_psql($database // 'postgres', $query, extra_params => [ '-U', $role ]);
}

# The error message of a query by a role, with SQLSTATE and hint; empty when
# there was none.
sub error_as
{
    my ($node, $role, $query, $database) = @_;
    my ($status, undef, $error) = $node->psql(
        $database // 'postgres', "\\set VERBOSITY verbose\n$query",
        extra_params => [ '-U', $role ], on_error_stop => 1);
    return $status == 0 ? '' : $error;
}

# The processes of a server's agents: they are children of its supervisor, or
# its grandchildren if a program stands in between. Normally there is one.
sub agent_pids
{
    my ($node) = @_;
    my $postmaster = $node->{_pid} or return ();
    my (%parent, %name);
    for my $stat (glob '/proc/[0-9]*/stat')
    {
        open my $file, '<', $stat or next;
        my $line = <$file> // next;
        my ($pid, $comm, $ppid) = $line =~ /^(\d+) \((.*)\) \S (\d+)/s or next;
        ($parent{$pid}, $name{$pid}) = ($ppid, $comm);
    }
    my @agents;
    for my $pid (grep { $name{$_} eq 'sdes_agent' } keys %name)
    {
        my $up = $pid;
        $up = $parent{$up} while defined $up && $up > 1 && $up != $postmaster;
        push @agents, $pid if defined $up && $up == $postmaster;
    }
    return @agents;
}

# The pid of the server's agent, waiting for it to be there; undef if it is not.
sub agent_pid
{
    my ($node, $timeout) = @_;
    my $pid;
    wait_for(sub { ($pid) = agent_pids($node); $pid }, $timeout);
    return $pid;
}

# Calls the function until it returns something true, which is returned; or
# nothing after that many seconds.
sub wait_for
{
    my ($function, $timeout) = @_;
    my $end = Time::HiRes::time() + ($timeout // 30);
    while (1)
    {
        my $result = $function->();
        return $result if $result;
        return if Time::HiRes::time() > $end;
        Time::HiRes::sleep(0.05);
    }
}

# How often to do something: the second number under "make soak".
sub soak
{
    my ($normally, $soaking) = @_;
    return $ENV{SDES_SOAK} ? $soaking : $normally;
}

# The setting by which whatever can be planned for a parallel worker is, by its name in
# this version of PostgreSQL.
sub force_parallel
{
    my ($major) = `$ENV{PG_CONFIG} --version` =~ /^PostgreSQL (\d+)/;
    return $major < 16 ? 'force_parallel_mode' : 'debug_parallel_query';
}

# Orders of the demo's stream, as text: orders('insert', 1, 100). Their columns
# are those of demo/schema.sql.
sub orders
{
    my ($form, $from, $n) = @_;
    my $text = `'$ROOT/demo/orders.pl' $form $from $n`;
    die "orders.pl failed" if $? != 0;
    return $text;
}

# The sensitive values of exactly these orders that are worth searching for.
sub values_of_orders
{
    my ($from, $n) = @_;
    my (@values, %seen);
    for my $line (split /\n/, orders('copy', $from, $n))
    {
        my (undef, undef, undef, undef, undef, undef, undef, @secret) = split /\t/, $line, -1;
        my $note = pop @secret;
        push @secret, $note =~ /(\[ref [^\]]*\])/ ? $1 : ();
        push @values, grep { length >= 10 && $_ ne '\N' && !/\\/ && !$seen{$_}++ } @secret;
    }
    return @values;
}

# That many sensitive values of those orders, to search for.
sub canaries
{
    my ($n) = @_;
    chomp(my @values = `'$ROOT/demo/orders.pl' canaries $n`);
    die "orders.pl failed" if $? != 0;
    return \@values;
}

# Searches files and folders for values, in plain, hex, base64 and UTF-16.
# Returns what was found as text, empty for nothing; dies when it could not look.
sub find_leaks
{
    my ($values, @paths) = @_;
    my $list = File::Temp->new;
    print $list map { "$_\n" } @$values;
    close $list;
    my $program = $ENV{SDES_LEAKSEARCH} or die "SDES_LEAKSEARCH is not set";
    open my $pipe, '-|', $program, "$list", @paths or die "could not run $program: $!";
    my $found = join '', <$pipe>;
    close $pipe;
    my $status = $? >> 8;
    die "the search failed: $found" if $status > 1 || $? & 127;
    return $status == 0 ? '' : $found;
}

# A test: none of the values is anywhere in the data directory or the log. The
# same search must find one that is planted, or its silence would mean nothing.
sub no_leaks_ok
{
    my ($node, $values, $name) = @_;
    my @places = ($node->data_dir, $node->logfile);
    my $planted = File::Temp->new;
    print $planted "found: $values->[-1]\n";
    close $planted;
    my $found = find_leaks($values, @places);
    my $control = find_leaks($values, @places, "$planted");
    my $ok = Test::More::ok($found eq '' && $control ne '', $name);
    Test::More::diag($found eq '' ? 'the planted value was not found' : $found) if !$ok;
    return $ok;
}

# A cluster whose server, and every program run for it, knows its token.
package SdesTest::Cluster;

use parent -norequire, 'PostgreSQL::Test::Cluster';

sub _get_env
{
    my ($self, @mods) = @_;
    my $conf = $self->{hsm}{conf};
    return $self->SUPER::_get_env(defined $conf ? (SOFTHSM2_CONF => $conf) : (), @mods);
}

# One that ends before it has read its statement, as there is no server, has failed as any
# other that cannot connect; of its pipe IPC::Run would die.
sub psql
{
    my ($self, $database, $sql, %params) = @_;
    my $list = wantarray;
    my @result = eval { $list ? $self->SUPER::psql($database, $sql, %params) : scalar $self->SUPER::psql($database, $sql, %params) };
    my $error = $@;
    die $error if $error ne '' && ($error !~ /^ack Broken pipe/ || $params{on_error_die});
    @result = (2, '', $error) if $error ne '';
    return $list ? @result : $result[0];
}

1;
