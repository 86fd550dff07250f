# 070_clones.pl
#     A copy of a database is no owner: it opens values, makes a key of its own before it
#     seals the first one, and takes no key away from its original until it has adopted
#     them. So no key id is ever sealed under at two places. A standby is no copy; once
#     promoted it soon has new keys, too.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use Test::More;

my $hsm = new_hsm('clones');
my $node = new_cluster('clone_original', hsm => $hsm, init => { allows_streaming => 'logical' }, conf => "sdes.rotation_naptime = 1s\n");
my $tmp = $PostgreSQL::Test::Utils::tmp_check;

sub value { my ($server, $db, $sql) = @_; return $server->safe_psql($db, $sql); }

# What fails, and how.
sub refusal { my ($server, $db, $sql) = @_; return error_as($server, 'postgres', $sql, $db); }

# Ids of active keys that seal; an id stands in an armored value as its bytes do in the envelope.
sub actives
{
    my ($server, $db) = @_;
    return split /\n/, value($server, $db, "SELECT key_id FROM sdes.keys WHERE state = 'active' AND purpose <> 'search' ORDER BY 1");
}

# Key ids of values: bytes 3 to 10 of an envelope.
my $ID = "encode(substr(sdes.enc_text_send(%s), 4, 8), 'hex')";
sub ids_of
{
    my ($server, $db, $where) = @_;
    my $columns = join ' UNION ', map { sprintf "SELECT $ID FROM people WHERE $where", $_ } 'email', 'note';
    return split /\n/, value($server, $db, $columns);
}

# The id of the key that a literal is sealed under.
sub literal_id { my ($server, $db) = @_; return value($server, $db, sprintf("SELECT $ID", "'x'::sdes.enc_text")); }

sub common
{
    my ($one, $other) = @_;
    my %in = map { $_ => 1 } @$one;
    return join ' ', grep { $in{$_} } @$other;
}

value($node, 'postgres', 'CREATE DATABASE shop');
value($node, 'shop', <<'SQL');
CREATE EXTENSION sdes;
SELECT sdes.create_bucket('customer_pii'), sdes.create_bucket('other');
SELECT sdes.grant_access(b, 'postgres', '{encrypt,search,decrypt}') FROM unnest('{customer_pii,other}'::text[]) AS b;
CREATE TABLE people (id int PRIMARY KEY, email sdes.enc_text('customer_pii', 'searchable'), note sdes.enc_text('customer_pii'));
INSERT INTO people SELECT i, 'user' || i || '@example.org', 'note ' || i FROM generate_series(1, 20) AS i;
SQL
my @before = actives($node, 'shop');
is(scalar @before, 3, 'two buckets and the literals have active keys');

# ---- copies: of a template, and in another cluster on the same token ----

value($node, 'postgres', 'CREATE DATABASE copy TEMPLATE shop');
my $other = new_cluster('clone_another', hsm => $hsm, init => { allows_streaming => 1 }, conf => "sdes.rotation_naptime = 1s\n");
ok($node->run_log([ 'pg_dump', '-f', "$tmp/shop.sql", $node->connstr('shop') ]), 'a dump');
value($other, 'postgres', 'CREATE DATABASE shop TEMPLATE template0');
$other->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $other->connstr('shop'), '-f', "$tmp/shop.sql" ], 'is restored');

for my $place ([ $node, 'copy', 'template' ], [ $other, 'shop', 'dump' ])
{
    my ($server, $db, $name) = @$place;
    is(value($server, $db, 'SELECT count(note::text) FROM people'), 20, "$name: it reads");
    is(common(\@before, [ literal_id($server, $db) ]), '', "$name: literals are sealed under a key of its own");
    value($server, $db, "BEGIN; INSERT INTO people VALUES (100, 'clone\@example.org', 'of the clone'); ROLLBACK");
    my @own = grep { common(\@before, [$_]) eq '' } actives($server, $db);
    is(scalar @own, 2, "$name: a transaction that is rolled back has its bucket's key made, too");
    ok(common(\@before, [ actives($server, $db) ]) ne '', "$name: a bucket that nobody writes to keeps its key for reading");
    value($server, $db, "INSERT INTO people VALUES (101, 'clone\@example.org', 'of the clone')");
    value($node, 'shop', "INSERT INTO people VALUES (101, 'original\@example.org', 'of the original') ON CONFLICT (id) DO UPDATE SET note = 'again'");
    is(common([ ids_of($node, 'shop', 'id > 100') ], [ ids_of($server, $db, 'id > 100') ]), '',
        "$name: no key id is sealed under on both sides");
    is(value($server, $db, "SELECT note FROM people WHERE email = 'clone\@example.org'"), 'of the clone', "$name: and values are found");
    cmp_ok(value($server, $db, "SELECT version FROM sdes.keys WHERE bucket = 'customer_pii' AND state = 'active'"), '==', 1000,
        "$name: numbers of its keys are none that the original may get to");

    # Its values move on; the keys that it shares are kept.
    ok(wait_for(sub { common([ ids_of($node, 'shop', 'id <= 20') ], [ ids_of($server, $db, 'id <= 20') ]) eq '' }, 60),
        "$name: what it has is re-encrypted under its own key");
    ok(wait_for(sub { value($server, $db, "SELECT emptied_at IS NOT NULL FROM sdes.keys WHERE bucket = 'customer_pii' AND version = 1") eq 't' }, 60),
        "$name: nothing is left under the original's");
    is(value($server, $db, "SELECT string_agg(DISTINCT state, ',') FROM sdes.keys WHERE bucket = 'customer_pii' AND version = 1"),
        'decrypt-only', "$name: which is not retired");
}
is(join(' ', actives($node, 'shop')), join(' ', @before), 'the original goes on under its own keys');

# A transaction that only reads, parallel workers, and a bucket whose rotation is paused.
my $SEAL = "SELECT count(DISTINCT " . sprintf($ID, "(note::text || i)::sdes.enc_text('other')") . ") FROM people, generate_series(1, 100) AS i";
$other->backup('of_copy');
my $reader = new_cluster('clone_reader', hsm => $hsm, from_backup => [ $other, 'of_copy', has_streaming => 1 ]);
value($other, 'shop', "SELECT sdes.pause_rotation('other')");
like(refusal($reader, 'shop', $SEAL), qr/25006: bucket "other" has no encryption key of this database's own yet/, 'a standby of a copy cannot have a key made');
is(value($other, 'shop', 'BEGIN READ ONLY; SET LOCAL ' . force_parallel() . " = on; $SEAL; COMMIT"), 1,
    'a transaction that only reads has one made, also in a bucket whose rotation is paused');
$other->wait_for_catchup($reader);
is(value($reader, 'shop', $SEAL), 1, 'then its standby seals, too');
is(value($other, 'shop', "SELECT string_agg(version || ' ' || state, ', ' ORDER BY version) FROM sdes.keys WHERE bucket = 'other'"), '1 decrypt-only, 1000 active', 'and there are two versions');
$reader->stop;

# ---- what a copy does not do ----

for my $place ([ $node, 'copy', 'template' ], [ $other, 'shop', 'dump' ])
{
    my ($server, $db, $name) = @$place;
    my %refused = (
        'destroy a key' => q{SELECT sdes.destroy_key('customer_pii', 1)},
        'shred' => q{SELECT sdes.shred_bucket('customer_pii', confirm => 'customer_pii')},
        'order a KEK to be destroyed' => q{SELECT sdes.destroy_kek(encode(id, 'hex')) FROM sdes.kek LIMIT 1},
        'destroy KEKs' => 'SELECT * FROM sdes.destroy_keks()',
        'wrap anew and destroy' => q{SELECT sdes.rewrap_bucket('customer_pii', destroy_old => true)},
    );
    for my $what (sort keys %refused)
    {
        like(refusal($server, $db, $refused{$what}), qr/55000: .*this database is a copy.*HINT.*adopt_keys/s, "$name: does not $what");
    }
}
is(value($node, 'shop', 'SELECT count(*) FROM sdes.kek WHERE state <> \'active\''), 0, 'the original has all its KEKs');

# Told that it owns its keys, it may.
value($node, 'copy', 'SELECT sdes.adopt_keys()');
ok(wait_for(sub { value($node, 'copy', "SELECT state FROM sdes.keys WHERE bucket = 'customer_pii' AND version = 1") eq 'retired' }, 60),
    'adopted: the key that nothing is left under is retired');
like(wait_for(sub { refusal($node, 'copy', q{SELECT sdes.destroy_key('customer_pii', 1)}) eq '' ? 'done' : '' }, 30), qr/done/,
    'adopted: and can be destroyed');
ok(refusal($node, 'copy', q{SELECT sdes.shred_bucket('other', confirm => 'other')}) eq '', 'adopted: a bucket is shredded');
is(value($node, 'shop', 'SELECT count(note::text) FROM people'), 21, 'the original still reads');

# ---- a subscriber that keys' rows are brought to ----

value($node, 'postgres', 'CREATE DATABASE subscriber');
value($node, 'shop', 'CREATE PUBLICATION pub FOR TABLE people');
ok($node->run_log([ 'bash', '-c', 'pg_dump --schema-only -d "$1" | psql -X -q -d "$2"', 'bash', $node->connstr('shop'),
        $node->connstr('subscriber') ]), 'subscriber: schema');
# What is there stays: only rows that are new come.
sub bring_keys
{
    my ($name) = @_;
    my @tables = map { ('-t', "sdes.$_") } qw(bucket kek dek usage access);
    return ok($node->run_log([ 'bash', '-c', 'pg_dump --data-only --inserts --on-conflict-do-nothing "${@:3}" -d "$1" | psql -X -q -v ON_ERROR_STOP=1 -d "$2"',
            'bash', $node->connstr('shop'), $node->connstr('subscriber'), @tables ]), $name);
}
bring_keys('subscriber: the rows of keys and grants');
(my $connection = $node->connstr('shop')) =~ s{'}{''}g;
value($node, 'shop', q{SELECT pg_create_logical_replication_slot('sub', 'pgoutput')});
value($node, 'subscriber', "DROP PUBLICATION IF EXISTS pub; CREATE SUBSCRIPTION sub CONNECTION '$connection' PUBLICATION pub WITH (create_slot = false)");
$node->wait_for_subscription_sync($node, 'sub', 'subscriber');
is(value($node, 'subscriber', 'SELECT count(note::text) FROM people'), 21, 'subscriber: it reads');
value($node, 'subscriber', "INSERT INTO people VALUES (500, 'sub\@example.org', 'of the subscriber')");
is(common(\@before, [ ids_of($node, 'subscriber', 'id = 500') ]), '', 'subscriber: it seals under a key of its own');
value($node, 'shop', "SELECT sdes.rotate_bucket('customer_pii')");
value($node, 'shop', "INSERT INTO people VALUES (600, 'new\@example.org', 'under a new key')");
ok(wait_for(sub { value($node, 'subscriber', 'SELECT count(*) FROM people WHERE id = 600') eq '1' }, 30), 'subscriber: values under the next key arrive');
like(refusal($node, 'subscriber', 'SELECT note::text FROM people WHERE id = 600'), qr/42704.*is not known in this database/, 'subscriber: the key does not');
bring_keys("subscriber: the publisher's next key is brought");
is(value($node, 'subscriber', 'SELECT note FROM people WHERE id = 600'), 'under a new key', 'subscriber: and opens them');
value($node, 'subscriber', "INSERT INTO people VALUES (501, 'sub\@example.org', 'of the subscriber')");
is(common([ ids_of($node, 'shop', 'true') ], [ ids_of($node, 'subscriber', 'id = 501') ]), '', 'subscriber: and seals under its own yet');
like(refusal($node, 'subscriber', q{SELECT sdes.shred_bucket('other', confirm => 'other')}), qr/55000: .*is a copy/, 'subscriber: it owns none of them');
value($node, 'subscriber', 'DROP SUBSCRIPTION sub');

# ---- a standby ----

@before = actives($node, 'shop');
$node->backup('base');
my $standby = new_cluster('clone_standby', hsm => $hsm, from_backup => [ $node, 'base', has_streaming => 1 ]);
is(common(\@before, [ literal_id($standby, 'shop') ]), literal_id($node, 'shop'), 'a standby is no copy: it seals literals as its primary does');
$node->wait_for_catchup($standby);
$standby->promote;
value($standby, 'shop', "INSERT INTO people VALUES (700, 'promoted\@example.org', 'at once')");
ok(wait_for(sub { common(\@before, [ actives($standby, 'shop') ]) eq '' }, 60), 'promoted: it gets new keys by itself');
value($standby, 'shop', "INSERT INTO people VALUES (701, 'promoted\@example.org', 'later')");
value($node, 'shop', "INSERT INTO people VALUES (701, 'primary\@example.org', 'later')");
is(common([ ids_of($standby, 'shop', 'id = 701') ], [ ids_of($node, 'shop', 'id = 701') ]), '',
    'promoted: beside a primary that runs on it seals under other keys');
is(value($standby, 'shop', q{SELECT count(*) FROM sdes.keys WHERE bucket = 'other' AND purpose = 'data'}), 2, 'promoted: and makes them once');
is(value($standby, 'shop', q{SELECT ok FROM sdes.health() WHERE "check" = 'owner'}), 't', 'promoted: it owns them');
$standby->stop;

# ---- where no key can be made ----

value($node, 'postgres', 'CREATE DATABASE late TEMPLATE subscriber');
$node->stop;
$node->append_conf('postgresql.conf', "sdes.pin_source = 'file:/nonexistent'\n");
$node->start;
like(refusal($node, 'late', "SET statement_timeout = '2s'; INSERT INTO people VALUES (800, 'a', 'b')"), qr/57014/, 'waiting can be cancelled');
my $began = time;
like(refusal($node, 'late', "INSERT INTO people VALUES (800, 'a', 'b')"),
    qr/55000: bucket "[^"]+" has no encryption key of this database's own yet.*HINT/s, 'without an HSM it is an error');
cmp_ok(time - $began, '<', 25, 'that does not take long');

$node->stop;
$other->stop;
done_testing();
