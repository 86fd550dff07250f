# 021_hsm_mode.pl
#     Buckets of mode hsm: what crosses the PKCS#11 interface is values and the
#     proofs of rows, and no key; a hanging HSM and a killed agent leave sessions
#     that can be cancelled and go on; a token that cannot seal is refused.

use strict;
use warnings;
use PostgreSQL::Test::BackgroundPsql;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Digest::SHA qw(sha256);
use Time::HiRes qw(time);
use SdesTest;
use SdesFaults;
use Test::More;

my $root = $ENV{PWD};

# ---- what crosses the interface, as OpenSC's pkcs11-spy sees it ----

my ($spy) = grep { -e } glob '/usr/lib/*/pkcs11-spy.so' or die 'there is no pkcs11-spy.so';
my $hsm = new_hsm('spy');
my $trace = "$PostgreSQL::Test::Utils::tmp_check/pkcs11-spy.log";
{
    local $ENV{PKCS11SPY} = $hsm->{module};
    local $ENV{PKCS11SPY_OUTPUT} = $trace;
    local $hsm->{module} = $spy;
    my $node = new_cluster('spy', hsm => $hsm);
    my @values = map { "value number $_ of the vault" } 1 .. 5;

    $node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION sdes;
SELECT sdes.create_bucket('vault', mode => 'hsm'), sdes.create_bucket('open_air');
SELECT sdes.grant_access(b, 'postgres', '{encrypt,decrypt}') FROM unnest('{vault,open_air}'::text[]) AS b;
CREATE TABLE safe (id int, a sdes.enc_text('vault'), b sdes.enc_text('open_air'));
CREATE TABLE plain (id int, t text);
SQL
    $node->safe_psql('postgres', join ';', map { "INSERT INTO plain VALUES ($_, '$values[$_ - 1]')" } 1 .. @values);
    # The spy writes when it likes to, and all of it when the agent ends.
    $node->restart;
    my @before = calls_of($trace);
    wait_for(sub { $node->psql('postgres', 'INSERT INTO safe SELECT id, t FROM plain') == 0 }, 15);
    is($node->safe_psql('postgres', 'SELECT a FROM safe ORDER BY id'), join("\n", @values),
        'values are stored and read');
    $node->restart;
    my @calls = calls_of($trace);
    splice @calls, 0, scalar @before;

    # Values travel with the first bytes of their digest.
    my %sealed = map { $_ . substr(sha256($_), 0, 8) => 1 } @values;
    my @in = map { buffer_of($_, 'in', 'pData') } grep { $_->{name} eq 'C_Encrypt' } @calls;
    my @out = map { buffer_of($_, 'out', 'pData') } grep { $_->{name} eq 'C_Decrypt' } @calls;
    is(scalar(grep { $sealed{$_} } @in), 5, 'every value was sealed in the token');
    is(scalar(grep { $sealed{$_} } @out), 5, 'and opened there');
    # Round trips by which the agent tries a key are of random bytes, as many.
    is(join(' ', grep { !$sealed{$_} && length != 32 } @in, @out), '',
        'nothing else crossed but proofs of rows and round trips');

    my $text = slurp_file($trace);
    is(join(' ', $text =~ /: (C_(?:WrapKey|UnwrapKey|DeriveKey|CreateObject|CopyObject))/g), '',
        'no call that could carry a key');
    is(scalar(() = $text =~ /CKA_VALUE(?!_LEN)/g), 0, 'no key was read');
    my @made = grep { $_->{name} eq 'C_GenerateKey' } @before;
    is(scalar(@made), 3, 'three keys were made');
    is(scalar(grep { $_->{text} =~ /CKA_SENSITIVE\s+True/ && $_->{text} =~ /CKA_EXTRACTABLE\s+False/ } @made), 3,
        'none of which can leave the token');

    # All that could be a key, tried on a value of each mode.
    wait_for(sub { $node->psql('postgres', "UPDATE safe SET b = 'in the open' WHERE id = 1") == 0 }, 15);
    $node->safe_psql('postgres', 'SELECT b FROM safe WHERE id = 1');
    my @values_of_1 = map { value_of($node, @$_) } [ a => 'vault' ], [ b => 'open_air' ];
    $node->stop;
    my @seen = map { (buffer_of($_, 'in', 'pData'), buffer_of($_, 'out', 'pData')) } calls_of($trace);
    cmp_ok(scalar(grep { length == 32 } @seen), '>', 3, 'buffers of the size of a key were seen');
    is(opened_by($values_of_1[0], @seen), '', 'none opens a value of mode hsm');
    is(opened_by($values_of_1[1], @seen), 'in the open', 'while one of mode cached is opened by its key');
}

# The calls in a trace: { name, text }.
sub calls_of
{
    my ($file) = @_;
    my @calls;
    for my $text (split /^(?=\d+: C_)/m, slurp_file($file))
    {
        push @calls, { name => $1, text => $text } if $text =~ /^\d+: (C_\w+)/;
    }
    return @calls;
}

# The bytes of one of a call's buffers, from its hexdump; none if it is not there.
sub buffer_of
{
    my ($call, $direction, $name) = @_;
    my ($dump) = $call->{text} =~ /^\[$direction\] \Q$name\E\[[^\n]*\n((?:    [0-9A-F]{8}  [^\n]*\n)+)/m or return ();
    my $bytes = '';
    for my $line (split /\n/, $dump)
    {
        my ($hex) = $line =~ /^    [0-9A-F]{8}  ((?:[0-9A-F]{2} ){1,16})/;
        $bytes .= pack 'H*', $hex =~ s/ //gr;
    }
    return $bytes;
}

# The value of row 1, and the bucket it is bound to.
sub value_of
{
    my ($node, $column, $bucket) = @_;
    return [ split /\|/, $node->safe_psql('postgres',
        "SELECT 'sdes1:' || translate(encode(sdes.enc_text_send($column), 'base64'), E'+/=\\n', '-_'), b.uuid FROM safe, sdes.bucket b WHERE id = 1 AND b.name = '$bucket'") ];
}

# What a value opens to by any of these keys.
sub opened_by
{
    my ($value, @keys) = @_;
    my ($in, $out) = (join('', map { unpack('H*', $_) . "\n" } @keys), '');
    IPC::Run::run([ 'python3', "$root/test/programs/try_keys.py", @$value, 'text' ], '<', \$in, '>', \$out)
        or die 'try_keys.py failed';
    chomp $out;
    return join ' ', keys %{ { map { $_ => 1 } split /\n/, $out } };
}

# ---- faults ----

$hsm = new_hsm('vault');
my $proxy = new_proxy($hsm);
my $node = new_cluster('vault', hsm => $hsm, conf => "log_statement = none\n");
new_shop($node);
my $READ = 'SELECT string_agg(a::text, \',\' ORDER BY id) FROM safe';

# A token that cannot seal values: nothing is left of the bucket.
append_to_file($proxy->{control}, "C_EncryptInit 0x70\n");
my $made = proxy_calls($proxy, 'C_GenerateKey');
like(error_as($node, 'dba', "SELECT sdes.create_bucket('vault', mode => 'hsm')", 'shop'),
    qr/0A000: HSM token lacks a mechanism/, 'no GCM: a clear error');
unlink $proxy->{control};
cmp_ok(proxy_calls($proxy, 'C_GenerateKey'), '>', $made, 'no GCM: a key was tried');
is($node->safe_psql('shop', "SELECT count(*) FROM sdes.bucket WHERE name = 'vault'"), '0', 'no GCM: no row');
ok(wait_for_health($node, 'orphans', sub { $_[0]{ok} }), 'no GCM: no key is left in the token');

query_as($node, 'dba', "SELECT sdes.create_bucket('vault', mode => 'hsm')", 'shop');
query_as($node, 'security', "SELECT sdes.grant_access('vault', r, '{encrypt,decrypt}') FROM unnest('{oms,postgres}'::text[]) AS r", 'shop');
$node->safe_psql('shop', "CREATE TABLE safe (id int, a sdes.enc_text('vault')); GRANT ALL ON safe TO oms");
query_as($node, 'oms', q{INSERT INTO safe VALUES (1, 'one'), (2, 'two')}, 'shop');
is(query_as($node, 'oms', $READ, 'shop'), 'one,two', 'values are there');
health_ok($node, 'all is well');

# The HSM hangs while a session holds its proof and its connection.
my $session = $node->background_psql('shop', on_error_stop => 0, extra_params => [ '-U', 'oms', '-v', 'VERBOSITY=verbose' ]);
is($session->query($READ), 'one,two', 'HSM hangs: a session has read before');
append_to_file($proxy->{control}, "C_Decrypt hang\nC_Encrypt hang\n");
$session->query_safe('SET statement_timeout = 300');
for my $query ($READ, q{INSERT INTO safe VALUES (3, 'the plaintext of nobody'::text)})
{
    my $began = time;
    $session->query($query);
    like($session->{stderr}, qr/57014.*statement timeout/, 'HSM hangs: statement_timeout works');
    cmp_ok(time - $began, '<', 2, 'HSM hangs: in time');
    $session->{stderr} = '';
}
unlink $proxy->{control};
$session->query_safe('SET statement_timeout = 0');
settle($node);
is($session->query($READ), 'one,two', 'HSM answers again: the same session reads');
is($session->query('SELECT count(*) FROM safe'), '2', 'HSM answers again: nothing half-done was stored');

# The agent dies between two statements of a transaction, and between two values.
$session->query_safe('BEGIN');
is($session->query($READ), 'one,two', 'agent killed: a transaction reads');
kill 'KILL', agent_pid($node);
is($session->query($READ), 'one,two', 'agent killed: and goes on reading');
$session->query_safe('COMMIT');
$node->safe_psql('shop', q{INSERT INTO safe SELECT i, 'number ' || i FROM generate_series(10, 300) AS i});
my $load = start_query($node, 'oms', q{SELECT count(DISTINCT a::text), min(a::text) FROM safe, generate_series(1, 20) WHERE id >= 10}, 'shop');
for (1 .. 3)
{
    my $pid = agent_pid($node);
    kill 'KILL', $pid if $pid;
    wait_for(sub { my ($new) = agent_pids($node); $new && $new != $pid }, 10);
}
finish_query($load);
ok($load->{out} eq '291|number 10' || $load->{err} =~ /58000/, 'agent killed in between: all values, or a clear error')
    or diag("$load->{out} $load->{err}");
settle($node);

# A value that does not open, among others that are opened with it.
my $rows = $node->background_psql('shop', on_error_stop => 0, extra_params => [ '-U', 'oms', '-v', 'VERBOSITY=verbose' ]);
my $all = join "\n", map { "number $_" } 10 .. 300;
is($rows->query('SELECT a FROM safe WHERE id >= 10 ORDER BY id'), $all, 'many values are read');
append_to_file($proxy->{control}, "C_Decrypt 0x40\n");
is($rows->query('SELECT a FROM safe WHERE id >= 10 ORDER BY id'), '', 'a damaged value: no other is shown for it');
like($rows->{stderr}, qr/XX001: encrypted value failed authentication/, 'a damaged value: a clear error');
$rows->{stderr} = '';
unlink $proxy->{control};
is($rows->query('SELECT a FROM safe WHERE id >= 10 ORDER BY id'), $all, 'the session goes on reading');
my $calls = proxy_calls($proxy, 'C_Decrypt');
$rows->query('SELECT a FROM safe WHERE id >= 10');
is(proxy_calls($proxy, 'C_Decrypt') - $calls, 291, 'each value is opened once');
$rows->quit;

# A connection to the agent is not kept while a session idles in its transaction.
my $FDS = "SELECT count(*) FROM pg_ls_dir('/proc/self/fd')";
my $super = $node->background_psql('shop');
$super->query_safe("$READ; SELECT sdes.reveal(a) FROM safe WHERE id = 1;");
my $free = $super->query_safe($FDS);
# In one message, as a client sends several statements at once.
my $busy = $super->query_safe("BEGIN\\; SELECT a FROM safe WHERE id = 1\\; $FDS;");
my $idle = $super->query_safe($FDS);
$super->query_safe('COMMIT');
is($busy, "one\n" . ($free + 1), 'a connection to the agent is kept within a statement');
is($idle, $free, 'and closed before the session idles in its transaction');
is($super->query_safe($FDS), $free, 'nor is it there afterwards');
$_->quit for $session, $super;

no_crash_ok($node, 0, 'no process of the server crashed');
$node->stop;
done_testing();
