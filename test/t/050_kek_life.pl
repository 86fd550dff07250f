# 050_kek_life.pl
#     Keys of buckets are wrapped under new KEKs while clients work, and the old KEKs
#     destroyed: a kill between any two steps loses nothing, the destruction that was
#     ordered comes about in the end, and no key in the token stays unreported. Nothing
#     is destroyed that a running transaction may need, nor another database's.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use Test::More;

my $ORDERS = 60;
my $node = new_cluster('life', conf => "log_statement = none\nmax_prepared_transactions = 5\nautovacuum = off\n");
new_shop($node);
query_as($node, 'oms', orders('insert', 1, $ORDERS), 'shop');
my $READ = 'SELECT md5(string_agg(concat_ws(\',\', id, full_name::text, email::text, card::text), \'\' ORDER BY id))'
    . " FROM orders WHERE id <= $ORDERS";
my $read = query_as($node, 'oms', $READ, 'shop');

sub keks
{
    my ($bucket, $state) = @_;
    return split /\n/, $node->safe_psql('shop', "SELECT encode(k.id, 'hex') FROM sdes.kek AS k JOIN sdes.bucket AS b"
            . " ON b.uuid = k.bucket WHERE b.name = '$bucket' AND k.state = '$state' ORDER BY k.created_at");
}

sub destroy { return $node->safe_psql('shop', 'SELECT destroyed, detail FROM sdes.destroy_keks()'); }

# Waits until what is to be destroyed is; whether it came to that.
sub destroyed_ok
{
    my ($name) = @_;
    return ok(wait_for(sub { destroy(); !keks('customer_pii', 'destroying') }, 10), $name);
}

sub intact_ok
{
    my ($name) = @_;
    is(query_as($node, 'oms', $READ, 'shop'), $read, "$name: every value opens");
    works_ok($node, "$name: a new session writes and reads");
    return;
}

sub orphans { return health($node)->{orphans}{detail} =~ /(\d+) key\(s\)/ ? $1 : 0; }

# All processes at one moment, and a new start.
sub power_cut
{
    crash_server($node, all => 1);
    $node->start;
    settle($node);
    return;
}

# ---- clients work meanwhile ----

my $load = start_writers($node, clients => 2, first => 10_000, orders => 4000);
wait_for(sub { grep { -s "$_->{base}.journal" } @{ $load->{writers} } }, 10);
for my $kind (qw(aes-256 rsa-4096 aes-256))
{
    for my $bucket ('customer_pii', 'payment', '#system')
    {
        query_as($node, 'dba', "SELECT sdes.rewrap_bucket('$bucket', '$kind', true)", 'shop');
    }
    destroy();
}
stop_writers($load);
errors_ok($load, qr/^$/, 'clients saw no error while their keys were wrapped anew');
cmp_ok(journal_ok($load, 'what they wrote'), '>', 0, 'they did write');
destroyed_ok('the old keys are destroyed');
is(join(' ', map { scalar keks($_, 'active') } ('customer_pii', 'payment', '#system')), '1 1 1', 'each bucket has one key');
intact_ok('after that');
health_ok($node, 'all is well');

# ---- killed between any two steps ----

my $REWRAP = "SELECT sdes.rewrap_bucket('customer_pii', destroy_old => true)";
my ($old) = keks('customer_pii', 'active');

# The new KEK is made, and nothing in the rows has changed.
my $lock = start_query($node, 'postgres', 'BEGIN; LOCK TABLE sdes.dek IN SHARE MODE; SELECT pg_sleep(60)', 'shop');
wait_for(sub { $node->safe_psql('shop', "SELECT count(*) FROM pg_locks WHERE mode = 'ShareLock' AND granted"
            . " AND relation = 'sdes.dek'::regclass") }, 10);
my $rewrap = start_query($node, 'postgres', $REWRAP, 'shop');
ok(wait_for(sub { $node->safe_psql('shop', "SELECT count(*) FROM pg_locks WHERE NOT granted"
                . " AND relation = 'sdes.dek'::regclass") }, 10), 'a key is made, its rows are not changed');
power_cut();
finish_query($_) for $lock, $rewrap;
is(join(' ', keks('customer_pii', 'active')), $old, 'killed with a new key made: the old one counts');
is(orphans(), 1, 'and the new one is reported');
intact_ok('killed with a new key made');

# The rows are changed and not committed.
$rewrap = start_query($node, 'postgres', "BEGIN; $REWRAP; SELECT pg_sleep(60)", 'shop');
ok(wait_for(sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") }, 10),
    'rows are changed');
power_cut();
finish_query($rewrap);
is(join(' ', keks('customer_pii', 'active')), $old, 'killed before the commit: the old one counts');
is(orphans(), 2, 'and the new one is reported');
intact_ok('killed before the commit');

# Committed, and nothing destroyed yet.
$node->safe_psql('shop', $REWRAP);
power_cut();
is(join(' ', keks('customer_pii', 'destroying')), $old, 'killed after the commit: the order stands');
like(health($node)->{destruction}{detail}, qr/^1 key/, 'and health() tells of it');
intact_ok('killed after the commit');

# Destroyed in the token, and the row does not know it.
my $destroy = start_query($node, 'postgres', 'BEGIN; SELECT * FROM sdes.destroy_keks(); SELECT pg_sleep(60)', 'shop');
ok(wait_for(sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") }, 10),
    'a key is destroyed');
power_cut();
finish_query($destroy);
is(join(' ', keks('customer_pii', 'destroying')), $old, 'killed after the destruction: the order stands');
intact_ok('killed after the destruction');
destroyed_ok('a key that is missing counts as destroyed');
is(orphans(), 2, 'what the kills left is reported still');

# ---- who may need an old key ----

my $reader = start_query($node, 'postgres', 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; SELECT pg_sleep(60)', 'shop');
wait_for(sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") }, 10);
$node->safe_psql('shop', $REWRAP);
like(destroy(), qr/^f\|transactions/, 'a transaction that is older keeps a key');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
finish_query($reader);
destroyed_ok('until it ends');

$node->safe_psql('shop', 'BEGIN; CREATE TABLE prepared (a int); PREPARE TRANSACTION \'older\'');
$node->safe_psql('shop', $REWRAP);
like(destroy(), qr/^f\|transactions/, 'a prepared transaction that is older keeps a key');
$node->safe_psql('shop', "ROLLBACK PREPARED 'older'");
destroyed_ok('until it is rolled back');

# ---- another database with the same keys ----

my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('shop') ], 'a dump is made');
$node->safe_psql('postgres', 'CREATE DATABASE staging TEMPLATE template0');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('staging'), '-f', $dump ],
    'and restored');
is(query_as($node, 'oms', $READ, 'staging'), $read, 'its values open');
like(error_as($node, 'postgres', $REWRAP, 'staging'), qr/a copy of the one that owns its keys/,
    'it cannot order to destroy keys of the one it is a copy of');
like(error_as($node, 'postgres', "SELECT sdes.shred_bucket('payment', 'payment')", 'staging'), qr/a copy of the one that owns/,
    'nor shred a bucket');
$node->safe_psql('staging', "UPDATE sdes.kek SET state = 'destroying' WHERE state = 'destroyed'");
like(error_as($node, 'postgres', 'SELECT * FROM sdes.destroy_keks()', 'staging'), qr/a copy of the one that owns/,
    'nor carry out an order that it was made with');
$node->safe_psql('staging', "UPDATE sdes.kek SET state = 'destroyed' WHERE state = 'destroying'");
$node->safe_psql('staging', 'SELECT sdes.adopt_keys()');
$node->safe_psql('staging', $REWRAP);
like($node->safe_psql('staging', 'SELECT destroyed, detail FROM sdes.destroy_keks()'),
    qr/^f\|another database has made it/, 'not even when it has adopted its keys: the original may live on');
is(query_as($node, 'oms', $READ, 'staging'), $read, 'it has keys of its own');
intact_ok('the original');

# ---- backups ----

$node->safe_psql('shop', "SELECT sdes.rewrap_bucket('customer_pii')");
is(scalar keks('customer_pii', 'retired'), 1, 'without destroy_old a key is kept');
$node->safe_psql('postgres', 'CREATE DATABASE backup TEMPLATE template0');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('backup'), '-f', $dump ],
    'the dump from before is restored');
is(query_as($node, 'oms', $READ, 'backup'), $read, 'its values open: it was destroyed in the rows only');
$node->safe_psql('shop', "SELECT sdes.destroy_kek('$_')") for keks('customer_pii', 'retired');
destroyed_ok('it is destroyed later');
like(error_as($node, 'oms', $READ, 'backup'), qr/key encryption key is not in the HSM token/,
    'now no backup from before opens');
intact_ok('the original');

$node->stop;
done_testing();
