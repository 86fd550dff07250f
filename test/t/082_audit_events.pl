# 082_audit_events.pl
#     What is done to keys and grants is in the audit journal: by whom, what and to whom,
#     when it is committed and not before; and what was refused.

use strict;
use warnings;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use Test::More;

my $program = $ENV{PG_CONFIG} ? `$ENV{PG_CONFIG} --bindir` : '';
chomp $program;
$program .= '/sdes_audit';
my $node = new_cluster('events', conf => "log_statement = none\nmax_prepared_transactions = 5\nautovacuum = off\nsdes.rotation_naptime = 1s\n");
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION sdes;
CREATE ROLE dba LOGIN; GRANT sdes_admin TO dba;
CREATE ROLE officer LOGIN; GRANT sdes_officer TO officer;
CREATE ROLE oms LOGIN;
CREATE ROLE "käufer" LOGIN;
SQL

sub records
{
    my ($from) = @_;
    my ($folder) = glob $node->data_dir . '.audit/*' or return;
    my ($out, $err) = ('', '');
    IPC::Run::run([ $program, 'export', '--from', $from, $folder ], '>', \$out, '2>', \$err) or die $err;
    return map { JSON::PP->new->utf8->decode($_) } split /\n/, $out;
}

# Without those of keys that come and go.
sub events
{
    my ($from) = @_;
    return grep { $_->{kind} eq 'event' && $_->{operation} !~ /^(?:signing key|fetch key)$/ } records($from);
}

# "role: operation bucket outcome object" of each event that some SQL leaves, in the order of
# their times: what several processes have waiting is written in the order of their places.
sub leaves
{
    my ($role, $sql, $expected, $name) = @_;
    my @before = records(1);
    $node->psql('postgres', $sql, extra_params => [ '-U', $role ], on_error_stop => 0);
    my (@events, @left);
    wait_for(sub {
        my @all = records(@before ? $before[-1]{sequence} + 1 : 1);
        my %outcome = map { $_->{use} => $_->{outcome} } grep { $_->{kind} eq 'end' } @all;
        @events = grep { $_->{kind} eq 'event' && $_->{operation} !~ /^(?:signing key|fetch key)$/ } @all;
        @left = map { join ' ', "$_->{role}:", $_->{operation}, $_->{bucket} // '-', $_->{outcome} // $outcome{ $_->{use} } // '?', $_->{object} // '-' }
            sort { $a->{time} cmp $b->{time} } @events;
        return !grep { / \? / } @left;
    }, 5);
    return is(join("\n", @left), join("\n", @$expected), $name);
}

my $token = $node->{hsm}{label};
leaves('dba', "SELECT sdes.create_bucket('names')",
    [   "dba: create KEK #system ok aes-256 in token $token", "dba: create KEK names ok aes-256 in token $token",
        'dba: create bucket names ok aes-256, cached' ], 'a bucket is created');
leaves('officer', "SELECT sdes.grant_access('names', 'oms', '{encrypt,decrypt}')", ['officer: grant names ok oms: encrypt, decrypt'], 'a grant');
leaves('officer', "SELECT sdes.revoke_access('names', 'oms', '{decrypt}')", ['officer: revoke names ok oms: decrypt'], 'and its end');
leaves('officer', "SELECT sdes.grant_access('names', 'käufer', '{mask}')", ["officer: grant names ok k\x{e4}ufer: mask"], 'a name that is not ASCII');
# Who may not call a function is refused by PostgreSQL; who may, by sdes.
$node->safe_psql('postgres', 'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sdes TO oms, officer');
leaves('oms', "SELECT sdes.grant_access('names', 'oms', '{decrypt}')", ['oms: change access to encrypted values - denied -'], 'who may not grant');
leaves('officer', "SELECT sdes.create_bucket('more')", ['officer: create encryption buckets - denied -'], 'who may not create');
leaves('officer', "BEGIN; SELECT sdes.grant_access('names', 'oms', '{decrypt}'); ROLLBACK", [], 'what is rolled back did not happen');
leaves('officer', "BEGIN; SELECT sdes.grant_access('names', 'oms', '{mask}'); SAVEPOINT a; SELECT sdes.grant_access('names', 'oms', '{search}'); ROLLBACK TO a;"
        . " SAVEPOINT b; SELECT sdes.grant_access('names', 'oms', '{decrypt}'); RELEASE b; COMMIT",
    [ 'officer: grant names ok oms: mask', 'officer: grant names ok oms: decrypt' ], 'nor what a subtransaction took back');
leaves('postgres', "BEGIN; SET LOCAL ROLE officer; SELECT sdes.revoke_access('names', 'oms', '{mask}'); RESET ROLE; COMMIT",
    ['officer: revoke names ok oms: mask'], 'who it was when it was done');
is((events(1))[-1]{authenticated}, 'postgres', 'and who logged in');
leaves('officer', "BEGIN; SELECT sdes.grant_access('names', 'oms', '{mask}'); PREPARE TRANSACTION 'p'", ['officer: grant names prepared oms: mask'], 'what is prepared may happen');
leaves('officer', "COMMIT PREPARED 'p'", [], 'and does');
leaves('dba', "SELECT sdes.set_rotation_period('names', '30 days')", ['dba: set rotation period names ok 30 days'], 'the rotation period');
leaves('dba', "SELECT sdes.pause_rotation('names')", ['dba: pause rotation names ok -'], 'a pause');
leaves('dba', "SELECT sdes.resume_rotation('names')", ['dba: resume rotation names ok -'], 'its end');
leaves('dba', "SELECT sdes.cancel_rotation('names')", ['dba: cancel rotation names ok -'], 'the end of a rotation');
leaves('dba', "SELECT sdes.rotate_bucket('names')", ['dba: create key names ok version 2'], 'a rotation');
ok(wait_for(sub { $node->safe_psql('postgres', "SELECT count(*) FROM sdes.keys WHERE bucket = 'names' AND version = 1 AND emptied_at IS NOT NULL") eq '1' }, 30), 'it is empty');
leaves('dba', "SELECT sdes.destroy_key('names', 1)", ['dba: destroy key names ok version 1'], 'a version is destroyed');
my $long = "it l\x{e4}ked " . "\x{e4}" x 600;
leaves('dba', "SELECT sdes.revoke_key('names', 2, 'it läked ' || repeat('ä', 600))",
    [ 'dba: create key names ok version 3', 'dba: revoke key names ok version 2: ' . substr($long, 0, 98) ], 'a revocation, for a long reason');
my @before = records(1);
$node->safe_psql('postgres', "SELECT sdes.rewrap_bucket('names', destroy_old => true)", extra_params => [ '-U', 'dba' ]);
like((grep { $_->{operation} eq 'rewrap keys' } events($before[-1]{sequence}))[0]{object}, qr/^under the KEK [0-9a-f]{32}$/, 'keys are wrapped anew');
ok(wait_for(sub { grep { $_->{operation} eq 'destroy KEK' } events($before[-1]{sequence}) }, 90) || $node->psql('postgres', 'SELECT * FROM sdes.destroy_keks()') == 0, 'the old KEK is destroyed');
is(join(' ', map { $_->{outcome} // 'done' } grep { $_->{operation} eq 'destroy KEK' && $_->{bucket} eq 'names' } events($before[-1]{sequence})), 'begun done', 'which is recorded before and after');

# ---- a bucket whose records are not waited for ----

leaves('officer', "SELECT sdes.set_audit('names', 'async')", ['officer: set audit names ok async'], 'a bucket is set to async');
is($node->safe_psql('postgres', "SELECT audit FROM sdes.buckets WHERE name = 'names'"), 'async', 'and is shown so');
like(error_as($node, 'officer', "SELECT sdes.set_audit('names', 'never')"), qr/22023.*strict and async/s, 'there are two modes');
like(error_as($node, 'dba', "SELECT sdes.set_audit('names', 'strict')"), qr/42501/, 'for officers');

# ---- by hand ----

leaves('postgres', "UPDATE sdes.bucket SET audit_async = audit_async", ['postgres: change by hand - ok UPDATE sdes.bucket'], 'who changes rows by hand is recorded');
leaves('postgres', "BEGIN; DELETE FROM sdes.exported WHERE false; COPY sdes.access FROM STDIN;\n\\.\nROLLBACK", [], 'but not what is rolled back');

# ---- settings ----

@before = records(1);
$node->append_conf('postgresql.conf', "sdes.rotation_share = 7\nsdes.pin_source = 'file:/nowhere/secret'\nwork_mem = '5MB'\n");
$node->reload;
ok(wait_for(sub { 2 <= grep { ($_->{operation} // '') eq 'change setting' } records($before[-1]{sequence} + 1) }, 10), 'changed settings are recorded');
is(join(', ', map { $_->{object} } grep { ($_->{operation} // '') eq 'change setting' } records($before[-1]{sequence} + 1)), 'sdes.pin_source, sdes.rotation_share: 25 to 7',
    'numbers with their values, texts by their names');
$node->append_conf('postgresql.conf', "sdes.pin_source = 'file:$node->{hsm}{pin_file}'\n");
$node->reload;

# Also while the server is down.
$node->stop;
$node->append_conf('postgresql.conf', "sdes.rotation_share = 8\nsdes.audit_timeout = 7000\n");
@before = records(1);
$node->start;
ok(wait_for(sub { 2 <= grep { ($_->{operation} // '') eq 'change setting' } records($before[-1]{sequence} + 1) }, 10), 'so are those that a restart brings');
is(join(', ', map { $_->{object} } grep { ($_->{operation} // '') eq 'change setting' } records($before[-1]{sequence} + 1)), 'sdes.rotation_share: 7 to 8, sdes.audit_timeout: 5000 to 7000',
    'by name and value');
@before = records(1);
$node->restart;
is(scalar(grep { ($_->{operation} // '') eq 'change setting' } records($before[-1]{sequence} + 1)), 0, 'once');

# What a rollback does not undo.
my $tmp = $PostgreSQL::Test::Utils::tmp_check;
system_or_bail('openssl', 'req', '-x509', '-newkey', 'rsa:3072', '-nodes', '-subj', '/CN=Anna', '-days', '30', '-keyout', "$tmp/anna.key", '-out', "$tmp/anna.pem");
my $anna = slurp_file("$tmp/anna.pem");
@before = records(1);
is(query_as($node, 'officer', "BEGIN; SELECT length(sdes.backup_keys(ARRAY['$anna'], 1)) > 0; ROLLBACK"), 't', 'a backup is handed out, and rolled back');
is(join(' ', map { "$_->{role} $_->{outcome}" } grep { $_->{operation} eq 'back up keys' } events($before[-1]{sequence} + 1)), 'officer begun', 'which is recorded all the same');

# Keys that come into a session.
@before = records(1);
$node->safe_psql('postgres', "CREATE TABLE t (v sdes.enc_text('names')); GRANT ALL ON t TO oms");
query_as($node, 'oms', "INSERT INTO t VALUES ('a'); SELECT v FROM t; SELECT v FROM t");
my @since;
ok(wait_for(sub { @since = records($before[-1]{sequence} + 1); 3 == grep { $_->{kind} eq 'end' && defined $_->{values} } @since }, 10), 'three statements have used it');
my ($fetch) = grep { ($_->{operation} // '') eq 'fetch key' && $_->{bucket} eq 'names' && $_->{role} eq 'oms' } @since;
is($fetch->{object}, 'version 3', 'a key that comes into a session is recorded');
is(scalar(grep { ($_->{operation} // '') eq 'fetch key' && $_->{bucket} eq 'names' && $_->{role} eq 'oms' } @since), 1, 'once');
my ($use) = grep { $_->{kind} eq 'begin' } @since;
cmp_ok($fetch->{sequence}, '<', $use->{sequence} + 2, 'by the time it is used');

# Nobody waits, but as long as nobody can write.
my $writer = worker_pid($node, 'sdes audit');
kill 'STOP', $writer;
my $count = () = grep { $_->{kind} eq 'begin' && $_->{role} eq 'oms' } records(1);
my $many = start_query($node, 'oms', q{DO $$ BEGIN FOR i IN 1 .. 3 LOOP PERFORM v::text FROM t; END LOOP; PERFORM pg_sleep(1); END $$});
sleep(1);
is(scalar(() = grep { $_->{kind} eq 'begin' && $_->{role} eq 'oms' } records(1)), $count, 'async: nothing is on the disk yet');
is(finish_query($many)->{err}, '', 'async: values were opened');
kill 'CONT', $writer;
ok(wait_for(sub { (() = grep { $_->{kind} eq 'begin' && $_->{role} eq 'oms' } records(1)) == $count + 1 }, 10), 'async: a moment later it is');
leaves('officer', "SELECT sdes.set_audit('names', 'strict')", ['officer: set audit names ok strict'], 'strict again');

# No record, no change.
chmod 0, glob($node->data_dir . '.audit/*/*.journal');
rename $node->data_dir . '.audit', $node->data_dir . '.away' or die $!;
$node->restart;
like(error_as($node, 'officer', "SELECT sdes.grant_access('names', 'oms', '{search}')"), qr/audit journal cannot be written/, 'without a journal: no grant');
is($node->safe_psql('postgres', "SELECT count(*) FROM sdes.access WHERE privilege = 'search'"), 0, 'without a journal: it was not made');
rename $node->data_dir . '.away', $node->data_dir . '.audit' or die $!;
chmod 0600, glob($node->data_dir . '.audit/*/*.journal');
leaves('officer', "SELECT sdes.grant_access('names', 'oms', '{search}')", [ 'officer: grant names aborted oms: search', 'officer: grant names ok oms: search' ],
    'with it again: it is, and the other one was not');
my ($folder) = glob $node->data_dir . '.audit/*';
is(system($program, 'verify', $folder), 0, 'the chain is whole');
unlike(join('', map { JSON::PP::encode_json($_) } records(1)), qr/$node->{hsm}{pin_file}/, 'no PIN');

done_testing();
