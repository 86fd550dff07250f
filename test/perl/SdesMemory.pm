# SdesMemory.pm
#     What tests need that look for keys in memory: the data keys of a server, got
#     by an agent of the test's own on the same token; what is derived from them,
#     computed here a second time; and the search through processes.

package SdesMemory;

use strict;
use warnings;

use Exporter 'import';
use Digest::SHA qw(hmac_sha256);
use IO::Socket::UNIX;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use SdesTest;

our @EXPORT = qw(start_service stop_service greet unwrap data_keys key_forms hunt memory_of);

# As in src/agent/protocol.h, src/envelope/dek.h and dek.c.
my ($VERSION, $HELLO, $DEK_UNWRAP) = (4, 1, 8);
my %PURPOSE = (data => 1, literal => 2, search => 3, audit => 4);
my %MODE = (cached => 1, hsm => 2);
my $SEAL_LABEL = 'sdes/v1/seal';
my $SEARCH_LABEL = 'sdes/v1/search';

# ---- an agent that runs as a service ----

# Without a secret: the permissions of its socket say who may connect.
sub start_service
{
    my ($node) = @_;
    my $hsm = $node->{hsm};
    my $dir = PostgreSQL::Test::Utils::tempdir_short();
    my $service = { socket => "$dir/agent.sock", out => '' };
    mkdir "$dir/state", 0700 or die $!;
    append_to_file("$dir/conf", join '', map { "$_->[0] = $_->[1]\n" } grep { $_->[1] ne '' }
        [ module => $hsm->{module} ], [ init_args => $hsm->{init_args} // '' ],
        [ token => "pkcs11:token=$hsm->{label}" ], [ pin_source => "file:$hsm->{pin_file}" ],
        [ socket => $service->{socket} ], [ state_directory => "$dir/state" ]);
    chmod 0600, "$dir/conf";
    local %ENV = $node->_get_env;
    $service->{handle} = IPC::Run::start([ $node->installed_command('sdes_agent'), '--config', "$dir/conf" ],
        '<', \undef, '>', \$service->{out}, '2>&1');
    ($service->{pid}) = map { $_->{PID} } @{ $service->{handle}{KIDS} };
    # Its socket has a name before it listens.
    wait_for(sub { IO::Socket::UNIX->new(Peer => $service->{socket}) }, 10) or die "the agent did not start: $service->{out}";
    return $service;
}

sub stop_service
{
    my ($service) = @_;
    $service->{handle}->kill_kill;
    return;
}

sub say_and_hear
{
    my ($socket, $body) = @_;
    my ($length, $reply) = ('', '');
    $socket->syswrite(pack('N/a*', $body)) or die "agent: $!";
    for my $part ([ \$length, 4 ], [ \$reply, undef ])
    {
        my ($into, $size) = @$part;
        $size //= unpack 'N', $length;
        while (length $$into < $size)
        {
            $socket->sysread($$into, $size - length $$into, length $$into) or die 'the agent hung up';
        }
    }
    my (undef, $status, $rest) = unpack 'C n a*', $reply;
    die "the agent answers with status $status" if $status != 0;
    return $rest;
}

# A connection to it, which has said HELLO.
sub greet
{
    my ($service) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => $service->{socket}) or die "agent: $!";
    say_and_hear($socket, pack 'C n a32', $HELLO, $VERSION, '');
    return $socket;
}

# The data key of a row: { key_id, bucket, version, purpose, mode, kek, wrapped },
# binary, as the columns of sdes.dek. Dies when the agent refuses.
sub unwrap
{
    my ($connection, $row) = @_;
    my $binding = $row->{key_id} . $row->{bucket}
        . pack('N C C', $row->{version}, $PURPOSE{ $row->{purpose} }, $MODE{ $row->{mode} }) . $row->{kek};
    return say_and_hear($connection, pack 'C a* n/a*', $DEK_UNWRAP, $binding, $row->{wrapped});
}

# All data keys of a database, by the name "BUCKET PURPOSE VERSION": their rows
# for unwrap(), and with { dek } what that gives.
sub data_keys
{
    my ($node, $database, $service) = @_;
    my ($connection, %keys) = (greet($service));
    for my $line (split /\n/, $node->safe_psql($database, <<'SQL'))
SELECT CASE WHEN b.system THEN 'system' ELSE b.name END, d.purpose, d.version, d.mode, encode(d.key_id, 'hex'),
    encode(uuid_send(d.bucket), 'hex'), encode(d.kek, 'hex'), encode(d.wrapped, 'hex')
    FROM sdes.dek AS d JOIN sdes.bucket AS b ON b.uuid = d.bucket WHERE d.mode = 'cached'
SQL
    {
        my %row;
        (my $name, @row{qw(purpose version mode)}, my @hex) = split /\|/, $line;
        @row{qw(key_id bucket kek wrapped)} = map { pack 'H*', $_ } @hex;
        $row{dek} = unwrap($connection, \%row);
        # The first version of a search key is drawn; there is one.
        my $number = $row{purpose} eq 'search' ? 1 : $row{version};
        $keys{"$name $row{purpose} $number"} = \%row;
    }
    return \%keys;
}

# ---- what is made of a key ----

# AES's S-box by its definition: the inverse in GF(2^8), then an affine map
# (FIPS 197, section 5.1.1).
my @SBOX;
sub sbox
{
    return @SBOX if @SBOX;
    my ($p, $q) = (1, 1);
    $SBOX[0] = 0x63;
    do
    {
        $p ^= (($p << 1) & 0xff) ^ ($p & 0x80 ? 0x1b : 0); # times 3
        $q ^= $q << 1; # divided by 3
        $q ^= $q << 2;
        $q = ($q ^ $q << 4) & 0xff;
        $q ^= 0x09 if $q & 0x80;
        my $turned = $q * 0x101;
        $SBOX[$p] = 0x63 ^ ($q ^ $turned >> 7 ^ $turned >> 6 ^ $turned >> 5 ^ $turned >> 4) & 0xff;
    } while ($p != 1);
    return @SBOX;
}

# The 240 bytes of an AES-256 key's expansion (FIPS 197, section 5.2).
sub key_schedule
{
    my ($key) = @_;
    my @sbox = sbox();
    my @words = unpack 'N8', $key;
    my $round = 1;
    for my $i (8 .. 59)
    {
        my $word = $words[-1];
        $word = ($word << 8 | $word >> 24) & 0xffffffff if $i % 8 == 0;
        $word = unpack 'N', pack 'C4', map { $sbox[$_] } unpack 'C4', pack 'N', $word if $i % 4 == 0;
        $word ^= $round << 24 and $round *= 2 if $i % 8 == 0;
        push @words, $words[-8] ^ $word;
    }
    return pack 'N*', @words;
}

sub sha256_state
{
    my ($block) = @_;
    my ($words) = Digest::SHA->new(256)->add($block)->getstate =~ /^H:(.*)$/m;
    return pack 'L*', map { hex } split /:/, $words;
}

# What must not lie around of a data key: name => bytes. The sealing key is the
# first 32 bytes of its schedule; HKDF's own key (RFC 5869) gives it away as well.
# A search key seals nothing: it is HMAC's, which is as good as the two states of
# SHA-256 that it begins with (FIPS 198-1), in words of the machine.
sub key_forms
{
    my ($dek, $purpose) = @_;
    my $prk = hmac_sha256($dek, "\0" x 32);
    if ($purpose eq 'search')
    {
        my $mac = hmac_sha256($SEARCH_LABEL . "\1", $prk);
        return {
            dek => $dek,
            prk => $prk,
            mac => $mac,
            inner => sha256_state(("\x36" x 64) ^ ($mac . "\0" x 32)),
            outer => sha256_state(("\x5c" x 64) ^ ($mac . "\0" x 32)),
        };
    }
    my $schedule = key_schedule(hmac_sha256($SEAL_LABEL . "\1", $prk));
    return {
        dek => $dek,
        prk => $prk,
        schedule => $schedule,
        # In words of the machine, as portable implementations keep it.
        words => pack('V*', unpack('N*', $schedule)),
    };
}

# ---- the search ----

my $CAPABILITY = <<'TEXT' =~ tr/\n/ /r;
It takes CAP_SYS_PTRACE, which test/run gives to that program's file with setcap. It cannot have it
in a container that was started without SYS_PTRACE (docker run --cap-add=SYS_PTRACE), nor on
a file system that is mounted nosuid or keeps no extended attributes.
TEXT

# Pieces of 16 bytes at every 8, so that 23 bytes of a whole are found wherever
# they begin.
sub pieces
{
    my ($name, $bytes) = @_;
    return join '', map { sprintf "%s %s\n", $name, unpack 'H*', substr $bytes, $_, 16 }
        grep { $_ % 8 == 0 } 0 .. length($bytes) - 16;
}

# Looks for { name => bytes } in processes. Returns { pid => { name => hits } }.
sub hunt
{
    my ($forms, @pids) = @_;
    my $program = $ENV{SDES_KEYHUNT} or die 'SDES_KEYHUNT is not set';
    my $patterns = join '', map { pieces($_, $forms->{$_}) } sort keys %$forms;
    my ($out, $err, %found) = ('', '');
    # Where the capability may not be had at all, exec itself fails, and IPC::Run dies.
    eval { IPC::Run::run([ $program, @pids ], '<', \$patterns, '>', \$out, '2>', \$err) }
        or die "the search through memory failed: $err$@$CAPABILITY\n";
    for my $line (split /\n/, $out)
    {
        my ($pid, $name, $where, $mapping) = split / /, $line, 4;
        if ($name eq 'searched')
        {
            die "nothing of process $pid was searched" if $where < 1_000_000;
            $found{$pid} //= {};
        }
        else
        {
            push @{ $found{$pid}{$name} }, "$where " . ($mapping // '');
        }
    }
    die 'not all processes were searched' if keys %found != @pids;
    return \%found;
}

# Resident kilobytes of a process that are its own.
sub memory_of
{
    my ($pid) = @_;
    my ($kilobytes) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m;
    return $kilobytes;
}

1;
