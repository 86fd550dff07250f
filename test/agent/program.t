# program.t
#     The agent as a program: its options, where its settings come from, and what
#     keeps it from starting. As a service it must say why, and exit with 1.

use strict;
use warnings;
use File::Temp;
use IO::Socket::UNIX;
use Socket;
use Test::More;

my $agent = $ENV{SDES_TEST_AGENT} or die 'SDES_TEST_AGENT is not set';
my $dir = File::Temp->newdir(DIR => '/tmp', TEMPLATE => 'sdes-program-XXXXXX');
chdir $dir or die "$dir: $!";

sub write_file
{
    my ($name, $text, $mode) = @_;
    unlink $name;
    open my $file, '>', $name or die "$name: $!";
    print $file $text;
    close $file or die "$name: $!";
    chmod $mode // 0600, $name or die "$name: $!";
    return $name;
}

# Runs a command with some standard input; its exit status and all that it says. One
# that does not end by itself is ended, and has no exit status.
sub result_of
{
    my ($input, @command) = @_;
    write_file('input', $input);
    my $pid = fork() // die "fork: $!";
    if ($pid == 0)
    {
        open STDIN, '<', 'input' or die;
        open STDOUT, '>', 'output' or die;
        open STDERR, '>&', \*STDOUT or die;
        alarm 10;
        exec @command or die "@command: $!";
    }
    waitpid $pid, 0;
    open my $file, '<', 'output' or die "output: $!";
    local $/ = undef;
    return ($? & 127 ? 'none' : $? >> 8, <$file>);
}

sub exits
{
    my ($name, $status, $said, $input, @command) = @_;
    my ($got, $text) = result_of($input, @command);
    is($got, $status, "$name: exit status $status");
    like($text, $said, "$name: says so");
}

sub refuses_file
{
    my ($name, $said, $text, $mode) = @_;
    write_file('conf', $text, $mode);
    exits($name, 1, $said, '', $agent, '--config', 'conf');
    ok(!-e 'socket', "$name: no socket");
}

exits('--help', 0, qr/Usage:.*--supervised/s, '', $agent, '--help');
exits('--version', 0, qr/^sdes_agent \S+$/, '', $agent, '--version');
exits('no option', 2, qr/give --supervised or --config/, '', $agent);
exits('both options', 2, qr/give --supervised or --config/,
    '', $agent, '--supervised', '--config', 'conf');
exits('an argument', 2, qr/give --supervised or --config/, '', $agent, '--supervised', 'x');
exits('another option', 2, qr/unrecognized option/, '', $agent, '--daemon');
exits('an option without its value', 2, qr/requires an argument/, '', $agent, '--config');

exits('no file', 1, qr/cannot open "none"/, '', $agent, '--config', 'none');
exits('a directory', 1, qr/not a regular file/, '', $agent, '--config', '.');
refuses_file('a file that others may change', qr/must belong to root/, "socket = socket\n", 0622);
refuses_file('a file that the group may change', qr/must belong to root/, "socket = socket\n", 0660);
refuses_file('an unknown setting', qr/line 3 is not valid: it must have a known name/,
    "# a comment\n\nsockett = socket\n");
refuses_file('a zero byte', qr/line 1 is not valid/, "socket = sock\0et\n");
refuses_file('a long line', qr/line 2 is not valid/, "socket = socket\ntoken = " . 'x' x 2000);
refuses_file('a secret', qr/must not set a secret/, 'secret = ' . '0' x 64 . "\nsocket = socket\n");
refuses_file('no socket', qr/path must have 1 to 107 bytes/, "module = /m.so\n");
refuses_file('a socket in no directory', qr/cannot bind socket "none\/socket"/, "socket = none/socket\n");
refuses_file('a socket in a file', qr/cannot look at socket "conf\/socket"/, "socket = conf/socket\n");

write_file('taken', 'not a socket');
refuses_file('a file in the place of the socket', qr/cannot create socket "taken": File exists/,
    "socket = taken\n");
is(-s 'taken', length 'not a socket', 'that file is still there');

exits('settings that end early', 1, qr/^$/, "socket = socket\n", $agent, '--supervised');
exits('settings from the supervisor that are wrong', 1, qr/line 1 is not valid/,
    "sockett = socket\n\n", $agent, '--supervised');
exits('a supervisor that is gone', 0, qr/started, version/,
    "socket = socket\n\n", $agent, '--supervised');

# No locked memory, and no privilege that overrides the limit.
my @unprivileged = $> == 0 ? qw(setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock) : ();
exits('no locked memory', 1, qr/no locked memory: raise RLIMIT_MEMLOCK/, "socket = socket\n\n",
    @unprivileged, 'sh', '-c', 'ulimit -l 0; exec "$0" --supervised', $agent);

# A service: it takes the place of a socket that its predecessor left, whose mode is
# its group's to use, and answers without a secret.
unlink 'socket';
my $stale = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => 'socket', Listen => 1)
    or die "socket: $!";
close $stale;
write_file('conf', "socket = socket\n");
my $pid = fork() // die "fork: $!";
if ($pid == 0)
{
    open STDERR, '>', 'output' or die;
    exec $agent, '--config', 'conf' or die "$agent: $!";
}
my $client;
for (1 .. 200)
{
    last if $client = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => 'socket');
    select undef, undef, undef, 0.05;
}
ok($client, 'a service listens in the place of an old socket');
is((stat 'socket')[2] & 0777, 0660, 'its group may connect');
my $reply = '';
print $client pack('N C n a32', 35, 1, 4, '');
$client->flush;
sysread $client, $reply, 100;
is(unpack('H*', $reply), '00000003010000', 'HELLO needs no secret');
print $client pack('N C', 1, 2);
$client->flush;
sysread $client, $reply, 4000;
my (undef, $op, $status, $state, $why) = unpack 'N C n C n', $reply;
is("$op $status", '2 0', 'it tells its state');
is("$state $why", '2 41', 'which is: not configured');
kill 'TERM', $pid;
waitpid $pid, 0;
is($?, 15, 'it ends when it is told to');

chdir '/';
done_testing();
