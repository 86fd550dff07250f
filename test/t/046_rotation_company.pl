# 046_rotation_company.pl
#     Rotation in company: locks and DDL of others, tables that cannot be updated, other
#     databases, the hours, lag, old transactions, temporary tables, an HSM that fails. A
#     clear outcome each, and in the end nothing is left under an older key.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);
use SdesTest;
use SdesFaults;
use SdesRotation;
use Test::More;

my $hsm = new_hsm('company');
my $proxy = new_proxy($hsm);
my $node = new_cluster('company', hsm => $hsm, init => { allows_streaming => 'logical' }, conf => <<'CONF');
log_statement = none
restart_after_crash = on
sdes.rotation_batch_rows = 50
sdes.rotation_naptime = 1s
sdes.key_cache_ttl = 1s
max_prepared_transactions = 5
CONF
new_ledger($node, rows => 500);
my $version = 1;
$node->safe_psql('ledger', q{SELECT sdes.grant_access('ledger', current_user, '{encrypt,search,decrypt}')});

sub sql { my ($query, $database) = @_; return $node->safe_psql($database // 'ledger', $query); }

sub progress
{
    my ($column, $relation) = @_;
    return sql("SELECT $column FROM sdes.rotation_progress WHERE bucket = 'ledger' AND relation"
            . ($relation ? " = '$relation'::regclass" : ' IS NULL'));
}

# What is left of a table under the version before.
sub left
{
    my ($relation) = @_;
    return sql("SELECT coalesce(sum(\"values\"), 0) FROM sdes.inventory('ledger') WHERE object = 'public.$relation' AND version < $version");
}

sub begin_rotation
{
    my ($name) = @_;
    is(rotate($node), ++$version, "$name: a new version");
    return;
}

sub session { return $node->background_psql('ledger', on_error_stop => 1); }

# ---- somebody holds a row lock ----

my $other = session();
$other->query_safe('BEGIN; SELECT 1 FROM account WHERE id = 7 FOR UPDATE');
begin_rotation('row lock');
ok(wait_for(sub { left('account') == 5 && left('part_0') == 0 }, 20), 'row lock: all but that row are re-encrypted');
ok(wait_for(sub { progress('retries', 'account') > 0 && progress('rows_skipped', 'account') == 1 }, 20),
    'row lock: the view tells of it');
my $began = time;
sql('UPDATE account SET n = n + 1 WHERE id = 8');
cmp_ok(time - $began, '<', 2, 'row lock: nobody waits for the worker');
$other->query_safe('ROLLBACK');
emptied_ok($node, $version, 'row lock: and that one afterwards');

# A foreign key's lock is in the way of a key column only.
$other->query_safe('BEGIN; INSERT INTO booking SELECT 99999, mail, mail_plain FROM account WHERE id = 9');
begin_rotation('key lock');
ok(wait_for(sub { left('account') == 5 }, 20), 'key lock: all but the referenced row');
$other->query_safe('COMMIT');
emptied_ok($node, $version, 'key lock: and that one afterwards');
intact_ok($node, 'key lock: all is as it was', rows => 500);

# ---- an older transaction may still bring values ----

$other->query_safe(q{BEGIN; INSERT INTO part VALUES (5000, 'old', 'old')});
begin_rotation('old transaction');
ok(wait_for(sub { progress('phase') =~ /older than transaction/ }, 20), 'old transaction: it is waited for');
is(sql(q{SELECT count(*) FROM sdes.keys WHERE state = 'retired' AND emptied_at IS NULL OR state = 'decrypt-only'}), '1',
    'old transaction: the version is not retired');
$other->query_safe('COMMIT');
emptied_ok($node, $version, 'old transaction: its values follow');
sql(q{BEGIN; INSERT INTO part VALUES (5001, 'prepared', 'prepared'); PREPARE TRANSACTION 'p'});
begin_rotation('prepared transaction');
ok(wait_for(sub { progress('phase') =~ /prepared transaction/ }, 20), 'prepared transaction: it is waited for');
sql(q{COMMIT PREPARED 'p'});
emptied_ok($node, $version, 'prepared transaction: its values follow');

# ---- temporary tables are out of reach ----

$other->query_safe('CREATE TEMP TABLE mine AS SELECT mail FROM account');
begin_rotation('temporary table');
ok(wait_for(sub { progress('phase') =~ /temporary table/ }, 20), 'temporary table: it is waited for');
like(sql(q{SELECT place FROM sdes.inventory('ledger') WHERE version IS NULL}), qr/temporary table/, 'temporary table: the inventory tells of it');
is($other->query_safe('SELECT count(mail::text) FROM mine'), '500', 'temporary table: its values can be read');
$other->quit;
emptied_ok($node, $version, 'temporary table: it is gone');

# ---- DDL ----

for my $ddl ('TRUNCATE booking', 'ALTER TABLE part ADD extra int DEFAULT 1', 'VACUUM FULL part_1', 'CLUSTER account USING account_pkey',
    'ALTER TABLE account ADD other sdes.enc_text(\'ledger\') DEFAULT \'x\'', 'REINDEX TABLE account', 'CREATE INDEX CONCURRENTLY ON part_2 (id)',
    'DROP TABLE part_3', 'ALTER TABLE part DETACH PARTITION part_2', 'ALTER TABLE part_1 RENAME TO part_one', 'VACUUM ANALYZE',
    'ALTER TABLE part_2 ALTER secret TYPE sdes.enc_text(\'ledger\', \'searchable\')')
{
    is(rotate($node), ++$version, "$ddl: a new version");
    sleep(rand() * 0.3);
    my ($status, undef, $err) = $node->psql('ledger', "SET lock_timeout = '10s'; $ddl");
    is($status == 0 ? '' : $err, '', "$ddl: goes through");
    emptied_ok($node, $version, $ddl);
}

# A table that is locked is put off, and looked at again.
$other = session();
$other->query_safe('BEGIN; LOCK TABLE account');
begin_rotation('table lock');
ok(wait_for(sub { progress('last_error', 'account') =~ /locked/ }, 20), 'table lock: the view tells of it');
ok(wait_for(sub { sql("SELECT phase = 'done' AND started_at > now() - interval '1 minute' FROM sdes.rotation WHERE relation = 'part_0'::regclass") eq 't' }, 20),
    'table lock: others go on');
$other->query_safe('ROLLBACK');
$other->quit;
emptied_ok($node, $version, 'table lock: and then that one');

# ---- tables that cannot be updated ----

sql('CREATE TABLE bare (secret sdes.enc_text(\'ledger\')); INSERT INTO bare SELECT long FROM account LIMIT 10; CREATE PUBLICATION pub FOR TABLE bare');
sql(q{GRANT ALL ON bare TO oms});
begin_rotation('no replica identity');
ok(wait_for(sub { progress('last_error', 'bare') =~ /replica identity/ }, 20), 'no replica identity: the view tells of it');
sql('ALTER TABLE bare REPLICA IDENTITY FULL');
emptied_ok($node, $version, 'no replica identity: once it has one');
sql('DROP PUBLICATION pub');

# A value that was damaged stays, and so does its key.
sql(q{SET allow_system_table_mods = on; CREATE FUNCTION damage(sdes.enc_text) RETURNS bytea LANGUAGE sql AS 'SELECT set_byte(sdes.enc_text_send($1), 30, get_byte(sdes.enc_text_send($1), 30) # 1)'});
my $armor = sql(q{SELECT 'sdes1:' || rtrim(translate(encode(damage(secret), 'base64'), E'+/\n', '-_'), '=') FROM bare LIMIT 1});
sql("BEGIN; SET LOCAL check_function_bodies = off; SET LOCAL sdes.accept_ciphertext = on; CREATE TABLE raw (secret sdes.enc_text('ledger')); COMMIT");
{
    # Only a restore without the key takes in what is not authentic.
    my ($status, undef, $err) = $node->psql('ledger', "SET check_function_bodies = off; INSERT INTO raw VALUES ('$armor')");
    isnt($status, 0, 'damage: is refused where the key is at hand');
}
sql('DROP TABLE raw');

# ---- several databases, and one that is to be dropped ----

new_ledger($node, database => 'second', rows => 500);
set_conf($node, 'sdes.rotation_share' => 5);
$node->reload;
is(rotate($node, 'second'), 2, 'two databases: the second rotates');
begin_rotation('two databases');
my $both = wait_for(sub {
    $node->safe_psql('postgres', q{SELECT count(DISTINCT datname) FROM pg_stat_activity WHERE backend_type = 'sdes worker'}) == 2 }, 5);
ok($both, 'two databases: side by side');
set_conf($node, 'sdes.rotation_share' => 50);
$node->reload;
emptied_ok($node, $version, 'two databases: the first');
emptied_ok($node, 2, 'two databases: the second', 'second');
# At one percent of the time, the worker would be there for half a minute.
set_conf($node, 'sdes.rotation_share' => 1);
$node->reload;
rotate($node, 'second');
for my $statement ('CREATE DATABASE third TEMPLATE second', 'DROP DATABASE second', 'DROP DATABASE third')
{
    ok(wait_for(sub {
        $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE datname IN ('second', 'third') AND backend_type = 'sdes worker'}) > 0 }, 20),
        "a worker is at work before $statement");
    $node->safe_psql('postgres', $statement);
}
set_conf($node, 'sdes.rotation_share' => 50);
$node->reload;
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_database WHERE datname = 'second'}), '0', 'a database is dropped under the worker');

# ---- the hours, and replicas that lag ----

my ($hour) = (gmtime)[2];
set_conf($node, 'log_timezone' => 'UTC', 'sdes.rotation_window' => sprintf('%02d:00-%02d:00', ($hour + 12) % 24, ($hour + 13) % 24));
$node->reload;
begin_rotation('the hours');
ok(wait_for(sub { progress('phase') =~ /rotation_window/ }, 20), 'the hours: it waits for them');
cmp_ok(left('part_0'), '>', 0, 'the hours: nothing was re-encrypted');
set_conf($node, 'sdes.rotation_window' => sprintf('%02d:00-%02d:00', ($hour + 23) % 24, ($hour + 2) % 24));
$node->reload;
emptied_ok($node, $version, 'the hours: now');
set_conf($node, 'sdes.rotation_window' => '');
my ($status, undef, $err) = $node->psql('ledger', q{ALTER SYSTEM SET sdes.rotation_window = '25:00-26:00'});
like($err, qr/invalid value.*two times of the day/s, 'the hours: a window that is none is refused');

$node->backup('b');
my $standby = new_cluster('company_standby', hsm => $hsm, from_backup => [ $node, 'b', has_streaming => 1 ]);
$node->wait_for_catchup($standby, 'replay');
set_conf($node, 'sdes.rotation_max_lag' => '0');
$node->reload;
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
begin_rotation('lag');
ok(wait_for(sub { progress('phase') =~ /rotation_max_lag/ }, 20), 'lag: it waits for the standby');
set_conf($node, 'sdes.rotation_max_lag' => '256MB');
$node->reload;
emptied_ok($node, $version, 'lag: with a limit that is not reached');
my $error = error_as($node, $ENV{USER} // 'postgres', "SELECT sdes.destroy_key('ledger', " . ($version - 1) . ')', 'ledger');
like($error, qr/55006.*standby or subscriber has not applied.*HINT/s, 'lag: a key is not destroyed that the standby still needs');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
$node->wait_for_catchup($standby, 'replay');
is($standby->safe_psql('ledger', q{SELECT state FROM sdes.keys WHERE bucket = 'ledger' AND version = } . ($version - 1)), 'retired', 'lag: the standby sees it retired');
ok(wait_for(sub { error_as($node, $ENV{USER} // 'postgres', "SELECT sdes.destroy_key('ledger', " . ($version - 1) . ')', 'ledger') eq '' }, 20), 'lag: now it is');
$standby->stop;

# A slot that nobody reads.
sql(q{SELECT pg_create_logical_replication_slot('slot', 'test_decoding')});
begin_rotation('slot');
ok(wait_until_emptied($node), 'slot: does not keep values from following');
like(error_as($node, $ENV{USER} // 'postgres', "SELECT sdes.destroy_key('ledger', " . ($version - 1) . ')', 'ledger'),
    qr/replication slot "slot" is behind/, 'slot: but keeps the key from being destroyed');
sql(q{SELECT pg_drop_replication_slot('slot')});

# ---- the HSM ----

my @FAULTS = ('C_Decrypt 0x30', 'C_DecryptInit 0x5', 'C_OpenSession 0xE0', 'C_Decrypt hang', 'C_DecryptInit 0x101', 'C_FindObjectsInit 0xE1',
    'C_Decrypt 0x31', 'C_DecryptInit 0x32', 'C_OpenSession 0xB1', 'C_Decrypt 0x6', 'C_DecryptInit 0x2', 'C_Decrypt 0x54');
for my $fault (@FAULTS[ 0 .. soak(5, $#FAULTS + 1) - 1 ])
{
    append_to_file($proxy->{control}, "$fault\n");
    sleep(1.1); # the worker's key is fetched anew: each worker is a new process
    my ($made) = $node->psql('ledger', "SELECT sdes.rotate_bucket('ledger')");
    $version++ if $made == 0;
    sleep(1);
    unlink $proxy->{control};
    if ($made != 0)
    {
        ok(wait_for(sub { ($node->psql('ledger', "SELECT sdes.rotate_bucket('ledger')"))[0] == 0 }, 30), "$fault: a new version, once it is over");
        $version++;
    }
    emptied_ok($node, $version, "$fault: goes on");
}
is(wrong_rows($node), '0', 'all values are what they were') if sql(q{SELECT to_regclass('part') IS NOT NULL}) eq 't';
is(sql('SELECT string_agg("check", \' \') FROM sdes.health() WHERE NOT ok'), '', 'all is well');
$node->stop;
done_testing();
