# 095_replicated_policy.pl
#     A publication FOR ALL TABLES has the extension's tables, too. What a subscriber is sent
#     of them is not in force there, and nothing of it stops the subscription: keys, grants,
#     rules, honey and the audit are each database's own.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use Test::More;

my $CONF = "log_statement = none\nsdes.rotation_naptime = 1s\n";
my $a = new_cluster('publisher', init => { allows_streaming => 'logical' }, conf => $CONF);
my $b = new_cluster('subscriber', conf => $CONF . "wal_retrieve_retry_interval = 200ms\nlog_error_verbosity = verbose\n");

sub value { my ($node, $sql, $role) = @_; return query_as($node, $role // 'postgres', $sql, 'shop'); }

my $SCHEMA = <<'SQL';
CREATE TABLE people (id int PRIMARY KEY, email sdes.enc_text('customer_pii'));
GRANT ALL ON people TO reader, writer, other;
SQL
for my $node ($a, $b)
{
    $node->safe_psql('postgres', 'CREATE ROLE reader LOGIN; CREATE ROLE writer LOGIN; CREATE ROLE other LOGIN; CREATE DATABASE shop');
    value($node, 'CREATE EXTENSION sdes');
}
my @TABLES = split /\n/, value($a, q{SELECT relname FROM pg_class WHERE relnamespace = 'sdes'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY relname});
cmp_ok(scalar(@TABLES), '>=', 18, 'tables of the extension');

# What each of these tables holds. (What a rotation worker writes by itself is left out.)
sub contents
{
    my ($node) = @_;
    return { map { $_ => value($node, "SELECT string_agg(t::text, chr(10) ORDER BY t::text) FROM sdes.$_ t") }
            grep { !/^(audit_.*|rotation)$/ } @TABLES };
}

# ---- every table has the trigger ----

is(value($a, q{SELECT string_agg(relname, ' ') FROM pg_class c WHERE relnamespace = 'sdes'::regnamespace AND relkind IN ('r', 'p')
    AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgfoid = 'sdes.ignore_replicated'::regproc AND tgenabled = 'R' AND tgtype & 31 = 31)}),
    '', 'every table of sdes ignores replicated rows');
is(value($a, q{SELECT string_agg(relname, ' ') FROM pg_class c WHERE relnamespace = 'sdes'::regnamespace AND relkind IN ('r', 'p')
    AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgtype & 34 = 34 AND tgenabled IN ('R', 'A'))}),
    '', 'and refuses to be truncated');

# ---- the publisher has something of everything ----

value($a, <<'SQL');
SELECT sdes.create_bucket('customer_pii');
SELECT sdes.create_bucket('other');
SELECT sdes.grant_access('customer_pii', 'reader', '{encrypt,decrypt}');
SELECT sdes.grant_access('customer_pii', 'writer', '{encrypt,decrypt}');
SELECT sdes.set_alert('night', 'hours', '{"from": "06:00", "to": "22:00"}');
SELECT sdes.site_certificate() IS NULL;
SQL
value($a, $SCHEMA);
value($a, "INSERT INTO people SELECT i, 'person' || i FROM generate_series(1, 20) AS i", 'reader');
value($a, q{SELECT sdes.add_honey(email, 'planted') FROM people WHERE id = 20});
ok(wait_for(sub { value($a, q{SELECT count(*) FROM sdes.audit_log WHERE role = 'reader'}) > 0 }, 20), 'the publisher has an audit');

# The subscriber: a bucket of its own of the same name, with a key and a grant of its own.
value($b, <<'SQL');
SELECT sdes.create_bucket('customer_pii');
SELECT sdes.grant_access('customer_pii', 'other', '{encrypt,decrypt}');
SQL
value($b, $SCHEMA);
value($b, "INSERT INTO people VALUES (1001, 'of the subscriber')", 'other');
ok(wait_for(sub { value($b, q{SELECT count(*) FROM sdes.audit_log WHERE role = 'other'}) > 0 }, 20), 'so has the subscriber');
my $before = contents($b);

# ---- all tables, copied and streamed ----

value($a, 'CREATE PUBLICATION everything FOR ALL TABLES');
(my $connection = $a->connstr('shop')) =~ s{'}{''}g;
my $log = log_size($b);
value($b, "CREATE SUBSCRIPTION sub CONNECTION '$connection' PUBLICATION everything");
$b->wait_for_subscription_sync($a, 'sub', 'shop');
is_deeply(contents($b), $before, 'the first copy brings no row of sdes');
is(value($b, q{SELECT count(*) FROM sdes.audit_log WHERE role = 'reader'}), 0, 'nor of the audit');
like(log_since($b, $log), qr/WARNING:  01000: changes of "sdes\.\w+" that subscription "sub" receives are ignored.*HINT:.*sdes\.import_keys.*sdes\.grant_access/s, 'the log says so');
is(value($b, q{SELECT count(*) FROM people WHERE id <= 20}), 20, 'rows of the table are copied');

$log = log_size($b);
value($a, <<'SQL');
SELECT sdes.rotate_bucket('customer_pii');
SELECT sdes.create_bucket('third');
SELECT sdes.grant_access('customer_pii', 'other', '{mask}');
SELECT sdes.grant_access('customer_pii', 'public', '{decrypt}');
SELECT sdes.revoke_access('customer_pii', 'reader', '{encrypt}');
SELECT sdes.set_rotation_period('other', '1 day');
SELECT sdes.drop_honey('planted');
UPDATE sdes.bucket SET rotation_period = '2 days';
DELETE FROM sdes.honey;
SQL
value($a, "INSERT INTO people VALUES (21, 'late')", 'writer');
ok(wait_for(sub { value($a, q{SELECT count(*) FROM sdes.keys WHERE bucket = 'customer_pii' AND state = 'decrypt-only' AND emptied_at IS NULL}) eq '0' }, 60), 'keys rotate meanwhile');
$a->wait_for_catchup('sub');
is_deeply(contents($b), $before, 'what is streamed brings none either');
is(value($b, 'SELECT count(*) FROM people WHERE id <= 21'), 21, 'rows of the table are streamed');
my @warnings = log_since($b, $log) =~ /that subscription "sub" receives are ignored/g;
cmp_ok(scalar(@warnings), '<=', 1, 'one process says it once');
unlike(log_since($b, $log), qr/ERROR:/, 'and the subscription does not stop');

# Rows that are here and there by the same key are neither changed nor deleted.
my $uuid = value($b, q{SELECT uuid FROM sdes.bucket WHERE name = 'customer_pii'});
value($a, <<"SQL");
INSERT INTO sdes.bucket SELECT '$uuid', 'same uuid', 77, system, rotation_period, false, false, now(), 'me' FROM sdes.bucket LIMIT 1;
UPDATE sdes.bucket SET rotation_paused = true WHERE uuid = '$uuid';
INSERT INTO sdes.access SELECT '$uuid', 'reader', 'decrypt', 0, system_id, now(), 'me', false FROM sdes.access LIMIT 1;
DELETE FROM sdes.bucket WHERE uuid = '$uuid';
DELETE FROM sdes.access WHERE bucket = '$uuid';
DELETE FROM sdes.alert_rule;
SQL
$a->wait_for_catchup('sub');
is_deeply(contents($b), $before, 'rows of the same key stay as they were');
is(value($b, q{SELECT count(*) FROM sdes.audit_log WHERE operation = 'change by hand'}), 0, 'and are not recorded as changed');

# ---- who may do what at the subscriber ----

like(error_as($b, 'reader', 'SELECT email::text FROM people WHERE id = 1001', 'shop'), qr/42501/, 'a replicated grant gives nothing');
is(value($b, 'SELECT email FROM people WHERE id = 1001', 'other'), 'of the subscriber', 'its own grant does');
like(error_as($b, 'other', 'SELECT email::text FROM people WHERE id = 1', 'shop'), qr/is not known in this database.*HINT/s, 'a replicated key opens nothing');
value($b, "INSERT INTO people VALUES (1002, 'more of it')", 'other');
is(value($b, 'SELECT email FROM people WHERE id = 1002', 'other'), 'more of it', 'its own keys go on');

# ---- months that the subscriber has no partition of ----

# Nothing loads the audit there.
$b->append_conf('postgresql.conf', "sdes.rotation_naptime = 1h\n");
$b->restart;
for my $node ($a, $b)
{
    $node->safe_psql('postgres', 'CREATE DATABASE bare');
    $node->safe_psql('bare', 'CREATE EXTENSION sdes; CREATE TABLE plain (id int PRIMARY KEY)');
}
my $PARTITIONS = q{SELECT string_agg(inhrelid::regclass::text, ' ' ORDER BY inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'sdes.audit_log'::regclass};
$a->safe_psql('bare', "SELECT sdes.create_bucket('late'); CREATE PUBLICATION everything FOR ALL TABLES");
my $partition = wait_for(sub { $a->safe_psql('bare', $PARTITIONS) }, 20);
like($partition, qr/^sdes\.audit_log_y\d{4}m\d\d$/, 'the publisher has a partition for this month');
is($b->safe_psql('bare', $PARTITIONS), '', 'the subscriber has none');
($connection = $a->connstr('bare')) =~ s{'}{''}g;
$b->safe_psql('bare', "CREATE SUBSCRIPTION bare CONNECTION '$connection' PUBLICATION everything");
$b->wait_for_subscription_sync($a, 'bare', 'bare');
like($b->safe_psql('bare', $PARTITIONS), qr/\Q$partition\E/, 'and all that may be published, once it subscribes');
is($b->safe_psql('bare', 'SELECT count(*) FROM sdes.audit_log'), 0, 'in which there is nothing');
is($b->safe_psql('bare', q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'sdes.audit_log'::regclass}), 14, 'of a year, this month and the next one');

# The same when they are published as one table.
$b->safe_psql('bare', 'DROP SUBSCRIPTION bare');
$a->safe_psql('bare', 'ALTER PUBLICATION everything SET (publish_via_partition_root)');
my $drop = q{SELECT format('ALTER EXTENSION sdes DROP TABLE %1$s; DROP TABLE %1$s', inhrelid::regclass) FROM pg_inherits WHERE inhparent = 'sdes.audit_log'::regclass};
$b->safe_psql('bare', $b->safe_psql('bare', $drop) =~ s/$/;/mgr);
$b->safe_psql('bare', "CREATE SUBSCRIPTION bare CONNECTION '$connection' PUBLICATION everything");
$b->wait_for_subscription_sync($a, 'bare', 'bare');
is($b->safe_psql('bare', 'SELECT count(*) FROM sdes.audit_log'), 0, 'published by its root, too');
$b->safe_psql('bare', 'DROP SUBSCRIPTION bare');
$a->safe_psql('bare', 'ALTER PUBLICATION everything SET (publish_via_partition_root = false)');
$b->safe_psql('bare', "CREATE SUBSCRIPTION bare CONNECTION '$connection' PUBLICATION everything");
$b->wait_for_subscription_sync($a, 'bare', 'bare');

# A month that only the publisher comes to: the subscriber loses its partition.
$b->safe_psql('bare', $b->safe_psql('bare', $drop) =~ s/$/;/mgr);
my $rows = $a->safe_psql('bare', 'SELECT count(*) FROM sdes.audit_log');
$a->safe_psql('bare', "SELECT sdes.create_bucket('later'); INSERT INTO plain VALUES (1)");
ok(wait_for(sub { $a->safe_psql('bare', 'SELECT count(*) FROM sdes.audit_log') > $rows }, 20), "the publisher's audit grows");
$a->safe_psql('bare', 'INSERT INTO plain VALUES (2)');
$a->wait_for_catchup('bare');
is($b->safe_psql('bare', 'SELECT count(*) FROM plain'), 2, 'which does not keep rows from arriving');
is($b->safe_psql('bare', $PARTITIONS), '', 'where that partition is not');
is($a->safe_psql('bare', q{SELECT count(*) FROM sdes.verify_audit_log()}), 0, "the publisher's table is what the journal says");

# ---- TRUNCATE ----

$log = log_size($b);
$b->safe_psql('bare', q{SELECT sdes.set_alert('night', 'hours', '{}')});
$a->safe_psql('bare', 'TRUNCATE sdes.alert_rule');
ok(wait_for(sub { log_since($b, $log) =~ /ERROR:  42501: subscription "bare" must not truncate "sdes.alert_rule".*HINT:.*SKIP/s }, 20), 'TRUNCATE is an error');
cmp_ok($b->safe_psql('bare', 'SELECT count(*) FROM sdes.alert_rule'), '>', 0, 'and takes nothing away');
my ($lsn) = log_since($b, $log) =~ m{in transaction \d+, finished at ([0-9A-F]+/[0-9A-F]+)};
$b->safe_psql('bare', "ALTER SUBSCRIPTION bare SKIP (lsn = '$lsn')");
$a->safe_psql('bare', 'INSERT INTO plain VALUES (3)');
$a->wait_for_catchup('bare');
is($b->safe_psql('bare', 'SELECT count(*) FROM plain'), 3, 'skipped, the subscription goes on');

$_->stop for $b, $a;
done_testing();
