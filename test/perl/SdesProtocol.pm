# SdesProtocol.pm
#     A client that speaks PostgreSQL's protocol (version 3) itself, for what no psql
#     sends: statements that are parsed, described, bound and executed one by one, and
#     results in portions. It talks to a server's socket as a role, by trust.
#
#     A method returns what the server sent until it was ready, as a list of
#     [ type, values... ]: columns as [ 'T', 'name type-oid', ... ], rows as [ 'D', ... ],
#     COPY's as [ 'd', line ], ends as [ 'C', tag ], [ 's' ] where there is more, errors
#     as [ 'E', sqlstate, message ].

package SdesProtocol;

use strict;
use warnings;
use Errno;
use IO::Socket::UNIX;

sub new
{
    my ($class, $node, $role, $database) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port)
        or die "no connection: $!";
    my $self = bless { socket => $socket }, $class;
    my $startup = join "\0", 'user', $role, 'database', $database // 'postgres', '', '';
    $self->_write(pack('NN', length($startup) + 8, 3 << 16) . $startup);
    my ($error) = grep { $_->[0] eq 'E' } $self->_answer;
    die $error->[2] if $error;
    return $self;
}

# A simple query, of one or more statements.
sub query
{
    my ($self, $sql) = @_;
    $self->_send('Q', "$sql\0");
    return $self->_answer;
}

# The same, without waiting for the answer, which answer() does.
sub send_query { my ($self, $sql) = @_; $self->_send('Q', "$sql\0"); }
sub answer { my ($self) = @_; return $self->_answer; }

# Messages of the extended protocol; none is answered before sync.
sub parse { my ($self, $name, $sql) = @_; $self->_send('P', "$name\0$sql\0\0\0"); }
sub describe { my ($self, $kind, $name) = @_; $self->_send('D', "$kind$name\0"); }
sub execute { my ($self, $portal, $rows) = @_; $self->_send('E', "$portal\0" . pack('N', $rows // 0)); }

# Parameters are text; the results' format is 0 for text, 1 for binary.
sub bind
{
    my ($self, $portal, $name, $parameters, $format) = @_;
    my @values = map { pack('N', length) . $_ } @$parameters;
    $self->_send('B', "$portal\0$name\0" . pack('nn', 0, scalar @values) . join('', @values)
            . pack('nn', 1, $format // 0));
}

sub sync
{
    my ($self) = @_;
    $self->_send('S', '');
    return $self->_answer;
}

# Binds a statement, executes it, and waits for the answer.
sub run
{
    my ($self, $name, @parameters) = @_;
    $self->bind('', $name, \@parameters);
    $self->execute('');
    return $self->sync;
}

sub _send
{
    my ($self, $type, $body) = @_;
    $self->_write($type . pack('N', length($body) + 4) . $body);
}

sub _write
{
    my ($self, $bytes) = @_;
    while (length $bytes)
    {
        my $written = syswrite $self->{socket}, $bytes or die "write failed: $!";
        substr($bytes, 0, $written, '');
    }
}

sub _read
{
    my ($self, $size) = @_;
    my $bytes = '';
    while (length $bytes < $size)
    {
        my $got = sysread $self->{socket}, $bytes, $size - length $bytes, length $bytes;
        next if !defined $got && $!{EINTR}; # another program of the test has ended
        die 'no answer from the server: ' . (defined $got ? 'it has closed the connection' : $!) if !$got;
    }
    return $bytes;
}

sub _answer
{
    my ($self) = @_;
    my @answer;
    while (1)
    {
        my ($type, $size) = unpack 'aN', $self->_read(5);
        my $body = $self->_read($size - 4);
        return @answer if $type eq 'Z';
        if ($type eq 'T') { push @answer, [ 'T', _columns($body) ] }
        elsif ($type eq 'D') { push @answer, [ 'D', _values($body) ] }
        elsif ($type eq 'd') { chomp $body; push @answer, [ 'd', $body ] }
        elsif ($type eq 's') { push @answer, ['s'] }
        elsif ($type eq 'C') { push @answer, [ 'C', unpack 'Z*', $body ] }
        elsif ($type eq 'E')
        {
            my %field = map { (substr($_, 0, 1), substr($_, 1)) } grep { length } split /\0/, $body;
            push @answer, [ 'E', $field{C}, $field{M} ];
        }
    }
}

sub _columns
{
    my ($count, $rest) = unpack 'na*', $_[0];
    my @columns;
    for (1 .. $count)
    {
        (my $name, undef, undef, my $type, undef, undef, undef, $rest) = unpack 'Z*NnNnNna*', $rest;
        push @columns, "$name $type";
    }
    return @columns;
}

sub _values
{
    my ($count, $rest) = unpack 'na*', $_[0];
    my @values;
    for (1 .. $count)
    {
        (my $size, $rest) = unpack 'Na*', $rest;
        push @values, $size == 0xffffffff ? undef : substr($rest, 0, $size, '');
    }
    return @values;
}

# An answer in one line, for is().
sub line
{
    return join ' ', map { my ($type, @values) = @$_; "$type(" . join('|', map { $_ // 'NULL' } @values) . ')' } @_;
}

1;
