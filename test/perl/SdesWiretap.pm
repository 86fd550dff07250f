# SdesWiretap.pm
#     What servers say to each other: a wiretap on a server's socket, and the search of
#     what went over it for plaintext.

package SdesWiretap;

use strict;
use warnings;

use Exporter 'import';
use File::Basename qw(dirname);
use File::Temp ();
use Cwd qw(abs_path);
use IPC::Run ();
use Test::More ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;

our @EXPORT = qw(new_wiretap wire_conninfo no_leaks_on_wire_ok);

my $ROOT = abs_path(dirname(__FILE__) . '/../..');
my @taps;

# A second socket of a server, which keeps all that goes over it: { host, port, records }.
# It is stopped with the test.
sub new_wiretap
{
    my ($node) = @_;
    my $records = $node->basedir . '/wire_' . @taps;
    my %tap = (node => $node, records => $records, host => PostgreSQL::Test::Utils::tempdir_short(), port => 5432, out => '');
    mkdir $records or die "$records: $!";
    my $socket = "$tap{host}/.s.PGSQL.$tap{port}";
    $tap{handle} = IPC::Run::start(
        [ 'python3', "$ROOT/test/programs/wiretap.py", $node->host . '/.s.PGSQL.' . $node->port, $socket, $records ],
        '<', \undef, '>', \$tap{out}, '2>&1');
    wait_for(sub { $tap{handle}->pump_nb; -S $socket }, 10) or die "the wiretap did not start: $tap{out}";
    push @taps, \%tap;
    return \%tap;
}

# To connect by it.
sub wire_conninfo
{
    my ($tap, $database) = @_;
    return "host=$tap->{host} port=$tap->{port} dbname=$database";
}

# A test: none of the values went over the wire, while $control, which is no secret, did.
sub no_leaks_on_wire_ok
{
    my ($tap, $values, $control, $name) = @_;
    my $found = find_leaks($values, $tap->{records});
    my $seen = find_leaks([$control], $tap->{records});
    my $ok = Test::More::ok($found eq '' && $seen ne '', $name);
    Test::More::diag($found eq '' ? "\"$control\" did not go over it" : $found) if !$ok;
    return $ok;
}

END
{
    local $?;
    $_->{handle}->kill_kill(grace => 1) for @taps;
}

1;
