# 052_other_tokens.pl
#     Tokens of two modules take over from one another, SoftHSM2's and NSS's; agents that
#     are services of their own do; and so do two ways to the same keys, which is how
#     values of mode hsm survive.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);
use SdesTest;
use SdesFaults;
use SdesMemory;
use Test::More;

my $READ = 'SELECT md5(string_agg(concat_ws(\',\', full_name::text, card::text), \'\' ORDER BY id)) FROM orders WHERE id <= 20';

sub rule
{
    my ($proxy, @rules) = @_;
    append_to_file("$proxy->{control}.new", join '', map { "$_\n" } @rules);
    rename "$proxy->{control}.new", $proxy->{control} or die $!;
    return;
}

# What a new session gets, within that many seconds.
sub gets_ok
{
    my ($node, $query, $wanted, $at_most, $name) = @_;
    my $began = time;
    my ($status, $out, $err) = $node->psql('shop', $query, extra_params => [ '-U', 'oms' ]);
    is($status == 0 ? $out : $err, $wanted, $name);
    cmp_ok(time - $began, '<', $at_most, "$name: within $at_most s");
    return;
}

sub in_service
{
    my ($node, $check) = @_;
    return ok(wait_for(sub { (health($node)->{$check} // {})->{ok} }, 20), "$check is in service");
}

# ---- NSS first, SoftHSM2 second ----

my $nss = new_hsm('nss', kind => 'nss');
my $softhsm = new_hsm('softhsm');
my $proxy = new_proxy($nss);
my $node = new_cluster('mixed', hsm => { %$nss, conf => $softhsm->{conf} }, conf => "log_statement = none\n");
new_shop($node);
query_as($node, 'oms', orders('insert', 1, 20), 'shop');
my $read = query_as($node, 'oms', $READ, 'shop');
set_conf($node, 'sdes.pkcs11_token' => "pkcs11:token=$nss->{label} " . token_uri($softhsm));
$node->reload;
in_service($node, 'hsm 2');
is($node->safe_psql('shop', "SELECT sum(keys) FROM sdes.sync_tokens() WHERE token = '$softhsm->{label}' AND detail IS NULL"), '4',
    'NSS and SoftHSM2: the second gets the keys');
health_ok($node, 'NSS and SoftHSM2: all is well');
$node->safe_psql('shop', "SELECT sdes.create_bucket('rsa', kek => 'rsa-4096')");
is($node->safe_psql('shop', "SELECT string_agg(mechanism, ',') FROM sdes.kek WHERE kind = 'rsa-4096'"),
    'RSA-OAEP-SHA256,RSA-OAEP-SHA256', 'NSS and SoftHSM2: a bucket of RSA keys is in both');
for my $fault ('hang', '0x30')
{
    rule($proxy, "C_Decrypt $fault", "C_DecryptInit $fault");
    gets_ok($node, $READ, $read, 5, "NSS, $fault: SoftHSM2 takes over");
    gets_ok($node, $READ, $read, 1, "NSS, $fault: then at once");
    unlink $proxy->{control};
    in_service($node, 'hsm');
}
set_conf($node, 'sdes.pkcs11_token' => token_uri($softhsm) . " pkcs11:token=$nss->{label}");
$node->reload;
ok(wait_for(sub { (health($node)->{token}{detail} // '') =~ /$softhsm->{label}/ && health($node)->{'hsm 2'}{ok} }, 15),
    'SoftHSM2 and NSS: the order is the other one');
health_ok($node, 'SoftHSM2 and NSS: all is well');
gets_ok($node, $READ, $read, 2, 'SoftHSM2 and NSS: values open');
$node->safe_psql('shop', "SELECT sdes.rewrap_bucket('customer_pii', 'aes-256', true)");
ok(wait_for(sub { $node->safe_psql('shop', 'SELECT * FROM sdes.destroy_keks()');
            !$node->safe_psql('shop', "SELECT count(*) FROM sdes.kek WHERE state = 'destroying'") }, 10),
    'SoftHSM2 and NSS: KEKs are destroyed in both');
gets_ok($node, $READ, $read, 2, 'SoftHSM2 and NSS: values open under new ones');
health_ok($node, 'SoftHSM2 and NSS: all is well');
$node->stop;

# ---- two ways to the same keys ----

my $hsm = new_hsm('twice');
my $module = $hsm->{module};
$proxy = new_proxy($hsm);
$node = new_cluster('twice', hsm => $hsm, conf => "log_statement = none\n"
        . "sdes.pkcs11_token = 'pkcs11:token=$hsm->{label} pkcs11:token=$hsm->{label}?module-path=$module'\n");
new_shop($node);
in_service($node, 'hsm 2');
$node->safe_psql('shop', <<'SQL');
SELECT sdes.create_bucket('vault', mode => 'hsm');
SELECT sdes.grant_access('vault', 'oms', '{encrypt,decrypt}');
CREATE TABLE vault (v sdes.enc_text('vault'));
GRANT ALL ON vault TO oms;
SQL
query_as($node, 'oms', "INSERT INTO vault SELECT 'inside ' || i FROM generate_series(1, 100) AS i", 'shop');
$node->restart; # SoftHSM2 sees a key that another process has made at its second look only
health_ok($node, 'replicated: all is well');
my $ALL = "SELECT count(*) FROM vault WHERE v::text LIKE 'inside %'";
my $one = start_query($node, 'oms', "SELECT count(v::text), pg_sleep(1) IS NULL FROM vault; SELECT v FROM vault LIMIT 1", 'shop');
sleep(0.5);
rule($proxy, 'C_Decrypt hang', 'C_Encrypt hang');
gets_ok($node, $ALL, '100', 5, 'replicated, the first hangs: values of mode hsm open');
gets_ok($node, $ALL, '100', 1, 'replicated, the first hangs: then at once');
gets_ok($node, "INSERT INTO vault VALUES ('more') RETURNING v::text", 'more', 1, 'replicated, the first hangs: and are sealed');
finish_query($one);
is($one->{out}, "100|f\ninside 1", 'replicated, the first hangs: in a session that was under way, too');
unlink $proxy->{control};
in_service($node, 'hsm');
$node->stop;

# ---- services ----

my $first = new_hsm('service');
my $second = another_token($first, 'service2');
$node = new_cluster('served', hsm => $first, start => 0, conf => "log_statement = none\n");
my @services = map { start_service(bless { %$node, hsm => $_ }, ref $node) } $first, $second;
set_conf($node, 'sdes.agent_socket' => join ' ', map { $_->{socket} } @services);
$node->start;
new_shop($node);
in_service($node, $_) for 'hsm', 'hsm 2';
is(scalar(agent_pids($node)), 0, 'services: the server starts no agent');
query_as($node, 'oms', orders('insert', 1, 20), 'shop');
$read = query_as($node, 'oms', $READ, 'shop');
$node->safe_psql('shop', 'SELECT * FROM sdes.sync_tokens()');
health_ok($node, 'services: all is well');
kill 'STOP', $services[0]{pid};
gets_ok($node, $READ, $read, 5, 'services: the first is stopped, the second takes over');
gets_ok($node, $READ, $read, 1, 'services: then at once');
kill 'CONT', $services[0]{pid};
in_service($node, 'hsm');
stop_service($services[0]);
gets_ok($node, $READ, $read, 1, 'services: the first has ended, the second takes over');
stop_service($services[1]);
like(error_as($node, 'oms', $READ, 'shop'), qr/key agent is not running/, 'services: both have ended');
$node->stop;
done_testing();
