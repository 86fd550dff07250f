# pg_upgrade, by copies and by links: a cluster with encrypted columns, indexes, defaults,
# arrays, domains, views and a matview comes over with the same ciphertext and is read and
# searched as before. From SDES_OLD_PG, the folder of another PostgreSQL with sdes
# installed (scripts/matrix has one), else from the same version.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use SdesTest;

my $bytes = q{SELECT md5(string_agg(sdes.enc_text_send(e)::text || coalesce(c::text, '') || sdes.enc_pan_send(p)::text || sdes.enc_text_send(s)::text, ',' ORDER BY id)) FROM t};
my $texts = q{SELECT md5(string_agg(concat_ws('|', e::text, m::text, a[1]::text, (c).v::text, p::text, s::text), ',' ORDER BY id)) FROM t};
my $found = q{SET enable_seqscan = off; SELECT string_agg(id::text, ',' ORDER BY id) FROM t WHERE s = 'find 7' OR lower(s) = 'find 70'};

sub fill
{
    my ($old) = @_;
    SdesTest::new_extension($old);
    SdesTest::create_bucket($old, 'b');
    $old->safe_psql('postgres', <<'SQL');
SELECT sdes.grant_access('b', current_user, '{encrypt,decrypt,search}');
CREATE DOMAIN mail AS sdes.enc_text('b');
CREATE TYPE pair AS (n int, v sdes.enc_text('b'));
CREATE TABLE t (id int PRIMARY KEY, e sdes.enc_text('b') DEFAULT 'by default', m mail,
    a sdes.enc_text('b')[], c pair, p sdes.enc_pan('b') DEFAULT '4111 1111 1111 1111',
    s sdes.enc_text('b', 'searchable', 'searchable_ci') UNIQUE);
CREATE INDEX t_ci ON t (s sdes.enc_text_ci_ops);
INSERT INTO t (id, e, m, a, s) SELECT g, 'value ' || g, 'mail ' || g, ARRAY['x' || g]::sdes.enc_text('b')[], 'Find ' || g
    FROM generate_series(1, 100) AS g;
UPDATE t SET s = 'find 7' WHERE id = 7;
INSERT INTO t (id, c, s) VALUES (101, ROW(1, 'in a row'), 'last');
CREATE VIEW v AS SELECT id, coalesce(e, 'constant') AS e, coalesce(p, '5555555555554444') AS p FROM t;
CREATE MATERIALIZED VIEW mv AS SELECT id, e FROM t;
CREATE EXTENSION amcheck;
SQL
}

sub upgrade
{
    my ($old, $new, @how) = @_;
    $old->stop;
    $new->stop;
    local $ENV{SOFTHSM2_CONF} = $old->{hsm}{conf};
    command_ok(
        [   'pg_upgrade', '--no-sync', @how, '-j', 2, '-s', $new->host,
            '-d', $old->data_dir, '-b', $old->config_data('--bindir'), '-p', $old->port,
            '-D', $new->data_dir, '-B', $new->config_data('--bindir'), '-P', $new->port,
        ],
        'pg_upgrade');
    $new->start;
}

# What a query plan reads the table by.
sub plan_of { my ($node, $query) = @_; return $node->safe_psql('postgres', "SET enable_seqscan = off; EXPLAIN (COSTS OFF) $query"); }

chdir PostgreSQL::Test::Utils::tempdir() or die "chdir: $!";
for my $how ('--copy', '--link')
{
    # 18 has checksums unless told otherwise, and pg_upgrade wants both to be alike.
    my %both = (init => { extra => ['--data-checksums'] });
    my $old = SdesTest::new_cluster("old$how", %both, install_path => $ENV{SDES_OLD_PG});
    fill($old);
    my ($old_bytes, $old_texts, $old_version) = map { $old->safe_psql('postgres', $_) } $bytes, $texts, 'SHOW server_version';
    is($old->safe_psql('postgres', $found), '7,70', 'found by the indexes before');
    my $new = SdesTest::new_cluster("new$how", %both, hsm => $old->{hsm});
    note("from $old_version to " . $new->safe_psql('postgres', 'SHOW server_version') . ", $how");
    upgrade($old, $new, $how eq '--link' ? $how : ());

    is($new->safe_psql('postgres', $bytes), $old_bytes, "$how: the same ciphertext");
    is($new->safe_psql('postgres', $texts), $old_texts, 'opens to the same text');
    is($new->safe_psql('postgres', 'SELECT count(e::text) FROM mv'), '101', 'the matview too');
    like(plan_of($new, q{SELECT id FROM t WHERE s = 'find 7'}), qr/using t_s_key/, 'the index is used');
    like(plan_of($new, q{SELECT id FROM t WHERE lower(s) = 'find 70'}), qr/using t_ci/, 'and the one of lower-cased text');
    is($new->safe_psql('postgres', $found), '7,70', 'they find what they found before');
    $new->safe_psql('postgres', q{SELECT bt_index_check(i, true) FROM unnest('{t_s_key,t_ci}'::regclass[]) AS i});
    like(SdesTest::error_as($new, 'postgres', q{INSERT INTO t (id, s) VALUES (300, 'find 7')}), qr/23505/, 'what is unique stays so');
    $new->safe_psql('postgres', 'INSERT INTO t (id) VALUES (200)');
    is($new->safe_psql('postgres', 'SELECT e, p FROM t WHERE id = 200'),
        'by default|4111 1111 1111 1111', 'a default that came over is sealed into its column');
    is($new->safe_psql('postgres', 'SELECT string_agg("check", \',\') FROM sdes.health() WHERE NOT ok'),
        'owner', 'all is well, but that the cluster is another one now');
    $new->safe_psql('postgres', 'SELECT sdes.adopt_keys()');
    is($new->safe_psql('postgres', 'SELECT string_agg("check", \',\') FROM sdes.health() WHERE NOT ok'),
        '', 'the upgraded database is told that it is the owner');
    $new->stop;
}
done_testing();
