# 020_key_ttl.pl
#     Keys that sessions have cached get old. An outage of agent or HSM goes
#     unnoticed by who has the key, until it is older than sdes.key_cache_max_age;
#     a key that was destroyed in the HSM is noticed after sdes.key_cache_ttl; and
#     an idle session does not keep a key for ever.

use strict;
use warnings;
use PostgreSQL::Test::BackgroundPsql;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);
use SdesTest;
use SdesFaults;
use Test::More;

my $MAX_AGE = 14;
my $READ = 'SELECT email FROM orders WHERE id = 1';

my $hsm = new_hsm('ttl');
my $proxy = new_proxy($hsm);
my $node = new_cluster('ttl', hsm => $hsm,
    conf => "sdes.key_cache_ttl = 1s\nsdes.key_cache_max_age = ${MAX_AGE}s\nlog_statement = none\n");
new_shop($node);
query_as($node, 'oms', orders('insert', 1, 3), 'shop');
my $email = query_as($node, 'oms', $READ, 'shop');
like($email, qr/@/, 'an order is there');

# ---- the settings ----

is($node->safe_psql('postgres', "SELECT string_agg(name || ' ' || boot_val || unit || ' ' || min_val || ' ' || context,
        ', ' ORDER BY name) FROM pg_settings WHERE name LIKE 'sdes.key%'"),
    'sdes.key_cache_max_age 3600s 1 sighup, sdes.key_cache_ttl 300s 1 sighup', 'the settings and their defaults');

# A client that stays connected. Its queries tell result or error, and their time.
sub new_session
{
    return $node->background_psql('shop', on_error_stop => 0,
        extra_params => [ '-U', 'oms', '-v', 'VERBOSITY=verbose' ]);
}

sub ask
{
    my ($session, $query) = @_;
    my $began = time;
    my $out = $session->query($query // $READ);
    my $err = $session->{stderr};
    $session->{stderr} = '';
    return ($err eq '' ? $out : $err, time - $began);
}

# Queries for a while, each of which must give the value. Returns the longest time.
sub goes_on_ok
{
    my ($session, $seconds, $name) = @_;
    my ($until, $longest, $queries, %seen) = (time + $seconds, 0, 0);
    while (time < $until)
    {
        my ($result, $took) = ask($session);
        $seen{$result}++;
        $queries++;
        $longest = $took if $took > $longest;
        sleep(0.05);
    }
    is(join('; ', keys %seen), $email, "$name: $queries statements got the value");
    cmp_ok($longest, '<', 2, "$name: none was held up");
    diag(sprintf '%s: the slowest of %d statements took %.3f s', $name, $queries, $longest);
    return;
}

# Tests what health() says of how long sessions get along; of two numbers of seconds, the
# second is what is left of the key that was fetched last, which expires then, the first a
# key_cache_ttl less.
sub clock_ok
{
    my ($name, $ok, $detail, $expires) = @_;
    my $asked = time;
    my $row = wait_for_health($node, 'cache', sub { $_[0]{detail} =~ $detail }, 5) // health($node)->{cache};
    like($row->{detail}, $detail, "$name: health() tells how long sessions get along");
    is($row->{ok}, $ok == 1, "$name: and whether that is well");
    return if !defined $expires;
    my ($first, $last) = $row->{detail} =~ $detail;
    cmp_ok($last, '<=', $expires - $asked, "$name: it does not promise too much");
    cmp_ok($last, '>=', $expires - time - 2, "$name: nor too little");
    is($first, $last - 1, "$name: keys were fetched within key_cache_ttl");
    return;
}

# Tests an outage from its beginning to its end, and what is seen of it.
sub outage_ok
{
    my ($name, $error, $break, $mend) = @_;
    my ($session, $other) = (new_session(), new_session());
    ask($other, q{SELECT card FROM orders WHERE id = 1});
    is((ask($session))[0], $email, "$name: a session has the key");
    my $had = time;
    $break->();
    sleep(1.1);
    goes_on_ok($session, 4, $name);
    clock_ok($name, 1, qr/^sessions go on with the keys they have for another (\d+) s to (\d+) s$/, $had + $MAX_AGE);
    is((ask($other))[0] =~ $error ? 'error' : 'none', 'error', "$name: who has another key gets an error for this one");
    is((ask($session))[0], $email, "$name: who has it goes on") if time - $had < $MAX_AGE - 1;

    my $left = $had + $MAX_AGE + 1.5 - time;
    sleep($left) if $left > 0;
    my ($result) = ask($session);
    like($result, $error, "$name: the cached key has expired, so there is an error");
    like($result, qr/DETAIL:.*had cached has expired/, "$name: which says so");
    like($result, qr/HINT/, "$name: with a hint");
    ($result) = ask($session);
    like($result, qr/DETAIL:.*had cached has expired/, "$name: and says so again");
    is((ask($session, 'SELECT id FROM orders WHERE id = 1'))[0], '1', "$name: all else works");
    clock_ok($name, 0, qr/^no session has a key$/);

    $mend->();
    settle($node);
    is((ask($session))[0], $email, "$name: over, the session reads again");
    ok(wait_for_health($node, 'cache', sub { $_[0]{ok} && $_[0]{detail} eq "without the HSM, sessions would go on for " . ($MAX_AGE - 1) . " s to $MAX_AGE s" }),
        "$name: over, the clock stands again");
    works_ok($node, "$name: and a new one");
    $_->quit for $session, $other;
    return;
}

my $supervisor = supervisor_pid($node);
outage_ok('agent gone', qr/58000: key agent is not running/,
    sub {
        my $agent = agent_pid($node);
        kill 'STOP', $supervisor or die 'could not stop the supervisor';
        kill 'KILL', $agent or die 'could not kill the agent';
    },
    sub { kill 'CONT', $supervisor });

outage_ok('HSM hangs', qr/58000: (?:HSM did not answer in time|HSM is not ready|key agent|lost the connection)/,
    sub { append_to_file($proxy->{control}, "C_Decrypt hang\nC_DecryptInit hang\nC_UnwrapKey hang\n") },
    sub { unlink $proxy->{control} });

# ---- an idle session ----

$node->safe_psql('postgres', 'ALTER ROLE oms SET log_min_messages = debug1');
set_conf($node, 'sdes.key_cache_max_age' => '2s');
$node->reload;
sleep(0.5);

my $log = log_size($node);
my $session = new_session();
is((ask($session))[0], $email, 'idle: a session has the key');
unlike(log_since($node, $log), qr/key\(s\) expired/, 'idle: it keeps it');
ok(wait_for(sub { log_since($node, $log) =~ /1 cached encryption key\(s\) expired/ }, 15),
    'idle: and lets go of it by itself');
is((ask($session))[0], $email, 'idle: it can fetch it again');

$log = log_size($node);
is((ask($session))[0], $email, 'idle after an error: a session has the key');
like((ask($session, 'SELECT 1/0'))[0], qr/22012/, 'idle after an error: there is one');
ok(wait_for(sub { log_since($node, $log) =~ /1 cached encryption key\(s\) expired/ }, 15),
    'idle after an error: it lets go of it by itself');

$log = log_size($node);
is((ask($session, "BEGIN; $READ;"))[0], $email, 'idle in transaction: a session has the key');
sleep(2.5);
is((ask($session, 'COMMIT'))[0], '', 'idle in transaction: it ends');
ok(wait_for(sub { log_since($node, $log) =~ /1 cached encryption key\(s\) expired/ }, 15),
    'idle in transaction: then it lets go of it');

$log = log_size($node);
is((ask($session))[0], $email, 'two errors in a block: a session has the key');
like((ask($session, $_))[0], qr/22012|25P02/, "two errors in a block: $_") for 'BEGIN; SELECT 1/0', 'SELECT 1/0';
is((ask($session, 'ROLLBACK'))[0] . (ask($session, 'SELECT'))[0], '', 'two errors in a block: the block ends, and another');
ok(wait_for(sub { log_since($node, $log) =~ /1 cached encryption key\(s\) expired/ }, 15),
    'two errors in a block: it lets go of it by itself');

set_conf($node, 'sdes.key_cache_max_age' => '1h');
$node->reload;
sleep(0.5);
is((ask($session))[0], $email, 'shorter age: a session has the key');
set_conf($node, 'sdes.key_cache_max_age' => '2s');
$node->reload;
sleep(0.5);
$log = log_size($node);
is((ask($session, 'SELECT'))[0], '', 'shorter age: it hears of it with its next statement');
ok(wait_for(sub { log_since($node, $log) =~ /1 cached encryption key\(s\) expired/ }, 15),
    'shorter age: and lets go of it by itself');
$session->quit;
$node->safe_psql('postgres', 'ALTER ROLE oms RESET log_min_messages');

# ---- a key destroyed in the HSM ----

set_conf($node, 'sdes.key_cache_max_age' => '1h');
$node->reload;
sleep(0.5);
$session = new_session();
is((ask($session))[0], $email, 'key destroyed: a session has it');
my ($card) = ask($session, 'SELECT card FROM orders WHERE id = 1');
my $kek = $node->safe_psql('shop', q{SELECT encode(id, 'hex') FROM sdes.kek k JOIN sdes.bucket b ON b.uuid = k.bucket
    WHERE b.name = 'customer_pii'});
{
    local $ENV{SOFTHSM2_CONF} = $hsm->{conf};
    system_or_bail('pkcs11-tool', '--module', $ENV{SDES_PROXY_MODULE}, '--token-label', $hsm->{label}, '--login',
        '--pin', slurp_file($hsm->{pin_file}), '--delete-object', '--type', 'secrkey', '--id', $kek);
}
my $result;
ok(wait_for(sub { ($result) = ask($session); $result ne $email }, 10), 'key destroyed: it stops reading');
like($result, qr/42704: key encryption key is not in the HSM token.*HINT/s, 'key destroyed: with a clear error');
unlike($result, qr/expired/, 'key destroyed: which is about the key');
like((ask($session))[0], qr/42704: key encryption key is not in the HSM token/, 'key destroyed: for good');
is((ask($session, 'SELECT card FROM orders WHERE id = 1'))[0], $card, 'key destroyed: other buckets are read');
like(error_as($node, 'oms', orders('insert', 5, 1), 'shop'), qr/42704/, 'key destroyed: nothing is stored under it');
$session->quit;

no_crash_ok($node, 0, 'no process of the server crashed');
$node->stop;
done_testing();
