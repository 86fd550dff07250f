# Statements that a driver keeps prepared: what they were described as stays
# true when the server analyses them anew, after ANALYZE, after a change of the
# table, and after the conversion of a column of plain text to an encrypted one.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use SdesTest;

my $TEXT = 25;    # pg_type.oid

my $node = SdesTest::new_cluster('protocol');
SdesTest::new_extension($node);
SdesTest::create_bucket($node, 'b');
$node->safe_psql('postgres', <<'SQL');
SELECT sdes.grant_access('b', current_user, '{encrypt,decrypt}');
CREATE TABLE t (id int, e sdes.enc_text('b'), p text);
INSERT INTO t VALUES (1, 'one', 'plain');
SQL

# Type at first, type after, value.
sub described
{
    my ($sql, $other) = @_;
    my ($out, $err) = run_command(
        [ 'test/programs/describe.py', $node->connstr('postgres'), $sql, $other ]);

    return "$out$err";
}

is(described('SELECT e FROM t WHERE id = 1', 'ANALYZE t'),
    "$TEXT\n$TEXT\none", 'SELECT, after ANALYZE');
is(described('SELECT e FROM t WHERE id = 1', 'ALTER TABLE t ADD c1 int'),
    "$TEXT\n$TEXT\none", 'SELECT, after a change of the table');
is(described('UPDATE t SET id = id RETURNING e', 'ALTER TABLE t ADD c2 int'),
    "$TEXT\n$TEXT\none", 'RETURNING, after a change of the table');
is(described('SELECT coalesce(e, \'none\') FROM t', 'ANALYZE t'),
    "$TEXT\n$TEXT\none", 'a choice with a constant, after ANALYZE');
is(described('SELECT e FROM t UNION ALL SELECT e FROM t', 'ANALYZE t'),
    "$TEXT\n$TEXT\none", 'UNION ALL, after ANALYZE');
is( described('SELECT p FROM t WHERE id = 1', q{ALTER TABLE t ALTER p TYPE sdes.enc_text('b')}),
    "$TEXT\n$TEXT\nplain", 'a column that is converted to an encrypted one meanwhile');
is( described('SELECT p FROM t WHERE id = 1', 'ALTER TABLE t ALTER p TYPE text'),
    "$TEXT\n$TEXT\nplain", 'and back');

# Card numbers as parameters, in both formats: a text, and no envelope of the other type.
$node->safe_psql('postgres', q{CREATE TABLE cards (card sdes.enc_pan('b'))});
my $pan_type = $node->safe_psql('postgres', "SELECT 'sdes.enc_pan'::regtype::oid");
my $note = $node->safe_psql('postgres', "SELECT encode(sdes.enc_text_send(e), 'hex') FROM t");
my $card = unpack 'H*', '4111 1111 1111 1111';
my $slip = unpack 'H*', '4111 1111 1111 1112';

sub bound
{
    my ($parameter, $options) = @_;
    my ($out, $err) = run_command([ 'python3', 'test/programs/bind.py',
        $node->connstr('postgres') . " options='" . ($options // '') . "'",
        'INSERT INTO cards VALUES ($1)', $parameter ]);
    return "$out$err";
}

for my $parameter ("t:0", "b:0", "t:$TEXT", "b:$TEXT", "t:$pan_type", "b:$pan_type")
{
    is(bound("$parameter:$card"), '00000', "a card number bound as $parameter");
    is(bound("$parameter:$slip"), '22P02', "one with a slip bound as $parameter");
}
is(bound("b:0:$note"), '22000', 'the envelope of a text is refused');
is(bound("b:0:$note", '-c sdes.accept_ciphertext=on'), 'XX001', 'and is no card number where ciphertext is taken');
is($node->safe_psql('postgres', 'SELECT string_agg(DISTINCT card::text, \',\') FROM cards'),
    '4111 1111 1111 1111', 'what was bound is there');

# A deferred trigger runs when the server has no current statement either: what
# its function reads is not the client's result, and stays ciphertext.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE seen (what text);
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE one record;
BEGIN
    SELECT e INTO one FROM t WHERE id = 1;
    INSERT INTO seen VALUES (left(one::text, 7));
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER look AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION look();
SQL
my $script = PostgreSQL::Test::Utils::tempdir() . '/insert.sql';
append_to_file($script, "INSERT INTO t (id) VALUES (2);\n");
command_ok(
    [ 'pgbench', '-n', '-M', 'extended', '-t', '1', '-f', $script, $node->connstr('postgres') ],
    'an insert through the extended protocol');
is($node->safe_psql('postgres', 'SELECT what FROM seen'),
    '(sdes1:', 'what a deferred trigger reads stays ciphertext');

$node->stop;
done_testing();
