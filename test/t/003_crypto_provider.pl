# 003_crypto_provider.pl
#     Servers with each provider of AES and HMAC: what one has sealed the others open and
#     find. A setting that cannot be followed keeps the server from starting, a provider
#     that computes wrongly does not.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use Test::More;

my $node = new_cluster('provider');

sub set_provider
{
    my ($name) = @_;
    $node->append_conf('postgresql.conf', "sdes.crypto_provider = '$name'");
    return;
}

# What the log says of a start that must fail.
sub refusal
{
    my ($name) = @_;
    my $from = -s $node->logfile;
    set_provider($name);
    return 'it started' if $node->start(fail_ok => 1);
    return slurp_file($node->logfile, $from);
}

# The row "crypto" of sdes.health().
sub health
{
    return $node->safe_psql('postgres', q{SELECT ok, detail FROM sdes.health() WHERE "check" = 'crypto'});
}

# ---- what there is ----

new_extension($node);
my $default = health();
is($node->safe_psql('postgres', 'SHOW sdes.crypto_provider'), 'auto', 'auto is the default');
like(error_as($node, scalar getpwuid($>), q{ALTER SYSTEM SET sdes.crypto_provider = 'openssl'}),
    qr/cannot be changed/, '... which SQL cannot change');
$node->stop;

my @available;
for my $wrong ('nonsense', '', 'OpenSSL', 'auto ')
{
    my $log = refusal($wrong);
    like($log, qr/FATAL: .*invalid value for parameter "sdes\.crypto_provider"/, "\"$wrong\" keeps the server from starting");
    like($log, qr/HINT: .*: auto, [a-z, -]*openssl\./, '... with a hint');
    @available = $1 =~ /[\w-]+/g if $log =~ /HINT: .*: auto, (.*)\./;
}

# As scripts/setup has installed them.
my @installed = ((-e '/usr/include/intel-ipsec-mb.h' ? 'ipsec-mb' : ()), (-e '/usr/include/nettle/gcm.h' ? 'nettle' : ()), 'openssl');
is("@available", "@installed", 'the hint names those that this build and processor have');

my %aes = ('ipsec-mb' => 'ipsec-mb', nettle => 'nettle', openssl => 'OpenSSL');
my $mac = (grep { $_ eq 'nettle' } @available) ? 'nettle' : 'OpenSSL';
is($default, "t|AES-256-GCM by $aes{$available[0]}, HMAC-SHA-256 by $mac", 'auto was the first of them');

# ---- each of them ----

set_provider('auto');
$node->start;
create_bucket($node, 'pii');
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE oms LOGIN;
GRANT CREATE ON SCHEMA public TO oms;
SELECT sdes.grant_access('pii', 'oms', '{encrypt,search,decrypt}');
SQL
query_as($node, 'oms', q{CREATE TABLE v (by text, n int, t sdes.enc_text('pii', 'searchable')); CREATE INDEX ON v (t)});

my $rows = 0;
for my $name (@available, reverse @available)
{
    set_provider($name);
    $node->restart;
    like(health(), qr/^t\|AES-256-GCM by $aes{$name}, /, "$name: it is in use");
    query_as($node, 'oms', "INSERT INTO v SELECT '$name', n, repeat(n || 'é', n) FROM generate_series(0, 60) AS n");
    $rows += 61;
    is(query_as($node, 'oms', q{SELECT count(*) FROM v WHERE t::text = repeat(n || 'é', n)}), $rows,
        "$name: all values open, whoever has sealed them");
    is(query_as($node, 'oms', q{SET enable_seqscan = off; SELECT count(*) FROM v WHERE t = repeat(7 || 'é', 7)}),
        $rows / 61, "$name: all are found");
}

# ---- one that computes wrongly ----

SKIP:
{
    skip 'built without nettle', 6 if $mac ne 'nettle';
    my $shim = "$PostgreSQL::Test::Utils::tmp_check/wrong_hmac.so";
    system_or_bail('sh', '-c', 'exec ${CC:-cc} -shared -fPIC -O1 -o "$1" test/programs/wrong_hmac.c', 'sh', $shim);
    local $ENV{LD_PRELOAD} = $shim;

    $node->stop;
    my $log = refusal('nettle');
    like($log, qr/FATAL: .*"nettle" of parameter "sdes\.crypto_provider" fails its self-test/, 'one that computes wrongly is refused');
    like($log, qr/DETAIL: .*HMAC-SHA-256 gives another result than the published one/, '... with what is wrong');

    my $from = -s $node->logfile;
    set_provider('auto');
    $node->start;
    $log = slurp_file($node->logfile, $from);
    like($log, qr/WARNING: .*"$available[0]" fails its self-test and is not used/, 'auto passes it over');
    like(health(), qr/^f\|AES-256-GCM by OpenSSL, HMAC-SHA-256 by OpenSSL; "$available[0]" fails its self-test: HMAC/,
        'health() tells');
    is(query_as($node, 'oms', 'SELECT count(t::text) FROM v'), $rows, 'values open by OpenSSL');

    set_provider('openssl');
    $node->restart;
    like(health(), qr/^t\|/, 'who sets OpenSSL is not concerned');
    $node->stop;
}

$node->stop;
done_testing();
