# 017_hsm_faults.pl
#     Whatever is wrong with module, token or PIN: the server starts, unprotected
#     tables work, sdes.health() tells what is wrong and what to do, and protected
#     tables give a clear error until it is put right, and nothing else. A wrong
#     PIN is tried once.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);
use SdesTest;
use SdesFaults;
use Test::More;

my $hsm = new_hsm('broken');
my $proxy = new_proxy($hsm);
my $node = new_cluster('broken', hsm => $hsm, conf => "log_statement = none\n");
my $uri = "pkcs11:token=$hsm->{label}";
new_shop($node);
$node->safe_psql('postgres', 'CREATE TABLE plain (id int)');
query_as($node, 'oms', orders('insert', 1, 1), 'shop');
my $email = query_as($node, 'oms', 'SELECT email FROM orders WHERE id = 1', 'shop');
like($email, qr/@/, 'an order is there');
my $armor = query_as($node, 'stranger', 'SELECT email FROM orders WHERE id = 1', 'shop');
like($armor, qr/^sdes1:/, 'a stranger sees its ciphertext');
health_ok($node, 'all is well');

# Tests that all is as it should be while the HSM cannot be used: what
# sdes.health() says in which row, and what error a client gets.
sub broken_ok
{
    my ($name, %want) = @_;
    my $row = wait_for_health($node, $want{row}, sub { $_[0]{detail} =~ $want{detail} });
    $row //= health($node)->{ $want{row} };
    like($row->{detail}, $want{detail}, "$name: health() says what is wrong");
    ok(!$row->{ok}, "$name: and that it is wrong");
    like($row->{hint}, qr/\w/, "$name: and what to do");

    $node->safe_psql('postgres', 'INSERT INTO plain VALUES (1)');
    is($node->safe_psql('postgres', 'SELECT min(id) FROM plain'), '1',
        "$name: unprotected tables work");

    my $log = log_size($node);
    my $error = error_as($node, 'oms', 'SELECT email FROM orders WHERE id = 1', 'shop');
    like($error, $want{error}, "$name: reading gives a clear error");
    like($error, qr/^HINT:  \w/m, "$name: with a hint");
    $error = error_as($node, 'oms', orders('insert', 2, 1), 'shop');
    like($error, $want{error}, "$name: writing gives the same error");
    unlike(log_since($node, $log), qr/OMS-2026|\@example/, "$name: the log holds no value of it");
    $error = error_as($node, 'dba', "SELECT sdes.create_bucket('another')", 'shop');
    like($error, $want{error}, "$name: so does a new bucket");
    is(query_as($node, 'oms', 'SELECT count(*) FROM orders', 'shop'), '1', "$name: nothing was stored");
    is(query_as($node, 'stranger', 'SELECT email FROM orders WHERE id = 1', 'shop'), $armor,
        "$name: ciphertext needs no HSM");
    return;
}

# Tests that all works again, by itself or after a reload; the server goes on.
sub mended_ok
{
    my ($name) = @_;
    settle($node);
    is(query_as($node, 'oms', 'SELECT email FROM orders WHERE id = 1', 'shop'), $email,
        "$name: put right, without a restart");
    return;
}

# ---- the PIN ----

my $pin = slurp_file($hsm->{pin_file});

sub write_pin
{
    my ($value) = @_;
    unlink $hsm->{pin_file};
    append_to_file($hsm->{pin_file}, $value);
    chmod 0600, $hsm->{pin_file};
    return;
}

my $logins = proxy_calls($proxy, 'C_Login');
write_pin('not the PIN');
$node->restart;
my %refused = (
    row => 'login',
    detail => qr/PIN/,
    error => qr/58000: HSM token refused the PIN/,
);
broken_ok('wrong PIN', %refused);
is(proxy_calls($proxy, 'C_Login'), $logins + 1, 'wrong PIN: it was tried once');
for my $n (1 .. 3)
{
    my $pid = agent_pid($node);
    kill 'KILL', $pid;
    wait_for(sub { my ($new) = agent_pids($node); $new && $new != $pid }, 10);
    wait_for_health($node, 'login', sub { $_[0]{detail} =~ /refused this PIN before/ });
}
broken_ok('wrong PIN, new agents', %refused);
for my $mode (qw(fast immediate))
{
    $node->stop($mode);
    $node->start;
    broken_ok("wrong PIN, server started again ($mode)", %refused);
}
is(proxy_calls($proxy, 'C_Login'), $logins + 1,
    'wrong PIN: it was tried once, over restarts of agent and server');
write_pin($pin);
mended_ok('wrong PIN');
is(proxy_calls($proxy, 'C_Login'), $logins + 2, 'the right PIN was tried once as well');

# ---- the PIN's file ----

my %no_pin = (row => 'login', error => qr/58000: PIN of the HSM token cannot be read/);

rename $hsm->{pin_file}, "$hsm->{pin_file}.away" or die $!;
$node->restart;
broken_ok('PIN file missing', %no_pin, detail => qr/No such file/);
rename "$hsm->{pin_file}.away", $hsm->{pin_file} or die $!;
mended_ok('PIN file missing');

chmod 0644, $hsm->{pin_file};
$node->restart;
broken_ok('PIN file readable by others', %no_pin, detail => qr/unsafe/);
chmod 0600, $hsm->{pin_file};
mended_ok('PIN file readable by others');

my $inside = $node->data_dir . '/pin';
append_to_file($inside, $pin);
chmod 0600, $inside;
set_conf($node, 'sdes.pin_source' => "file:$inside");
$node->restart;
broken_ok('PIN file in the data directory', %no_pin, detail => qr/data directory/);
unlink $inside;
set_conf($node, 'sdes.pin_source' => "file:$hsm->{pin_file}");
$node->reload;
mended_ok('PIN file in the data directory');

# ---- module and settings ----

my %no_module = (row => 'module', error => qr/58000: PKCS#11 module cannot be used/);

set_conf($node, 'sdes.pkcs11_module' => '/nonexistent/module.so');
$node->restart;
is($node->safe_psql('postgres', 'SHOW sdes.pkcs11_module'), '/nonexistent/module.so',
    'module missing: the setting is still there to be seen');
broken_ok('module missing', %no_module, detail => qr/No such file/);

set_conf($node, 'sdes.pkcs11_module' => $node->data_dir . '/PG_VERSION');
$node->restart;
broken_ok('module that is none', %no_module, detail => qr/\w/);

set_conf($node, 'sdes.pkcs11_module' => '', 'sdes.pkcs11_token' => '', 'sdes.pin_source' => '');
$node->restart;
broken_ok('nothing set', row => 'module', detail => qr/no PKCS#11 module is set/,
    error => qr/55000: no HSM is configured/);

set_conf($node, 'sdes.pkcs11_module' => $hsm->{module}, 'sdes.pkcs11_token' => $uri,
    'sdes.pin_source' => "file:$hsm->{pin_file}");
$node->reload;
mended_ok('settings');

# ---- the token ----

my %no_token = (row => 'token', error => qr/58000: HSM token cannot be used/);

set_conf($node, 'sdes.pkcs11_token' => 'pkcs11:token=nobody');
$node->restart;
broken_ok('no token of that name', %no_token, detail => qr/no token matches/);
set_conf($node, 'sdes.pkcs11_token' => $uri);
$node->reload;
mended_ok('no token of that name');

rename "$hsm->{dir}/tokens", "$hsm->{dir}/away" or die $!;
mkdir "$hsm->{dir}/tokens", 0700 or die $!;
$node->restart;
broken_ok('token gone', %no_token, detail => qr/no token matches/);
rmdir "$hsm->{dir}/tokens" or die $!;
rename "$hsm->{dir}/away", "$hsm->{dir}/tokens" or die $!;
mended_ok('token gone');

# Gone while the agent works with it, and the same key asked for again.
append_to_file($proxy->{control},
    join '', map { "$_ 0xe0\n" } qw(C_Decrypt C_DecryptInit C_OpenSession C_GetTokenInfo));
like(error_as($node, 'oms', 'SELECT email FROM orders WHERE id = 1', 'shop'),
    qr/58000: HSM (?:reported an error|token cannot be used|is not ready yet)/,
    'token pulled out: a clear error');
wait_for_health($node, 'login', sub { !$_[0]{ok} });
broken_ok('token pulled out', %no_token, detail => qr/no token matches/);
unlink $proxy->{control};
mended_ok('token pulled out');

my @twin = ('softhsm2-util', '--init-token', '--free', '--label', $hsm->{label}, '--pin', '87654321',
    '--so-pin', '87654321');
$node->run_log(\@twin) or die 'could not make a second token';
$node->restart;
broken_ok('two tokens of that name', %no_token, detail => qr/2 tokens match/);
my ($serial) = $node->safe_psql('shop', "SELECT DISTINCT token_serial FROM sdes.kek") =~ /^(\S+)$/;
set_conf($node, 'sdes.pkcs11_token' => "$uri;serial=$serial");
$node->reload;
mended_ok('two tokens of that name');

# ---- an HSM that fails for a while, and one that hangs for a while ----

sub lines_since
{
    my ($offset, $text) = @_;
    return scalar grep { /\Q$text\E/ } split /\n/, log_since($node, $offset);
}

# Tests that service is back soon after the fault, and that the log has few words for it.
sub back_soon_ok
{
    my ($name, $offset) = @_;
    my $began = time;
    unlink $proxy->{control} or die $!;
    ok(wait_for(sub { ($node->psql('shop', 'SELECT email FROM orders WHERE id = 1',
        extra_params => [ '-U', 'oms' ]))[0] == 0 }, 5), "$name: back within 5 s");
    diag(sprintf '%s: back after %.1f s', $name, time - $began);
    ok(wait_for(sub { lines_since($offset, 'sdes_agent: available again after') == 1 }, 5),
        "$name: the log says that it is back");
    # Of the agent that saw it begin, and of the one that took over.
    cmp_ok(lines_since($offset, 'sdes_agent: unavailable:'), '<=', 2,
        "$name: and that it was away, not more often");
    health_ok($node, "$name: all is well after it");
    return;
}

my $log = log_size($node);
append_to_file($proxy->{control},
    join '', map { "$_ 0x30\n" } qw(C_Decrypt C_EncryptInit C_OpenSession));
# One failure tells that the token does not answer at all.
error_as($node, 'oms', 'SELECT email FROM orders WHERE id = 1', 'shop');
broken_ok('HSM fails', row => 'hsm', detail => qr/^out of service for \d+ s: C_OpenSession/,
    error => qr/58000: HSM reported an error/);
sleep(3);
back_soon_ok('HSM fails', $log);

# ---- and in the end ----

no_crash_ok($node, 0, 'no process of the server crashed');
one_agent_ok($node, 'there is one agent');
works_ok($node, 'a new session writes and reads');
health_ok($node, 'all is well');

$node->stop;
done_testing();
