# 088_logical.pl
#     What goes from server to server by logical replication, logical decoding and
#     postgres_fdw: ciphertext, the same bytes at the other end, and nothing else on the
#     wire or on a disk. Subscribers without keys, with columns of type text, with other
#     buckets; row filters and column lists; decoding plugins; foreign tables both ways.

use strict;
use warnings;
use File::Basename qw(basename);
use File::Copy qw(copy);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use SdesWiretap;
use Test::More;

my $N = 200;
my $CONF = "log_statement = none\nlog_error_verbosity = verbose\nwal_retrieve_retry_interval = 200ms\nsdes.rotation_naptime = 1s\n";
my $a = new_cluster('publisher', init => { allows_streaming => 'logical' },
    conf => $CONF . "logical_decoding_work_mem = 64kB\nmax_replication_slots = 20\nmax_wal_senders = 20\n");
my $b = new_cluster('subscriber', conf => $CONF . "max_logical_replication_workers = 12\nmax_worker_processes = 30\n");
my $tap = new_wiretap($a);

sub value { my ($node, $sql, %opts) = @_; return query_as($node, $opts{role} // 'postgres', $sql, $opts{db} // 'shop'); }
sub refusal { my ($node, $sql, %opts) = @_; return error_as($node, $opts{role} // 'postgres', $sql, $opts{db} // 'shop'); }

# ---- the publisher ----

for my $node ($a, $b)
{
    $node->safe_psql('postgres', "CREATE ROLE $_ LOGIN") for qw(oms blind stranger);
}
$a->safe_psql('postgres', 'CREATE DATABASE shop');
value($a, <<'SQL');
CREATE EXTENSION sdes;
SELECT sdes.create_bucket('pii');
SELECT sdes.create_bucket('cards');
SELECT sdes.grant_access(b, 'oms', '{encrypt,search,decrypt}') FROM unnest('{pii,cards}'::text[]) AS b;
CREATE TABLE people (id int PRIMARY KEY, region text, email sdes.enc_text('pii', 'searchable'), card sdes.enc_pan('cards'),
    many sdes.enc_text('pii')[], long sdes.enc_text('pii'));
CREATE TABLE keyless (name sdes.enc_text('pii'), id int, n int DEFAULT 0);
ALTER TABLE keyless REPLICA IDENTITY FULL;
CREATE TABLE plain (id int PRIMARY KEY, name text);
GRANT ALL ON people, keyless, plain TO oms, blind, stranger;
SQL

my @canaries = map { ("canary$_\@example.org", "inside$_", "4111 1111 1111 1111") } 7, 42, 1007;
sub people
{
    my ($from, $to) = @_;
    return "INSERT INTO people SELECT i, 'region' || i % 5, 'canary' || i || '\@example.org', '4111 1111 1111 1111',"
        . " ARRAY['inside' || i, NULL], repeat('long' || i, CASE WHEN i % 50 = 0 THEN 2000 ELSE 1 END) FROM generate_series($from, $to) AS i;";
}
value($a, people(1, $N) . "INSERT INTO keyless SELECT 'inside' || i, i FROM generate_series(1, 20) AS i;", role => 'oms');

my $BYTES = <<'SQL';
SELECT count(*), md5(string_agg(o.row, E'\n' ORDER BY o.row)) FROM (
    SELECT concat_ws(',', id, region, sdes.enc_text_send(email), sdes.enc_pan_send(card), many, sdes.enc_text_send(long)) COLLATE "C" FROM people
    UNION ALL SELECT concat_ws(',', id, sdes.enc_text_send(name), n) FROM keyless) AS o(row)
SQL

# ---- subscribers without keys ----

my $DUMP = 'pg_dump --schema-only --no-publications --no-subscriptions -d "$1" | psql -X -q -v ON_ERROR_STOP=1 -d "$2"';
sub new_subscriber
{
    my ($name) = @_;
    $b->safe_psql('postgres', "CREATE DATABASE $name");
    return ok($b->run_log([ 'bash', '-c', $DUMP, 'bash', $a->connstr('shop'), $b->connstr($name) ]), "$name: the schema");
}
sub subscribe
{
    my ($name, $publication, $with) = @_;
    value($b, "CREATE SUBSCRIPTION $name CONNECTION '" . wire_conninfo($tap, 'shop') . "' PUBLICATION $publication" . ($with ? " WITH ($with)" : ''), db => $name);
    $b->wait_for_subscription_sync($a, $name, $name);
}
my %WITH = (nokeys => 'streaming = on', nokeys_binary => 'binary = true');

value($a, 'CREATE PUBLICATION pub FOR TABLE people, keyless');
for my $name (sort keys %WITH)
{
    new_subscriber($name);
    subscribe($name, 'pub', $WITH{$name});
    is(value($b, $BYTES, db => $name), value($a, $BYTES), "$name: the first copy is the same, byte for byte");
}

# Files that come and go, as they are.
sub copies_of
{
    my ($dir, $pattern) = @_;
    mkdir $dir;
    copy($_, "$dir/" . basename($_)) for glob $pattern;
    return grep { -s } glob "$dir/*";
}

# A transaction that is too large for memory, with what that leaves on disks meanwhile.
my $long = $a->background_psql('shop', extra_params => [ '-U', 'oms' ]);
$long->query_safe('BEGIN; ' . people(1001, 3000));
my @spilled;
ok(wait_for(sub { $a->safe_psql('postgres', 'SELECT pg_switch_wal()'); @spilled = copies_of($a->basedir . '/spilled', $a->data_dir . '/pg_replslot/*/*.spill') }, 20), 'the publisher spills a long transaction');
my @streamed;
ok(wait_for(sub { @streamed = copies_of($b->basedir . '/streamed', $b->data_dir . '/base/pgsql_tmp/*/*') }, 20), 'a subscriber keeps what is streamed of it');
is(find_leaks(\@canaries, @spilled, @streamed), '', 'which is ciphertext');
$long->query_safe("UPDATE people SET region = 'moved' WHERE id = 7; UPDATE people SET email = 'other\@example.org' WHERE id = 8; DELETE FROM people WHERE id = 9; COMMIT");
$long->quit;
value($a, 'DELETE FROM people WHERE id > 1100 AND id <> 1007', role => 'oms');
value($a, 'UPDATE keyless SET n = 1 WHERE id = 5; DELETE FROM keyless WHERE id = 6', role => 'oms');
for my $name (sort keys %WITH)
{
    $a->wait_for_catchup($name);
    is(value($b, $BYTES, db => $name), value($a, $BYTES), "$name: so is what follows");
    like(value($b, 'SELECT email FROM people WHERE id = 7', db => $name, role => 'oms'), qr/^sdes1:/, "$name: a result is ciphertext");
    my $error = refusal($b, 'SELECT email::text FROM people WHERE id = 7', db => $name, role => 'oms');
    like($error, qr/42704.*is not known in this database.*HINT/s, "$name: reading is an error");
    like(refusal($b, 'SELECT id FROM people ORDER BY email', db => $name, role => 'oms'), qr/42704|42501/, "$name: so is sorting");
}
is(value($b, 'SELECT p.id FROM people p JOIN people q ON p.email = q.email WHERE q.id = 42', db => 'nokeys'), 42, 'tokens are compared without a key');

# ---- row filters and column lists ----

value($a, "CREATE PUBLICATION few FOR TABLE people (id, region, email) WHERE (region = 'region3') WITH (publish = 'insert')");
new_subscriber('filtered');
subscribe('filtered', 'few');
value($a, people(5003, 5006), role => 'oms');
$a->wait_for_catchup('filtered');
is(value($b, "SELECT count(*), count(card), string_agg(DISTINCT region, ',') FROM people", db => 'filtered'),
    value($a, "SELECT count(*), 0, 'region3' FROM people WHERE region = 'region3'"), 'a row filter and a column list');
my $EMAILS = "SELECT md5(string_agg(sdes.enc_text_send(email)::text, ',' ORDER BY id)) FROM people WHERE region = 'region3'";
is(value($b, $EMAILS, db => 'filtered'), value($a, $EMAILS), 'the same bytes');
my $error = refusal($a, "CREATE PUBLICATION p FOR TABLE people WHERE (email = 'nobody\@example.org')");
like($error, qr/0A000/, 'a row filter on an encrypted column is refused');
like($error, qr/invalid publication WHERE expression/, 'by PostgreSQL, which says why');
like(refusal($a, 'CREATE PUBLICATION p FOR TABLE people WHERE (email IS NULL)'), qr/invalid publication WHERE expression/, 'of any kind');

# ---- columns of type text ----

$b->safe_psql('postgres', 'CREATE DATABASE textual');
value($b, 'CREATE TABLE people (id int PRIMARY KEY, region text, email text, card text, many text[], long text); CREATE TABLE keyless (name text, id int, n int)', db => 'textual');
subscribe('textual', 'pub');
is(value($b, 'SELECT string_agg(email, chr(10) ORDER BY id) FROM people', db => 'textual'),
    value($a, 'SELECT string_agg(sdes.enc_text_out(email)::text, chr(10) ORDER BY id) FROM people'), 'a subscriber without sdes has the armor');
value($a, people(6000, 6000), role => 'oms');
$a->wait_for_catchup('textual');
like(value($b, 'SELECT email, many FROM people WHERE id = 6000', db => 'textual'), qr/^sdes1:[-\w]+\|\{sdes1:[-\w]+,NULL\}$/, 'of what follows, too');
value($b, 'ALTER SUBSCRIPTION textual SET (binary = true)', db => 'textual');
my $log = log_size($b);
value($a, people(6001, 6001), role => 'oms');
ok(wait_for(sub { log_since($b, $log) =~ /ERROR:  22021: invalid byte sequence/ }, 20), 'the binary form is no text: an error');
value($b, 'ALTER SUBSCRIPTION textual SET (binary = false)', db => 'textual');
$a->wait_for_catchup('textual');
is(value($b, 'SELECT count(*) FROM people WHERE id = 6001', db => 'textual'), 1, 'and it goes on as text');

# ---- keys by exchange, and another bucket ----

$b->safe_psql('postgres', 'CREATE DATABASE other');
value($b, 'CREATE EXTENSION sdes', db => 'other');
sub trust { my ($of, $db) = @_; return 'SELECT sdes.trust_site(' . join(', ', map { "'$_'" } value($of, 'SELECT sdes.site_certificate()', db => $db),
    value($of, q{SELECT encode(fingerprint, 'hex') FROM sdes.site WHERE own}, db => $db)) . ')' }
my $name_b = value($a, trust($b, 'other'));
my $name_a = value($b, trust($a, 'shop'), db => 'other');
sub parcel { my ($of, $db, $bucket, $to) = @_; return value($of, "SELECT encode(sdes.export_keys('$bucket', '$to'), 'hex')", db => $db) }
sub import_keys { my ($parcel) = @_; return "SELECT sdes.import_keys(decode('$parcel', 'hex'))" }
value($b, import_keys(parcel($a, 'shop', $_, $name_b)), db => 'other') for qw(pii cards);
value($b, <<'SQL', db => 'other');
SELECT sdes.create_bucket('elsewhere');
SELECT sdes.grant_access(b, 'oms', '{encrypt,search,decrypt}') FROM unnest('{pii,elsewhere}'::text[]) AS b;
CREATE TABLE people (id int PRIMARY KEY, region text, email sdes.enc_text('elsewhere', 'searchable'));
CREATE INDEX ON people (email);
CREATE TABLE plain (id int PRIMARY KEY, name sdes.enc_text('elsewhere'));
GRANT ALL ON people, plain TO oms, stranger;
SQL
value($a, 'CREATE PUBLICATION emails FOR TABLE people (id, region, email)');
$log = log_size($b);
value($b, "CREATE SUBSCRIPTION other CONNECTION '" . wire_conninfo($tap, 'shop') . "' PUBLICATION emails", db => 'other');
ok(wait_for(sub { log_since($b, $log) =~ /ERROR:  42501: permission denied to encrypt values of bucket "elsewhere".*HINT:.*grant_access\('elsewhere', 'postgres'/s }, 20),
    'another bucket: the owner of the subscription needs "encrypt" on it');
value($b, "SELECT sdes.grant_access('elsewhere', 'postgres', '{encrypt}')", db => 'other');
$log = log_size($b);
ok(wait_for(sub { log_since($b, $log) =~ /ERROR:  42501: permission denied to decrypt values of bucket "pii".*HINT/s }, 20), 'another bucket: and "decrypt" on that of the values');
is(value($b, 'SELECT count(*) FROM people', db => 'other'), 0, 'another bucket: until then nothing comes');
value($b, "SELECT sdes.grant_access('pii', 'postgres', '{decrypt}')", db => 'other');
$b->wait_for_subscription_sync($a, 'other', 'other');
value($a, people(7000, 7001) . "UPDATE people SET email = 'changed\@example.org' WHERE id = 11;", role => 'oms');
$a->wait_for_catchup('other');
my $IDS = "SELECT string_agg(DISTINCT encode(substr(sdes.enc_text_send(email), 4, 8), 'hex'), ',') FROM people";
is(value($b, $IDS, db => 'other'), value($b, "SELECT key_id FROM sdes.keys WHERE bucket = 'elsewhere' AND state = 'active'", db => 'other'),
    'another bucket: all values are under its key');
my $READ = q{SELECT count(*), md5(string_agg(id || email::text, ',' ORDER BY id)) FROM people};
is(value($b, $READ, db => 'other', role => 'oms'), value($a, $READ, role => 'oms'), 'another bucket: and are what they were');
is(value($b, "SET enable_seqscan = off; SELECT id FROM people WHERE email = 'canary7001\@example.org'", db => 'other', role => 'oms'), 7001, 'another bucket: found by an index');
my %done;
ok(wait_for(sub {
    %done = map { $_ => 1 } split /\n/, value($b, q{SELECT DISTINCT operation || ' ' || bucket FROM sdes.audit_log WHERE session_role = 'postgres' AND address = 'none' AND outcome = 'ok'}, db => 'other');
    return $done{'decrypt pii'} && $done{'encrypt elsewhere'};
}, 30), 'another bucket: which is in the audit') or diag(join ', ', sort keys %done);

# ---- from plain columns into encrypted ones ----

value($a, "CREATE PUBLICATION plain FOR TABLE plain; INSERT INTO plain VALUES (1, 'visible-1')");
value($b, "CREATE SUBSCRIPTION sealing CONNECTION '" . wire_conninfo($tap, 'shop') . "' PUBLICATION plain", db => 'other');
$b->wait_for_subscription_sync($a, 'sealing', 'other');
value($a, "INSERT INTO plain VALUES (2, 'visible-2')");
$a->wait_for_catchup('sealing');
like(value($b, 'SELECT string_agg(sdes.enc_text_out(name)::text, chr(10) ORDER BY id) FROM plain', db => 'other'), qr/^sdes1:[-\w]+\nsdes1:[-\w]+$/, 'what arrives as text is sealed');
is(value($b, "SELECT string_agg(name::text, ',' ORDER BY id) FROM plain", db => 'other', role => 'oms'), 'visible-1,visible-2', 'and read');

# ---- what went over the wire, and is on the disks ----

no_leaks_on_wire_ok($tap, \@canaries, 'visible-2', 'replication: the wire has ciphertext only');
no_leaks_ok($_, \@canaries, $_->name . ': so have the disk and the log') for $a, $b;

# ---- decoding ----

# Minor versions of late ask which plugins are meant.
if ($a->safe_psql('postgres', q{SELECT count(*) FROM pg_settings WHERE name = 'output_plugin_libraries'}))
{
    $a->append_conf('postgresql.conf', "output_plugin_libraries = 'pgoutput, test_decoding, wal2json'\n");
    $a->reload;
}

value($a, "SELECT pg_create_logical_replication_slot('$_->[0]', '$_->[1]')") for [ 'td', 'test_decoding' ], [ 'recv', 'test_decoding' ], [ 'w1', 'wal2json' ], [ 'w2', 'wal2json' ];
value($a, people(8000, 8010) . "UPDATE people SET email = 'canary42\@example.org', card = '4111 1111 1111 1111' WHERE id = 8001; UPDATE keyless SET name = 'inside42' WHERE id = 7;"
    . "DELETE FROM keyless WHERE id = 8;", role => 'oms');
value($a, q{SELECT count(email::text) FROM people}, role => 'oms');
my $armor = value($a, 'SELECT sdes.enc_text_out(email) FROM people WHERE id = 8001');
my $until = value($a, 'SELECT pg_current_wal_lsn()');
my $received = $a->basedir . '/received';
ok($a->run_log([ 'pg_recvlogical', '-d', $a->connstr('shop'), '-S', 'recv', '--start', '-E', $until, '-f', $received ]), 'pg_recvlogical');
my %decoded = (
    test_decoding => value($a, "SELECT data FROM pg_logical_slot_get_changes('td', NULL, NULL)"),
    pg_recvlogical => slurp_file($received),
    'wal2json 1' => value($a, "SELECT data FROM pg_logical_slot_get_changes('w1', NULL, NULL, 'format-version', '1')"),
    'wal2json 2' => value($a, "SELECT data FROM pg_logical_slot_get_changes('w2', NULL, NULL, 'format-version', '2', 'include-types', '1')"),
);
for my $how (sort keys %decoded)
{
    my $file = $a->basedir . '/decoded_' . $how =~ tr/ /_/r;
    append_to_file($file, $decoded{$how});
    is(find_leaks([ @canaries, 'canary8000@example.org', 'inside8000' ], $file), '', "$how: no plaintext");
    like($decoded{$how}, qr/\Q$armor\E/, "$how: the armor, as it is stored");
    like($decoded{$how}, qr/region1|moved/, "$how: other columns");
    unlike($decoded{$how}, qr/audit_log/, "$how: nothing of the audit's table");
}
value($a, "SELECT pg_drop_replication_slot('$_')") for qw(td recv w1 w2);

# ---- postgres_fdw ----

my $wire = new_wiretap($a);
my $plainwire = new_wiretap($a);
# Each knows the key that the other one seals under.
value($a, import_keys(parcel($b, 'other', 'pii', $name_a)));
value($b, <<"SQL", db => 'other');
CREATE EXTENSION postgres_fdw;
CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$wire->{host}', port '$wire->{port}', dbname 'shop', extensions 'sdes',
    options '-c sdes.accept_ciphertext=on', use_remote_estimate 'true');
CREATE SERVER near FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$wire->{host}', port '$wire->{port}', dbname 'shop', options '-c sdes.accept_ciphertext=on');
CREATE SERVER plain FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$plainwire->{host}', port '$plainwire->{port}', dbname 'shop');
GRANT USAGE ON FOREIGN SERVER far, near, plain TO PUBLIC;
CREATE USER MAPPING FOR oms SERVER far OPTIONS (user 'blind', password_required 'false');
CREATE USER MAPPING FOR oms SERVER near OPTIONS (user 'blind', password_required 'false');
CREATE USER MAPPING FOR oms SERVER plain OPTIONS (user 'oms', password_required 'false');
CREATE FOREIGN TABLE far_people (id int, region text, email sdes.enc_text('pii', 'searchable')) SERVER far OPTIONS (table_name 'people');
CREATE FOREIGN TABLE near_people (id int, region text, email sdes.enc_text('pii', 'searchable')) SERVER near OPTIONS (table_name 'people');
CREATE FOREIGN TABLE text_people (id int, region text, email text) SERVER plain OPTIONS (table_name 'people');
CREATE FOREIGN TABLE sealed_plain (id int, name sdes.enc_text('pii')) SERVER plain OPTIONS (table_name 'plain');
CREATE TABLE mine (id int, email sdes.enc_text('pii', 'searchable'));
GRANT ALL ON far_people, near_people, text_people, sealed_plain, mine TO oms;
SQL
my $ON = 'SET sdes.accept_ciphertext = on;';
sub far { my ($sql) = @_; return value($b, "$ON $sql", db => 'other', role => 'oms'); }
sub plan_of { my ($sql) = @_; return far("EXPLAIN (VERBOSE, COSTS OFF) $sql"); }
sub sealed { my ($text) = @_; return "(SELECT '$text'::sdes.enc_text('pii', 'searchable'))"; }

is(far('SELECT email FROM far_people WHERE id = 42'), 'canary42@example.org', 'fdw: a value is read here that may not be read there');
like(refusal($b, 'SELECT email FROM far_people WHERE id = 42', db => 'other', role => 'oms'), qr/22000.*accept_ciphertext/s, 'fdw: a session that takes ciphertext is needed');
my $by_token = 'SELECT id FROM far_people WHERE email = ' . sealed('canary42@example.org') . ' ORDER BY id';
like(plan_of($by_token), qr/Remote SQL: SELECT id FROM public\.people WHERE \(\(email = \$1::sdes\.enc_text/, 'fdw: a condition is pushed');
is(far($by_token), "42\n8001", 'fdw: and finds by token, without a grant there');
far("INSERT INTO far_people VALUES (9001, 'r', 'canary9001\@example.org')");
far('UPDATE far_people SET email = \'canary9002@example.org\' WHERE id = 9001');
is(value($a, 'SELECT email FROM people WHERE id = 9001', role => 'oms'), 'canary9002@example.org', 'fdw: INSERT and UPDATE');
like(plan_of("UPDATE far_people SET region = 'far' WHERE email = " . sealed('canary9002@example.org')), qr/Foreign Update/, 'fdw: UPDATE as a whole is pushed');
far("UPDATE far_people SET region = 'far' WHERE email = " . sealed('canary9002@example.org'));
is(far("SELECT id FROM far_people WHERE region = 'far'"), 9001, 'fdw: and found its row');
far('DELETE FROM far_people WHERE email = ' . sealed('canary9002@example.org'));
is(value($a, 'SELECT count(*) FROM people WHERE id = 9001'), 0, 'fdw: DELETE');
my $join = 'SELECT p.id, q.id FROM far_people p JOIN far_people q ON p.email = q.email WHERE p.id <> q.id ORDER BY 1';
like(far("SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_nestloop = off; EXPLAIN (VERBOSE, COSTS OFF) $join"), qr/INNER JOIN/, 'fdw: a join by an encrypted column is pushed');
is(far($join), "42|8001\n8001|42", 'fdw: and right');
is(far("SELECT email FROM far_people WHERE id BETWEEN 40 AND 42 ORDER BY region, id"), "canary40\@example.org\ncanary41\@example.org\ncanary42\@example.org", 'fdw: sorted by another column');
like(refusal($b, "$ON SELECT id FROM far_people WHERE email = 'nobody\@example.org'", db => 'other', role => 'oms'), qr/42704.*is not known in this database/s,
    'fdw: a literal, whose key the other side does not have, is an error');
is(far("SELECT id FROM near_people WHERE email = 'canary42\@example.org' ORDER BY id"), "42\n8001", 'fdw: without "extensions" it is compared here');
is(far('SELECT email FROM near_people ORDER BY email DESC LIMIT 1'), 'other@example.org', 'fdw: and sorted here');
like(refusal($b, "$ON SELECT email FROM far_people ORDER BY email DESC LIMIT 1", db => 'other', role => 'oms'), qr/42501.*permission denied to decrypt/s, 'fdw: pushed, ORDER BY takes "decrypt" there');

# Orders by token stay here: the other side would sort by plaintext.
far('INSERT INTO mine SELECT id, email FROM near_people WHERE id <= 100');
my $merge = 'SET enable_hashjoin = off; SET enable_nestloop = off; SET enable_sort = off;';
is(far("$merge SELECT count(*) FROM far_people p JOIN mine m USING (email)"), far('SELECT count(*) + 1 FROM mine'), 'fdw: a merge join');
is(far('SET enable_hashagg = off; SET enable_sort = off; SELECT count(*) FROM (SELECT email, count(*) FROM far_people p WHERE email::text LIKE \'%\' GROUP BY email) AS g'),
    value($a, 'SELECT count(DISTINCT email::text) FROM people', role => 'oms'), 'fdw: a grouping');
no_leaks_on_wire_ok($wire, [ @canaries, map { "canary$_\@example.org" } 40, 41, 9001, 9002 ], 'region1', 'fdw: the wire had ciphertext only');

# To a plain table, and from an encrypted one as text: what the user there may do.
value($b, "INSERT INTO sealed_plain VALUES (100, 'visible-3')", db => 'other', role => 'oms');
like(value($a, 'SELECT name FROM plain WHERE id = 100'), qr/^sdes1:/, 'fdw: into a plain table goes the armor');
is(far('SELECT name::text FROM sealed_plain WHERE id = 100'), 'visible-3', 'fdw: which comes back as the value');
is(value($b, "SELECT id FROM text_people WHERE email = 'canary42\@example.org' ORDER BY id", db => 'other', role => 'oms'), "42\n8001", 'fdw: as text, a client like any other');
is(value($b, 'SELECT email FROM text_people WHERE id = 42', db => 'other', role => 'oms'), 'canary42@example.org', 'fdw: which shows what its user may see');
value($b, 'ALTER USER MAPPING FOR oms SERVER plain OPTIONS (SET user \'stranger\')', db => 'other');
like(value($b, 'SELECT email FROM text_people WHERE id = 42', db => 'other', role => 'oms'), qr/^sdes1:/, 'fdw: or the armor');

no_leaks_ok($_, \@canaries, $_->name . ': at last the disk and the log have ciphertext') for $a, $b;
$_->stop for $b, $a;
done_testing();
