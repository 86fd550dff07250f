# 094_preflight.pl
#     sdes.preflight() says of every key whether it opens here, and what to bring if not:
#     where all is well, after keys were revoked and destroyed, in a copy, on a standby,
#     restored beside another token, with rows missing or damaged, and while HSMs hang.
#     What a remedy says is done, and the key opens.

use strict;
use warnings;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(time);
use SdesTest;
use SdesFaults;
use Test::More;

my $tmp = $PostgreSQL::Test::Utils::tmp_check;
my $hsm = new_hsm('preflight');
my $second = another_token($hsm, 'second');
my $proxy = new_proxy($hsm);
my $node = new_cluster('preflight', hsm => $hsm, init => { allows_streaming => 1 }, conf => "sdes.rotation_naptime = 1s\nlog_statement = none\n");

sub value { my ($server, $sql, $db) = @_; return $server->safe_psql($db // 'shop', $sql); }

# Rows by "bucket purpose version": { state, kek, label, serial, opens, problem, remedy }.
sub preflight
{
    my ($server, $db) = @_;
    my %rows;
    for my $row (split /\n/, value($server, "SELECT bucket, purpose, version, state, kek, token_label, token_serial, opens, problem, remedy FROM sdes.preflight()", $db))
    {
        my ($bucket, $purpose, $version, @rest) = split /\|/, $row, 10;
        my %row;
        @row{qw(state kek label serial opens problem remedy)} = @rest;
        $rows{ join ' ', grep { $_ ne '' } $bucket, $purpose, $version } = \%row;
    }
    return \%rows;
}

# A test: every key opens, and there is nothing to say of any.
sub well_ok
{
    my ($server, $name, $db) = @_;
    my $rows = preflight($server, $db);
    is(join('; ', map { "$_: $rows->{$_}{opens} $rows->{$_}{problem}" } grep { $rows->{$_}{opens} ne 't' || $rows->{$_}{problem} } sort keys %$rows),
        '', $name);
    return $rows;
}

sub row_ok
{
    my ($rows, $key, $opens, $problem, $remedy, $name) = @_;
    my $row = $rows->{$key} or return ok(0, "$name: there is a row of $key");
    is($row->{opens}, $opens, "$name: opens");
    like($row->{problem}, $problem, "$name: what is the matter");
    like($row->{remedy}, $remedy, "$name: what to do");
    return;
}

value($node, 'CREATE DATABASE shop', 'postgres');
value($node, <<'SQL');
CREATE EXTENSION sdes;
SELECT sdes.create_bucket('archive'), sdes.create_bucket('pii'), sdes.create_bucket('vault', mode => 'hsm');
SELECT sdes.grant_access(b, 'postgres', '{encrypt,search,decrypt}') FROM unnest('{archive,pii,vault}'::text[]) AS b;
CREATE TABLE people (id int PRIMARY KEY, email sdes.enc_text('pii', 'searchable'), note sdes.enc_text('archive'), pin sdes.enc_text('vault'));
CREATE INDEX ON people (email);
INSERT INTO people SELECT i, 'person' || i || '@example.org', 'note ' || i, 'pin ' || i FROM generate_series(1, 20) AS i;
CREATE ROLE dba LOGIN IN ROLE sdes_admin; CREATE ROLE officer LOGIN IN ROLE sdes_officer;
CREATE ROLE auditor LOGIN IN ROLE sdes_auditor; CREATE ROLE stranger LOGIN;
SQL
my $KEYS = 5; # of the three buckets, of literals, and for search

# ---- all is well ----

my $rows = well_ok($node, 'all is well');
is(join(', ', sort keys %$rows), '#system literal 1, #system search ' . value($node, "SELECT version FROM sdes.dek WHERE purpose = 'search'")
        . ', archive data 1, pii data 1, vault data 1', 'with a row for each key');
is_deeply([ @{ $rows->{'pii data 1'} }{qw(state label kek)} ],
    [ 'active', $hsm->{label}, value($node, "SELECT kek_id FROM sdes.keys WHERE bucket = 'pii'") ], 'and where it is wrapped');
is(query_as($node, $_, 'SELECT count(*) FROM sdes.preflight()', 'shop'), $KEYS, "$_ may ask") for qw(dba officer auditor);
like(error_as($node, 'stranger', 'SELECT * FROM sdes.preflight()', 'shop'), qr/42501/, 'others may not');

# Each fetch is on record, and the session keeps no key: one that it then needs is fetched.
my $program = `$ENV{PG_CONFIG} --bindir` =~ s/\n//r . '/sdes_audit';
sub fetches_ok
{
    my ($application, $wanted, $name) = @_;
    my $found;
    wait_for(sub {
        my @records = map { map { JSON::PP->new->utf8->decode($_) } split /\n/, (run_command([ $program, 'export', $_ ]))[0] } glob $node->data_dir . '.audit/*';
        $found = join ' ', sort map { $_->{bucket} } grep { ($_->{operation} // '') eq 'fetch key' && ($_->{application} // '') eq $application } @records;
        $found eq $wanted;
    }, 10);
    is($found, $wanted, $name);
    return;
}
value($node, "SET application_name = 'looks'; SELECT count(*) FROM sdes.preflight()");
fetches_ok('looks', '#system #system archive pii vault', 'it leaves a record of each key');
value($node, "SET application_name = 'reads'; SELECT count(*) FROM sdes.preflight(); SELECT note FROM people WHERE id = 1");
fetches_ok('reads', '#system #system archive archive pii vault', 'it keeps no key in the session');

# ---- revoked, destroyed ----

value($node, "BEGIN; SELECT sdes.pause_rotation('pii'); SELECT sdes.revoke_key('pii', 1, 'lost laptop'); COMMIT");
row_ok(preflight($node), 'pii data 1', 'f', qr/^it is revoked: only re-encryption opens/, qr/sdes\.resume_rotation\(\)/, 'revoked');
is(preflight($node)->{'pii data 2'}{opens}, 't', 'its successor opens');
value($node, "SELECT sdes.resume_rotation('pii')");
ok(wait_for(sub { preflight($node)->{'pii data 1'}{problem} eq '' }, 60), 'revoked, and nothing is left under it: nothing is the matter');
well_ok($node, 'after the revocation all opens');
ok(wait_for(sub { error_as($node, 'postgres', "SELECT sdes.destroy_key('pii', 1)", 'shop') eq '' }, 60), 'the key is destroyed');
value($node, q{SELECT sdes.create_bucket('doomed'); SELECT sdes.shred_bucket('doomed', confirm => 'doomed')});
$rows = preflight($node);
row_ok($rows, 'pii data 1', 'f', qr/^it is destroyed, when no value was under it/, qr/^$/, 'destroyed');
row_ok($rows, 'doomed data 1', 'f', qr/^it is destroyed, and with it what is under it/, qr/^Only a dump from before/, 'shredded');

# ---- copies ----

value($node, 'CREATE DATABASE copy TEMPLATE shop', 'postgres');
$rows = preflight($node, 'copy');
row_ok($rows, $_, 't', qr/^it is another database's: it opens values/, qr/SELECT sdes\.adopt_keys\(\)/, "copy, $_") for 'archive data 1', '#system literal 1';
is(join(' ', map { $rows->{$_}{problem} } grep { /search/ } keys %$rows), '', 'copy: of the search key, which it shares, nothing is said');
value($node, 'SELECT sdes.adopt_keys()', 'copy');
is(scalar(grep { $_->{problem} =~ /another database/ } values %{ preflight($node, 'copy') }), 0, 'copy: no more, once it has adopted its keys');
is(scalar(grep { $_->{opens} eq 'f' && $_->{state} ne 'destroyed' } values %{ preflight($node, 'copy') }), 0, 'copy: and all opens');

# ---- restored beside another token ----

$node->run_log([ 'pg_dump', '-f', "$tmp/shop.sql", $node->connstr('shop') ]) or die 'no dump';
my $other = new_cluster('preflight_other', hsm => $second, init => { allows_streaming => 1 }, conf => "log_statement = none\n");
value($other, 'CREATE ROLE dba; CREATE ROLE officer; CREATE ROLE auditor; CREATE ROLE stranger', 'postgres');
value($other, 'CREATE DATABASE shop TEMPLATE template0', 'postgres');
$other->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $other->connstr('shop'), '-f', "$tmp/shop.sql" ], 'a dump is restored');
$rows = preflight($other);
my $serial = $rows->{'archive data 1'}{serial};
is($rows->{'archive data 1'}{label}, $hsm->{label}, 'restored: the token that is lacking is named');
row_ok($rows, 'archive data 1', 'f', qr/^its key encryption key is in no token of this server$/,
    qr/^Name the token "\Q$hsm->{label}\E", serial "\Q$serial\E", in sdes\.pkcs11_token as well, or .*sdes\.import_keys\(\).*sdes\.restore_keys\(\)/, 'restored');
row_ok($rows, 'vault data 1', 'f', qr/in no token/, qr/^Bring the token .* in mode hsm/, 'restored, mode hsm');
row_ok($rows, 'pii data 1', 'f', qr/destroyed/, qr/^$/, 'restored, a destroyed key');
is(join(' ', map { $_->{opens} } values %$rows), join(' ', ('f') x keys %$rows), 'restored: nothing opens');

# Rows that were lost or damaged say so, whatever the token.
value($other, 'CREATE DATABASE torn TEMPLATE shop', 'postgres');
value($other, "DELETE FROM sdes.kek WHERE id = (SELECT kek FROM sdes.dek JOIN sdes.bucket b ON b.uuid = bucket WHERE name = 'archive')", 'torn');
my ($here) = health($other)->{token}{detail} =~ /serial (\S+)/;
value($other, qq{UPDATE sdes.kek SET token_label = '$second->{label}', token_serial = '$here' WHERE id = (SELECT kek FROM sdes.dek WHERE purpose = 'literal' AND state = 'active')}, 'torn');
value($other, q{UPDATE sdes.kek SET state = 'destroyed' WHERE id = (SELECT kek FROM sdes.dek JOIN sdes.bucket b ON b.uuid = bucket WHERE name = 'pii' AND version = 2)}, 'torn');
$rows = preflight($other, 'torn');
row_ok($rows, 'archive data 1', 'f', qr/^sdes\.kek has no row/, qr/^Restore that table/, 'a KEK without a row');
row_ok($rows, '#system literal 1', 'f', qr/^its key encryption key is not in the token that it was made in any more/, qr/^Restore the token/, 'a KEK that its token has lost');
row_ok($rows, 'pii data 2', 'f', qr/^its key encryption key was destroyed in the HSM/, qr/sdes\.restore_keys/, 'a KEK that is destroyed');

# What the remedy says: the other token as well.
set_conf($other, 'sdes.pkcs11_token' => token_uri($second) . " pkcs11:token=$hsm->{label}?module-path=$second->{module}&pin-source=file:$hsm->{pin_file}");
$other->reload;
ok(wait_for(sub { (health($other)->{'login 2'} // {})->{ok} }, 20), 'the token is brought');
is(join(' ', grep { $rows->{$_}{state} ne 'destroyed' && preflight($other)->{$_}{opens} ne 't' } sort keys %$rows), '', 'restored: with the token that was named all opens');
is(value($other, 'SELECT email FROM people WHERE id = 7'), 'person7@example.org', 'restored: and so do the values');

# ---- what has less than a key ----

value($other, 'UPDATE sdes.dek SET commitment = sha256(commitment) WHERE version = 1 AND bucket = (SELECT uuid FROM sdes.bucket WHERE name = \'vault\')', 'torn');
row_ok(preflight($other, 'torn'), 'vault data 1', 'f', qr/match|commit/, qr/Restore it from a backup/, 'a damaged row');
my $uuid = value($other, q{DELETE FROM sdes.bucket WHERE name = 'vault' RETURNING replace(uuid::text, '-', '')}, 'torn');
value($other, q{DELETE FROM sdes.bucket WHERE name = 'pii'}, 'torn');
value($other, q{DELETE FROM sdes.dek WHERE bucket = (SELECT uuid FROM sdes.bucket WHERE name = 'archive')}, 'torn');
my ($hash, $searched) = map { sprintf '#%07x', value($other, "SELECT hash FROM sdes.bucket WHERE name = '$_'") } 'vault', 'pii';
$rows = preflight($other, 'torn');
row_ok($rows, "$uuid data 1", 'f', qr/^sdes\.bucket has no row of its bucket/, qr/^Restore that table/, 'a bucket without a row');
row_ok($rows, $hash, 'f', qr/^1 column\(s\) or domain\(s\) name it, the first public\.people\.pin,/, qr/dump of the whole database/, 'a column of a bucket that is not here');
row_ok($rows, $searched, 'f', qr/^1 column\(s\) or domain\(s\) name it, the first public\.people\.email,/, qr/dump of the whole database/, 'one that has an index');
row_ok($rows, 'archive', 'f', qr/^sdes\.dek has no key of it/, qr/dump of the whole database/, 'a bucket without a key');
like(value($other, "SELECT format_type('sdes.enc_text'::regtype, atttypmod) FROM pg_attribute WHERE attrelid = 'people'::regclass AND attname = 'pin'", 'torn'), qr/\Q$hash\E/,
    'it is called as its column\'s type is');
$other->run_log([ 'bash', '-c', 'for t in bucket kek dek usage; do psql -X -q -d "$1" -c "COPY (SELECT * FROM sdes.$t) TO STDOUT" >"$3/$t"
    psql -X -q -v ON_ERROR_STOP=1 -d "$2" -c "TRUNCATE sdes.$t" -c "\\\\copy sdes.$t FROM \'$3/$t\'" || exit 1; done', 'bash',
    $other->connstr('shop'), $other->connstr('torn'), $tmp ]) or die 'rows could not be brought';
$rows = preflight($other, 'torn');
is(join(' ', grep { $rows->{$_}{opens} ne 't' && $rows->{$_}{state} ne 'destroyed' } sort keys %$rows), '', 'with the rows of the original all is well');

# ---- standbys ----

$node->backup('base');
my $standby = new_cluster('preflight_standby', hsm => $hsm, from_backup => [ $node, 'base', has_streaming => 1 ]);
$node->wait_for_catchup($standby);
is(scalar(grep { $_->{opens} ne 't' && $_->{state} ne 'destroyed' || $_->{problem} =~ /another/ } values %{ preflight($standby) }), 0, 'standby: all opens');
is(value($standby, "SELECT count(*) FROM sdes.leak_check() WHERE severity <> 'low'"), 0, 'standby: sdes.leak_check() works there, too');
$standby->stop;
my $apart = new_cluster('preflight_apart', hsm => $second, from_backup => [ $node, 'base', has_streaming => 1 ]);
row_ok(preflight($apart), 'archive data 1', 'f', qr/in no token of this server/, qr/Name the token "\Q$hsm->{label}\E"/, 'standby with another token');
$apart->stop;

# ---- HSMs that are away, or hang ----

sub rule
{
    append_to_file("$proxy->{control}.new", join '', map { "$_\n" } @_);
    rename "$proxy->{control}.new", $proxy->{control} or die $!;
    return;
}

# How many rows have a problem like that, and how long that took.
sub count_problems
{
    my ($server, @patterns) = @_;
    my $began = time;
    my @problems = map { $_->{problem} } values %{ preflight($server) };
    my $took = time - $began;
    return ($took, map { my $pattern = $_; scalar grep { /$pattern/ } @problems } @patterns);
}

$KEYS = value($node, "SELECT count(*) FROM sdes.dek WHERE state <> 'destroyed'");
rule('C_Decrypt hang', 'C_Encrypt hang');
my ($took, $silent, $unasked) = count_problems($node, qr/^(?!not asked).*(?:answer|time)/, qr/^not asked for, since the HSM did not answer/);
cmp_ok($took, '<', 20, sprintf 'an HSM that hangs is waited for once (%.1f s)', $took);
is("$silent $unasked", '1 ' . ($KEYS - 1), 'the others are not asked for');
unlink $proxy->{control} or die $!;
ok(wait_for(sub { !grep { $_->{opens} ne 't' && $_->{state} ne 'destroyed' } values %{ preflight($node) } }, 60), 'it answers again: all opens');

# Beside one that answers.
set_conf($node, 'sdes.pkcs11_token' => "pkcs11:token=$hsm->{label} " . token_uri($second));
$node->reload;
ok(wait_for(sub { (health($node)->{'login 2'} // {})->{ok} }, 20), 'another token comes into service');
value($node, "SELECT count(*) FROM sdes.sync_tokens()");
value($node, "SELECT sdes.create_bucket('vault_2', mode => 'hsm'), sdes.create_bucket('wide')");
rule('C_Decrypt hang', 'C_Encrypt hang');
my $began = time;
$rows = preflight($node);
$took = time - $began;
cmp_ok($took, '<', 30, sprintf 'one of two hangs: it takes a while (%.1f s)', $took);
is(join(' ', map { "$_: $rows->{$_}{opens}" } 'archive data 1', 'pii data 2', '#system literal 1', 'wide data 1'),
    'archive data 1: t pii data 2: t #system literal 1: t wide data 1: t',
    'one of two hangs: what the other has opens');
is($rows->{'vault data 1'}{opens}, 'f', 'one of two hangs: what it has not does not');
row_ok($rows, 'vault_2 data 1', 'f', qr/^not asked for, since the HSM did not answer/, qr/sdes\.health/, 'one of two hangs, the next of those');
unlink $proxy->{control} or die $!;

# No agent at all.
set_conf($node, 'sdes.pkcs11_token' => "pkcs11:token=$hsm->{label}", 'sdes.pin_source' => 'file:/nonexistent');
$node->restart;
row_ok(preflight($node), 'archive data 1', 'f', qr/PIN/, qr/sdes\.pin_source/, 'no PIN');

$node->stop;
$other->stop;
done_testing();
