# SdesWire.pm
#     A client of its own, as small as can be, that keeps every byte the server
#     sends: a test that says "nowhere" must have looked at all of it, the parts too
#     that no driver shows.
#
# PostgreSQL's frontend/backend protocol 3.0 (documentation, chapter "Frontend/Backend
# Protocol"), over the Unix socket of a server that trusts it. A reply is
# { bytes, rows, states, messages }: all that arrived, the columns of each data row,
# the SQLSTATE and the primary text of each error.

package SdesWire;

use strict;
use warnings;

use IO::Select;
use IO::Socket::UNIX;

my $PATIENCE = 60; # seconds for one answer

# Logs in as that user; dies with the server's message when it may not.
sub new
{
    my ($class, $node, $user, $database, $name) = @_;
    my $path = $node->host . '/.s.PGSQL.' . $node->port;
    my $socket = IO::Socket::UNIX->new(Peer => $path) or die "no connection to $path: $!";
    my $self = bless { socket => $socket, buffer => '' }, $class;
    my %options = (user => $user, database => $database, application_name => $name // $user);
    my $startup = pack('N', 196608) . join('', map { "$_\0$options{$_}\0" } sort keys %options) . "\0";
    syswrite $socket, pack('N', 4 + length $startup) . $startup;
    my $reply = $self->_reply;
    die "no login as $user: $reply->{messages}[0]" if @{ $reply->{states} };
    return $self;
}

sub _send
{
    my ($self, $type, $body) = @_;
    syswrite $self->{socket}, $type . pack('N', 4 + length $body) . $body;
}

# The next message as (type, body), and all its bytes.
sub _message
{
    my ($self) = @_;
    my $buffer = \$self->{buffer};
    while (length $$buffer < 5 || length $$buffer < 1 + unpack('xN', $$buffer))
    {
        IO::Select->new($self->{socket})->can_read($PATIENCE) or die 'the server does not answer';
        sysread $self->{socket}, $$buffer, 65536, length $$buffer
            or die 'the server has closed the connection';
    }
    my $bytes = substr $$buffer, 0, 1 + unpack('xN', $$buffer), '';
    return (substr($bytes, 0, 1), substr($bytes, 5), $bytes);
}

# Everything up to ReadyForQuery. A server that wants data for COPY gets none.
sub _reply
{
    my ($self) = @_;
    my %reply = (bytes => '', rows => [], states => [], messages => []);
    while (1)
    {
        my ($type, $body, $bytes) = $self->_message;
        $reply{bytes} .= $bytes;
        push @{ $reply{rows} }, [ _columns($body) ] if $type eq 'D';
        push @{ $reply{rows} }, [ $body =~ s/\n\z//r ] if $type eq 'd';
        if ($type eq 'E')
        {
            my %field = map { substr($_, 0, 1) => substr($_, 1) } grep { length } split /\0/, $body;
            push @{ $reply{states} }, $field{C};
            push @{ $reply{messages} }, $field{M};
            return \%reply if $field{S} eq 'FATAL'; # the connection is gone
        }
        $self->_send('f', "none\0") if $type eq 'G';
        return \%reply if $type eq 'Z';
    }
}

sub _columns
{
    my ($body) = @_;
    my ($n, @columns) = unpack('n', $body);
    my $at = 2;
    for (1 .. $n)
    {
        my $length = unpack('l>', substr $body, $at, 4);
        push @columns, $length < 0 ? undef : substr $body, $at + 4, $length;
        $at += 4 + ($length < 0 ? 0 : $length);
    }
    return @columns;
}

# One string of statements by the simple protocol.
sub query
{
    my ($self, $sql) = @_;
    $self->_send('Q', "$sql\0");
    return $self->_reply;
}

# One statement by the extended protocol: Parse, Describe, Bind with these parameters
# as text of unknown type, Execute. Results in binary if $binary.
sub extended
{
    my ($self, $sql, $parameters, $binary) = @_;
    my @parameters = @{ $parameters // [] };
    $self->_send('P', "\0$sql\0" . pack('n', 0));
    $self->_send('D', "S\0");
    $self->_send('B', "\0\0" . pack('nn', 0, scalar @parameters)
            . join('', map { pack('N/a', $_) } @parameters) . pack('nn', 1, $binary ? 1 : 0));
    $self->_send('E', "\0" . pack('N', 0));
    $self->_send('S', '');
    return $self->_reply;
}

sub close
{
    my ($self) = @_;
    $self->_send('X', '');
    close $self->{socket};
}

1;
