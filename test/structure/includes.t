# includes.t
#     The arrows between the rooms of src/ point down only, and nothing below
#     the waterline knows PostgreSQL.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Structure;
use Test::More;

# The files at the top of src/ that every room above the waterline may include.
my @TOP = qw(sdes.h sdes_guc.h sdes_errors.h sdes_compat.h sdes_crypto.h sdes_shmem.h sdes_spi.h sdes_datum.h sdes_recent.h);

# What of the agent's room the server's side may know.
my @AGENT_SHARED = qw(agent/protocol agent/config agent/client agent/backoff agent/buffer);

# Room (or part of one) => what its files may include besides their own room:
# rooms, parts of rooms, or "top" for the files above. The longest name that
# fits a file counts.
my %MAY = (
    'crypto' => [],
    'provider' => [qw(crypto)],
    'envelope' => [qw(crypto)],
    'pan' => [qw(crypto)],
    'journal' => [qw(crypto)],
    'auditor' => [qw(journal crypto)],
    'parcel' => [qw(crypto envelope)],
    'hsm' => [qw(crypto envelope)],
    'agent' => [qw(crypto envelope hsm)],
    (map { $_ => [qw(crypto envelope)] } @AGENT_SHARED),
    'agentlink' => [ @AGENT_SHARED, qw(envelope crypto top) ],
    'audit' => [qw(store agentlink journal envelope crypto top)],
    'auditlog' => [qw(audit store journal envelope crypto top)],
    'store' => [qw(envelope crypto top)],
    'keyring' => [qw(audit store agentlink envelope crypto top), @AGENT_SHARED],
    'policy' => [qw(audit store agentlink top)],
    'value' => [qw(audit policy keyring store agentlink envelope crypto top)],
    'types' => [qw(value policy store envelope pan crypto top)],
    'search' => [qw(types value audit policy keyring store envelope crypto top)],
    'rotation' => [qw(types value audit policy keyring store agentlink envelope crypto top)],
    'sqltext' => [qw(crypto)],
    'redact' => [qw(sqltext crypto top)],
    'reveal' => [qw(value types audit policy agentlink store top)],
    'doctor' => [ qw(value auditlog audit policy keyring store agentlink envelope crypto top), @AGENT_SHARED ],
    'admin' => [ qw(audit policy keyring store agentlink envelope crypto top) ],
    'exchange' => [ qw(audit policy keyring store agentlink parcel envelope crypto top) ],
    'worker' => [ @AGENT_SHARED, qw(rotation auditlog audit agentlink crypto top) ],
);

# Within the agent's room, what the server's side shares knows no other file.
my %OWN_ROOM_ONLY = map { $_ => \@AGENT_SHARED } @AGENT_SHARED;

my @BELOW = qw(crypto provider envelope journal auditor pan parcel sqltext hsm agent);

# Libraries by their headers, and who may use them: rooms, or parts of them.
# Wiping and comparing (openssl/crypto.h) is for everybody.
my %LIBRARY = (
    'openssl/(?!crypto\.h$)' => [qw(crypto provider/provider parcel hsm/pkcs11_rsa hsm/pkcs11_sign hsm/pkcs11_libp11)],
    'libp11\.h$' => [qw(hsm/pkcs11_libp11)],
    'p11-kit/' => [qw(hsm agent)],
    'jansson\.h$' => [qw(auditor)],
    'nettle/' => [qw(provider/nettle)],
    'intel-ipsec-mb\.h$' => [qw(provider/ipsec_mb)],
);

sub room_of
{
    my ($path) = @_;
    my ($stem) = $path =~ m{^(.*)\.[ch]$};
    return $stem if exists $MAY{$stem};
    return $1 if $path =~ m{^([^/]+)/};
    return 'top';
}

sub is_below { my ($path) = @_; return grep { $path =~ m{^\Q$_\E/} } @BELOW; }

sub allows
{
    my ($list, $path) = @_;
    my ($stem) = $path =~ m{^(.*)\.h$};
    for my $allowed (@$list)
    {
        return 1 if $allowed eq 'top' && grep { $_ eq $path } @TOP;
        return 1 if $stem eq $allowed || $path =~ m{^\Q$allowed\E/};
    }
    return 0;
}

my $server_includes = output_of($ENV{PG_CONFIG} // 'pg_config', '--includedir-server');
chomp $server_includes;
ok(-e "$server_includes/postgres.h", "the server's headers are there");

my @files = map { s{^src/}{}r } project_files(qr{^src/.*\.[ch]$});
cmp_ok(scalar @files, '>', 0, 'there are sources');

my %unknown = map { $_ => 1 } grep { $_ ne 'top' && !exists $MAY{$_} } map { room_of($_) } @files;
is(join(' ', sort keys %unknown), '', 'every room has its arrows in the table above');

for my $file (@files)
{
    my $room = room_of($file);
    my ($directory) = $file =~ m{^(.*/)};
    my @wrong;
    for my $line (split /\n/, read_text("src/$file"))
    {
        my ($quote, $name) = $line =~ /^\s*#\s*include\s*(["<])([^">]+)[">]/ or next;
        my ($ours) = grep { -e "$ROOT/src/$_" } $name, ($directory // '') . $name;
        $ours = undef if $quote eq '<';

        if (defined $ours)
        {
            my $own_room = $ours =~ m{^([^/]+)/} && $file =~ m{^\Q$1\E/};
            my $list = $own_room ? $OWN_ROOM_ONLY{$room} : $MAY{$room};
            push @wrong, $name
                if $room ne 'top' && defined $list && !allows($list, $ours);
        }
        elsif (is_below($file) && (-e "$server_includes/$name" || $quote eq '"'))
        {
            push @wrong, $name;
        }
        for my $library (keys %LIBRARY)
        {
            push @wrong, $name
                if $name =~ m{^$library} && !grep { $file =~ m{^\Q$_\E[/.]} } @{ $LIBRARY{$library} };
        }
    }
    is(join(' ', @wrong), '', "$file includes only what its room may");
}

done_testing();
