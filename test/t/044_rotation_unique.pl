# 044_rotation_unique.pl
#     Keys stay unique while they are re-encrypted. Re-encryption asks no index of plain
#     columns whether a row is unique in it (src/rotation/index_entries.c); clients that
#     insert, change and delete the same few keys at the same time must find it all the same.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use SdesRotation;
use Test::More;

my $ROTATIONS = soak(3, 100);
my $KEYS = 400;

my $node = new_cluster('unique', conf => <<'CONF');
log_statement = none
sdes.rotation_batch_rows = 20
sdes.rotation_naptime = 1s
CONF
$node->safe_psql('postgres', 'CREATE DATABASE ledger');
$node->safe_psql('ledger', <<'SQL');
CREATE EXTENSION sdes;
CREATE EXTENSION amcheck;
SELECT sdes.create_bucket('ledger');
CREATE ROLE oms LOGIN;
SELECT sdes.grant_access('ledger', 'oms', '{encrypt,search,decrypt}');
CREATE TABLE keyed (at_once sdes.enc_text('ledger', 'searchable') PRIMARY KEY,
    deferred sdes.enc_text('ledger', 'searchable') UNIQUE DEFERRABLE INITIALLY DEFERRED,
    partly sdes.enc_text('ledger', 'searchable'), tried int NOT NULL DEFAULT 0,
    EXCLUDE USING hash (partly WITH =));
CREATE UNIQUE INDEX tried ON keyed (partly) WHERE tried >= 0;
-- What came of it: an insert of a key that is there must fail.
CREATE FUNCTION try(key text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO keyed VALUES (key, key, key);
    SET CONSTRAINTS ALL IMMEDIATE;
    RETURN 'inserted';
EXCEPTION
    WHEN unique_violation OR exclusion_violation THEN RETURN 'refused';
END $$;
GRANT ALL ON keyed TO oms;
SQL
query_as($node, 'oms', "INSERT INTO keyed SELECT k, k, k FROM (SELECT 'key' || i FROM generate_series(1, $KEYS, 2) i) s (k)", 'ledger');

# The same key comes in by three ways, and goes, in short transactions.
append_to_file($node->basedir . '/load.sql', <<"SQL");
\\set i random(1, $KEYS)
\\set j random(1, $KEYS)
SELECT try('key:i');
INSERT INTO keyed VALUES ('key:j', 'key:j', 'key:j') ON CONFLICT (at_once) DO UPDATE SET tried = keyed.tried + 1;
DELETE FROM keyed WHERE at_once = 'key:i';
SELECT try('key:i');
SQL
my ($out, $errors) = ('', '');
my $load;
{
    local %ENV = $node->_get_env;
    $load = IPC::Run::start([ 'pgbench', '-n', '-c', 4, '-j', 1, '-T', 3600, '--max-tries', 100, '-U', 'oms',
        '-f', $node->basedir . '/load.sql', $node->connstr('ledger') ], '<', \undef, '>', \$out, '2>', \$errors);
}

for my $rotation (1 .. $ROTATIONS)
{
    rotate($node);
    ok(wait_until_emptied($node, 'ledger'), "rotation $rotation ends");
    my $version = $node->safe_psql('ledger', q{SELECT max(version) FROM sdes.keys WHERE bucket = 'ledger'});
    is($version, $rotation + 1, "rotation $rotation: there is a new version");
    is(query_as($node, 'oms', 'SELECT count(*) - count(DISTINCT at_once::text), count(*) - count(DISTINCT deferred::text),
        count(*) - count(DISTINCT partly::text) FROM keyed', 'ledger'), '0|0|0', "rotation $rotation: no key is there twice");
}
# Not INT, which whoever started us in the background may have had ignored.
$load->signal('TERM');
eval { $load->finish };
unlike($errors, qr/ERROR/, 'no client met an error');
is($node->safe_psql('ledger', q{SELECT count(bt_index_check(indexrelid, true)) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE indrelid = 'keyed'::regclass AND relam = (SELECT oid FROM pg_am WHERE amname = 'btree')}), '3', 'the indexes are in order');
is(query_as($node, 'oms', q{SET enable_seqscan = off; SELECT count(*) FROM keyed a WHERE
    (SELECT count(*) FROM keyed b WHERE b.at_once = a.at_once::text) <> 1 OR (SELECT count(*) FROM keyed b WHERE b.partly = a.partly::text) <> 1},
    'ledger'), '0', 'each row is found by its keys');
isnt($node->safe_psql('ledger', 'SELECT count(*) FROM keyed'), '0', 'there are some');

done_testing();
