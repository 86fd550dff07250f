# pg_upgrade: a cluster with encrypted columns, defaults, arrays, domains, views
# and a matview comes over with the same ciphertext and is read as before.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use SdesTest;

my $old = SdesTest::new_cluster('old');
SdesTest::new_extension($old);
SdesTest::create_bucket($old, 'b');
$old->safe_psql('postgres', <<'SQL');
SELECT sdes.grant_access('b', current_user, '{encrypt,decrypt}');
CREATE DOMAIN mail AS sdes.enc_text('b');
CREATE TYPE pair AS (n int, v sdes.enc_text('b'));
CREATE TABLE t (id int PRIMARY KEY, e sdes.enc_text('b') DEFAULT 'by default', m mail,
    a sdes.enc_text('b')[], c pair, p sdes.enc_pan('b') DEFAULT '4111 1111 1111 1111');
INSERT INTO t SELECT g, 'value ' || g, 'mail ' || g, ARRAY['x' || g]::sdes.enc_text('b')[]
    FROM generate_series(1, 100) AS g;
INSERT INTO t (id, c) VALUES (101, ROW(1, 'in a row'));
CREATE VIEW v AS SELECT id, coalesce(e, 'constant') AS e, coalesce(p, '5555555555554444') AS p FROM t;
CREATE MATERIALIZED VIEW mv AS SELECT id, e FROM t;
SQL
my $bytes = q{SELECT md5(string_agg(sdes.enc_text_send(e)::text || coalesce(c::text, '') || sdes.enc_pan_send(p)::text, ',' ORDER BY id)) FROM t};
my $texts = q{SELECT md5(string_agg(concat_ws('|', e::text, m::text, a[1]::text, (c).v::text, p::text), ',' ORDER BY id)) FROM t};
my ($old_bytes, $old_texts) = map { $old->safe_psql('postgres', $_) } $bytes, $texts;

my $new = SdesTest::new_cluster('new', hsm => $old->{hsm});
my $dir = PostgreSQL::Test::Utils::tempdir();
my $bin = $old->config_data('--bindir');
$old->stop;
$new->stop;
chdir $dir or die "chdir: $!";
$ENV{SOFTHSM2_CONF} = $old->{hsm}{conf};
command_ok(
    [   'pg_upgrade', '--no-sync',        '-d', $old->data_dir, '-D', $new->data_dir, '-b', $bin, '-B', $bin,
        '-p',         $old->port,         '-P', $new->port,     '-s', $new->host,     '-j', 2,
    ],
    'pg_upgrade');
$new->start;

is($new->safe_psql('postgres', $bytes), $old_bytes, 'the same ciphertext');
is($new->safe_psql('postgres', $texts), $old_texts, 'opens to the same text');
is($new->safe_psql('postgres', 'SELECT count(e::text) FROM mv'), '101', 'the matview too');
$new->safe_psql('postgres', 'INSERT INTO t (id) VALUES (200)');
is($new->safe_psql('postgres', 'SELECT e, p FROM t WHERE id = 200'),
    'by default|4111 1111 1111 1111', 'a default that came over is sealed into its column');
is($new->safe_psql('postgres', 'SELECT string_agg("check", \',\') FROM sdes.health() WHERE NOT ok'),
    'owner', 'all is well, but that the cluster is another one now');
$new->safe_psql('postgres', 'SELECT sdes.adopt_keys()');
is($new->safe_psql('postgres', 'SELECT string_agg("check", \',\') FROM sdes.health() WHERE NOT ok'),
    '', 'the upgraded database is told that it is the owner');

$new->stop;
done_testing();
