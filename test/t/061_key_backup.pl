# 061_key_backup.pl
#     A sealed backup of keys for officers, whose shares the real openssl decrypts; the
#     HSM is lost, the database is restored from a dump beside a new one, of another make,
#     and two of three officers bring its keys back.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use Test::More;

my $tmp = $PostgreSQL::Test::Utils::tmp_check;
my $old = new_cluster('backup_old', conf => "log_statement = 'all'\n");
my $new = new_cluster('backup_new', hsm => new_hsm('backup_new', kind => 'nss'), conf => "log_statement = 'all'\n");

sub value { my ($node, $sql, $db) = @_; return $node->safe_psql($db // 'postgres', $sql); }
sub messages { my ($node, $sql, $db) = @_; my (undef, $out, $err) = $node->psql($db // 'postgres', $sql); return "$out\n$err"; }
sub command { my ($line) = @_; my $out = `$line 2>&1`; die "$line: $out" if $?; return $out; }

# ---- officers, on machines of their own ----

my @officers = qw(Ada Grace Mary);
my %certificate;
for my $officer (@officers)
{
    my $bits = $officer eq 'Ada' ? 3072 : 4096;
    command("openssl req -x509 -newkey rsa:$bits -noenc -keyout $tmp/$officer.key -out $tmp/$officer.pem -days 3650 -subj '/CN=$officer'");
    $certificate{$officer} = slurp_file("$tmp/$officer.pem");
}
command("openssl req -x509 -newkey rsa:2048 -noenc -keyout $tmp/small.key -out $tmp/small.pem -subj /CN=small");
command("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout $tmp/ec.key -out $tmp/ec.pem -subj /CN=ec");

sub backup_of
{
    my ($threshold, @pems) = @_;
    return sprintf "SELECT encode(sdes.backup_keys(ARRAY[%s]::text[], %s), 'hex')", join(', ', map { "'$_'" } @pems), $threshold;
}

value($old, 'CREATE DATABASE shop');
value($old, <<'SQL', 'shop');
CREATE EXTENSION sdes;
SELECT sdes.create_bucket('customer_pii'), sdes.create_bucket('archive', kek => 'rsa-4096');
SELECT sdes.grant_access(b, 'postgres', '{encrypt,search,decrypt}') FROM unnest('{customer_pii,archive}'::text[]) AS b;
CREATE TABLE people (id int PRIMARY KEY, email sdes.enc_text('customer_pii', 'searchable'),
    note sdes.enc_text('archive') DEFAULT 'by default');
INSERT INTO people (id, email) SELECT i, 'person' || i || '@example.org' FROM generate_series(1, 20) AS i;
CREATE INDEX ON people (email);
SQL

# ---- what makes no backup ----

like(messages($old, backup_of(1), 'shop'), qr/1 to 16 officers/, 'a backup for nobody');
like(messages($old, backup_of(3, @certificate{qw(Ada Grace)}), 'shop'), qr/threshold must be from 1/, 'a threshold that nobody reaches');
like(messages($old, backup_of(1, slurp_file("$tmp/small.pem")), 'shop'), qr/certificate 1 cannot be used/, 'an RSA key of 2048 bits');
like(messages($old, backup_of(1, $certificate{Ada}, slurp_file("$tmp/ec.pem")), 'shop'), qr/certificate 2 cannot be used/, 'a key that is not RSA');
like(messages($old, backup_of(1, ($certificate{Ada}) x 2), 'shop'), qr/given twice/, 'one officer twice');
is(value($old, 'SELECT count(*) FROM sdes.exported', 'shop'), 0, 'nothing left');

value($old, 'CREATE ROLE keeper LOGIN IN ROLE sdes_admin', 'shop');
like(error_as($old, 'keeper', backup_of(1, $certificate{Ada}), 'shop'), qr/42501/, 'who looks after keys does not take them home');

# ---- the backup ----

my $backup = value($old, backup_of(2, @certificate{@officers}), 'shop');
is(value($old, "SELECT string_agg(DISTINCT recipient, ',' ORDER BY recipient), min(kind), count(*) FROM sdes.exported", 'shop'),
    'Ada (1),Grace (2),Mary (3)|backup|9', 'who has a share of what is written down');

value($old, 'BEGIN; ' . backup_of(2, @certificate{qw(Ada Grace)}) . '; ROLLBACK', 'shop');
is(scalar(() = slurp_file($old->logfile) =~ /LOG:  4 encryption key\(s\) leave this database, in a backup for "Ada", "Grace"/g), 2,
    'the log has it even if the transaction is rolled back');

# As docs/exchange.md says.
sub share_of
{
    my ($officer, $number, $hex, $node, $db) = @_;
    $node->safe_psql($db, "SELECT encode(share, 'base64') FROM sdes.backup_shares(decode('$hex', 'hex')) WHERE officer = '$officer'"
            . " \\g (format=unaligned tuples_only=on) $tmp/$officer.b64");
    command("base64 -d $tmp/$officer.b64 >$tmp/$officer.share");
    return command("openssl pkeyutl -decrypt -inkey $tmp/$officer.key -in $tmp/$officer.share"
        . ' -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256');
}
my $number = 0;
my %share = map { $_ => share_of($_, ++$number, $backup, $old, 'shop') } @officers;
like($share{$_}, qr/^sdes-share-1:[0-9a-f]{8}:\d:[0-9a-f]{64}:[0-9a-f]{8}$/, "$_ decrypts a share with openssl") for @officers;

sub restore_of
{
    my ($hex, @shares) = @_;
    return sprintf "SELECT sdes.restore_keys(decode('%s', 'hex'), ARRAY[%s]::text[])", $hex, join(', ', map { "'$_'" } @shares);
}

my $rows = value($old, 'SELECT md5(string_agg(d::text, key_id::text ORDER BY key_id)) FROM sdes.dek AS d', 'shop');
is(value($old, restore_of($backup, @share{qw(Ada Grace)}), 'shop'), 0, 'where nothing is lost, nothing is restored');
is(value($old, 'SELECT md5(string_agg(d::text, key_id::text ORDER BY key_id)) FROM sdes.dek AS d', 'shop'), $rows, 'the rows are what they were');

# ---- the HSM is lost: a dump, and a new HSM ----

my $created = value($old, "SELECT sdes.create_bucket('too_late') IS NOT NULL", 'shop');
$old->run_log([ 'pg_dump', '-f', "$tmp/shop.sql", $old->connstr('shop') ]);
my $dumped = value($old, 'SELECT string_agg(id || email::text || note::text, chr(10) ORDER BY id) FROM people', 'shop');
# But for the key of literals: a copy has another one.
my $KEYS = "SELECT bucket, purpose, version, state, key_id FROM sdes.keys WHERE purpose <> 'literal' ORDER BY key_id";
my $states = value($old, $KEYS, 'shop');
$old->stop;
value($new, 'CREATE DATABASE shop TEMPLATE template0');
$new->run_log([ 'psql', '-X', '-q', '-d', $new->connstr('shop'), '-f', "$tmp/shop.sql" ]);
my $unread = messages($new, 'SELECT email FROM people WHERE id = 1', 'shop');
like($unread, qr/not in the HSM token/, 'without the keys nothing is read');

my $dbl = value($new, "SELECT count(*) FROM sdes.health() WHERE NOT ok AND \"check\" IN ('kek', 'dek', 'owner')", 'shop');
is($dbl, 3, 'health() says so');

like(messages($new, restore_of($backup, $share{Ada}), 'shop'), qr/opened by 2 share\(s\), and 1 were given/, 'one share is too few');
like(messages($new, restore_of($backup, ($share{Ada}) x 2), 'shop'), qr/given twice/, 'one share twice');
(my $mistyped = $share{Grace}) =~ s/^(sdes-share-1:\w+:\d:)(.)/$1 . ($2 eq '0' ? '1' : '0')/e;
like(messages($new, restore_of($backup, $share{Ada}, $mistyped), 'shop'), qr/share 2 is not a share of this backup/, 'a share that was mistyped');
my $flipped = $backup;
substr($flipped, 2 * 60, 1) =~ tr/0-9a-f/1-9a-f0/;
like(messages($new, restore_of($flipped, @share{qw(Ada Grace)}), 'shop'), qr/not trusted|signature|no parcel/, 'a damaged backup');
like(messages($new, "SELECT sdes.import_keys(decode('$backup', 'hex'))", 'shop'), qr/this is a backup of keys/, 'a backup is no export');

# A row that says of a key what the backup does not say, and a key that somebody made up.
value($new, "CREATE TABLE kept AS SELECT key_id, commitment FROM sdes.dek; UPDATE sdes.dek SET commitment = sha256('x') WHERE purpose = 'literal'", 'shop');
like(messages($new, restore_of($backup, @share{qw(Mary Ada)}), 'shop'), qr/does not match its row/, 'a key that its row does not commit to');
is(value($new, "SELECT count(*) FROM sdes.kek", 'shop'), 4, 'nothing came of it');
value($new, 'UPDATE sdes.dek AS d SET commitment = k.commitment FROM kept AS k WHERE k.key_id = d.key_id; DROP TABLE kept', 'shop');

my $said = messages($new, restore_of($backup, @share{qw(Mary Ada)}), 'shop');
like($said, qr/^4$/m, 'two officers bring four keys back');
like($said, qr/1 key\(s\) of this database are neither in the HSM nor in this backup/, 'and what is newer than the backup is told');
like($said, qr/this site's own keys were lost with the HSM/, 'so is that the site has none');
is(value($new, "SELECT string_agg(id || email::text || note::text, chr(10) ORDER BY id) FROM people", 'shop'), $dumped, 'every value is read');
is(value($new, "SET enable_seqscan = off; SELECT id FROM people WHERE email = 'person7\@example.org'", 'shop'), 7, 'and found by the index');
is(value($new, $KEYS, 'shop'), $states, 'keys, states and versions are what they were');
value($new, "INSERT INTO people (id, email) VALUES (100, 'new\@example.org')", 'shop');
is(value($new, "SELECT email, note FROM people WHERE id = 100", 'shop'), 'new@example.org|by default', 'it goes on, defaults too');
like(messages($new, restore_of($backup, @share{qw(Ada Grace)}), 'shop'), qr/not trusted/, 'the old site is not trusted any more');

like(messages($new, backup_of(1, $certificate{Ada}), 'shop'), qr/not in the HSM token.*CONTEXT:  key version 1 of bucket "too_late"/s,
    'a key that is lost is no part of a new backup: an error');
value($new, <<'SQL', 'shop');
DELETE FROM sdes.dek USING sdes.bucket AS b WHERE bucket = b.uuid AND b.name = 'too_late';
DELETE FROM sdes.kek USING sdes.bucket AS b WHERE bucket = b.uuid AND b.name = 'too_late';
DELETE FROM sdes.bucket WHERE name = 'too_late';
SQL

# ---- one alone, and nothing of it in the log ----

my $alone = value($new, backup_of(1, $certificate{Ada}), 'shop');
my $key = share_of('Ada', 1, $alone, $new, 'shop');
is(value($new, restore_of($alone, $key), 'shop'), 0, 'a backup for one');
my ($secret) = $key =~ /:([0-9a-f]{64}):/;
like(slurp_file($new->logfile), qr/statement: SELECT sdes\.restore_keys\(decode\(\$1, \$2\), ARRAY\[\$3\]::text\[\]\)/, 'the log has the statement without it');
unlike(slurp_file($new->logfile), qr/sdes-share-1:[*0-9a-f]/, 'and no share');
is(value($new, 'SET sdes.redact = off; ' . restore_of($alone, $key), 'shop'), 0, 'once more, where literals are logged');
like(slurp_file($new->logfile), qr/sdes-share-1:\*+:/, 'a share is seen to be one in the log');
is(find_leaks([$secret], $new->logfile), '', 'its share is not in the log');
is(find_leaks([ map { /:([0-9a-f]{64}):/ } values %share ], $new->logfile), '', 'nor are the others');

done_testing();
