# 087_drop_extension.pl
#     Nothing drops the extension while encrypted columns exist: values would be lost
#     that no key brings back. Where there are none it goes, and can be made again.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use Test::More;

my $node = new_cluster('drops', conf => "log_statement = none\n");
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE boss SUPERUSER LOGIN;
CREATE ROLE oms LOGIN;
CREATE DATABASE shop;
SQL

sub make_extension
{
    my ($database, $role) = @_;
    $node->safe_psql($database, "SET ROLE $role; CREATE EXTENSION sdes; SELECT sdes.create_bucket('customer_pii');"
        . " SELECT sdes.grant_access('customer_pii', 'oms', '{encrypt,decrypt}')");
    return;
}
make_extension('shop', 'postgres');
$node->safe_psql('shop', 'CREATE SCHEMA elsewhere; GRANT CREATE ON SCHEMA public TO oms');

my $BUCKET = "sdes.enc_text('customer_pii')";
my $REFUSED = qr/2BP01: cannot drop extension "sdes" while encrypted columns exist/;
my @WAYS = (
    'DROP EXTENSION sdes',
    'DROP EXTENSION sdes CASCADE',
    'DROP EXTENSION IF EXISTS sdes CASCADE',
    'DROP SCHEMA sdes',
    'DROP SCHEMA sdes CASCADE',
    'DROP SCHEMA elsewhere, sdes CASCADE',
    'DO $$ BEGIN DROP EXTENSION sdes CASCADE; END $$',
    'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; DROP EXTENSION sdes CASCADE',
);

# ---- every way, a plain column ----

query_as($node, 'oms', "CREATE TABLE people (id int, email $BUCKET); INSERT INTO people VALUES (1, 'ada\@example.org')", 'shop');
for my $way (@WAYS)
{
    my $error = error_as($node, 'boss', $way, 'shop');
    like($error, qr/$REFUSED.*DETAIL:  There are: column email of table people\..*HINT:  Drop these columns/s, "$way: refused");
}
# What takes the types along by other ways.
for my $way ('DROP EXTENSION plpgsql CASCADE', 'ALTER EXTENSION sdes DROP TYPE sdes.enc_text; DROP TYPE sdes.enc_text CASCADE')
{
    like(error_as($node, 'boss', $way, 'shop'), qr/$REFUSED.*DETAIL:  There is 1 of them\./s, "$way: refused");
}
is(query_as($node, 'oms', 'SELECT email FROM people', 'shop'), 'ada@example.org', 'the value is still there');

# ---- columns of all kinds ----

$node->safe_psql('shop', 'DROP TABLE people');
my %KINDS = (
    'an array' => [ "CREATE TABLE t (c $BUCKET\[])", 'DROP TABLE t', 'column c of table t' ],
    'a card number' => [ q{CREATE TABLE t (c sdes.enc_pan('customer_pii'))}, 'DROP TABLE t', 'column c of table t' ],
    'a domain' => [ "CREATE DOMAIN d AS $BUCKET; CREATE TABLE t (c d)", 'DROP TABLE t; DROP DOMAIN d', 'column c of table t' ],
    'an array of domains' => [ "CREATE DOMAIN d AS $BUCKET; CREATE TABLE t (c d[])", 'DROP TABLE t; DROP DOMAIN d', 'column c of table t' ],
    'a composite' => [ "CREATE TYPE y AS (c $BUCKET); CREATE TABLE t (i int, c y)", 'DROP TABLE t; DROP TYPE y', 'column c of table t' ],
    'a row of a table' => [ "CREATE TABLE s (c $BUCKET); CREATE TABLE t (i int, c s[])", 'DROP TABLE t, s', 'column c of table s, column c of table t' ],
    'a partitioned table' => [ "CREATE TABLE t (i int, c $BUCKET) PARTITION BY LIST (i)", 'DROP TABLE t', 'column c of table t' ],
    'a materialized view' => [ "CREATE MATERIALIZED VIEW t AS SELECT NULL::$BUCKET AS c", 'DROP MATERIALIZED VIEW t', 'column c of materialized view t' ],
    'a table of another schema' => [ "CREATE TABLE elsewhere.t (c $BUCKET)", 'DROP TABLE elsewhere.t', 'column c of table elsewhere.t' ],
    'many columns' => [ 'CREATE TABLE t (' . join(', ', map { "c$_ $BUCKET" } 1 .. 7) . ')', 'DROP TABLE t',
        join(', ', map { "column c$_ of table t" } 1 .. 5) . ' and 2 more' ],
);
for my $kind (sort keys %KINDS)
{
    my ($make, $drop, $named) = @{ $KINDS{$kind} };
    $node->safe_psql('shop', $make);
    like(error_as($node, 'boss', 'DROP EXTENSION sdes CASCADE', 'shop'), qr/$REFUSED.*DETAIL:  There are: \Q$named\E\./s, "$kind: refused");
    like(error_as($node, 'boss', 'DROP EXTENSION plpgsql CASCADE', 'shop'), $REFUSED, "$kind: also by another way");
    $node->safe_psql('shop', $drop);
}

# ---- what does not stop it ----

$node->safe_psql('shop', "CREATE TABLE people (id int, email $BUCKET); GRANT ALL ON people TO oms; ALTER TABLE people OWNER TO oms");
query_as($node, 'oms', "INSERT INTO people VALUES (1, 'ada\@example.org'); ALTER TABLE people ALTER email TYPE text", 'shop');
$node->safe_psql('shop', <<"SQL");
CREATE TABLE gone (c $BUCKET, d int);
ALTER TABLE gone DROP COLUMN c;
CREATE DOMAIN unused AS $BUCKET;
CREATE VIEW shown AS SELECT NULL::$BUCKET AS c;
CREATE TYPE row_of AS (c $BUCKET);
CREATE FUNCTION takes(sdes.enc_text) RETURNS int LANGUAGE sql AS 'SELECT 1';
SQL
like(error_as($node, 'boss', 'DROP EXTENSION sdes', 'shop'), qr/2BP01: cannot drop extension sdes because other objects depend on it/,
    'what depends on it is still asked about');
is(error_as($node, 'boss', 'DROP EXTENSION sdes CASCADE', 'shop'), '', 'without an encrypted column it goes');
is($node->safe_psql('shop', 'SELECT email FROM people'), 'ada@example.org', 'what was converted stays');
$node->safe_psql('shop', 'DROP SCHEMA sdes');
make_extension('shop', 'boss');
is($node->safe_psql('shop', q{SELECT count(*) FROM sdes.health() WHERE NOT ok AND "check" = 'keys'}), '0', 'it can be made again');
is(error_as($node, 'boss', 'DROP EXTENSION sdes', 'shop'), '', 'and dropped again, plainly');

# ---- its owner ----

make_extension('shop', 'boss');
query_as($node, 'oms', "CREATE TABLE orders (email $BUCKET); INSERT INTO orders VALUES ('bob\@example.org')", 'shop');
for my $way ('DROP OWNED BY boss', 'DROP OWNED BY boss CASCADE', 'DROP ROLE boss')
{
    like(error_as($node, 'postgres', $way, 'shop'), qr/2BP01/, "$way: refused");
}
$node->safe_psql('shop', 'ALTER TABLE orders OWNER TO boss; GRANT SELECT ON orders TO oms');
like(error_as($node, 'postgres', 'DROP OWNED BY boss CASCADE', 'shop'), $REFUSED, 'DROP OWNED BY who owns the columns, too: refused');
$node->safe_psql('shop', 'REASSIGN OWNED BY boss TO postgres; DROP OWNED BY boss');
is(query_as($node, 'oms', 'SELECT email FROM orders', 'shop'), 'bob@example.org', 'another owner is fine');

# ---- names ----

like(error_as($node, 'postgres', 'ALTER EXTENSION sdes SET SCHEMA public', 'shop'), qr/0A000/, 'SET SCHEMA: refused');
like(error_as($node, 'postgres', 'ALTER SCHEMA sdes RENAME TO other', 'shop'), qr/0A000: schema "sdes" cannot be renamed.*DETAIL/s, 'RENAME: refused');
is(error_as($node, 'postgres', 'ALTER SCHEMA elsewhere RENAME TO other; ALTER SCHEMA other OWNER TO oms; ALTER SCHEMA sdes OWNER TO postgres', 'shop'), '',
    'other changes of schemas are not');
is(query_as($node, 'oms', 'SELECT email FROM orders', 'shop'), 'bob@example.org', 'all is as it was');
$node->safe_psql('postgres', 'CREATE SCHEMA sdes; ALTER SCHEMA sdes RENAME TO what; CREATE SCHEMA sdes; DROP SCHEMA sdes CASCADE');
pass('a schema of that name without the extension is anybody\'s');

is(error_as($node, 'postgres', 'DROP DATABASE shop WITH (FORCE)'), '', 'the database can be dropped');
$node->stop;
done_testing();
