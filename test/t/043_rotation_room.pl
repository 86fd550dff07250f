# 043_rotation_room.pl
#     A table hardly grows while it is re-encrypted: new rows take the room of those that
#     the batches before have left dead, although nobody vacuums.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesRotation;
use Test::More;

my $ROWS = 20000;

my $node = new_cluster('room', conf => <<'CONF');
log_statement = none
autovacuum = off
sdes.rotation_batch_rows = 500
sdes.rotation_naptime = 1s
CONF
$node->safe_psql('postgres', 'CREATE DATABASE ledger');
$node->safe_psql('ledger', <<"SQL");
CREATE EXTENSION sdes;
CREATE EXTENSION amcheck;
SELECT sdes.create_bucket('ledger');
CREATE ROLE oms LOGIN;
SELECT sdes.grant_access('ledger', 'oms', '{encrypt,search,decrypt}');
CREATE TABLE keyed (id int PRIMARY KEY, mail sdes.enc_text('ledger', 'searchable') UNIQUE);
CREATE TABLE part (id int, secret sdes.enc_text('ledger')) PARTITION BY HASH (id);
CREATE TABLE part_0 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE part_1 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 1);
GRANT ALL ON keyed, part TO oms;
SQL
query_as($node, 'oms', "INSERT INTO keyed SELECT i, 'user' || i FROM generate_series(1, $ROWS) i;
    INSERT INTO part SELECT i, 'value ' || i FROM generate_series(1, $ROWS) i", 'ledger');

sub sizes
{
    return split /\|/, $node->safe_psql('ledger', q{SELECT pg_relation_size('keyed'), pg_relation_size('part_0') + pg_relation_size('part_1')});
}

my @before = sizes();
rotate($node);
emptied_ok($node, 2, 'all values are re-encrypted');
my @after = sizes();
for my $i (0, 1)
{
    my $name = (qw(keyed part))[$i];
    cmp_ok($after[$i], '<', $before[$i] * 1.3, "$name has grown by less than 30 percent")
        or diag("from $before[$i] to $after[$i] bytes");
}

# With somebody's snapshot from before, who might still look at them, dead rows stay.
my $reader = $node->background_psql('ledger', on_error_stop => 1);
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM keyed');
rotate($node);
ok(wait_for(sub { $node->safe_psql('ledger', q{SELECT coalesce(sum("values"), 0) FROM sdes.inventory('ledger') WHERE version < 3 AND object LIKE 'public.%'}) eq '0' }, 60),
    'with a snapshot from before, all values are re-encrypted, too');
is($reader->query_safe('SELECT count(*) FROM keyed'), $ROWS, 'which sees all of its rows');
$reader->query_safe('COMMIT');
$reader->quit;
emptied_ok($node, 3, 'and older keys are empty when it is gone');
is($node->safe_psql('ledger', q{SELECT count(bt_index_check(indexrelid, true)) FROM pg_index WHERE indrelid = 'keyed'::regclass}), '2', 'the indexes are in order');
is($node->safe_psql('ledger', q{SELECT count(*) FROM verify_heapam('keyed')}), '0', 'and the table');
is(query_as($node, 'oms', q{SELECT count(*) FROM keyed WHERE mail::text = 'user' || id}, 'ledger'), $ROWS, 'every value is what it was');

done_testing();
