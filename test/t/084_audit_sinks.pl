# 084_audit_sinks.pl
#     Where else records go: a second folder, the lines for a log shipper, which a schema
#     describes, and the table, of a journal of several segments.

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
my $mirror = "$tmp/mirror";
mkdir $mirror or die $!;
my $node = new_cluster('sinks', conf => <<"CONF");
log_statement = none
sdes.rotation_naptime = 1
sdes.audit_mirror = '$mirror'
CONF
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION sdes;
SELECT sdes.create_bucket('names'), sdes.create_bucket('news');
SELECT sdes.set_audit('news', 'async');
CREATE ROLE oms LOGIN;
CREATE ROLE stranger LOGIN;
CREATE ROLE auditor LOGIN IN ROLE sdes_auditor;
SELECT sdes.grant_access(b, 'oms', '{encrypt,search,decrypt}') FROM unnest('{names,news}'::text[]) b;
CREATE TABLE people (id int PRIMARY KEY, name sdes.enc_text('names'), news sdes.enc_text('news'));
GRANT ALL ON people TO oms, stranger;
SQL
query_as($node, 'oms', "INSERT INTO people SELECT i, 'name' || i, 'news' || i FROM generate_series(1, 300) i");

my $program = `$ENV{PG_CONFIG} --bindir` =~ s/\n//r . '/sdes_audit';
sub run_program { my (@arguments) = @_; my ($out, $err) = ('', ''); IPC::Run::run([ $program, @arguments ], '>', \$out, '2>', \$err); return ($? >> 8, $out, $err); }
sub folder { my ($folder) = glob $node->data_dir . '.audit/*'; return $folder; }
my $name = (split m{/}, folder())[-1];
sub row_of_health { my ($check, $column) = @_; return $node->safe_psql('postgres', "SELECT $column FROM sdes.health() WHERE \"check\" = '$check'"); }
sub content { my ($folder) = @_; return join '', map { $_ =~ s{.*/}{}r . slurp_file($_) } sort glob "$folder/*.journal"; }
sub same { return wait_for(sub { content(folder()) eq content("$mirror/$name") }, 20) }

# ---- a second folder ----

ok(same(), 'the second folder has the same journal');
is((run_program('verify', "$mirror/$name"))[0], 0, 'which verifies by itself');
is(row_of_health('audit mirror', 'ok'), 't', 'health() says so');
rename $mirror, "$mirror.away" or die $!;
open my $file, '>', $mirror or die $!;
close $file;
is(query_as($node, 'oms', 'SELECT name FROM people WHERE id = 7'), 'name7', 'it is gone: statements go on');
ok(wait_for(sub { row_of_health('audit mirror', 'ok') eq 'f' }, 10), 'and health() tells');
like(row_of_health('audit mirror', 'detail'), qr/not complete since 20.*: Not a directory/, 'since when, and why');
unlink $mirror;
rename "$mirror.away", $mirror or die $!;
ok(same(), 'it is back, and gets what it has missed');
rename $mirror, "$mirror.full" or die $!;
mkdir $mirror or die $!;
ok(same(), 'another one gets all of it');
ok(wait_for(sub { row_of_health('audit mirror', 'ok') eq 't' }, 10), 'and all is well');

# ---- several segments ----

my $file_of = "$tmp/select.sql";
{ open my $out, '>', $file_of or die $!; print $out "SELECT news FROM people WHERE id = 1;\n"; close $out; }
my $before = $node->safe_psql('postgres', q{SELECT coalesce(sum("values"), 0) FROM sdes.audit_log WHERE bucket = 'news' AND operation = 'decrypt'});
$node->command_ok([ 'pgbench', '-n', '-U', 'oms', '-c', 4, '-j', 2, '-t', 15000, '-f', $file_of, $node->connstr('postgres') ], '60,000 statements');
cmp_ok(scalar(my @segments = glob folder() . '/*.journal'), '>', 1, 'take several segments');
ok(same(), 'the second folder has them');
is((run_program('verify', "$mirror/$name"))[0], 0, 'which verify');
ok(wait_for(sub { $node->safe_psql('postgres', q{SELECT sum("values") FROM sdes.audit_log WHERE bucket = 'news' AND operation = 'decrypt'}) eq 60000 + $before }, 60), 'the table has them all');
is(query_as($node, 'auditor', 'SELECT count(*) FROM sdes.verify_audit_log()'), 0, 'as they are in the journal');
$node->restart;
is(row_of_health('audit mirror', 'ok'), 't', 'after a restart, before anything is to be copied, health() is content');
query_as($node, 'oms', 'SELECT name FROM people WHERE id = 7');
ok(same(), 'after a restart, too');

# Somebody who changes the one does not change the other.
my $first = $segments[0];
my $bytes = slurp_file($first);
{ my $changed = $bytes; substr($changed, 2000, 1) ^= chr 1; open my $out, '>:raw', $first or die $!; print $out $changed; close $out; }
is((run_program('verify', folder()))[0], 1, 'a segment is changed');
sleep 2;
is((run_program('verify', "$mirror/$name"))[0], 0, 'not in the second folder');
{ open my $out, '>:raw', $first or die $!; print $out $bytes; close $out; }

# Segments that are moved away: what was loaded stays, and is not compared any more.
rename $first, "$tmp/moved.journal" or die $!;
is(query_as($node, 'auditor', 'SELECT count(*) FROM sdes.verify_audit_log()'), 0, 'a segment is moved away: nothing wrong');
$node->safe_psql('postgres', q{ALTER TABLE sdes.audit_log DISABLE TRIGGER ALL; SET session_replication_role = replica; UPDATE sdes.audit_log SET role = 'nobody' WHERE sequence = (SELECT max(sequence) FROM sdes.audit_log)});
is(query_as($node, 'auditor', 'SELECT string_agg(wrong, $$,$$) FROM sdes.verify_audit_log() WHERE sequence IS NOT NULL'), 'edited', 'but what is there is compared');

# ---- lines, and their schema ----

$node->psql('postgres', 'SELECT name::text FROM people', extra_params => [ '-U', 'stranger' ]);
$node->safe_psql('postgres', q{SELECT sdes.rotate_bucket('names'); SELECT sdes.revoke_access('news', 'oms', '{search}')});
$node->append_conf('postgresql.conf', "sdes.audit_timeout = 6000\n");
$node->reload;
query_as($node, 'oms', 'BEGIN; SELECT name FROM people WHERE id = 7; ROLLBACK');
sleep 2;
$node->stop;
my ($last) = reverse sort glob folder() . '/*.journal';
my ($status, $lines) = run_program('export', folder());
is($status, 0, 'all records as lines');
my %kinds;
$kinds{ JSON::PP::decode_json($_)->{kind} }++ for split /\n/, $lines;
# Every kind is among the last ones, which is what is looked at; all would take minutes.
my @shown = reverse((reverse split /\n/, $lines)[0 .. 400]);
push @shown, split /\n/, (run_program('export', '--to', 300, "$mirror/$name"))[1];
my %seen = map { JSON::PP::decode_json($_)->{kind} => 1 } @shown;
is(join(' ', sort keys %seen), 'begin checkpoint end event lease signature started stopped', 'of all kinds');
{ open my $out, '>', "$tmp/records.jsonl" or die $!; print $out "$_\n" for @shown; close $out; }
my $schema = 'docs/audit-record.schema.json';
my $check = 'import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
bad = [(line, error.message) for line in open(sys.argv[2]) for error in validator.iter_errors(json.loads(line))]
print(len(bad), bad[:3])
sys.exit(1 if bad else 0)';
$node->command_ok([ 'python3', '-c', $check, $schema, "$tmp/records.jsonl" ], 'they are as the schema says');
{ open my $out, '>', "$tmp/records.jsonl" or die $!; print $out $shown[0] =~ s/"kind":"\w+"/"kind":"other"/r . "\n"; close $out; }
$node->command_fails([ 'python3', '-c', $check, $schema, "$tmp/records.jsonl" ], 'another one is not');
my %described = %{ JSON::PP::decode_json(slurp_file($schema))->{properties} };
my %fields = map { $_ => 1 } map { keys %{ JSON::PP::decode_json($_) } } @shown;
is(join(' ', grep { !$described{$_} } sort keys %fields), '', 'the schema describes every field');

done_testing();
