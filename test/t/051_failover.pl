# 051_failover.pl
#     Several tokens: when the first one hangs, fails or is gone, sessions go on with the
#     next within five seconds, and back; keys are wrapped in each of them, those that one
#     lacks are made up for; a token is lost for ever; KEKs are destroyed in all of them.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);
use SdesTest;
use SdesFaults;
use Test::More;

my $SWITCH = 5; # seconds
my $hsm = new_hsm('first');
my $second = another_token($hsm, 'second');
my $third = another_token($hsm, 'third');
my $proxy = new_proxy($hsm);
my $node = new_cluster('failover', hsm => $hsm, conf => "log_statement = none\nautovacuum = off\n");
my ($one, $two, $three) = ("pkcs11:token=$hsm->{label}", token_uri($second), token_uri($third));
new_shop($node);
query_as($node, 'oms', orders('insert', 1, 20), 'shop');
my $READ = 'SELECT md5(string_agg(concat_ws(\',\', full_name::text, card::text), \'\' ORDER BY id)) FROM orders WHERE id <= 20';
my $read = query_as($node, 'oms', $READ, 'shop');

sub rule
{
    append_to_file("$proxy->{control}.new", join '', map { "$_\n" } @_);
    rename "$proxy->{control}.new", $proxy->{control} or die $!;
    return;
}

sub no_rule { unlink $proxy->{control} or die $!; return; }

# A new session, which has no key; how long it took.
sub read_ok
{
    my ($name, $at_most) = @_;
    my $began = time;
    my ($status, $out, $err) = $node->psql('shop', $READ, extra_params => [ '-U', 'oms' ]);
    my $took = time - $began;
    is($status == 0 ? $out : $err, $read, $name);
    cmp_ok($took, '<', $at_most, sprintf '%s: within %s s (%.1f)', $name, $at_most, $took);
    return;
}

sub sync
{
    return $node->safe_psql('shop', 'SELECT token, bucket, keys, detail FROM sdes.sync_tokens()');
}

sub copies_in
{
    my ($token) = @_;
    return $node->safe_psql('shop', 'SELECT count(*) FROM (SELECT kek FROM sdes.dek UNION ALL SELECT kek FROM sdes.dek_copy) AS w'
            . " JOIN sdes.kek AS k ON k.id = w.kek WHERE k.token_label = '$token->{label}'");
}

sub in_service
{
    my ($check) = @_;
    return wait_for(sub { (health($node)->{$check} // {})->{ok} }, 20);
}

# ---- a second token is added ----

set_conf($node, 'sdes.pkcs11_token' => "$one $two");
$node->reload;
ok(in_service('hsm 2'), 'a token that is added comes into service');
like(health($node)->{token}{detail}, qr/$hsm->{label}/, 'the first is the first');
like(health($node)->{'token 2'}{detail}, qr/$second->{label}/, 'the second has rows of its own');
is(scalar(agent_pids($node)), 2, 'each has an agent of its own');
my $copies = health($node)->{copies};
ok(!$copies->{ok}, 'its keys are lacking');
like($copies->{hint}, qr/sync_tokens/, 'and health() says what to do');
my @made = split /\n/, sync();
is(scalar(@made), 3, 'they are made up for, bucket by bucket');
is_deeply([ sort map { join '|', (split /\|/)[ 0, 2 ] } @made ],
    [ ("$second->{label}|1") x 2, "$second->{label}|2" ], 'all of them');
is(sync(), '', 'once');
health_ok($node, 'all is well');
read_ok('both work', 2);
$node->safe_psql('shop', "SELECT sdes.create_bucket('both')");
is(copies_in($second), copies_in($hsm), 'a new bucket has its key in both');
$node->safe_psql('shop', "SELECT sdes.create_bucket('vault', mode => 'hsm')");
$node->safe_psql('shop', "SELECT sdes.grant_access('vault', 'oms', '{encrypt,decrypt}'); CREATE TABLE vault (v sdes.enc_text('vault'));"
    . 'GRANT ALL ON vault TO oms');
query_as($node, 'oms', "INSERT INTO vault VALUES ('kept inside')", 'shop');

# ---- the first hangs ----

my $cached = start_query($node, 'oms', "$READ; SELECT pg_sleep(3); $READ", 'shop');
rule('C_Decrypt hang', 'C_Encrypt hang');
read_ok('the first hangs: the second takes over', $SWITCH);
read_ok('the first hangs: then at once', 1);
works_ok($node, 'the first hangs: writing, too');
finish_query($cached);
is($cached->{out}, "$read\n\n$read", 'the first hangs: a session with keys does not notice');
my $bucket = $node->safe_psql('shop', "SELECT sdes.create_bucket('meanwhile') IS NOT NULL");
is($bucket, 't', 'the first hangs: a bucket can be created');
like(error_as($node, 'oms', 'SELECT v FROM vault', 'shop'), qr/ERROR/, 'the first hangs: values in it cannot be had');
no_rule();
ok(wait_for(sub { my $n = proxy_calls($proxy, 'C_Decrypt'); query_as($node, 'oms', $READ, 'shop');
            proxy_calls($proxy, 'C_Decrypt') > $n }, 20), 'the first is back: it is asked again');
ok(in_service('hsm'), 'and in service');
is(query_as($node, 'oms', 'SELECT v FROM vault', 'shop'), 'kept inside', 'its values are back');
like(sync(), qr/$hsm->{label}\|meanwhile\|1/, 'what it lacks is made up for');
health_ok($node, 'all is well');

# Which token served is on record.
my $program = `$ENV{PG_CONFIG} --bindir` =~ s/\n//r . '/sdes_audit';
sub failovers { return map { /"HSM failover".*"object":"(.*?[^\\])"/ ? $1 =~ s/\\//gr : () } map { split /\n/, (run_command([ $program, 'export', $_ ]))[0] } glob $node->data_dir . '.audit/*'; }
wait_for(sub { 2 <= failovers() }, 20);
is(join('; ', failovers()), qq{from token "$hsm->{label}" to token "$second->{label}"; from token "$second->{label}" to token "$hsm->{label}"}, 'both are on record');

# ---- it fails; its module dies; it is not there at start ----

rule('C_Decrypt 0x30', 'C_DecryptInit 0x30', 'C_OpenSession 0x30');
read_ok("the first fails, $_: the second takes over", $_ == 1 ? $SWITCH : 1) for 1 .. 4;
no_rule();
ok(in_service('hsm'), 'the first is mended');

rule('C_Decrypt segv');
read_ok("the first crashes, $_: the second takes over", $SWITCH) for 1 .. 3;
no_rule();
ok(in_service('hsm'), 'the first is mended');

rule('C_Initialize hang');
$node->restart;
ok(in_service('hsm 2'), 'started while the first hangs, the second is in service');
read_ok('started while the first hangs: the second serves', $SWITCH);
read_ok('started while the first hangs: then at once', 1);
no_rule();
ok(in_service('hsm'), 'the first is back');
wait_for(sub { !grep { !$_->{ok} } values %{ health($node) } }, 20);
health_ok($node, 'all is well');

# An agent that is stopped does not answer at all.
my ($stopped) = health($node)->{agent}{detail} =~ /process (\d+)/;
kill 'STOP', $stopped;
ok(wait_for(sub { process_state($stopped) eq 'T' }, 5), "the first's agent is stopped");
read_ok('an agent is stopped: the other one takes over', $SWITCH);
read_ok('an agent is stopped: then at once', 1);
ok(wait_for(sub { !grep { $_ == $stopped } agent_pids($node) }, 15), 'and it is replaced');
kill 'CONT', $stopped;
health_ok($node, 'all is well', 20);

# ---- KEKs in both ----

$node->safe_psql('shop', "SELECT sdes.rewrap_bucket('customer_pii', destroy_old => true)");
is(copies_in($second), copies_in($hsm) - 1, 'a bucket has a new KEK in each token'); # one key is of mode hsm
ok(wait_for(sub { $node->safe_psql('shop', 'SELECT * FROM sdes.destroy_keks()');
            !$node->safe_psql('shop', "SELECT count(*) FROM sdes.kek WHERE state = 'destroying'") }, 10),
    'and the old ones are destroyed');
my $objects = sub { return health($node)->{orphans} };
ok($objects->()->{ok}, 'no token has one that no row knows');
read_ok('values open', 2);

# An aborted transaction leaves none in either.
$node->safe_psql('shop', "BEGIN; SELECT sdes.create_bucket('never'); ROLLBACK");
ok(wait_for(sub { $objects->()->{ok} }, 10), 'nor after an aborted transaction');

# One out of reach keeps its KEK until it is back.
rule('C_OpenSession 0x30', 'C_Login 0x30', 'C_FindObjectsInit 0x30');
read_ok('the first fails', $SWITCH) for 1 .. 3;
ok(wait_for(sub { !health($node)->{hsm}{ok} }, 10), 'it is out of service');
my ($status, undef, $warning) = $node->psql('shop', "SELECT sdes.rewrap_bucket('customer_pii', destroy_old => true)");
like($warning, qr/WARNING.*not wrapped anew.*sync_tokens/s, 'keys are wrapped anew in the second, with a warning');
is($status, 0, 'and that is no error');
read_ok('values open', 2);
like($node->safe_psql('shop', 'SELECT string_agg(destroyed || detail, \',\') FROM sdes.destroy_keks()'),
    qr/false.*cannot be reached/, 'the KEK in the first is not destroyed');
no_rule();
ok(in_service('hsm'), 'it is back');
ok(wait_for(sub { $node->safe_psql('shop', 'SELECT * FROM sdes.destroy_keks()');
            !$node->safe_psql('shop', "SELECT count(*) FROM sdes.kek WHERE state = 'destroying'") }, 10),
    'now it is destroyed');
like(sync(), qr/$hsm->{label}\|customer_pii\|1/, 'what the first lacks is made up for');
health_ok($node, 'all is well');

# ---- each token has a PIN of its own ----

my $pin = slurp_file($second->{pin_file});
sub write_pin
{
    unlink $second->{pin_file};
    append_to_file($second->{pin_file}, shift);
    chmod 0600, $second->{pin_file};
    return;
}
write_pin('wrong');
$node->restart;
ok(wait_for(sub { my $login = health($node)->{'login 2'}; $login->{detail} =~ /wrong|incorrect|refused/i && !$login->{ok} }, 15),
    'the second refuses its PIN');
ok(in_service('hsm'), 'the first is in service');
read_ok('the second refuses its PIN: values open', 2);
set_conf($node, 'sdes.pkcs11_token' => "$two $one");
$node->restart;
ok(wait_for(sub { health($node)->{login}{detail} =~ /refused this PIN before/ }, 15),
    'in another order it is not tried again');
ok(in_service('hsm 2'), 'the other one is in service');
read_ok('another order: values open', 2);
write_pin($pin);
ok(in_service('hsm'), 'put right, it is tried again');
set_conf($node, 'sdes.pkcs11_token' => "$one $two");
$node->reload;
ok(wait_for(sub { (health($node)->{token}{detail} // '') =~ /$hsm->{label}/ }, 15), 'the order is the old one');
ok(in_service($_), "$_ is in service") for 'hsm', 'hsm 2';

# ---- rows edited by hand ----

my $edit = "UPDATE sdes.dek_copy SET commitment = decode(repeat('00', 32), 'hex')";
$node->safe_psql('shop', "CREATE TABLE kept AS TABLE sdes.dek_copy; $edit");
rule('C_OpenSession 0x30', 'C_Login 0x30');
ok(wait_for(sub { error_as($node, 'oms', $READ, 'shop') =~ /does not match its row/ }, 10), 'an edited copy is an error');
no_rule();
$node->safe_psql('shop', 'DELETE FROM sdes.dek_copy; INSERT INTO sdes.dek_copy TABLE kept; DROP TABLE kept');
ok(in_service('hsm'), 'back');

# ---- dumps ----

my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '-f', $dump, '-U', 'postgres', $node->connstr('shop') ], 'a dump is made');
$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $dump ], 'and restored');
is($node->safe_psql('restored', 'SELECT count(*) FROM sdes.dek_copy'),
    $node->safe_psql('shop', 'SELECT count(*) FROM sdes.dek_copy'), 'copies go along');

# ---- the first is lost for ever ----

set_conf($node, 'sdes.pkcs11_token' => "$two $three");
$node->reload;
ok(wait_for(sub { (health($node)->{token}{detail} // '') =~ /$second->{label}/ && health($node)->{'hsm 2'}{ok} }, 15),
    'the second is the first now');
read_ok('the first is lost: values open', 2);
works_ok($node, 'the first is lost: writing');
like(sync(), qr/$third->{label}\|customer_pii\|1/, 'a third one gets the keys');
like(health($node)->{kek}{detail}, qr/not among those of the settings/, 'health() tells of the lost one');
$node->safe_psql('shop', "SELECT sdes.rewrap_bucket('$_', destroy_old => true)") for 'customer_pii', 'payment', '#system', 'both', 'meanwhile';
read_ok('new KEKs: values open', 2);
like($node->safe_psql('shop', 'SELECT string_agg(detail, \',\') FROM sdes.destroy_keks()'),
    qr/not among those of the settings/, 'KEKs in the lost token are not said to be destroyed');
is(copies_in($third), copies_in($second), 'both have all keys');
set_conf($node, 'sdes.pkcs11_token' => $three);
$node->reload;
ok(wait_for(sub { (health($node)->{token}{detail} // '') =~ /$third->{label}/ && health($node)->{hsm}{ok} }, 15), 'the third alone');
read_ok('the third alone: values open', 2);
is(scalar(agent_pids($node)), 1, 'and there is one agent');

# ---- a token says its name while it is asked ----

my $supervisor;
END { kill 'CONT', $supervisor if $supervisor } # a server that has one who is stopped does not stop
set_conf($node, 'sdes.pkcs11_token' => "$three $one");
$node->reload;
ok(in_service('hsm 2'), 'the first is the second');
like(sync(), qr/$hsm->{label}\|customer_pii\|1/, 'it gets the keys');
rule('C_Initialize delay 1000');
$supervisor = supervisor_pid($node);
my %before = map { $_ => 1 } agent_pids($node);
my $offset = -s $node->logfile;
set_conf($node, 'sdes.pkcs11_token' => $one);
$node->reload;
ok(wait_for(sub { grep { !$before{$_} } agent_pids($node) }, 10), 'its agent starts anew');
kill 'STOP', $supervisor;
no_rule();
ok(wait_for(sub { substr(slurp_file($node->logfile), $offset) =~ /ready: token "\Q$hsm->{label}\E"/ }, 10), 'nobody hears that it is ready');
rule('C_FindObjectsInit delay 100'); # of AES, RSA and EC keys, in each of four looks
my $asking = start_query($node, 'oms', $READ, 'shop');
ok(wait_for_waiters($asking), 'it is asked for a key by another token\'s name for it');
kill 'CONT', $supervisor;
$supervisor = undef;
finish_query($asking);
is($asking->{out}, $read, 'it is heard before the next is asked for: both are there');
no_rule();

$node->stop;
done_testing();
