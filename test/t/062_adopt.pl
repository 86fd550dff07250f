# 062_adopt.pl
#     Copies of a database know that they are: made of a template, restored from a dump
#     into another database or cluster. They read and write, and sdes.adopt_keys() gives
#     them keys of their own to seal under.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use Test::More;

my $hsm = new_hsm('shared');
my $node = new_cluster('original', hsm => $hsm, init => { allows_streaming => 1 });
my $tmp = $PostgreSQL::Test::Utils::tmp_check;

sub value { my ($server, $db, $sql) = @_; return $server->safe_psql($db, $sql); }
sub owner_of { my ($server, $db) = @_; return value($server, $db, "SELECT ok FROM sdes.health() WHERE \"check\" = 'owner'"); }

value($node, 'postgres', 'CREATE DATABASE shop');
value($node, 'shop', 'CREATE EXTENSION sdes');
is(owner_of($node, 'shop'), 't', 'without a key, a database owns them all');
value($node, 'shop', <<'SQL');
SELECT sdes.create_bucket('customer_pii'), sdes.create_bucket('vault', mode => 'hsm');
SELECT sdes.grant_access(b, 'postgres', '{encrypt,search,decrypt}') FROM unnest('{customer_pii,vault}'::text[]) AS b;
CREATE TABLE people (id int PRIMARY KEY, email sdes.enc_text('customer_pii', 'searchable'), note sdes.enc_text('vault'));
INSERT INTO people VALUES (1, 'ada@example.org', 'in the vault');
SQL
is(owner_of($node, 'shop'), 't', 'who makes the first key owns it');
value($node, 'postgres', 'CREATE DATABASE copy TEMPLATE shop');
is(owner_of($node, 'copy'), 'f', 'a database of a template does not');
is(owner_of($node, 'shop'), 't', 'the template does, still');

# Another cluster, the same token.
my $other = new_cluster('another', hsm => $hsm);
ok($node->run_log([ 'pg_dump', '-f', "$tmp/shop.sql", $node->connstr('shop') ]), 'a dump');
value($other, 'postgres', 'CREATE DATABASE shop TEMPLATE template0');
$other->run_log([ 'psql', '-X', '-q', '-d', $other->connstr('shop'), '-f', "$tmp/shop.sql" ]);
is(owner_of($other, 'shop'), 'f', 'nor does a database that was restored elsewhere');

# A standby is the same database, and stays that when it is promoted.
$node->backup('base');
my $standby = new_cluster('standby', hsm => $hsm, from_backup => [ $node, 'base', has_streaming => 1 ]);
$node->wait_for_catchup($standby);
$standby->promote;
$standby->poll_query_until('shop', 'SELECT NOT pg_is_in_recovery()');
is(owner_of($standby, 'shop'), 't', 'a promoted standby owns them');

# SoftHSM2 makes no key in a token that another process has changed since it was opened.
$standby->stop;
for my $copy ([ $node, 'copy' ], [ $other, 'shop' ])
{
    my ($server, $db) = @$copy;
    my $name = $server->name . "/$db";
    if ($server != $node)
    {
        $node->stop;
        $other->restart;
    }
    my $ids = value($server, $db, "SELECT string_agg(key_id, ',' ORDER BY key_id) FROM sdes.keys WHERE state = 'active' AND purpose <> 'search'");
    is(value($server, $db, 'SELECT email, note FROM people'), 'ada@example.org|in the vault', "$name: reads");
    value($server, $db, "INSERT INTO people VALUES (2, 'grace\@example.org', 'too')");
    like(error_as($server, 'postgres', "SELECT sdes.shred_bucket('customer_pii', 'customer_pii')", $db),
        qr/55000.*copy of the one that owns its keys.*adopt_keys/s, "$name: shreds nothing");
    like(error_as($server, 'postgres', "SELECT sdes.destroy_kek('00')", $db), qr/55000.*copy of the one/s,
        "$name: destroys no key");
    like(error_as($server, 'postgres', 'SET ROLE pg_monitor; SELECT sdes.adopt_keys()', $db), qr/42501/, "$name: not everybody adopts");
    value($server, $db, 'SELECT sdes.adopt_keys()');
    is(owner_of($server, $db), 't', "$name: owns its keys then");
    is(value($server, $db, "SELECT count(*) FROM sdes.keys WHERE state = 'active' AND key_id = ANY (string_to_array('$ids', ','))"), 1 - 1,
        "$name: seals under none of those that it had");
    is(value($server, $db, "SELECT count(*) FROM sdes.keys WHERE key_id = ANY (string_to_array('$ids', ',')) AND state NOT IN ('decrypt-only', 'retired')"),
        0, "$name: which open values until those are under another key");
    value($server, $db, "INSERT INTO people VALUES (3, 'ada\@example.org', 'three')");
    is(value($server, $db, "SELECT string_agg(id || note::text, ',' ORDER BY id) FROM people WHERE email = 'ada\@example.org'"),
        '1in the vault,3three', "$name: old and new values are found together");
    is(value($server, $db, "SELECT string_agg(note::text, ',' ORDER BY id) FROM people"), 'in the vault,too,three', "$name: all are read");
}
$node->start;
is(owner_of($node, 'shop'), 't', 'the original owns its own');
is(value($node, 'shop', "SELECT count(*) FROM sdes.keys WHERE state = 'decrypt-only'"), 0, 'and goes on as before');

done_testing();
