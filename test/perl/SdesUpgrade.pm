# SdesUpgrade.pm
#     A database with all that an upgrade, be it PostgreSQL's or the extension's, must
#     leave as it is, and the questions that tell.

package SdesUpgrade;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use Test::More ();
use SdesTest;

our @EXPORT = qw(fill state_of kept_ok);

my $BYTES = q{SELECT md5(string_agg(sdes.enc_text_send(e)::text || coalesce(c::text, '') || sdes.enc_pan_send(p)::text || sdes.enc_text_send(s)::text, ',' ORDER BY id)) FROM t};
my $TEXTS = q{SELECT md5(string_agg(concat_ws('|', e::text, m::text, a[1]::text, (c).v::text, p::text, s::text), ',' ORDER BY id)) FROM t};
my $GRANTS = q{SELECT string_agg(concat_ws(' ', a.role, a.privilege), ',' ORDER BY a.privilege) FROM sdes.access AS a JOIN sdes.bucket AS b ON b.uuid = a.bucket WHERE b.name = 'b'};
my $FOUND = q{SET enable_seqscan = off; SELECT string_agg(id::text, ',' ORDER BY id) FROM t WHERE s = 'find 7' OR lower(s) = 'find 70'};

# Encrypted columns of all kinds with 101 rows, and what is made of them. The extension
# is there.
sub fill
{
    my ($node, $database) = @_;
    $database //= 'postgres';
    SdesTest::create_bucket($node, 'b', $database);
    $node->safe_psql($database, <<'SQL');
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
    return;
}

# What is to be the same afterwards.
sub state_of
{
    my ($node, $database) = @_;
    return { map { $_ => $node->safe_psql($database // 'postgres', $_) } $BYTES, $TEXTS, $GRANTS };
}

# What a query plan reads the table by.
sub plan_of
{
    my ($node, $database, $query) = @_;
    return $node->safe_psql($database, "SET enable_seqscan = off; EXPLAIN (COSTS OFF) $query");
}

# Tests that all is as it was, and goes on.
sub kept_ok
{
    my ($node, $state, $name, $database) = @_;
    $database //= 'postgres';
    my $is = sub { Test::More::is($node->safe_psql($database, $_[0]), $_[1], "$name: $_[2]") };
    $is->($BYTES, $state->{$BYTES}, 'the same ciphertext');
    $is->($TEXTS, $state->{$TEXTS}, 'opens to the same text');
    $is->($GRANTS, $state->{$GRANTS}, 'grants are the same');
    $is->('SELECT count(e::text) FROM mv', '101', 'the matview opens, too');
    Test::More::like(plan_of($node, $database, q{SELECT id FROM t WHERE s = 'find 7'}), qr/using t_s_key/, "$name: the index is used");
    Test::More::like(plan_of($node, $database, q{SELECT id FROM t WHERE lower(s) = 'find 70'}), qr/using t_ci/, "$name: and the one of lower-cased text");
    $is->($FOUND, '7,70', 'they find what they found before');
    $node->safe_psql($database, q{SELECT bt_index_check(i, true) FROM unnest('{t_s_key,t_ci}'::regclass[]) AS i});
    Test::More::like(error_as($node, 'postgres', q{INSERT INTO t (id, s) VALUES (300, 'find 7')}, $database), qr/23505/, "$name: what is unique stays so");
    $node->safe_psql($database, 'INSERT INTO t (id) VALUES (200)');
    $is->('SELECT e, p FROM t WHERE id = 200', 'by default|4111 1111 1111 1111', 'a default that came over is sealed into its column');
    $node->safe_psql($database, 'DELETE FROM t WHERE id = 200');
    return;
}

1;
