# 080_audit.pl
#     No plaintext without a record: what is recorded of each form of a statement, and that
#     the counts are those of the client; servers that are killed, disks that fail, copies
#     and standbys; and a journal that somebody has tampered with.

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

my $tmp = $PostgreSQL::Test::Utils::tmp_check;
my $KILLS = soak(4, 500);
my $CLIENTS = soak(6, 32);
my $TAMPERINGS = soak(300, 10000);

# The server's own program, and a disk that fails when told to.
my $program = $ENV{PG_CONFIG} ? `$ENV{PG_CONFIG} --bindir` : '';
chomp $program;
$program .= '/sdes_audit';
my $shim = "$tmp/faulty_disk.so";
system_or_bail('cc', '-shared', '-fPIC', '-O1', '-D_GNU_SOURCE', '-o', $shim, 'test/programs/faulty_disk.c', '-ldl');
my $fault = "$tmp/disk_fault";
local $ENV{SDES_DISK_FAULT} = $fault;
sub disk { my ($state) = @_; open my $file, '>', "$fault.new" or die $!; print $file $state; close $file; rename "$fault.new", $fault or die $!; return; }
disk('well');

# Unix sockets only in clusters of this kind; TCP for one test.
my $node;
{
    local $ENV{LD_PRELOAD} = $shim;
    $node = new_cluster('audited', init => { allows_streaming => 1 }, conf => <<'CONF');
log_statement = none
restart_after_crash = off
sdes.audit_timeout = 1000
compute_query_id = on
CONF
}
sub start_node { local $ENV{LD_PRELOAD} = $shim; $node->start; return; }
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION sdes;
SELECT sdes.create_bucket('names'), sdes.create_bucket('vault', mode => 'hsm');
CREATE ROLE oms LOGIN;
CREATE ROLE support LOGIN;
CREATE ROLE stranger LOGIN;
CREATE ROLE auditor LOGIN;
GRANT sdes_auditor TO auditor;
SELECT sdes.grant_access(b, 'oms', '{encrypt,search,decrypt}'), sdes.grant_access(b, 'support', '{mask}') FROM unnest('{names,vault}'::text[]) b;
CREATE TABLE plain (id int PRIMARY KEY, note text);
INSERT INTO plain SELECT i, 'note' FROM generate_series(1, 10) i;
CREATE TABLE people (id int PRIMARY KEY, name sdes.enc_text('names', 'searchable'), secret sdes.enc_text('vault'));
CREATE INDEX ON people (name);
CREATE TABLE hidden (note sdes.enc_text('names'));
CREATE TABLE made (client text, name sdes.enc_text('names'));
GRANT ALL ON ALL TABLES IN SCHEMA public TO oms, support, stranger;
SQL

# ---- reading the journal ----

sub folder_of { my ($server) = @_; my @folders = glob $server->data_dir . '.audit/*'; return $folders[-1]; }
sub journals { my ($server) = @_; return grep { -d } glob $server->data_dir . '.audit/*'; }
my $folder;

sub run_program { my (@arguments) = @_; my ($out, $err) = ('', ''); my $ok = IPC::Run::run([ $program, @arguments ], '>', \$out, '2>', \$err); return ($? >> 8, $out, $err); }

sub records
{
    my ($from, $where) = @_;
    my ($status, $out, $err) = run_program('export', '--from', $from, $where // $folder);
    die "export: $err" if $status != 0;
    return map { JSON::PP::decode_json($_) } split /\n/, $out;
}

# The sequence of the next record, once all uses so far have their ends.
sub next_sequence
{
    my ($next, %open);
    wait_for(sub {
        my @all = records(1);
        %open = map { $_->{use} => 1 } grep { $_->{kind} eq 'begin' } @all;
        delete $open{ $_->{use} } for grep { $_->{kind} eq 'end' } @all;
        $next = $all[-1]{sequence} + 1;
        return !%open;
    }, 5);
    return $next;
}

# What statements leave: "operation bucket values outcome" of each use that has ended.
sub uses_of
{
    my ($from) = @_;
    my (%begin, @uses);
    wait_for(sub {
        (%begin, @uses) = ();
        for my $record (records($from))
        {
            $begin{ $record->{use} } = $record if $record->{kind} eq 'begin';
            push @uses, "$record->{operation} $record->{bucket} $record->{outcome}" if $record->{kind} eq 'event' && $record->{bucket} && $record->{operation} ne 'fetch key';
            next if $record->{kind} ne 'end' || !defined $record->{values};
            my $of = delete $begin{ $record->{use} } or die 'an end without a begin';
            push @uses, "$of->{operation} $of->{bucket} $record->{values} $record->{outcome}";
        }
        return !%begin;
    }, 10) or die 'uses that do not end';
    return join "\n", sort @uses;
}

sub leaves
{
    my ($role, $sql, $expected, $name) = @_;
    my $from = next_sequence();
    $node->psql('postgres', $sql, extra_params => [ '-U', $role ], on_error_stop => 0);
    return is(uses_of($from), join("\n", sort @$expected), $name);
}

$node->safe_psql('postgres', "INSERT INTO people SELECT i, 'name' || i, CASE WHEN i <= 20 THEN 'secret' || i END FROM generate_series(1, 1000) i",
    extra_params => [ '-U', 'oms' ]);
query_as($node, 'oms', q{INSERT INTO hidden SELECT 'name' || i FROM generate_series(101, 130) i});
my @folders = journals($node);
is(scalar @folders, 1, 'a server has one journal, beside its data directory');
$folder = $folders[0];
is(join(' ', map { $_->{kind} } (records(1))[0]), 'started', 'it begins by saying so');
is(scalar(grep { $_->{kind} eq 'lease' } records(1)), 1, 'a thousand values took one lease');

# ---- what is recorded ----

my $from = next_sequence();
query_as($node, 'oms', "SET application_name = 'till'; SELECT name FROM people WHERE id = 1");
my ($begin) = grep { $_->{kind} eq 'begin' } records($from);
is(join(' ', @{$begin}{qw(operation bucket database authenticated session_role role address application values)}),
    'decrypt names postgres oms oms oms local till 100', 'who, from where, of what');
like($begin->{backend}, qr/^\d+$/, 'by which process');
ok($begin->{query}, 'and which query');
leaves('postgres', 'SET ROLE oms; SELECT name::text FROM people', ['decrypt names denied'], 'a superuser who becomes another is refused');
($begin) = (grep { ($_->{outcome} // '') eq 'denied' } records(1))[-1];
is(join(' ', @{$begin}{qw(authenticated session_role role outcome)}), 'postgres postgres oms denied', 'and who that was');
unlike(join('', map { JSON::PP::encode_json($_) } records(1)), qr/name\d|secret\d/, 'never a value or a literal');

leaves('oms', 'SELECT name, secret FROM people WHERE id <= 20', [ 'decrypt names 20 ok', 'decrypt vault 20 ok' ], 'two buckets');
is((grep { $_->{kind} eq 'end' } records(1))[-1]{bytes}, 9 * length('secret1') + 11 * length('secret10'), 'with their bytes, also where the HSM opens them');
leaves('support', 'SELECT name FROM people WHERE id <= 5', ['mask names 5 ok'], 'masks');
leaves('stranger', 'SELECT name FROM people', [], 'who sees ciphertext uses nothing');
leaves('stranger', 'SELECT name::text FROM people', ['decrypt names denied'], 'who is refused is recorded');
leaves('stranger', "INSERT INTO made VALUES ('s', 'x')", ['encrypt names denied'], 'also in writing');
leaves('oms', "INSERT INTO made VALUES ('a', 'x'), ('b', 'y')", ['encrypt names 2 ok'], 'writing');
leaves('oms', "BEGIN; INSERT INTO made VALUES ('a', 'x'); SELECT name FROM people WHERE id = 1; ROLLBACK",
    [ 'decrypt names 1 aborted', 'encrypt names 1 ok' ], 'each statement ends with the next');
leaves('oms', 'BEGIN; SELECT name FROM people WHERE id <= 3; ROLLBACK', ['decrypt names 3 aborted'], 'what is rolled back was seen');
leaves('oms', 'SELECT name::text, 1 / (id - 4) FROM people WHERE id <= 9', ['decrypt names 4 aborted'], 'an error in the midst');
leaves('oms', 'BEGIN; SELECT name FROM people WHERE id = 1; SAVEPOINT s; SELECT name::text, 1 / 0 FROM people; ROLLBACK TO s; COMMIT',
    [ 'decrypt names 1 ok' ], 'a statement that opens nothing');
leaves('oms', 'BEGIN; DECLARE c CURSOR FOR SELECT name FROM people ORDER BY id; FETCH 2 FROM c; FETCH 3 FROM c; COMMIT',
    [ 'decrypt names 2 ok', 'decrypt names 3 ok' ], 'each FETCH');
leaves('oms', 'COPY (SELECT name FROM people WHERE id <= 7) TO STDOUT', ['decrypt names 7 ok'], 'COPY of a query');
leaves('oms', 'COPY people TO STDOUT', [], 'COPY of a table is ciphertext');
leaves('oms', 'PREPARE p AS SELECT name FROM people WHERE id <= $1; EXECUTE p(2); EXECUTE p(3)', [ 'decrypt names 2 ok', 'decrypt names 3 ok' ], 'EXECUTE');
leaves('oms', q{DO $$ DECLARE t text; BEGIN FOR i IN 1 .. 4 LOOP SELECT name INTO t FROM people WHERE id = i; END LOOP; END $$},
    ['decrypt names 4 ok'], 'a DO block is one statement');
leaves('oms', q{UPDATE people SET name = name::text || '!' WHERE id <= 6}, [ 'decrypt names 6 ok', 'encrypt names 6 ok' ], 'both');
leaves('oms', q{UPDATE people SET id = id WHERE id <= 6}, [], 'what is copied as it is');
leaves('oms', q{SELECT id FROM people WHERE name = 'name77'}, ['search names 0 ok'], 'a guess by an index');
leaves('oms', q{SET enable_indexscan = off; SET enable_bitmapscan = off; SELECT id FROM people WHERE name = 'name77'}, ['search names 0 ok'], 'a guess at each row');
leaves('oms', q{SET enable_indexscan = off; SET enable_bitmapscan = off; SELECT id FROM people WHERE name IN ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j')},
    ['search names 0 ok'], 'guesses by hash that all miss');
leaves('oms', q{SET enable_nestloop = off; SET enable_mergejoin = off; SELECT count(*) FROM people p JOIN (VALUES ('a'), ('b')) v (t) ON p.name = v.t},
    ['search names 0 ok'], 'a hash join with texts');
leaves('oms', q{SET enable_nestloop = off; SET enable_mergejoin = off; SELECT count(*) FROM (SELECT lag(name) OVER (ORDER BY id) AS name FROM people) p JOIN (VALUES ('a'), ('b')) v (t) ON p.name = v.t},
    ['search names 0 ok'], 'with values of which the plan does not say whose they are');
leaves('oms', q{SELECT 'a' IN (SELECT name FROM people), count(*) FILTER (WHERE id > 0) FROM people}, ['search names 0 ok'], 'a guess at a hashed subselect of the output');
# A value without a token is opened to be looked for in an index, where nothing can be waited for.
$from = next_sequence();
query_as($node, 'oms', q{DO $$ DECLARE v sdes.enc_text; n int; found int := 0; BEGIN PERFORM set_config('enable_seqscan', 'off', true);
    FOR v IN SELECT note FROM hidden LOOP SELECT count(*) INTO n FROM people WHERE name = v; found := found + n; END LOOP;
    IF found <> 30 THEN RAISE 'found %', found; END IF; END $$});
like(uses_of($from), qr/^search names (?:[3-9]\d|\d{3,}) ok$/m, 'values that an index search opens');
leaves('oms', 'SELECT id FROM people ORDER BY name LIMIT 1', ['sort names 1000 ok'], 'a sort');
leaves('oms', 'SELECT id FROM people a JOIN people b USING (id, name)', [], 'values are compared without being opened');
leaves('oms', 'SET statement_timeout = 200; SELECT name, pg_sleep(CASE WHEN id > 2 THEN 5 ELSE 0 END) FROM people ORDER BY id', ['decrypt names 3 aborted'],
    'a statement that is cancelled');

# Whoever works for a statement, the sum is the client's.
$from = next_sequence();
query_as($node, 'oms', 'SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SELECT sum(length(name::text)) > 0 FROM people');
uses_of($from);
my @parallel = records($from);
my $sum = 0;
$sum += $_->{values} for grep { $_->{kind} eq 'end' } @parallel;
is($sum, 1000, 'parallel workers: in all as many values as there are');
is(scalar(grep { $_->{kind} eq 'begin' && $_->{authenticated} ne 'oms' } @parallel), 0, 'parallel workers: for the client of their leader');

my ($status, $out, $err) = run_program('verify', $folder);
is($status, 0, 'the journal is a whole chain') or diag($out, $err);
like(query_as($node, 'auditor', 'SELECT wrong IS NULL, last > 50, folder FROM sdes.verify_audit()'), qr/^t\|t\|\Q$folder\E$/, 'and so says an auditor in SQL');
like(error_as($node, 'oms', 'SELECT sdes.verify_audit()'), qr/42501/, 'who is none cannot ask');

# ---- the disk ----

for my $trouble ([ 'full', qr/53100.*audit journal cannot be written/s ], [ 'broken', qr/58030.*audit journal cannot be written/s ])
{
    my ($state, $error) = @$trouble;
    disk($state);
    like(error_as($node, 'oms', 'SELECT name FROM people WHERE id = 1'), $error, "$state: no plaintext");
    like(error_as($node, 'oms', "INSERT INTO made VALUES ('x', 'x')"), $error, "$state: nothing is stored");
    is(query_as($node, 'oms', 'SELECT count(*) FROM plain'), 10, "$state: other tables are used");
    like($node->safe_psql('postgres', q{SELECT detail FROM sdes.health() WHERE "check" = 'audit' AND NOT ok}), qr/audit journal in/, "$state: health() tells");
    disk('well');
    is(query_as($node, 'oms', 'SELECT name FROM people WHERE id = 7'), 'name7', "$state: when it is well again all goes on");
    ok(wait_for(sub { $node->safe_psql('postgres', q{SELECT ok FROM sdes.health() WHERE "check" = 'audit'}) eq 't' }, 10), "$state: and health() says so");
    is((run_program('verify', $folder))[0], 0, "$state: the chain is whole");
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM made WHERE client = 'x'}), 0, 'nothing of it was stored');

# A slow disk, with many who give up and come again.
disk('slow');
my @slow = map { my $c = $_; start_query($node, 'oms', "SELECT name FROM people WHERE id = $c") } 1 .. 5;
my @said = map { finish_query($_) } @slow;
is(scalar(grep { $_->{out} !~ /^(?:name\d+!?)?$/ || ($_->{err} ne '' && $_->{err} !~ /58030/) } @said), 0, 'a slow disk: values, or the reason')
    or diag(map { "$_->{out} $_->{err}" } @said);
my $caught = start_query($node, 'oms', q{DO $$ DECLARE t text; n int := 0; BEGIN FOR i IN 1 .. 6 LOOP
    BEGIN SELECT name::text INTO t FROM people WHERE id = i; n := n + 1; EXCEPTION WHEN io_error THEN NULL; END; END LOOP; END $$});
sleep(1);
disk('well');
is(finish_query($caught)->{err}, '', 'a slow disk: who catches the error goes on when it is well');
is((run_program('verify', $folder))[0], 0, 'a slow disk: the chain is whole');
next_sequence();
my @all = records(1);
my %began = map { $_->{use} => $_ } grep { $_->{kind} eq 'begin' } @all;
my %acts = map { $_->{use} => 1 } grep { $_->{kind} eq 'event' && $_->{use} } @all;
is(scalar(grep { $_->{kind} eq 'end' && !$began{ $_->{use} } && !$acts{ $_->{use} } } @all), 0, 'a slow disk: no end without a begin');
is(scalar(grep { $_->{kind} eq 'begin' } @all), scalar keys %began, 'no two uses have one number');

# One hangs in it; the others wait as long as they may. It is not to be the worker that signs.
ok(wait_for(sub { query_as($node, 'auditor', 'SELECT last - signed_to <= 1 FROM sdes.verify_audit()') eq 't' }, 20), 'all is signed');
sleep(1);
disk('hangs');
my $stuck = start_query($node, 'oms', 'SELECT name FROM people WHERE id = 8');
ok(wait_for(sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = '$stuck->{name}' AND state = 'active'") eq '1' }, 10), 'a disk that hangs: one is in it');
sleep(0.5);
my $began = time;
like(error_as($node, 'oms', 'SELECT name FROM people WHERE id = 9'), qr/58030.*not on the disk in time/s, 'a disk that hangs: another one gives up in time');
is(query_as($node, 'oms', 'SELECT count(*) FROM plain'), 10, 'a disk that hangs: other tables are used');
disk('well');
is(finish_query($stuck)->{out}, 'name8', 'a disk that hangs: when it goes on, so does who was in it');
is(query_as($node, 'oms', 'SELECT name FROM people WHERE id = 9'), 'name9', 'a disk that hangs: and everybody');

# The folder is away.
rename $folder, "$folder.away" or die $!;
like(error_as($node, 'oms', 'SELECT name FROM people WHERE id = 1'), qr/58P01.*audit journal cannot be written/s, 'no folder: no plaintext');
is(query_as($node, 'oms', 'SELECT count(*) FROM plain'), 10, 'no folder: other tables are used');
rename "$folder.away", $folder or die $!;
is(query_as($node, 'oms', 'SELECT name FROM people WHERE id = 7'), 'name7', 'it is back');
is((run_program('verify', $folder))[0], 0, 'the chain is whole');

# ---- the server is killed ----

# Clients that write down what they get.
sub start_client
{
    my ($name) = @_;
    open my $script, '>', "$tmp/$name.sql" or die $!;
    for my $i (1 .. 3000)
    {
        print $script "SELECT name FROM people WHERE id = " . (1 + $i % 1000) . ";\n";
        print $script "INSERT INTO made VALUES ('$name', 'x');\n" if $i % 3 == 0;
    }
    close $script;
    local %ENV = $node->_get_env(PGAPPNAME => $name);
    return IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-U', 'oms', '-d', $node->connstr('postgres'), '-f', "$tmp/$name.sql" ],
        '<', \undef, '>', "$tmp/$name.out", '2>', '/dev/null');
}

my ($unrecorded, $received, $broken) = (0, 0, 0);
for my $kill (1 .. $KILLS)
{
    my ($end) = (run_program('tail', '--lines', 1, $folder))[1];
    $from = JSON::PP::decode_json($end)->{sequence} + 1;
    my %clients = map { ("client_${kill}_$_" => undef) } 1 .. $CLIENTS;
    $clients{$_} = start_client($_) for keys %clients;
    sleep(0.2 + rand() * 0.8);
    crash_server($node, all => 1);
    for my $client (values %clients) { eval { $client->finish } }
    start_node();
    $node->poll_query_until('postgres', 'SELECT true');
    query_as($node, 'oms', 'SELECT name FROM people WHERE id = 1');
    $broken += (run_program('verify', $folder))[0] != 0;
    my %begun;
    for my $record (grep { $_->{kind} eq 'begin' && ($_->{application} // '') =~ /^client_/ } records($from))
    {
        $begun{"$record->{application} $record->{operation}"}++;
    }
    for my $name (sort keys %clients)
    {
        my $got = () = slurp_file("$tmp/$name.out") =~ /^name/mg;
        my $stored = $node->safe_psql('postgres', "SELECT count(*) FROM made WHERE client = '$name'");
        $received += $got;
        # Each statement opens or seals one value.
        $unrecorded += $got > ($begun{"$name decrypt"} // 0);
        $unrecorded += $stored > ($begun{"$name encrypt"} // 0);
        unlink "$tmp/$name.sql", "$tmp/$name.out";
    }
}
cmp_ok($received, '>', 0, "$KILLS kills: clients got values");
is($unrecorded, 0, "$KILLS kills: nobody got or stored one without a record");
is($broken, 0, "$KILLS kills: the chain is whole after each");
diag("$received values");

# ---- copies ----

$node->backup('base');
is(scalar(my @inside = glob $node->backup_dir . '/base/**/*.journal'), 0, 'a base backup holds no journal');
my $standby = new_cluster('standby', hsm => $node->{hsm}, from_backup => [ $node, 'base', has_streaming => 1 ]);
is(query_as($standby, 'oms', 'SELECT name FROM people WHERE id = 7'), 'name7', 'a standby reads');
my $other = folder_of($standby);
isnt($other, $folder, 'and has a journal of its own');
my ($started) = records(1, $other);
is($started->{from_journal}, (split m{/}, $folder)[-1], 'which says which one it goes on from');
is(scalar(grep { $_->{kind} eq 'begin' && $_->{operation} eq 'decrypt' } records(1, $other)), 1, 'with what was read there');
$node->wait_for_catchup($standby, 'replay');
$standby->promote;
$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
query_as($standby, 'oms', "INSERT INTO made VALUES ('promoted', 'x')") for 1 .. 40;
is(scalar(journals($standby)), 1, 'promoted it goes on with it');
is((run_program('verify', $other))[0], 0, 'as one chain');
$standby->stop;
$node->stop;
start_node();
query_as($node, 'oms', 'SELECT name FROM people WHERE id = 7');
is(scalar(journals($node)), 1, 'after a restart, too');
is((run_program('verify', $folder))[0], 0, 'as one chain');
$node->stop;

# A copy of the data directory in its own place is a copy.
my $data = $node->data_dir;
system_or_bail('sh', '-c', "cp -a '$data' '$data.copy' && rm -rf '$data'/* && mv '$data.copy'/* '$data' && rmdir '$data.copy'");
start_node();
query_as($node, 'oms', 'SELECT name FROM people WHERE id = 7');
my ($second) = grep { $_ ne $folder } journals($node);
is((records(1, $second))[0]->{from_journal}, (split m{/}, $folder)[-1], 'a data directory that was restored in place begins another one');
$node->stop;

# A journal that is damaged is not written on; a new one can be begun.
my ($damaged) = glob "$second/*.journal";
{ open my $file, '+<:raw', $damaged or die $!; seek $file, 3, 0; print $file 'x'; close $file; }
start_node();
like(error_as($node, 'oms', 'SELECT name FROM people WHERE id = 7'), qr/XX001.*sdes\/journal in the data directory, is damaged.*It is in/s, 'a damaged journal: no plaintext, and why');
like($node->safe_psql('postgres', q{SELECT hint FROM sdes.health() WHERE "check" = 'audit'}), qr/move sdes\/journal out/, 'a damaged journal: health() says what to do');
rename "$data/sdes/journal", "$data.journal" or die $!;
is(query_as($node, 'oms', 'SELECT name FROM people WHERE id = 7'), 'name7', 'a damaged journal: then another one begins');
$node->stop;

# ---- tampering ----

my ($segment) = glob "$other/*.journal";
my $good = slurp_file($segment);
my ($witness) = (run_program('verify', $other))[1] =~ /to witness it: (\S+)/;
mkdir "$tmp/tampered";
my $copy = "$tmp/tampered/0000000000000001.journal";
sub tampered_is_found { my ($bytes) = @_; open my $file, '>:raw', $copy or die $!; print $file $bytes; close $file; return (run_program('verify', "$tmp/tampered", '--witness', $witness))[0] == 1; }

# Where its records begin.
my @at = (81);
while ($at[-1] < length $good) { push @at, $at[-1] + 21 + 32 + unpack 'N', substr $good, $at[-1], 4; }
my $last = $#at - 1;
my $missed = 0;
srand(80);
for my $n (1 .. $TAMPERINGS)
{
    my $bytes = $good;
    my $i = int rand $last;
    my $j = int rand $last;
    my $record = substr $good, $at[$i], $at[ $i + 1 ] - $at[$i];
    my $how = $n % 5;
    if ($how == 0) { my $p = 81 + int rand(length($good) - 81); substr($bytes, $p, 1) ^= chr(1 + int rand 255); }
    elsif ($how == 1) { substr $bytes, $at[$i], length $record, ''; }
    elsif ($how == 2) { substr $bytes, $at[$j], 0, $record; }
    elsif ($how == 3) { my $next = substr $good, $at[ $i + 1 ], $at[ $i + 2 ] - $at[ $i + 1 ]; substr $bytes, $at[$i], length($record . $next), $next . $record; }
    else { $bytes = substr $good, 0, 81 + int rand(length($good) - 81); }
    $missed++ if !tampered_is_found($bytes);
}
is($missed, 0, "$TAMPERINGS tamperings are found");
ok(!tampered_is_found($good), 'the journal as it is has none');
is((run_program('verify', "$tmp/nothing"))[0], 2, 'no folder: it says so');
is((run_program('frobnicate', $folder))[0], 2, 'no such command');

done_testing();
