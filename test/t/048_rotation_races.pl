# 048_rotation_races.pl
#     What could bring a value back under a key that seems empty, or leave one behind when
#     search keys are switched: copies under way, variables that outlive a transaction,
#     tables in the making, code of a table's owner that takes its time.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep);
use SdesTest;
use SdesFaults;
use SdesRotation;
use Test::More;

my $node = new_cluster('races', conf => <<'CONF');
log_statement = none
sdes.rotation_naptime = 1s
max_prepared_transactions = 2
CONF
new_ledger($node, rows => 200);
$node->safe_psql('ledger', q{SELECT sdes.grant_access('ledger', current_user, '{encrypt,search,decrypt}')});
my $version = 1;

sub sql { return $node->safe_psql('ledger', $_[0]); }
sub session { return $node->background_psql('ledger', on_error_stop => 1); }

sub state_of { return sql("SELECT state FROM sdes.keys WHERE bucket = 'ledger' AND version = $_[0]"); }

sub begin_rotation
{
    my ($name) = @_;
    is(rotate($node), ++$version, "$name: a new version");
    return;
}

# ---- copies that are not committed when all else is clean ----

sql('CREATE TABLE copy (LIKE part); CREATE TABLE source AS TABLE part');
sql(q{SELECT sdes.pause_rotation('ledger')});
begin_rotation('a copy under way');
my $other = session();
$other->query_safe('BEGIN; INSERT INTO copy SELECT * FROM source');
sql(q{SELECT sdes.resume_rotation('ledger')});
ok(wait_for(sub { sql(q{SELECT clean_at IS NOT NULL FROM sdes.dek d JOIN sdes.bucket b ON b.uuid = d.bucket WHERE name = 'ledger' AND version = }
                . ($version - 1)) eq 't' }, 30), 'a copy under way: all that can be seen is clean');
sleep(2.5);
is(state_of($version - 1), 'decrypt-only', 'a copy under way: the version is not retired');
like(sql(q{SELECT phase FROM sdes.rotation_progress WHERE relation IS NULL AND bucket = 'ledger'}), qr/older than transaction/,
    'a copy under way: the view tells what it waits for');
$other->query_safe('COMMIT');
emptied_ok($node, $version, 'a copy under way: its values follow');
is(sql('SELECT count(*) FROM copy WHERE secret::text = secret_plain'), '200', 'a copy under way: and can be read');

# ---- a revoked version with values under it cannot be destroyed ----

sql(q{SELECT sdes.pause_rotation('ledger')});
sql("SELECT sdes.revoke_key('ledger', $version, 'test'), sdes.pause_rotation('ledger')");
like(error_as($node, $ENV{USER} // 'postgres', "SELECT sdes.destroy_key('ledger', $version)", 'ledger'), qr/55000.*not retired and empty/s,
    'revoked: it is not destroyed before its values have followed');
$version++;
sql(q{SELECT sdes.resume_rotation('ledger')});
emptied_ok($node, $version, 'revoked: they have');

# ---- a variable that holds a value over many transactions ----

sql(<<'SQL');
CREATE PROCEDURE keep() LANGUAGE plpgsql AS $$
DECLARE
    v sdes.enc_text;
BEGIN
    SELECT secret INTO v FROM part WHERE id = 1;
    COMMIT;
    PERFORM sdes.rotate_bucket('ledger');
    COMMIT;
    WHILE EXISTS (SELECT FROM sdes.keys WHERE bucket = 'ledger' AND state IN ('decrypt-only', 'retired') AND emptied_at IS NULL) LOOP
        COMMIT;
        PERFORM pg_sleep(0.1);
    END LOOP;
    INSERT INTO part VALUES (7777, v, 'part1');
END
$$
SQL
sql('CALL keep()');
$version++;
is(sql('SELECT secret::text FROM part WHERE id = 7777'), 'part1', 'a variable: what it held can be read once it is stored');
like(versions($node), qr/^$version:\d+$/, 'a variable: under the key of today');
# The variable of a procedure that calls itself a statement finds what it seeks after a switch, too.
sql(<<'SQL');
CREATE TABLE hashed (mail sdes.enc_text('ledger', 'searchable'));
CREATE INDEX ON hashed USING hash (mail);
INSERT INTO hashed SELECT 'user' || i FROM generate_series(1, 50) i;
CREATE PROCEDURE seek(OUT before bigint, OUT after bigint) LANGUAGE plpgsql AS $$
DECLARE
    v sdes.enc_text := 'user7';
BEGIN
    SET enable_seqscan = off;
    before := (SELECT count(*) FROM hashed WHERE mail = v);
    COMMIT;
    PERFORM sdes.rotate_search_key();
    COMMIT;
    WHILE NOT EXISTS (SELECT FROM sdes.keys WHERE state = 'incoming' AND emptied_at IS NOT NULL) LOOP
        COMMIT;
        PERFORM pg_sleep(0.1);
    END LOOP;
    CALL sdes.switch_search_key();
    after := (SELECT count(*) FROM hashed WHERE mail = v);
END
$$
SQL
is(sql('CALL seek(NULL, NULL)'), '1|1', 'a variable: is found before and after a switch of search keys');

sub search_settled
{
    return wait_for(sub { sql(q{SELECT count(*) FROM sdes.keys WHERE purpose = 'search' AND state IN ('incoming', 'decrypt-only') AND emptied_at IS NULL}) eq '0' }, 60);
}

# ---- a table in the making when search keys are switched ----

ok(search_settled(), 'in the making: the last switch is over');
sql('SELECT sdes.rotate_search_key()');
ok(search_settled(), 'in the making: all values have two tokens');
$other->query_safe(q{BEGIN; CREATE TABLE fresh (mail sdes.enc_text('ledger', 'searchable') PRIMARY KEY); INSERT INTO fresh SELECT 'user' || i FROM generate_series(1, 100) i});
my $switch = start_query($node, $ENV{USER} // 'postgres', 'CALL sdes.switch_search_key()', 'ledger');
sleep(1.5);
is(sql(q{SELECT count(*) FROM sdes.keys WHERE state = 'incoming'}), '1', 'in the making: the switch waits for it');
$other->query_safe(q{INSERT INTO fresh SELECT 'user' || i FROM generate_series(101, 200) i; COMMIT});
unlike(finish_query($switch)->{err}, qr/ERROR/, 'in the making: and goes through then');
is(sql(q{SET enable_seqscan = off; SELECT count(*) FROM generate_series(1, 200) i JOIN fresh f ON f.mail = ('user' || i)}), '200', 'in the making: all rows are found');
sql('CREATE EXTENSION IF NOT EXISTS amcheck');
is(sql(q{SELECT bt_index_check('fresh_pkey', true)}), '', 'in the making: its index is in one order');
like(error_as($node, 'postgres', q{INSERT INTO fresh VALUES ('user7')}, 'ledger'), qr/23505/, 'in the making: and unique');
intact_ok($node, 'in the making: all else is there', rows => 200);
ok(search_settled(), 'in the making: the old tokens leave');

# ---- what cannot follow a switch ----

for my $ddl ([ 'a partition by an expression', q{CREATE TABLE odd (mail sdes.enc_text('ledger', 'searchable')) PARTITION BY HASH ((coalesce(mail, mail)))}, 'DROP TABLE odd' ],
    [ 'a range', 'CREATE TYPE odd AS RANGE (subtype = sdes.enc_text)', 'DROP TYPE odd' ])
{
    my ($status, undef, $err) = $node->psql('ledger', $ddl->[1]);
    next if $status != 0 && diag("$ddl->[0]: $err");
    like(error_as($node, 'postgres', 'SELECT sdes.rotate_search_key()', 'ledger'), qr/0A000: .*cannot be rotated while/s, "$ddl->[0] is in the way");
    sql($ddl->[2]);
}

# ---- code of a table's owner ----

sql(<<'SQL');
CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE TABLE owned (id int, secret sdes.enc_text('ledger', 'searchable'));
INSERT INTO owned SELECT i, 'x' FROM generate_series(1, 50) i;
CREATE INDEX ON owned (slow(id), secret);
CREATE OR REPLACE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN $1; END';
SQL
begin_rotation('slow code');
ok(wait_for(sub { sql(q{SELECT last_error FROM sdes.rotation_progress WHERE relation = 'owned'::regclass}) =~ /timeout/ }, 40),
    'slow code: its table is put off');
ok(wait_for(sub { sql(q{SELECT bool_and(phase = 'done') FROM sdes.rotation_progress WHERE bucket = 'ledger' AND relation IN ('account'::regclass, 'part_0'::regclass)}) eq 't' }, 30),
    'slow code: other tables are done');
sql(q{CREATE OR REPLACE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1; END'});
emptied_ok($node, $version, 'slow code: once it is quick');
$other->quit;
$node->stop;
done_testing();
