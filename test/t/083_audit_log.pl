# 083_audit_log.pl
#     The audit as a table: it has what clients did, exactly once, whatever is killed; nobody
#     changes it unseen; it is made of all journals that are there; and rules raise alerts.

use strict;
use warnings;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use Test::More;
use Time::HiRes qw(sleep);

my $TAMPERINGS = soak(60, 1000);
my $KILLS = soak(4, 60);

my $node = new_cluster('log', init => { allows_streaming => 1 }, conf => <<'CONF');
log_statement = none
sdes.rotation_naptime = 1
restart_after_crash = on
log_line_prefix = '%m [%p] %e '
CONF
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION sdes;
SELECT sdes.create_bucket('names'), sdes.create_bucket('cards');
CREATE ROLE oms LOGIN;
CREATE ROLE support LOGIN;
CREATE ROLE stranger LOGIN;
CREATE ROLE auditor LOGIN IN ROLE sdes_auditor;
CREATE ROLE officer LOGIN IN ROLE sdes_officer;
SELECT sdes.grant_access(b, 'oms', '{encrypt,search,decrypt}'), sdes.grant_access(b, 'support', '{mask}') FROM unnest('{names,cards}'::text[]) b;
CREATE TABLE people (id int PRIMARY KEY, name sdes.enc_text('names', 'searchable'), card sdes.enc_text('cards'));
CREATE TABLE copies (id int, name sdes.enc_text('names'));
CREATE VIEW shown AS SELECT id, name FROM people;
GRANT ALL ON people, copies, shown TO oms, support, stranger;
CREATE DATABASE other;
SQL

# The table has what has happened so far, in this database.
my $marks = 0;
sub loaded
{
    my ($server, $database) = @_;
    my $mark = 'mark' . ++$marks;
    query_as($server, 'oms', "SET application_name = '$mark'; SELECT name FROM people WHERE id = 1", $database);
    my $there = wait_for(sub { $server->safe_psql($database // 'postgres',
        "SELECT count(*) FROM sdes.audit_log WHERE application = '$mark' AND operation = 'decrypt'") ne '0' }, 30);
    die "the table is not filled\n" . slurp_file($server->logfile) if !$there;
    return;
}
sub rows { my ($where, $columns) = @_; return query_as($node, 'auditor',
    'SELECT ' . ($columns // q{concat_ws(' ', operation, bucket, relation, '(' || "column" || ')', "values", outcome)}) . " FROM sdes.audit_log WHERE operation <> 'fetch key' AND $where ORDER BY time, sequence"); }
sub wrong { my ($server) = @_; return query_as($server // $node, 'auditor', 'SELECT sequence, wrong FROM sdes.verify_audit_log()'); }

# ---- what is in it ----

query_as($node, 'oms', "INSERT INTO people SELECT i, 'name' || i, 'card' || i FROM generate_series(1, 300) i");
loaded($node);
is(rows("role = 'oms' AND operation = 'encrypt'"), "encrypt names public.people (name) 300 ok\nencrypt cards public.people (card) 300 ok", 'what was written, and where to');

sub leaves
{
    my ($role, $sql, $expected, $name) = @_;
    $node->psql('postgres', "SET application_name = '$name'; $sql", extra_params => [ '-U', $role ], on_error_stop => 0);
    loaded($node);
    return is(rows("application = '$name'"), join("\n", @$expected), $name);
}
leaves('oms', 'SELECT name, card FROM people WHERE id <= 5',
    [ 'decrypt names public.people (name) 5 ok', 'decrypt cards public.people (card) 5 ok' ], 'columns of each bucket');
leaves('oms', 'SELECT * FROM shown WHERE id <= 5', ['decrypt names public.people (name) 5 ok'], 'a view: the table below it');
leaves('oms', 'SELECT p FROM people p WHERE id <= 2',
    [ 'decrypt names public.people (name) 2 ok', 'decrypt cards public.people (card) 2 ok' ], 'a whole row');
leaves('oms', 'INSERT INTO copies SELECT id, card::text FROM people WHERE id <= 4',
    [ 'decrypt cards public.people (card) 4 ok', 'encrypt names public.copies (name) 4 ok' ], 'read here, written there');
leaves('oms', 'SELECT c.name, p.name FROM copies c JOIN people p USING (id)',
    ['decrypt names public.copies, public.people (copies.name, people.name) 8 ok'], 'two tables');
leaves('oms', q{DO $$ BEGIN PERFORM name::text FROM people WHERE id <= 3; END $$}, ['decrypt names public.people (name) 3 ok'], 'within a function');
leaves('oms', q{DO $$ BEGIN PERFORM name::text FROM people WHERE id <= 3; PERFORM name::text FROM copies; PERFORM name::text FROM people WHERE id <= 2; END $$},
    [ 'decrypt names public.people (name) 5 ok', 'decrypt names public.copies (name) 4 ok' ], 'two tables within a function, one after the other');
leaves('oms', q{DO $$ DECLARE r record; BEGIN FOR r IN SELECT name::text AS n, card::text AS c FROM people WHERE id <= 4 LOOP PERFORM name::text FROM copies WHERE id = 1; END LOOP; END $$},
    [ 'decrypt names public.people (name) 4 ok', 'decrypt cards public.people (card) 4 ok', 'decrypt names public.copies (name) 4 ok' ], 'statements that take turns');
leaves('oms', "COPY copies FROM STDIN;\n1\tone\n\\.\n", ['encrypt names public.copies (name) 1 ok'], 'COPY');
leaves('support', 'SELECT name FROM people WHERE id <= 6', ['mask names public.people (name) 6 ok'], 'masks');
leaves('stranger', 'SELECT name::text FROM people', ['decrypt names public.people (name) denied'], 'a refusal');
leaves('oms', 'BEGIN; SELECT name FROM people WHERE id <= 7; ROLLBACK', ['decrypt names public.people (name) 7 aborted'], 'a rollback');
leaves('oms', 'SELECT name::text, 1 / (id - 4) FROM people WHERE id <= 9', ['decrypt names public.people (name) 4 aborted'], 'an error');
is(rows("application = 'an error'", 'reason'), '22012', 'with its SQLSTATE');
is(rows("application = 'a rollback'", 'coalesce(reason, $$none$$)'), 'none', 'a rollback has none');
is(rows("application = 'masks'", q{concat_ws(' ', authenticated, session_role, role, address, backend IS NOT NULL, ended >= time)}),
    'support support support local t t', 'who, from where, when');
is(rows("operation = 'grant' AND object LIKE '%oms%' AND bucket = 'names'", 'outcome'), 'ok', 'acts are there with their outcome');
like(rows("operation = 'audit started'", 'object'), qr/^\S+:\S+log_data/, 'and the start of the server');
unlike($node->safe_psql('postgres', 'SELECT string_agg(l::text, $$ $$) FROM sdes.audit_log l'), qr/name\d|card\d/, 'never a value');

# A statement that goes on is not there yet, but known to be open.
my $long = start_query($node, 'oms', "SET application_name = 'long'; SELECT name, pg_sleep(CASE WHEN id = 20 THEN 12 ELSE 0 END) FROM people WHERE id <= 20 ORDER BY id");
sleep 1;
loaded($node);
is($node->safe_psql('postgres', q{SELECT count(*), max("values") FROM sdes.audit_open}), '1|100', 'what goes on is open, with what it may use');
is(rows("application = 'long'"), '', 'and not in the table');
finish_query($long);
loaded($node);
is(rows("application = 'long'"), 'decrypt names public.people (name) 20 ok', 'once it has ended it is');
is($node->safe_psql('postgres', 'SELECT count(*) FROM sdes.audit_open'), '0', 'and not open any more');

# Each database has its own.
$node->safe_psql('other', <<'SQL');
CREATE EXTENSION sdes;
SELECT sdes.create_bucket('names');
SELECT sdes.grant_access('names', 'oms', '{encrypt,decrypt}');
CREATE TABLE people (id int PRIMARY KEY, name sdes.enc_text('names'));
GRANT ALL ON people TO oms;
INSERT INTO people VALUES (1, NULL);
SQL
query_as($node, 'oms', "SET application_name = 'elsewhere'; UPDATE people SET name = 'x'", 'other');
loaded($node, 'other');
loaded($node);
is($node->safe_psql('other', "SELECT string_agg(operation, ', ' ORDER BY time) FROM sdes.audit_log WHERE application = 'elsewhere' AND operation <> 'fetch key'"), 'encrypt', 'another database has its own records');
is(rows("application = 'elsewhere'"), '', 'which are not here');
is(wrong(), '', 'the table is what the journal says');
is(query_as($node, 'auditor', 'SELECT count(*) FROM sdes.verify_audit_log()', 'other'), '0', 'so is the other one');

# The sums are those of the rows.
is($node->safe_psql('postgres', <<'SQL'), '0', 'sums by hour');
SELECT count(*) FROM (SELECT date_bin('1 hour', time, '2000-01-01Z') AS hour, coalesce(role, '') AS role, coalesce(bucket, '') AS bucket, operation, outcome,
    coalesce(relation, '') AS relation, coalesce("column", '') AS "column", count(*) AS uses, coalesce(sum("values"), 0) AS "values", coalesce(sum(bytes), 0) AS bytes, min(time) AS first, max(time) AS last
    FROM sdes.audit_log GROUP BY 1, 2, 3, 4, 5, 6, 7) s
FULL JOIN sdes.audit_hour h USING (hour, role, bucket, operation, outcome, relation, "column", uses, "values", bytes, first, last)
WHERE s.hour IS NULL OR h.hour IS NULL OR s.uses IS NULL
SQL
is(query_as($node, 'auditor', q{SELECT sum(denied) FROM sdes.audit_by_role WHERE role = 'stranger'}), '1', 'by role');
is(query_as($node, 'auditor', q{SELECT sum("values") FROM sdes.audit_by_column WHERE relation = 'public.copies' AND operation = 'encrypt'}), '5', 'by column');
is(query_as($node, 'auditor', q{SELECT sum("values") FROM sdes.audit_by_hour WHERE operation = 'mask'}), '6', 'by hour');
is(query_as($node, 'auditor', q{SELECT role, bucket, operation FROM sdes.audit_denied}), 'stranger|names|decrypt', 'denied');
is(query_as($node, 'auditor', q{SELECT application, address FROM sdes.audit_first_access WHERE role = 'support'}), 'masks|local', 'first access');
is(query_as($node, 'auditor', q{SELECT role FROM sdes.audit_top_volume WHERE rank = 1}), 'oms', 'top volume');

is($node->safe_psql('postgres', q{SELECT ok FROM sdes.health() WHERE "check" = 'audit log'}), 't', 'health() is content');
$node->safe_psql('postgres', 'CREATE DATABASE fresh');
is($node->safe_psql('fresh', q{CREATE EXTENSION sdes; SELECT ok FROM sdes.health() WHERE "check" = 'audit log'}), 't', 'also in a database that has nothing yet');
loaded($node); # of health(), which unwraps keys

# ---- who may do what with it ----

like(error_as($node, 'oms', 'SELECT * FROM sdes.audit_log'), qr/42501/, 'only auditors read it');
like(error_as($node, 'oms', 'SELECT * FROM sdes.audit_by_role'), qr/42501/, 'nor its views');
like(error_as($node, 'oms', 'SELECT * FROM sdes.verify_audit_log()'), qr/42501/, 'only they verify it');
like(error_as($node, 'auditor', $_), qr/42501/, "an auditor cannot: $_") for 'DELETE FROM sdes.audit_log', 'INSERT INTO sdes.audit_log SELECT * FROM sdes.audit_log LIMIT 1';
my $partition = $node->safe_psql('postgres', q{SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'sdes.audit_log'::regclass});
like(error_as($node, 'postgres', $_), qr/42501: rows of sdes.audit_log are never changed/, "nor a superuser: $_")
    for 'DELETE FROM sdes.audit_log', 'UPDATE sdes.audit_log SET "values" = 1', 'TRUNCATE sdes.audit_log', "TRUNCATE $partition", "DELETE FROM $partition";
my $dump = $node->basedir . '/dump.sql';
$node->safe_psql('postgres', 'CREATE ROLE owner LOGIN; ALTER DATABASE postgres OWNER TO owner; ALTER TABLE people OWNER TO owner; ALTER TABLE copies OWNER TO owner; ALTER VIEW shown OWNER TO owner');
$node->command_ok([ 'pg_dump', '-U', 'owner', '-f', $dump, $node->connstr('postgres') ], 'the owner of the database can dump it');
unlike(slurp_file($dump), qr/audit_log|public\.people \(name\)|elsewhere|a refusal/, 'a dump has none of it');

# ---- somebody changes it ----

sub tamper { my ($sql) = @_; return $node->safe_psql('postgres', "SET session_replication_role = replica; ALTER TABLE sdes.audit_log DISABLE TRIGGER ALL; ALTER TABLE $partition DISABLE TRIGGER ALL; $sql"); }
my $missed = 0;
my @columns = split /\n/, $node->safe_psql('postgres', q{SELECT quote_ident(attname) || ' ' || atttypid::regtype FROM pg_attribute WHERE attrelid = 'sdes.audit_log'::regclass AND attnum > 0});
tamper('CREATE TABLE public.saved AS SELECT * FROM sdes.audit_log');
srand(83);
for my $n (1 .. $TAMPERINGS)
{
    my $one = $node->safe_psql('postgres', 'SELECT sequence FROM sdes.audit_log ORDER BY random() LIMIT 1');
    my $another = $node->safe_psql('postgres', "SELECT sequence FROM sdes.audit_log WHERE time <> (SELECT min(time) FROM sdes.audit_log WHERE sequence = $one) ORDER BY random() LIMIT 1");
    my ($column, $type) = split / /, $columns[ rand @columns ], 2;
    my $other = { text => "coalesce($column, '') || 'x'", bigint => "coalesce($column, 0) + 1000000", integer => "coalesce($column, 0) + 1", uuid => 'gen_random_uuid()',
        'timestamp with time zone' => "coalesce($column, time) - interval '1 microsecond'" }->{$type};
    my $how = $n % 5;
    if ($how == 0) { tamper("UPDATE sdes.audit_log SET $column = $other WHERE sequence = $one") }
    elsif ($how == 1) { tamper("DELETE FROM sdes.audit_log WHERE sequence = $one") }
    elsif ($how == 2) { tamper("INSERT INTO sdes.audit_log SELECT (jsonb_populate_record(l, '{\"sequence\": 1000000}')).* FROM sdes.audit_log l WHERE sequence = $one") }
    elsif ($how == 3) { tamper("UPDATE sdes.audit_log SET sequence = CASE sequence WHEN $one THEN $another ELSE $one END WHERE sequence IN ($one, $another)") }
    else { tamper("INSERT INTO sdes.audit_log SELECT (jsonb_populate_record(l, jsonb_build_object('journal', gen_random_uuid()))).* FROM sdes.audit_log l WHERE sequence = $one") }
    if (wrong() eq '') { $missed++; diag("not found: way $how, column $column, row $one") }
    tamper('DELETE FROM sdes.audit_log; INSERT INTO sdes.audit_log SELECT * FROM saved');
}
is($missed, 0, "$TAMPERINGS changes of the table are found");
is(wrong(), '', 'put back there is none');
$node->safe_psql('postgres', 'DROP TABLE public.saved');
$node->safe_psql('postgres', "ALTER TABLE $_ ENABLE ALWAYS TRIGGER refuse_change, ENABLE ALWAYS TRIGGER refuse_truncate") for 'sdes.audit_log', $partition;

# ---- kills ----

my $sum = $node->safe_psql('postgres', q{SELECT sum("values") FROM sdes.audit_log WHERE application = 'loop'}) || 0;
my $received = 0;
for my $kill (1 .. $KILLS)
{
    local %ENV = $node->_get_env(PGAPPNAME => 'loop');
    my ($out, $sql) = ('', 'SELECT name FROM people WHERE id <= 10;' x 2000);
    my $client = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-U', 'oms', '-d', $node->connstr('postgres') ], '<', \$sql, '>', \$out, '2>', '/dev/null');
    sleep(0.5 + rand);
    if ($kill % 2)
    {
        # The one that loads, in the midst of it; the server starts anew.
        wait_for(sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'sdes worker'}) ne '0' }, 5);
        my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'sdes worker' LIMIT 1});
        kill 'KILL', $pid if $pid;
    }
    else { crash_server($node, all => 1) }
    eval { $client->finish };
    $node->start if !($kill % 2);
    $node->poll_query_until('postgres', 'SELECT true');
    $received += () = $out =~ /^name/mg;
}
my $cut = start_query($node, 'oms', "SET application_name = 'cut'; SELECT name, pg_sleep(CASE WHEN id = 150 THEN 30 ELSE 0 END) FROM people WHERE id <= 150 ORDER BY id");
my $pid = wait_for(sub { $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE application_name = 'cut' AND wait_event = 'PgSleep'}) }, 10);
kill 'KILL', $pid;
finish_query($cut);
$node->poll_query_until('postgres', 'SELECT true');
loaded($node);
is(rows("application = 'cut'"), 'decrypt names public.people (name) 1000 unknown', 'what a crash has cut short: the most that it can have been');
is(wrong(), '', "$KILLS kills: the table is what the journals say");
cmp_ok($node->safe_psql('postgres', q{SELECT sum("values") FROM sdes.audit_log WHERE application = 'loop'}), '>=', $received, "$KILLS kills: all that clients got is there");
cmp_ok($received, '>', 0, "$KILLS kills: they got some");
is($node->safe_psql('postgres', 'SELECT count(*) FROM (SELECT journal, sequence FROM sdes.audit_log GROUP BY 1, 2 HAVING count(*) > 1) d'), '0', "$KILLS kills: nothing is there twice");

# The same, made here of what the auditor's program shows.
my $program = `$ENV{PG_CONFIG} --bindir` =~ s/\n//r . '/sdes_audit';
sub uses_by_program
{
    my ($folder, $database) = @_;
    my (%open, @uses);
    my $line = sub { my ($begin, $end) = @_; push @uses, join ' ', $begin->{sequence}, $begin->{operation}, $begin->{bucket} // '', $end->{values} // $begin->{values} // '', $end->{bytes} // '', $end->{outcome}; };
    for my $record (map { JSON::PP::decode_json($_) } split /\n/, (run_command([ $program, 'export', $folder ]))[0])
    {
        next if ($record->{database_oid} // $database) != $database;
        my ($kind, $use) = @{$record}{qw(kind use)};
        if ($kind eq 'started') { $line->($_, { outcome => 'unknown' }) for map { @$_ } values %open; %open = (); }
        elsif ($kind eq 'lease') { $_->{values} = $record->{values} for @{ $open{$use} // [] } }
        elsif ($kind eq 'end') { $line->($_, $record) for @{ delete $open{$use} // [] } }
        elsif ($kind eq 'begin' || ($kind eq 'event' && $use)) { push @{ $open{$use} }, $record }
        elsif ($kind eq 'event') { $line->($record, { outcome => 'ok', %$record }) }
    }
    return @uses;
}
my $oid = $node->safe_psql('postgres', q{SELECT oid FROM pg_database WHERE datname = 'postgres'});
my @shown = map { uses_by_program($_, $oid) } glob $node->data_dir . '.audit/*';
my %in_table = map { $_ => 1 } split /\n/, $node->safe_psql('postgres',
    q{SELECT concat_ws(' ', sequence, operation, coalesce(bucket, ''), coalesce("values"::text, ''), coalesce(bytes::text, ''), outcome) FROM sdes.audit_log WHERE operation NOT LIKE 'audit %'});
my $reached = $node->safe_psql('postgres', 'SELECT max(sequence) FROM sdes.audit_log');
is(join("\n", grep { !$in_table{$_} && (split / /)[0] < $reached } @shown), '', 'what the program shows is in the table');
my %by_program = map { $_ => 1 } @shown;
is(join("\n", grep { !$by_program{$_} } sort keys %in_table), '', 'and nothing else');
cmp_ok(scalar(@shown), '>', 50, 'which is something');

# ---- a standby ----

$node->backup('base');
my $standby = new_cluster('standby', hsm => $node->{hsm}, from_backup => [ $node, 'base', has_streaming => 1 ]);
query_as($standby, 'oms', "SET application_name = 'reader'; SELECT name FROM people WHERE id <= 9");
my ($from) = glob $standby->data_dir . '.audit/*';
sleep 2; # its end is written, too
# A log shipper brings it over, in pieces.
my $name = (split m{/}, $from)[-1];
my $to = (glob $node->data_dir . '.audit')[0] . "/$name";
mkdir $to;
my ($segment) = glob "$from/*.journal";
my $bytes = slurp_file($segment);
sub bring { my ($size) = @_; open my $file, '>:raw', "$to/0000000000000001.journal" or die $!; print $file substr $bytes, 0, $size; close $file; return; }
bring(int(length($bytes) / 3));
loaded($node);
my $good = $bytes;
substr($bytes, length($bytes) - 400, 1) ^= chr 1;
bring(length $bytes);
ok(wait_for(sub { $node->safe_psql('postgres', q{SELECT detail FROM sdes.health() WHERE "check" = 'audit log' AND NOT ok}) =~ /: record \d+ is edited/ }, 10), 'a record that was changed on the way: it is loaded no further, and health() says so');
$bytes = $good;
bring(length $bytes);
$node->safe_psql('postgres', 'UPDATE sdes.audit_journal SET wrong = NULL');
loaded($node);
is(rows("application = 'reader' AND operation = 'decrypt'"), 'decrypt names public.people (name) 9 ok', 'what a standby read, once its journal is brought here');
like($node->safe_psql('postgres', "SELECT node FROM sdes.audit_journal WHERE journal = '$name'"), qr/standby/, 'and which one it was');
is(wrong(), '', 'it is what that journal says');

# Promoted, it has that of its own.
$node->wait_for_catchup($standby);
$standby->promote;
$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
loaded($standby);
is($standby->safe_psql('postgres', q{SELECT DISTINCT "values" FROM sdes.audit_log WHERE application = 'reader' AND operation = 'decrypt'}), '9', 'promoted it has what it read before');
my $old = (split m{/}, (grep { !/$name/ } glob $node->data_dir . '.audit/*')[0])[-1];
is(query_as($standby, 'auditor', 'SELECT journal, wrong FROM sdes.verify_audit_log()'), join('-', unpack 'A8A4A4A4A12', $old) . '|its journal is not there', 'and says of the primary\'s records that their journal is not there');
$standby->stop;

# One that is not what its folder says.
my $bad = $to =~ s/(.)$/$1 eq 'a' ? 'b' : 'a'/er;
mkdir $bad;
{ open my $file, '>:raw', "$bad/0000000000000001.journal" or die $!; print $file $bytes; close $file; }
loaded($node);
ok(wait_for(sub { $node->safe_psql('postgres', q{SELECT ok FROM sdes.health() WHERE "check" = 'audit log'}) eq 'f' }, 10), 'a journal under another name is not loaded, and health() says so');
like($node->safe_psql('postgres', q{SELECT detail FROM sdes.health() WHERE "check" = 'audit log'}), qr/it is another journal/, 'and why');
loaded($node);
pass('while this one is');
$node->safe_psql('postgres', q{DELETE FROM sdes.audit_journal WHERE wrong IS NOT NULL});
system_or_bail('rm', '-rf', $bad);

# What cannot be read keeps nothing else from being loaded.
mkdir $bad;
chmod 0, $bad;
ok(wait_for(sub { $node->safe_psql('postgres', q{SELECT detail FROM sdes.health() WHERE "check" = 'audit log' AND NOT ok}) =~ /cannot be read/ }, 10), 'a folder that cannot be read: health() says so');
like(query_as($node, 'auditor', q{SELECT journal, wrong FROM sdes.verify_audit_log()}), qr/^[0-9a-f-]{36}\|audit journal .* cannot be read: Permission denied$/, 'so does who verifies, and of the others that they are right');
loaded($node);
chmod 0700, $bad;
loaded($node);
is($node->safe_psql('postgres', q{SELECT ok FROM sdes.health() WHERE "check" = 'audit log'}), 't', 'when it can be, all is well again');
rmdir $bad;
loaded($node);
is($node->safe_psql('postgres', 'SELECT count(*) FROM sdes.audit_journal WHERE next = 0'), 0, 'one that is gone is forgotten');

# A copy of the database begins anew.
$node->safe_psql('postgres', 'CREATE TABLE public.of_original AS SELECT count(*) FROM sdes.audit_log');
ok(wait_for(sub { $node->psql('other', "SELECT 1") == 0 && $node->psql('template1', 'CREATE DATABASE copy TEMPLATE other') == 0 }, 20), 'a database is copied');
$node->safe_psql('copy', 'SELECT sdes.adopt_keys()');
query_as($node, 'oms', "SET application_name = 'in the copy'; SELECT name FROM people WHERE id = 1", 'copy');
loaded($node, 'copy');
is($node->safe_psql('copy', q{SELECT count(*) FROM sdes.audit_log WHERE application = 'elsewhere'}), 0, 'the copy has none of its original\'s records');
is(query_as($node, 'auditor', 'SELECT count(*) FROM sdes.verify_audit_log()', 'copy'), '0', 'but its own');

# ---- alerts ----

# All of it within one hour of the clock.
sleep 3600 - time % 3600 if time % 3600 > 3550;
my $log = log_size($node);
query_as($node, 'officer', q{SELECT sdes.set_alert('night', 'hours', '{"from": "00:00", "to": "00:01", "days": [1], "time_zone": "UTC"}', role => 'support');
    SELECT sdes.set_alert('office', 'network', '{"networks": ["10.0.0.0/8"]}', bucket => 'cards');
    SELECT sdes.set_alert('many refusals', 'denied', '{"count": 3}');
    SELECT sdes.set_alert('unusual', 'rate', '{"at_least": 50, "factor": 2}', role => 'support')});
$node->safe_psql('postgres', q{INSERT INTO sdes.audit_hour SELECT date_bin('1 hour', now() - i * interval '5 hours', '2000-01-01Z'), 'support', 'names', '', '', 'mask', 'ok', 1, 10, 0, now(), now() FROM generate_series(1, 12) i});
query_as($node, 'support', 'SELECT name FROM people WHERE id <= 15');
query_as($node, 'oms', 'SELECT card FROM people WHERE id = 1');
$node->psql('postgres', 'SELECT name::text FROM people', extra_params => [ '-U', 'stranger' ]) for 1 .. 3;
loaded($node);
is(query_as($node, 'officer', q{SELECT string_agg(concat_ws(' ', rule, role, bucket), ', ' ORDER BY rule) FROM sdes.alerts}), 'many refusals stranger, night support names, office oms cards', 'alerts');
query_as($node, 'support', 'SELECT name FROM people');
query_as($node, 'oms', 'SELECT card FROM people WHERE id = 1');
loaded($node);
is(query_as($node, 'auditor', q{SELECT role || ': ' || detail FROM sdes.alerts WHERE rule = 'unusual'}) =~ /^support: \d+ values within an hour, at the most 10 before$/ ? 1 : 0, 1, 'more than ever before');
is(query_as($node, 'officer', q{SELECT count(*) FROM sdes.alerts WHERE rule = 'office'}), '1', 'one of a kind in an hour');
like(log_since($node, $log), qr/ SDA01 LOG:  audit alert "office": role "oms", bucket "cards", decrypt of 1 values from local/, 'the log has them under an SQLSTATE of their own');
is(query_as($node, 'officer', q{SELECT a.application FROM sdes.alerts a JOIN sdes.alert_rules r ON r.name = a.rule WHERE a.rule = 'office'}), '083_audit_log.pl', 'an officer sees where from');
is(query_as($node, 'auditor', q{SELECT l.operation, l.bucket FROM sdes.alerts a JOIN sdes.audit_log l USING (journal, sequence) WHERE a.rule = 'office'}), 'decrypt|cards', 'an auditor finds the row');
is(rows("operation = 'set alert' AND object LIKE 'office%'", 'role || object'), 'officeroffice, network, {"networks": ["10.0.0.0/8"]}', 'who sets a rule is recorded');

# Honey: a value that nobody has a reason to open.
like(error_as($node, 'oms', "SELECT sdes.add_honey(card, 'x') FROM people WHERE id = 200"), qr/42501/, 'honey is added by officers');
$node->safe_psql('postgres', 'GRANT SELECT ON people TO officer');
query_as($node, 'officer', "SELECT sdes.add_honey(card, 'planted') FROM people WHERE id = 200");
query_as($node, 'officer', "SELECT sdes.add_honey(card, 'first') FROM people WHERE id = 200; SELECT sdes.add_honey(card, 'planted') FROM people WHERE id = 200");
is($node->safe_psql('postgres', 'SELECT label FROM sdes.honey'), 'planted', 'it has one label, the last');
like(error_as($node, 'officer', "SELECT sdes.add_honey('4111'::sdes.enc_text, 'x')"), qr/22023.*constant/, 'not of a constant');
is(rows("operation = 'honey'"), '', 'which does not open it');
query_as($node, 'oms', 'SELECT card FROM people WHERE id = 199');
query_as($node, 'oms', 'SELECT id FROM people WHERE id = 200');
loaded($node);
is(rows("operation = 'honey'"), '', 'nor does who reads around it');
my $honey_log = log_size($node);
my $client = $node->safe_psql('postgres', "SET client_min_messages = log; SELECT card FROM people WHERE id BETWEEN 195 AND 205", extra_params => [ '-U', 'oms' ]);
like(log_since($node, $honey_log), qr/ SDA01 LOG:  audit alert "honey": value "planted" of bucket "cards" is opened for role "oms"/, 'who opens it: the log says so at once');
loaded($node);
is(rows("operation = 'honey'", q{concat_ws(' ', role, bucket, object)}), 'oms cards planted', 'it is on record');
is(query_as($node, 'officer', q{SELECT role || ' ' || bucket || ': ' || detail FROM sdes.alerts WHERE kind = 'honey'}), 'oms cards: honey value planted was opened', 'and raises an alert');
my $as_it_was = query_as($node, 'officer', 'SELECT card FROM people WHERE id = 200');
$node->safe_psql('postgres', q{SELECT sdes.rotate_bucket('cards')});
ok(wait_for(sub { query_as($node, 'officer', 'SELECT card FROM people WHERE id = 200') ne $as_it_was }, 30), 'it is re-encrypted');
query_as($node, 'support', 'SELECT card FROM people WHERE id = 200');
loaded($node);
is(query_as($node, 'officer', q{SELECT string_agg(role, ' ' ORDER BY role) FROM sdes.alerts WHERE kind = 'honey'}), 'oms support', 'and stays honey, also behind a mask');
# Who may read everything can dump it, and in a restored database it is honey as well.
$node->safe_psql('postgres', 'CREATE ROLE archivist LOGIN IN ROLE pg_read_all_data; CREATE DATABASE moved TEMPLATE template0');
$node->command_ok([ 'pg_dump', '-U', 'archivist', '-f', $dump, $node->connstr('postgres') ], 'a member of pg_read_all_data can dump it all');
unlike(slurp_file($dump), qr/a refusal|public\.people \(name\)/, 'but for the audit');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('moved') ], 'it is restored');
is($node->safe_psql('moved', q{SELECT string_agg(name, ', ' ORDER BY name) FROM sdes.alert_rule}), $node->safe_psql('postgres', q{SELECT string_agg(name, ', ' ORDER BY name) FROM sdes.alert_rule}), 'with the rules');
$honey_log = log_size($node);
is(query_as($node, 'oms', 'SELECT card FROM people WHERE id = 200', 'moved'), 'card200', 'and its values');
like(log_since($node, $honey_log), qr/ SDA01 LOG:  audit alert "honey": value "planted"/, 'and honey');
is($node->safe_psql('moved', q{SELECT count(*) FROM sdes.audit_log WHERE bucket = 'cards' AND role = 'support'}), 0, 'and none of the audit of where it was');
query_as($node, 'officer', q{SELECT sdes.drop_honey('planted')});
is($node->safe_psql('postgres', 'SELECT count(*) FROM sdes.honey'), '0', 'dropped, it is honey no more');
like(error_as($node, 'officer', q{SELECT sdes.drop_honey('planted')}), qr/42704/, 'once');
loaded($node);
is(rows("operation IN ('add honey', 'drop honey')", q{concat_ws(' ', operation, role, object)}), "add honey officer planted\nadd honey officer first\nadd honey officer planted\ndrop honey officer planted", 'all of which is recorded');

# A rule that cannot be applied, made by hand, keeps neither rows nor other alerts from coming.
$node->safe_psql('postgres', q{INSERT INTO sdes.alert_rule VALUES ('broken', 'hours', '{"from": "07:00", "to": "20:00", "days": [1], "time_zone": "Nowhere"}', NULL, NULL, true, now(), 'x')});
my $broken_log = log_size($node);
query_as($node, 'oms', "SET application_name = 'broken'; SELECT name FROM people WHERE id = 1");
loaded($node);
is(rows("application = 'broken'", 'operation'), 'decrypt', 'a broken rule: rows come all the same');
like(log_since($node, $broken_log), qr/WARNING:  audit alerts of a kind could not be raised: time zone "Nowhere" not recognized/, 'and the log says why alerts do not');
$node->safe_psql('postgres', q{DELETE FROM sdes.alert_rule WHERE name = 'broken'});
for my $settings ('"kind", \'{}\'', q{'rate', '{"factor": 1e131071}'}, q{'rate', '{"factor": null}'}, q{'hours', '{"time_zone": "SAT"}'}, q{'hours', '{"from": "25:00"}'}, q{'hours', '{"days": [8]}'},
    q{'network', '{"networks": ["x"]}'}, q{'network', '{"networks": "10.0.0.0/8"}'}, q{'denied', '{"count": 0}'}, q{'denied', '{"more": 1}'}, q{'denied', '[]'}, q{'other', '{}'}, q{'denied', '{}', 'nowhere'})
{
    like(error_as($node, 'officer', "SELECT sdes.set_alert('x', $settings)"), qr/ERROR:  (?:22023|42704|42703)/, "no rule: $settings");
}
like(error_as($node, 'officer', "SELECT sdes.set_alert(repeat('x', 64), 'denied')"), qr/22023/, 'nor one of a long name');

# Sums that somebody has changed.
$node->safe_psql('postgres', q{UPDATE sdes.audit_hour SET "values" = 0 WHERE role = 'oms' AND operation = 'decrypt'});
like(wrong(), qr/sums by hour of role "oms"/, 'sums that were changed are found');
$node->safe_psql('postgres', q{DELETE FROM sdes.audit_hour; INSERT INTO sdes.audit_hour SELECT date_bin('1 hour', time, '2000-01-01Z'), coalesce(role, ''), coalesce(bucket, ''), coalesce(relation, ''), coalesce("column", ''), operation, outcome,
    count(*), coalesce(sum("values"), 0), coalesce(sum(bytes), 0), min(time), max(time) FROM sdes.audit_log GROUP BY 1, 2, 3, 4, 5, 6, 7});

# Who listens is told, when it is committed.
my ($notified, $in) = ('', '');
my $psql = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$notified, '2>', '/dev/null');
$in .= "LISTEN sdes_alert;\nSELECT 'listens';\n";
$psql->pump until $notified =~ /listens/;
query_as($node, 'officer', q{SELECT sdes.set_alert('office2', 'network', '{"networks": ["10.0.0.0/8"]}', bucket => 'cards')});
query_as($node, 'oms', 'SELECT card FROM people WHERE id = 1');
loaded($node);
$in .= "SELECT 'done';\n";
$psql->pump until $notified =~ /done/;
$in .= "\\q\n";
eval { $psql->finish };
like($notified, qr/Asynchronous notification "sdes_alert" with payload "\{"id": \d+\}"/, 'a notification');
query_as($node, 'officer', q{SELECT sdes.drop_alert('office2')});
like(error_as($node, 'officer', q{SELECT sdes.drop_alert('office2')}), qr/42704/, 'a rule is dropped once');

# ---- what is old goes ----

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE sdes.audit_log_y2020m01 (LIKE sdes.audit_log INCLUDING ALL);
ALTER TABLE sdes.audit_log ATTACH PARTITION sdes.audit_log_y2020m01 FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-02-01 00:00+00');
ALTER EXTENSION sdes ADD TABLE sdes.audit_log_y2020m01;
INSERT INTO sdes.audit_hour SELECT '2020-01-01', 'x', '', '', '', 'decrypt', 'ok', 1, 1, 1, now(), now();
SQL
ok(wait_for(sub { $node->safe_psql('postgres', q{SELECT to_regclass('sdes.audit_log_y2020m01') IS NULL}) eq 't' }, 10), 'a partition that is too old is dropped');
is($node->safe_psql('postgres', q{SELECT count(*) FROM sdes.audit_hour WHERE hour < '2021-01-01'}), '0', 'with its sums');
loaded($node);
is(rows("operation = 'drop audit log'", 'object'), 'audit_log_y2020m01', 'which is recorded');
isnt($node->safe_psql('postgres', "SELECT to_regclass('$partition')"), '', 'the others stay');

# Segments that were moved away: no alarm, no comparison.
my ($own) = grep { !/$name/ } glob $node->data_dir . '.audit/*';
is(wrong(), '', 'at last it is what the journals say');
$node->safe_psql('postgres', 'DROP TABLE people, copies CASCADE; DROP EXTENSION sdes CASCADE');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname LIKE 'audit_log%'}), '0', 'DROP EXTENSION takes the partitions along');

$node->stop;
done_testing();
