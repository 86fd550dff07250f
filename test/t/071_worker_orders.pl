# 071_worker_orders.pl
#     What the rotation worker does without being asked: a new version for a key that has
#     sealed its share, and the end of KEKs that are ordered to be destroyed. In mode hsm
#     the key that sealed a version is destroyed with it.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use Test::More;

my $node = new_cluster('orders', conf => "sdes.rotation_naptime = 1s\nautovacuum = off\n");
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION sdes;
SELECT sdes.create_bucket('much'), sdes.create_bucket('little'), sdes.create_bucket('paused'), sdes.create_bucket('vault', mode => 'hsm');
SELECT sdes.grant_access(b, 'postgres', '{encrypt,decrypt}') FROM unnest('{much,little,paused,vault}'::text[]) AS b;
CREATE TABLE t (id int PRIMARY KEY, much sdes.enc_text('much'), vault sdes.enc_text('vault'));
INSERT INTO t VALUES (1, 'one', 'in the vault');
SQL

sub value { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }
sub versions_of { my ($bucket) = @_; return value("SELECT string_agg(version || ' ' || state, ', ' ORDER BY version) FROM sdes.keys WHERE bucket = '$bucket' AND purpose <> 'search'"); }
sub kek_states { my ($bucket) = @_; return value("SELECT string_agg(k.state, ', ' ORDER BY k.created_at) FROM sdes.kek k JOIN sdes.bucket b ON b.uuid = k.bucket WHERE b.name = '$bucket'"); }
sub comes_true { my ($expected, $function, $name) = @_; my $got = ''; wait_for(sub { ($got = $function->()) =~ $expected }, 40); return like($got, $expected, $name); }

# ---- what a key has sealed ----

value("SELECT sdes.pause_rotation('paused')");
value(<<"SQL");
UPDATE sdes.usage u SET messages = CASE b.name WHEN 'little' THEN 1073741823 ELSE 1073741824 END
FROM sdes.dek d JOIN sdes.bucket b ON b.uuid = d.bucket WHERE d.key_id = u.key_id AND b.name IN ('much', 'little', 'paused')
SQL
comes_true(qr/^1 retired, 2 active$/, sub { versions_of('much') }, 'a key that has sealed its share gets a successor, and is emptied');
is(versions_of('little'), '1 active', 'one that has not goes on');
is(versions_of('paused'), '1 active', 'and so does one whose rotation is paused');
is(value('SELECT much FROM t'), 'one', 'values are what they were');

# ---- a version in the HSM ----

value("SELECT sdes.rotate_bucket('vault')");
comes_true(qr/^1 retired, 2 active$/, sub { versions_of('vault') }, 'mode hsm: a version is retired');
my ($status, $out, $err);
wait_for(sub { ($status, $out, $err) = $node->psql('postgres', "SELECT sdes.destroy_key('vault', 1)"); $status == 0 }, 30);
like($err, qr/NOTICE: .*version 1 .*\n.*DETAIL: .*physical/, 'mode hsm: that it is destroyed in the HSM is said');
like(kek_states('vault'), qr/^destroy(ing|ed), active$/, 'mode hsm: its key is ordered to be destroyed');
comes_true(qr/^destroyed, active$/, sub { kek_states('vault') }, 'mode hsm: the worker carries that out');
is(value('SELECT vault FROM t'), 'in the vault', 'mode hsm: the value is under the next one');
wait_for(sub { ($status, $out, $err) = $node->psql('postgres', "SELECT sdes.destroy_key('much', 1)"); $status == 0 }, 30);
like($err, qr/NOTICE: .*version 1 .*\n.*DETAIL: .*logical/, 'mode cached: that it is not is said');
is(kek_states('much'), 'active', 'mode cached: the KEK wraps the others yet');

# ---- what fails is tried ever more slowly ----

set_conf($node, 'sdes.rotation_naptime', '60s');
$node->reload;
my $from = log_size($node);
value("BEGIN; SELECT sdes.rotate_bucket('little'); ALTER TABLE sdes.rotation RENAME TO rotation_away; COMMIT");
sleep 10;
my $failures = () = log_since($node, $from) =~ /ERROR:  relation "sdes.rotation" does not exist/g;
cmp_ok($failures, '>', 1, 'what fails is tried again');
cmp_ok($failures, '<', 6, 'ever more slowly');
value('ALTER TABLE sdes.rotation_away RENAME TO rotation');
comes_true(qr/^1 retired, 2 active$/, sub { versions_of('little') }, 'until it goes on by itself');
set_conf($node, 'sdes.rotation_naptime', '1s');
$node->reload;

# ---- orders ----

value("SELECT sdes.rewrap_bucket('much', destroy_old => true)");
comes_true(qr/^destroyed, active$/, sub { kek_states('much') }, 'a KEK that is ordered to be destroyed is, by itself');
is(value('SELECT much FROM t'), 'one', 'values open');
comes_true(qr/a key encryption key of bucket "much" is destroyed/, sub { slurp_file($node->logfile) }, 'the log tells');

# A transaction that is older keeps it, and the worker comes again.
my $reader = start_query($node, 'postgres', 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; SELECT pg_sleep(60)');
wait_for(sub { value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") }, 10);
value("SELECT sdes.rewrap_bucket('little', destroy_old => true)");
sleep 4;
is(kek_states('little'), 'destroying, active', 'not while a transaction is older');
value("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
finish_query($reader);
comes_true(qr/^destroyed, active$/, sub { kek_states('little') }, 'but after it');

# An order that is taken back by a crash is none; one that stands survives it.
value("SELECT sdes.rewrap_bucket('much', destroy_old => true)");
crash_server($node, all => 1);
$node->start;
comes_true(qr/^destroyed, destroyed, active$/, sub { kek_states('much') }, 'an order survives a crash');
is(value('SELECT much FROM t'), 'one', 'values open');

# ---- copies ----

value("UPDATE sdes.instance SET system_id = 1");
value("SELECT sdes.rewrap_bucket('paused'); UPDATE sdes.kek SET state = 'destroying', destroying_at = 'epoch' WHERE state = 'retired'");
sleep 4;
is(kek_states('paused'), 'destroying, active', 'a copy destroys nothing');
value('SELECT sdes.adopt_keys()');
comes_true(qr/^destroyed, active/, sub { kek_states('paused') }, 'until it owns its keys');

$node->stop;
done_testing();
