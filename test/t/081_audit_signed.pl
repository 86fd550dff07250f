# 081_audit_signed.pl
#     Signatures in the audit journal: they come by themselves, with a key of the journal's
#     own; what was changed on the disk is not signed, and told; what was written anew with
#     all hashes right is found by the signatures; an HSM that is away, a key that is gone,
#     restarts, crashes and standbys.

use strict;
use warnings;
use Digest::SHA qw(sha256);
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use Test::More;
use Time::HiRes qw(sleep);

my $tmp = $PostgreSQL::Test::Utils::tmp_check;
my $program = $ENV{PG_CONFIG} ? `$ENV{PG_CONFIG} --bindir` : '';
chomp $program;
$program .= '/sdes_audit';

my $hsm = new_hsm('signing');
my $proxy = new_proxy($hsm);
my $node = new_cluster('signed', hsm => $hsm, init => { allows_streaming => 1 }, conf => "log_statement = none\n");
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION sdes;
SELECT sdes.create_bucket('names');
CREATE ROLE oms LOGIN;
CREATE ROLE auditor LOGIN;
GRANT sdes_auditor TO auditor;
SELECT sdes.grant_access('names', 'oms', '{encrypt,decrypt}');
CREATE TABLE people (id int PRIMARY KEY, name sdes.enc_text('names'));
GRANT ALL ON people TO oms;
SQL
query_as($node, 'oms', q{INSERT INTO people SELECT i, 'name' || i FROM generate_series(1, 20) i});

sub folder_of { my ($server) = @_; my @folders = glob $server->data_dir . '.audit/*'; return $folders[-1]; }
sub run_program { my (@arguments) = @_; my ($out, $err) = ('', ''); IPC::Run::run([ $program, @arguments ], '>', \$out, '2>', \$err); return ($? >> 8, $out . $err); }
sub records { my ($from, $where) = @_; return map { JSON::PP::decode_json($_) } split /\n/, (run_program('export', '--from', $from, $where))[1]; }
sub signatures { my ($where) = @_; return grep { $_->{kind} eq 'signature' } records(1, $where); }
sub look { my ($server, $role) = @_; return query_as($server, $role // 'oms', 'SELECT name FROM people WHERE id = 7'); }
sub write_bytes { my ($path, $bytes) = @_; open my $file, '>:raw', $path or die $!; print $file $bytes; close $file; return; }

# Until all that was recorded before is signed.
sub signed
{
    my ($server, $where) = @_;
    my $last = (grep { $_->{kind} !~ /^(?:checkpoint|signature)$/ } records(1, $where))[-1]{sequence};
    return wait_for(sub { my @all = signatures($where); @all && $all[-1]{checkpoint} >= $last }, 15);
}

sub audit_health
{
    my ($server) = @_;
    return $server->safe_psql('postgres', q{SELECT ok, detail FROM sdes.health() WHERE "check" = 'audit signature'});
}

# ---- they come by themselves ----

my $folder = folder_of($node);
ok(signed($node, $folder), 'what was recorded is signed');
my ($status, $said) = run_program('verify', $folder);
is($status, 0, 'it verifies') or diag $said;
like($said, qr/^signed up to record \d+, of 20\d\d-\S+ \S+ UTC, \d+ signatures\nby the key [0-9a-f]{64}$/m, 'up to where, and by which key');
my ($key) = $said =~ /by the key (\S+)/;
is((signatures($folder))[0]{algorithm}, 'ecdsa-p256-sha256', 'on P-256');
like(query_as($node, 'auditor', 'SELECT wrong IS NULL, signed_to > 3, signed_at > now() - interval \'1 minute\', key FROM sdes.verify_audit()'), qr/^t\|t\|t\|$key$/, 'SQL says the same');
like(audit_health($node), qr/^t\|.* signed to record \d+ by the key $key$/, 'and so does health()');
is((run_program('verify', '--key', $key, $folder))[0], 0, 'by a key that is known');
my $wrong_key = 'ab' x 32;
like((run_program('verify', '--key', $wrong_key, $folder))[1], qr/is wrong: wrongly signed/, 'not by another one');
is((run_program('verify', '--key', $wrong_key, '--key', $key, $folder))[0], 0, 'several may be given');
is((run_program('verify', '--key', 'abc', $folder))[0], 2, 'a fingerprint has 64 digits');
is(query_as($node, 'auditor', "SELECT wrong IS NULL FROM sdes.verify_audit(keys => '{$key}')"), 't', 'SQL: by a key that is known');
like(query_as($node, 'auditor', "SELECT wrong FROM sdes.verify_audit(keys => '{$wrong_key}')"), qr/wrongly signed/, 'SQL: not by another one');
like(error_as($node, 'auditor', "SELECT sdes.verify_audit(keys => '{abc}')"), qr/22023.*64 hexadecimal/s, 'SQL: a fingerprint has 64 digits');
like(error_as($node, 'auditor', 'SELECT sdes.verify_audit(0)'), qr/22023/, 'SQL: records are numbered from 1');
is(query_as($node, 'auditor', 'SELECT first, wrong IS NULL FROM sdes.verify_audit(5, 6)'), '1|t', 'SQL: the segment that has them');

my $count = records(1, $folder);
sleep(2.5);
is(scalar(() = records(1, $folder)), scalar(() = records(1, $folder)), 'reading adds nothing');
my $idle = () = records(1, $folder);
sleep(2.5);
is(scalar(() = records(1, $folder)), $idle, 'where nothing is recorded nothing is signed');
look($node);
ok(signed($node, $folder), 'what is new is');
my @made_known = grep { ($_->{operation} // '') eq 'signing key' } records(1, $folder);
is(scalar @made_known, 1, 'the key is made known once');

# ---- the HSM is away ----

my $from = log_size($node);
append_to_file("$proxy->{control}.new", "C_SignInit 0x30\n");
rename "$proxy->{control}.new", $proxy->{control} or die $!;
my $signed_before = () = signatures($folder);
is(look($node), 'name7', 'a token that signs nothing: values are read');
ok(wait_for(sub { log_since($node, $from) =~ /audit journal is not being signed: .*C_SignInit/ }, 15), 'a token that signs nothing: the log says so');
look($node) for 1 .. 5;
sleep(3);
is(scalar(() = signatures($folder)), $signed_before, 'a token that signs nothing: nothing is signed');
is(scalar(() = log_since($node, $from) =~ /not being signed/g), 1, 'a token that signs nothing: said once');
unlink $proxy->{control} or die $!;
ok(wait_for(sub { (() = signatures($folder)) > $signed_before }, 40), 'a token that signs again: all is signed');
ok(signed($node, $folder), 'a token that signs again: to the end');
is((run_program('verify', '--key', $key, $folder))[0], 0, 'and is right');

# One that hangs keeps neither records waiting nor the server's end.
append_to_file("$proxy->{control}.new", "C_Sign hang\nC_SignInit hang\n");
rename "$proxy->{control}.new", $proxy->{control} or die $!;
$signed_before = (records(1, $folder))[-1]{sequence};
look($node);
my %hanging;
ok(wait_for(sub { %hanging = map { $_->{kind} => 1 } records($signed_before + 1, $folder); $hanging{checkpoint} }, 10), 'a token that hangs: a signature is asked for');
$signed_before = (records(1, $folder))[-1]{sequence};
look($node);
ok(wait_for(sub { grep { $_->{kind} eq 'end' } records($signed_before + 1, $folder) }, 5), 'a token that hangs: what nobody waits for is written all the same');
my $stopping = time;
$node->stop('fast');
cmp_ok(time - $stopping, '<', 8, 'a token that hangs: the server ends');
unlink $proxy->{control} or die $!;
$node->start;
look($node);
ok(wait_for(sub { (() = signatures($folder)) > 0 && signed($node, $folder) }, 40), 'and goes on');

# ---- restarts ----

my $stay = start_query($node, 'oms', 'BEGIN; SELECT name FROM people WHERE id = 3; SELECT pg_sleep(100)');
ok(wait_for(sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = '$stay->{name}' AND wait_event = 'PgSleep'") eq '1' }, 10), 'a session has seen a value');
my $last = (records(1, $folder))[-1]{sequence};
$node->stop('fast');
finish_query($stay);
my @after = records($last - 3, $folder);
is(scalar(grep { $_->{kind} eq 'stopped' } @after), 1, 'a server that ends says so');
my %use = map { $_->{use} => 1 } grep { $_->{kind} eq 'begin' } records(1, $folder);
delete $use{ $_->{use} } for grep { $_->{kind} eq 'end' } records(1, $folder);
is(join(',', keys %use), '', 'and all uses have their ends');
$node->start;
look($node);
ok(signed($node, $folder), 'after a restart it is signed');
is((run_program('verify', '--key', $key, $folder))[0], 0, 'by the same key');
crash_server($node, all => 1);
$node->start;
look($node);
ok(signed($node, $folder), 'after a crash, too');
is((run_program('verify', '--key', $key, $folder))[0], 0, 'by the same key, and whole');

# ---- somebody edits the files ----

# Where the records of a segment begin.
sub places { my ($bytes) = @_; my @at = (81); push @at, $at[-1] + 53 + unpack 'N', substr $bytes, $at[-1], 4 while $at[-1] < length $bytes; return @at; }

# With all hashes made anew: what follows from other bytes.
sub chain
{
    my ($bytes) = @_;
    my @at = places($bytes);
    my $hash = sha256(substr $bytes, 0, 81);
    my $made = substr $bytes, 0, 81;
    for my $i (0 .. $#at - 1)
    {
        my $record = substr $bytes, $at[$i], $at[ $i + 1 ] - $at[$i] - 32;
        $hash = sha256($hash . $record);
        $made .= $record . $hash;
    }
    return $made;
}

$node->stop;
my ($segment) = glob "$folder/*.journal";
my $good = slurp_file($segment);
is(chain($good), $good, 'the chain can be made by anybody');
my @places = places($good);
my @begins = grep { ord(substr $good, $places[$_] + 4, 1) == 3 } 0 .. $#places - 1;
my $edited = $good;
my $name = index $edited, 'oms', $places[ $begins[1] ];
substr $edited, $name, 3, 'xyz';
$edited = chain($edited);
mkdir "$tmp/forged";
write_bytes("$tmp/forged/0000000000000001.journal", $edited);
my ($forged, $how) = run_program('verify', "$tmp/forged");
is($forged, 1, 'a journal that was written anew is found');
like($how, qr/wrong: wrongly signed/, 'by its signatures');

# The server does not sign it.
write_bytes($segment, $edited);
$node->start;
is(look($node), 'name7', 'values are read all the same');
ok(wait_for(sub { audit_health($node) =~ /^f\|.*record \d+ is not what was signed/ }, 15), 'health() says that it was changed') or diag audit_health($node);
$signed_before = () = signatures($folder);
look($node);
sleep(2.5);
is(scalar(() = signatures($folder)), $signed_before, 'it is not signed any more');
$node->restart;
ok(wait_for(sub { look($node) && audit_health($node) =~ /^f\|.*was found to be changed/ }, 15), 'nor after a restart') or diag audit_health($node);
sub reset_signing { unlink $node->data_dir . '/sdes/audit_signed' or die $!; return; }
$node->stop;
write_bytes($segment, $good);
reset_signing();
$node->start;
look($node);
ok(signed($node, $folder), 'when the right one is back, and somebody says so, it is');

# Records that were signed are cut off, as by a crash.
$node->stop;
$good = slurp_file($segment);
my @cut = places($good);
write_bytes($segment, substr $good, 0, $cut[ @cut / 2 ]);
$node->start;
ok(wait_for(sub { look($node) && audit_health($node) =~ /^f\|.*record \d+ is (?:truncated|not what was signed)/ }, 15), 'signed records that are cut off are missed') or diag audit_health($node);
$node->stop;
write_bytes($segment, $good);
reset_signing();
$node->start;
look($node);
ok(signed($node, $folder), 'and are back');

# While the server runs: what has been written is read again before it is signed.
my $worker = worker_pid($node, 'sdes audit');
ok($worker, 'there is a process that signs');
$from = log_size($node);
kill 'STOP', $worker;
look($node);
sleep(0.2);
{
    my $bytes = slurp_file($segment);
    my @at = places($bytes);
    my $place = index $bytes, 'oms', $at[-3] - 1;
    $place = rindex $bytes, 'oms' if $place < 0;
    open my $file, '+<:raw', $segment or die $!;
    seek $file, $place, 0;
    print $file 'xyz';
    close $file;
}
kill 'CONT', $worker;
ok(wait_for(sub { audit_health($node) =~ /^f\|.*record \d+ is edited/ }, 15), 'an edit under a running server: health() tells') or diag audit_health($node);
like(log_since($node, $from), qr/XX001|audit journal is not being signed: record \d+ is edited/, 'and the log');
is(look($node), 'name7', 'values are read all the same');
is((run_program('verify', $folder))[0], 1, 'and verify finds it');

# A new journal, as health() advises.
$node->stop;
rename $node->data_dir . '/sdes/journal', "$tmp/old_journal" or die $!;
$node->start;
look($node);
my ($second) = grep { $_ ne $folder } glob $node->data_dir . '.audit/*';
ok($second, 'a new journal begins') and ok(signed($node, $second), 'and is signed');
my ($second_key) = (run_program('verify', $second))[1] =~ /by the key (\S+)/;
isnt($second_key, $key, 'by a key of its own');

# ---- the key is gone from the token ----

$node->stop;
my $keys = slurp_file($node->data_dir . '/sdes/audit_keys');
(my $id) = $keys =~ /^\S+ (\S+) \S+\n\z/m;
my ($line) = $keys =~ /(\S+ \S+ \S+\n)\z/;
(my $lost = $line) =~ s/^(\S+) \S+/"$1 " . 'ab' x 16/e;
$keys =~ s/\Q$line\E\z/$lost/;
write_bytes($node->data_dir . '/sdes/audit_keys', $keys);
$node->start;
look($node);
ok(signed($node, $second), 'a key that is gone: another one is made');
my ($third_key) = (run_program('verify', $second))[1] =~ /by the key (\S+)/;
isnt($third_key, $second_key, 'a key that is gone: it is another one');
is((run_program('verify', $second))[0], 0, 'a key that is gone: the journal verifies');
is((run_program('verify', '--key', $third_key, $second))[0], 1, 'by the new one alone it does not');
is((run_program('verify', '--key', $second_key, '--key', $third_key, $second))[0], 0, 'by both it does');

# ---- standbys ----

$node->backup('base');
my $standby = new_cluster('standby', hsm => $hsm, from_backup => [ $node, 'base', has_streaming => 1 ]);
is(look($standby), 'name7', 'a standby reads');
my $other = folder_of($standby);
ok(signed($standby, $other), 'and signs its journal');
my ($standby_key) = (run_program('verify', $other))[1] =~ /by the key (\S+)/;
isnt($standby_key, $third_key, 'with a key of its own');
$node->wait_for_catchup($standby, 'replay');
$standby->promote;
$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
look($standby);
ok(signed($standby, $other), 'promoted it goes on');
is((run_program('verify', '--key', $standby_key, $other))[0], 0, 'with the same key');

done_testing();
