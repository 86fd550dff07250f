# 026_results.pl
#     Results over the wire: a driver is told of text and gets it, whatever way it
#     prepares, describes and executes, in portions and in binary, and goes on doing so
#     when the column is encrypted meanwhile. What a role may not see it does not get by
#     any of these ways.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesProtocol;
use Test::More;

my $node = new_cluster('results');
new_extension($node);
create_bucket($node, 'pii');
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE app LOGIN;
CREATE ROLE masked LOGIN;
CREATE ROLE nobody LOGIN;
SELECT sdes.grant_access('pii', 'app', '{encrypt,search,decrypt}'), sdes.grant_access('pii', 'masked', '{mask}'),
    sdes.grant_access('pii', 'postgres', '{encrypt}');
CREATE TABLE t (id int PRIMARY KEY, a text, b text);
INSERT INTO t SELECT i, 'value ' || i, 'b' FROM generate_series(1, 5) AS i;
GRANT ALL ON t TO app, masked, nobody;
SQL
my $admin = SdesProtocol->new($node, 'postgres');
my $client = SdesProtocol->new($node, 'app');

sub is_answer
{
    my ($expected, $name, @answer) = @_;
    is(SdesProtocol::line(@answer), $expected, $name);
}

# ---- statements prepared while the column was plain ----

$client->parse('select', 'SELECT id, a FROM t WHERE id <= $1 ORDER BY id');
$client->parse('update', 'UPDATE t SET b = b WHERE id = $1 RETURNING a');
$client->parse('json', 'SELECT json_agg(a ORDER BY id) FROM t WHERE id < 3');
$client->parse('array', 'SELECT array_agg(a ORDER BY a) FROM t WHERE id < 3');
$client->parse('distinct', 'SELECT DISTINCT a FROM t ORDER BY a LIMIT 2');
is_answer('', 'statements are prepared', $client->sync);
my $before = SdesProtocol::line(map { $client->run($_, $_ eq 'select' || $_ eq 'update' ? 2 : ()) }
        qw(select update json array distinct));
is_answer('C(ALTER TABLE)', 'the column is encrypted',
    $admin->query("ALTER TABLE t ALTER a TYPE sdes.enc_text('pii', 'searchable')"));
is(SdesProtocol::line(map { $client->run($_, $_ eq 'select' || $_ eq 'update' ? 2 : ()) }
            qw(select update json array distinct)),
    $before, 'they all answer as before');
is($node->safe_psql('postgres', "SELECT count(*) FROM t WHERE to_json(a)::text ~ '^.sdes1:'"), '5',
    'though values are ciphertext');

my $columns = 'T(id 23|a 25)';
$client->describe('S', 'select');
is_answer($columns, 'a statement is described as text', $client->sync);
$client->bind('', 'select', [1]);
$client->describe('P', '');
$client->execute('');
is_answer("$columns D(1|value 1) C(SELECT 1)", 'a portal, too', $client->sync);
$client->bind('', 'select', [1], 1);
$client->execute('');
is_answer("D(\0\0\0\1|value 1) C(SELECT 1)", 'binary text is text', $client->sync);

$admin->query('ANALYZE t');
$admin->query('ALTER TABLE t ADD later int');
$client->describe('S', 'select');
is_answer($columns, 'described after ALTER, with no statement under way', $client->sync);
is_answer('D(1|value 1) C(SELECT 1)', 'executed after ALTER', $client->run('select', 1));
$admin->query('ALTER TABLE t DROP later');

# ---- one statement, two ways of executing it ----

$client->parse('s1', 'SELECT a FROM t WHERE id = $1');
is_answer('', 'prepared by the protocol', $client->sync);
is_answer('T(a 25) D(value 1) C(SELECT 1)', 'executed by SQL', $client->query("EXECUTE s1(1)"));
$admin->query('ALTER TABLE t ADD later int');
is_answer('T(a 25) D(value 1) C(SELECT 1)', 'and after ALTER', $client->query("EXECUTE s1(1)"));
like(SdesProtocol::line($client->query('CREATE TEMP TABLE leak AS EXECUTE s1(1)')), qr/^E\(0A000\|/,
    'but nothing is stored of it');
$client->parse('', 'PREPARE s2 AS SELECT a, t FROM t WHERE id = 1');
is_answer('C(PREPARE)', 'prepared by SQL, by the protocol', $client->run(''));
is_answer('T(a 25|t 2249) D(value 1|(1,"value 1",b,)) C(SELECT 1)', 'executed', $client->query('EXECUTE s2'));
$admin->query('ALTER TABLE t DROP later');
is_answer('T(a 25|t 2249) D(value 1|(1,"value 1",b)) C(SELECT 1)', 'and after ALTER', $client->query('EXECUTE s2'));
$client->query('PREPARE many AS SELECT a FROM t WHERE id = 1; DEALLOCATE many') for 1 .. 300;
is_answer('C(DISCARD ALL)', 'all are discarded', $client->query('DISCARD ALL'));
is_answer('C(PREPARE) T(a 25) D(value 2) C(SELECT 1)', 'one of the same name',
    $client->query('PREPARE s2 AS SELECT a FROM t WHERE id = 2; EXECUTE s2'));

# ---- in portions ----

$client->query('BEGIN');
$client->parse('', 'UPDATE t SET b = b WHERE id > 2 RETURNING id, a, ARRAY[a]');
$client->bind('portal', '', []);
$client->execute('portal', 2);
is_answer('D(3|value 3|{"value 3"}) D(4|value 4|{"value 4"}) s()', 'RETURNING, two rows', $client->sync);
$client->execute('portal', 2);
is_answer('D(5|value 5|{"value 5"}) C(UPDATE 1)', 'and the last', $client->sync);
$client->query('COMMIT');
$client->query('BEGIN; DECLARE held CURSOR WITH HOLD FOR SELECT id, a, t FROM t WHERE id < 4 ORDER BY id; COMMIT');
$client->execute('held', 1);
is_answer('D(1|value 1|(1,"value 1",b)) s()', 'a cursor WITH HOLD as a portal', $client->sync);
is_answer('T(id 23|a 25|t 2249) D(2|value 2|(2,"value 2",b)) C(FETCH 1)', 'by FETCH', $client->query('FETCH held'));
$client->parse('fetch', 'FETCH held');
$client->describe('S', 'fetch');
is_answer('T(id 23|a 25|t 2249)', 'FETCH is described', $client->sync);
$client->bind('', 'fetch', [], 1);
$client->execute('');
my @last = $client->sync;
is($last[0][2], 'value 3', 'a pointer to a value is followed in binary, too');
$client->query('CLOSE held');

# ---- by the protocol, what SQL has for it ----

$client->parse('', 'COPY (SELECT a FROM t WHERE id = 1) TO STDOUT');
is_answer('d(value 1) C(COPY 1)', 'COPY', $client->run(''));
$client->parse('declare', 'DECLARE c CURSOR WITH HOLD FOR SELECT a FROM t ORDER BY id');
is_answer('C(DECLARE CURSOR)', 'DECLARE', $client->run('declare'));
is_answer('T(a 25) D(value 1) C(FETCH 1)', 'FETCH', $client->query('FETCH c'));
$client->query('CLOSE c');
$admin->query('ALTER TABLE t ADD later int');
is_answer('C(DECLARE CURSOR)', 'DECLARE after ALTER', $client->run('declare'));
is_answer('T(a 25) D(value 1) C(FETCH 1)', 'FETCH', $client->query('FETCH c'));
$client->parse('', 'EXPLAIN (VERBOSE, COSTS OFF) SELECT a FROM t');
like(SdesProtocol::line($client->run('')), qr/Output: sdes\.reveal\(a\)/, 'EXPLAIN');

# ---- who may not see it ----

for my $case ([ masked => qr/^v\*+$/ ], [ nobody => qr/^sdes1:/ ])
{
    my ($role, $seen) = @$case;
    my $other = SdesProtocol->new($node, $role);
    $other->parse('p', 'SELECT a FROM t WHERE id = 1');
    $other->parse('u', 'UPDATE t SET b = b WHERE id = 1 RETURNING a');
    $other->sync;
    my @answers = map { [ $_, $other->run($_) ] } qw(p u);
    push @answers, [ EXECUTE => $other->query('EXECUTE p') ],
        [ FETCH => $other->query('BEGIN; DECLARE c CURSOR FOR SELECT a FROM t WHERE id = 1; FETCH c; COMMIT') ],
        [ COPY => $other->query('COPY (SELECT a FROM t WHERE id = 1) TO STDOUT') ];
    for (@answers)
    {
        my ($way, @answer) = @$_;
        my ($row) = grep { $_->[0] =~ /^[Dd]$/ } @answer;
        like($row->[1], $seen, "$role by $way");
    }
}

# One statement for all: as a pool has it that sets the role for each transaction.
$node->safe_psql('postgres', 'CREATE ROLE pool LOGIN NOINHERIT IN ROLE app, masked, nobody');
my $pool = SdesProtocol->new($node, 'pool');
$pool->query('SET ROLE app');
$pool->parse('p', 'SELECT a FROM t WHERE id = 1');
$pool->sync;
for my $case ([ app => qr/^value 1$/ ], [ masked => qr/^v\*+$/ ], [ nobody => qr/^sdes1:/ ], [ app => qr/^value 1$/ ])
{
    $pool->query("SET ROLE $case->[0]");
    my ($row) = $pool->run('p');
    like($row->[1], $case->[1], "as $case->[0]");
}

done_testing();
