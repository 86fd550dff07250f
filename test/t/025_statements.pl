# 025_statements.pl
#     Memory stays flat: of a backend that runs the same kind of statement over
#     and over, be it an error; of one that uses many keys, or the same ones anew;
#     and of the agent while it answers.

use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use SdesMemory;
use Test::More;

my $STATEMENTS = soak(4000, 50_000); # of each kind: over a million in all
my $FETCHES = soak(1500, 10_000); # of one key, each by the agent
my $KEYS = soak(40, 400);
my $UNWRAPS = soak(2000, 20_000);
my $SESSIONS = soak(60, 1000);

# What may come on top however often something runs (kB): pages first touched,
# chunks of the allocator. A leak of 32 bytes each time would be more.
my $SLACK = 100;

my $node = new_cluster('statements', conf => "shared_buffers = 16MB\nlog_statement = none\nfsync = off\n");
new_shop($node);
$node->safe_psql('shop', <<'SQL');
GRANT sdes_admin, sdes_officer TO postgres;
CREATE TABLE t (id bigint PRIMARY KEY, e sdes.enc_text('customer_pii'), c sdes.enc_text('payment'));
GRANT SELECT, INSERT, UPDATE ON t TO oms, support, stranger;
GRANT pg_read_all_stats TO oms, support, stranger;
SELECT sdes.grant_access(bucket, 'postgres', '{encrypt,decrypt}') FROM unnest('{customer_pii,payment}'::text[]) AS bucket;
SQL
query_as($node, 'oms', "INSERT INTO t SELECT i, 'name ' || i, 'card ' || i FROM generate_series(0, 9) AS i", 'shop');
my $armor = query_as($node, 'stranger', 'SELECT e FROM t WHERE id = 1', 'shop');
(my $broken = $armor) =~ s/(.)(...)$/($1 eq 'A' ? 'B' : 'A') . $2/e;

# A table of many buckets, each with a key of its own.
my @buckets = map { "many_$_" } 1 .. $KEYS;
$node->safe_psql('shop', join '', map { "SELECT sdes.create_bucket('$_');"
    . "SELECT sdes.grant_access('$_', 'postgres', '{encrypt,decrypt}');" } @buckets);
$node->safe_psql('shop', 'CREATE TABLE many (' . join(', ', map { "$_ sdes.enc_text('$_')" } @buckets) . ');'
    . 'INSERT INTO many VALUES (' . join(', ', map { "'value of $_'" } @buckets) . ');'
    . "CREATE TABLE kept AS SELECT d.* FROM sdes.dek AS d JOIN sdes.buckets AS b ON b.uuid = d.bucket WHERE b.name = 'payment'");

# ---- statements ----

my @kinds = (
    [ 'insert', 'oms', 'simple', '00000', "INSERT INTO t VALUES (1000 + {n}, 'name {n}', 'card {n}')" ],
    [ 'insert, parameter', 'oms', 'params', '00000', 'INSERT INTO t VALUES ($1::text::int + 1000, $1::text, $1)' ],
    [ 'insert, prepared', 'oms', 'prepared', '00000', 'INSERT INTO t VALUES ($1::text::int + 1000, $1::text, $1)' ],
    [ 'insert, rolled back', 'oms', 'simple', '00000', "BEGIN; INSERT INTO t VALUES (-1, 'a', 'b'); ROLLBACK" ],
    [ 'update', 'oms', 'simple', '00000', "UPDATE t SET e = e::text || '' WHERE id = {n} % 10" ],
    [ 'copy of a value', 'oms', 'simple', '00000', 'UPDATE t SET e = e WHERE id = {n} % 10' ],
    [ 'select', 'oms', 'simple', '00000', 'SELECT e, c FROM t WHERE id = {n} % 10' ],
    [ 'select, parameter', 'oms', 'params', '00000', 'SELECT e, c FROM t WHERE id = $1::text::bigint % 10' ],
    [ 'select, prepared', 'oms', 'prepared', '00000', 'SELECT e, c FROM t WHERE id = $1::text::bigint % 10' ],
    [ 'select, cast', 'oms', 'simple', '00000', "SELECT length(e::text) FROM t WHERE c::text = 'card 1' AND id < 10" ],
    [ 'select, other statement each time', 'oms', 'simple', '00000', 'SELECT e AS e{n} FROM t WHERE id = 1' ],
    [ 'cursor', 'oms', 'simple', '00000', 'BEGIN; DECLARE x CURSOR FOR SELECT e FROM t WHERE id < 5; FETCH 2 FROM x; COMMIT' ],
    [ 'explain', 'oms', 'simple', '00000', 'EXPLAIN SELECT e FROM t WHERE id = {n}' ],
    [ 'discard', 'oms', 'simple', '00000', 'DISCARD ALL' ],
    [ 'mask', 'support', 'simple', '00000', 'SELECT e, c FROM t WHERE id = {n} % 10' ],
    [ 'ciphertext', 'stranger', 'simple', '00000', 'SELECT e, c FROM t WHERE id = {n} % 10' ],
    [ 'denied, read', 'stranger', 'simple', '42501', 'SELECT e::text FROM t WHERE id = 1' ],
    [ 'denied, write', 'stranger', 'simple', '42501', "INSERT INTO t VALUES (-1, 'name')" ],
    [ 'ciphertext as input', 'oms', 'simple', '22000', "INSERT INTO t VALUES (-1, '$armor')" ],
    [ 'armor that is none', 'oms', 'simple', '22P02',
        "SET sdes.accept_ciphertext = on; INSERT INTO t VALUES (-1, 'sdes1:!{n}')" ],
    [ 'value that was tampered with', 'oms', 'simple', 'XX001',
        "SET sdes.accept_ciphertext = on; SELECT '$broken'::sdes.enc_text::text" ],
    [ 'many keys', 'postgres', 'simple', '00000', 'SELECT * FROM many', $STATEMENTS / 10 ],
    [ 'rows of keys read again', 'postgres', 'simple', '00000',
        'UPDATE sdes.dek SET state = state WHERE version = 0; SELECT e FROM t WHERE id = 1', $STATEMENTS / 10 ],
    [ 'key forgotten and fetched', 'postgres', 'simple', '00000', 'DELETE FROM sdes.dek WHERE key_id = (SELECT key_id FROM kept);'
        . ' SELECT e FROM t WHERE id = 1; INSERT INTO sdes.dek SELECT * FROM kept; SELECT c FROM t WHERE id = 1',
        $FETCHES ],
);
my $table = join '', map { join("\t", @$_[0 .. 3], $_->[5] // $STATEMENTS, $_->[4]) . "\n" } @kinds;
my ($out, $err) = ('', '');
{
    local %ENV = $node->_get_env;
    IPC::Run::run([ 'test/programs/statements.py', $node->connstr('shop') ],
        '<', \$table, '>', \$out, '2>', \$err);
}
is($err, '', 'the statements ran');
my @rows = map { [ split /\t/, $_, -1 ] } split /\n/, $out;
is(scalar @rows, scalar @kinds, 'statements of every kind did');
for my $row (@rows)
{
    my ($name, $rss, $contexts, $rss_after, $contexts_after, $wrong, $last) = @$row;
    is("$wrong $last", '0 ', "$name: all ended as it should");
    note(sprintf '%s: %+d kB, %+d bytes of contexts', $name, $rss_after - $rss, $contexts_after - $contexts);
    cmp_ok($rss_after - $rss, '<=', $SLACK, "$name: private memory stayed at $rss kB");
    cmp_ok($contexts_after - $contexts, '<=', $SLACK * 1024, "$name: memory contexts stayed at $contexts bytes");
}

# ---- records of the audit ----

# A session that writes many at once, for nobody else does, keeps no memory for it.
{
    $node->safe_psql('shop', "SELECT sdes.set_audit('customer_pii', 'async')");
    my $own = q{SELECT 'own ' || substring(pg_read_file('/proc/self/status') from 'RssAnon:\s+(\d+) kB');};
    my $many = "SELECT e FROM t WHERE id = 1;\n" x 700;
    sleep(1);
    my $writer = worker_pid($node, 'sdes audit');
    kill 'STOP', $writer;
    my $sizes = eval { $node->safe_psql('shop', ("SELECT e FROM t WHERE id = 1;\n" x 20) . "$own\n$many$own\n") } // $@;
    kill 'CONT', $writer;
    my ($before, $after) = $sizes =~ /^own (\d+)$/mg;
    ok(defined $after, 'a session writes its records itself') or diag $sizes;
    cmp_ok($after - $before, '<=', $SLACK, "records of 700 statements: private memory stayed at $before kB");
}

# ---- the agent ----

# Tests that an agent's private memory stays flat while something goes on.
sub agent_flat_ok
{
    my ($pid, $times, $what, $name) = @_;
    $what->() for 1 .. $times / 4;
    my $before = memory_of($pid);
    $what->() for 1 .. $times;
    my $grown = memory_of($pid) - $before;
    note(sprintf '%s: %+d kB', $name, $grown);
    return cmp_ok($grown, '<=', $SLACK, "$name: its memory stayed at $before kB");
}

query_as($node, 'oms', orders('insert', 1, 1), 'shop');
for my $kind ('softhsm', 'nss')
{
    if ($kind eq 'nss')
    {
        $node->stop;
        $node = new_cluster('statements_nss', hsm => new_hsm('statements_nss', kind => 'nss'), conf => "fsync = off\n");
        new_shop($node);
        query_as($node, 'oms', orders('insert', 1, 1), 'shop');
    }
    my $service = start_service($node);
    my ($row) = values %{ data_keys($node, 'shop', $service) };
    my $connection = greet($service);
    agent_flat_ok($service->{pid}, $UNWRAPS, sub { unwrap($connection, $row) }, "$kind: agent that unwraps");
    agent_flat_ok($service->{pid}, $UNWRAPS / 4, sub { unwrap(greet($service), $row) },
        "$kind: agent that unwraps for ever new clients");
    my %wrong = (%$row, wrapped => $row->{wrapped} ^ ("\0" x 20 . "\1"));
    my ($refused, $others) = (0, '');
    agent_flat_ok($service->{pid}, $UNWRAPS / 4,
        sub { eval { unwrap($connection, \%wrong) }; $@ =~ /status/ ? $refused++ : ($others = $@) },
        "$kind: agent that is asked for keys that are none");
    is("$refused $others", $UNWRAPS / 4 * 1.25 . ' ', "$kind: it refuses each");
    stop_service($service);
    agent_flat_ok(agent_pid($node), $SESSIONS,
        sub { query_as($node, 'oms', 'SELECT email::text FROM orders LIMIT 1', 'shop') },
        "$kind: agent of a server with ever new sessions");
}

$node->stop;
done_testing();
