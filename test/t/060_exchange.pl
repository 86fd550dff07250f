# 060_exchange.pl
#     Two sites, one on SoftHSM2 and one on NSS: keys go from A to B, rows follow by
#     logical replication, and are read and found there. What was changed, is meant for
#     another site, comes again or comes from nobody who is trusted is refused.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use Test::More;

my $ROOT = $ENV{PWD};
my $a = new_cluster('site_a', init => { allows_streaming => 'logical' });
my $b = new_cluster('site_b', hsm => new_hsm('site_b', kind => 'nss'), conf => "sdes.rotation_naptime = 1s\n");

sub value { my ($node, $sql, $db) = @_; return $node->safe_psql($db // 'postgres', $sql); }
sub notices
{
    my ($node, $sql, $db) = @_;
    my (undef, undef, $err) = $node->psql($db // 'postgres', $sql);
    return $err;
}

for my $node ($a, $b)
{
    value($node, <<'SQL');
CREATE EXTENSION sdes;
CREATE ROLE reader LOGIN;
CREATE ROLE nobody LOGIN;
CREATE ROLE keeper LOGIN IN ROLE sdes_admin;
CREATE ROLE officer LOGIN IN ROLE sdes_officer;
SQL
}
value($a, <<'SQL');
SELECT sdes.create_bucket('customer_pii'), sdes.create_bucket('vault', mode => 'hsm');
SELECT sdes.grant_access('customer_pii', 'postgres', '{encrypt,search,decrypt}');
CREATE TABLE people (id int PRIMARY KEY, email sdes.enc_text('customer_pii', 'searchable'));
CREATE INDEX ON people (email);
INSERT INTO people SELECT i, 'person' || i || '@example.org' FROM generate_series(1, 50) AS i;
CREATE PUBLICATION everybody FOR TABLE people;
SQL

# ---- certificates, as openssl sees them ----

my %pem = map { $_->name => query_as($_, 'keeper', 'SELECT sdes.site_certificate()') } $a, $b;
my %fingerprint;
for my $node ($a, $b)
{
    my $name = $node->name;
    my $file = "$PostgreSQL::Test::Utils::tmp_check/$name.pem";
    append_to_file($file, "$pem{$name}\n");
    my $said = `openssl x509 -in $file -noout -fingerprint -sha256`;
    ($fingerprint{$name}) = $said =~ /=([0-9A-F:]+)/;
    is(lc($fingerprint{$name} =~ tr/://dr), value($node, "SELECT encode(fingerprint, 'hex') FROM sdes.site WHERE own"),
        "$name: openssl prints the fingerprint");
    my ($second) = $pem{$name} =~ /(-----BEGIN CERTIFICATE-----.*?)\z/s;
    $second =~ s/\A.*?-----END CERTIFICATE-----\s*//s;
    append_to_file("$file.2", "$second\n");
    like(`openssl verify -x509_strict -CAfile $file $file $file.2 2>&1`, qr/: OK\n.*: OK\n/s, "$name: openssl verifies both");
    like(`openssl x509 -in $file.2 -noout -ext keyUsage`, qr/Key Encipherment/, "$name: the second is to encrypt to");
}
is(query_as($a, 'keeper', 'SELECT sdes.site_certificate()'), $pem{site_a}, 'the certificate stays');
like(error_as($a, 'nobody', 'SELECT sdes.site_certificate()'), qr/42501/, 'not for everybody');

# ---- trust ----

sub trust { my ($pem, $fingerprint) = @_; return "SELECT sdes.trust_site('$pem', '$fingerprint')"; }

my $wrong = $fingerprint{site_b} =~ s/^(.)/$1 eq 'A' ? 'B' : 'A'/er;
my $error = error_as($a, 'officer', trust($pem{site_b}, $wrong));
like($error, qr/22023.*another fingerprint/s, 'another fingerprint is refused');
my $plain = $fingerprint{site_b} =~ tr/://dr;
unlike($error, qr/\Q$plain\E|\Q$fingerprint{site_b}\E/i, 'without telling the right one');
like(error_as($a, 'officer', trust($pem{site_b}, 'abc')), qr/22023.*64 hexadecimal/s, 'half a fingerprint');
like(error_as($a, 'officer', trust('no certificate', $fingerprint{site_b})), qr/22023.*not the certificate/s, 'no certificate');
like(error_as($a, 'officer', trust($pem{site_a}, $fingerprint{site_a})), qr/22023.*this very site/s, 'oneself');
like(error_as($a, 'keeper', trust($pem{site_b}, $fingerprint{site_b})), qr/42501/, 'an officer does that, nobody else');
my $name_b = query_as($a, 'officer', trust($pem{site_b}, $fingerprint{site_b}));
like($name_b, qr/^postgres-[0-9a-f]{8}$/, 'a site has a name');
like(error_as($a, 'officer', trust($pem{site_b}, $fingerprint{site_b})), qr/42710/, 'it is trusted once');

# ---- export ----

sub export_of { my ($bucket, $to) = @_; return "SELECT encode(sdes.export_keys('$bucket', '$to'), 'hex')"; }

like(error_as($a, 'keeper', export_of('customer_pii', 'unknown-00000000')), qr/42704.*not trusted/s, 'nothing for a site that is not trusted');
like(error_as($a, 'keeper', export_of('vault', $name_b)), qr/0A000.*never leaves the HSM/s, 'keys of mode hsm stay');
like(error_as($a, 'keeper', export_of('#system', $name_b)), qr/22023/, 'no system bucket by itself');
like(error_as($a, 'officer', export_of('customer_pii', $name_b)), qr/42501/, 'an officer exports nothing');
my $parcel = query_as($a, 'keeper', export_of('customer_pii', $name_b));
is(value($a, 'SELECT count(*), min(recipient), min(kind), sum(cardinality(key_ids)) FROM sdes.exported'),
    "2|$name_b|export|2", 'what left is written down: of two buckets, with their keys');
my $methods = `openssl list -kem-algorithms 2>&1`;
is(hex(substr($parcel, 20, 2)), $methods =~ /ML-KEM-768/ ? 2 : 1, 'by RSA, and by ML-KEM too where OpenSSL has it');
my @deks = split /\n/, value($a, "SELECT encode(wrapped, 'hex') FROM sdes.dek");
is(scalar(grep { index($parcel, $_) >= 0 } @deks), 0, 'no blob of a row is in the parcel');

# ---- import ----

sub import_of { my ($hex) = @_; return "SELECT sdes.import_keys(decode('$hex', 'hex'))"; }

like(error_as($b, 'keeper', import_of($parcel)), qr/42501.*not trusted/s, 'nothing from a site that is not trusted');
my $name_a = query_as($b, 'officer', trust($pem{site_a}, $fingerprint{site_a}));
like(error_as($b, 'officer', import_of($parcel)), qr/42501/, 'an officer imports nothing');
like(error_as($a, 'keeper', import_of($parcel)), qr/22023.*this very site/s, 'not where it came from');

# Every byte, in one statement; a failure inside leaves no key behind.
value($b, <<'SQL');
CREATE FUNCTION accepted(parcel bytea, step int) RETURNS SETOF int LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 0 .. length(parcel) - 1 BY step LOOP
        BEGIN
            PERFORM sdes.import_keys(set_byte(parcel, i, get_byte(parcel, i) # (1 << (i % 8))));
            RETURN NEXT i;
        EXCEPTION WHEN others THEN
            IF sqlstate NOT IN ('22023', 'XX001', '42501') THEN RAISE; END IF;
        END;
    END LOOP;
END $$;
SQL
is(value($b, "SELECT count(*) FROM accepted(decode('$parcel', 'hex'), 1)"), 0, 'a flipped bit in any byte is refused');
is(value($b, 'SELECT count(*) FROM sdes.dek'), 0, 'nothing came of that');
like(error_as($b, 'keeper', import_of(substr($parcel, 0, -2))), qr/22023.*damaged/s, 'a byte less');
like(error_as($b, 'keeper', import_of("${parcel}00")), qr/22023.*damaged/s, 'a byte more');

# Two sessions import it at once: one waits for the other.
my $one = $b->background_psql('postgres', on_error_die => 1);
my $two = $b->background_psql('postgres', on_error_stop => 0);
$one->query_safe('BEGIN; ' . import_of($parcel) . ';');
$two->query_until(qr/begun/, "\\echo begun\n" . import_of($parcel) . ";\n");
ok(wait_for(sub { value($b, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") eq '1' }), 'a second importer waits');
$one->query_safe('ROLLBACK;');
ok(wait_for(sub { value($b, 'SELECT count(*) FROM sdes.imported') eq '1' }), 'and has its turn when the first gives up');
$_->quit for $one, $two;
like(error_as($b, 'keeper', import_of($parcel)), qr/42710.*imported before/s, 'it is imported once only');
is(value($b, "SELECT state, version, purpose FROM sdes.keys WHERE bucket = 'customer_pii' ORDER BY version"),
    "decrypt-only|1|data\nactive|2|data", 'the imported key opens only, and there is one to seal under');
is(value($b, "SELECT reason FROM sdes.keys WHERE state = 'decrypt-only'"), "imported from site $name_a", 'with its source');
is(value($b, "SELECT encode(uuid_send(uuid), 'hex') FROM sdes.bucket WHERE name = 'customer_pii'"),
    value($a, "SELECT encode(uuid_send(uuid), 'hex') FROM sdes.bucket WHERE name = 'customer_pii'"), 'the bucket is the same');
is(value($b, "SELECT version, key_id FROM sdes.keys WHERE purpose = 'search'"),
    value($a, "SELECT version, key_id FROM sdes.keys WHERE purpose = 'search'"), 'so is the search key');
is(value($b, "SELECT count(*) FROM sdes.health() WHERE NOT ok"), 0, 'the database is in health');

# ---- rows follow ----

value($b, <<"SQL");
CREATE TABLE people (id int PRIMARY KEY, email sdes.enc_text('customer_pii', 'searchable'));
CREATE INDEX ON people (email);
GRANT ALL ON people TO reader, nobody;
SQL
query_as($b, 'officer', "SELECT sdes.grant_access('customer_pii', 'reader', '{encrypt,search,decrypt}')");
value($b, "CREATE SUBSCRIPTION from_a CONNECTION '" . $a->connstr . " dbname=postgres' PUBLICATION everybody");
$b->wait_for_subscription_sync($a, 'from_a');
is(query_as($b, 'reader', 'SELECT email FROM people WHERE id = 7'), 'person7@example.org', 'a row of A is read at B');
like(query_as($b, 'nobody', 'SELECT email FROM people WHERE id = 7'), qr/^sdes1:/, 'by whom B lets');
value($a, "INSERT INTO people VALUES (51, 'late\@example.org')");
$a->wait_for_catchup('from_a');
is(query_as($b, 'reader', "SET enable_seqscan = off; SELECT id FROM people WHERE email = 'late\@example.org'"), 51, 'found by its index');
like(query_as($b, 'reader', "SET enable_seqscan = off; EXPLAIN (COSTS off) SELECT id FROM people WHERE email = 'late\@example.org'"),
    qr/Index.* Scan/, 'which is used');
query_as($b, 'reader', "INSERT INTO people VALUES (1000, 'person7\@example.org')");
is(query_as($b, 'reader', "SELECT string_agg(id::text, ',' ORDER BY id) FROM people WHERE email = 'person7\@example.org'"),
    '7,1000', 'values written at B are equal to those of A');
is(query_as($b, 'reader', 'SELECT email FROM people WHERE id = 1000'), 'person7@example.org', 'and are read there');

# ---- newer versions merge ----

value($a, "SELECT sdes.rotate_bucket('customer_pii')") if value($a, "SELECT count(*) FROM pg_proc WHERE proname = 'rotate_bucket'");
my $second = query_as($a, 'keeper', export_of('customer_pii', $name_b));
query_as($b, 'keeper', import_of($second));
my $versions = value($a, "SELECT count(*) FROM sdes.keys WHERE bucket = 'customer_pii'");
is(value($b, "SELECT count(*) FROM sdes.keys WHERE bucket = 'customer_pii' AND state = 'decrypt-only'"), $versions,
    'a second import brings what is new');
is(value($b, "SELECT count(*) FROM sdes.keys WHERE bucket = 'customer_pii' AND state = 'active'"), 1, 'one key stays active');
value($a, "INSERT INTO people VALUES (52, 'newer\@example.org')");
$a->wait_for_catchup('from_a');
is(query_as($b, 'reader', "SELECT id FROM people WHERE email = 'newer\@example.org'"), 52, 'a row under the newer key');

# ---- a database with a search key of its own ----

value($b, 'CREATE DATABASE other');
value($b, "CREATE EXTENSION sdes; SELECT sdes.create_bucket('mine')", 'other');
my $pem_other = value($b, 'SELECT sdes.site_certificate()', 'other');
my $print_other = value($b, "SELECT encode(fingerprint, 'hex') FROM sdes.site WHERE own", 'other');
my $name_other = value($a, trust($pem_other, $print_other));
value($b, trust($pem{site_a}, $fingerprint{site_a}), 'other');
my $third = value($a, export_of('customer_pii', $name_other));
like(error_as($b, 'keeper', import_of($third)), qr/22023.*for another site/s, 'what is for another site is refused');
like(notices($b, import_of($third), 'other'), qr/another search key/, 'a notice tells that tokens will not compare');
is(value($b, "SELECT string_agg(state, ',' ORDER BY state) FROM sdes.keys WHERE purpose = 'search'", 'other'), 'active,decrypt-only',
    'both search keys are kept');
value($b, <<'SQL', 'other');
SELECT sdes.grant_access(b, 'postgres', '{encrypt,search,decrypt}') FROM unnest('{mine,customer_pii}'::text[]) AS b;
CREATE TABLE people (id int, email sdes.enc_text('customer_pii', 'searchable'));
SQL
my $ciphertext = value($a, 'COPY people TO STDOUT');
append_to_file("$PostgreSQL::Test::Utils::tmp_check/people.copy", "$ciphertext\n");
value($b, "SET sdes.accept_ciphertext = on; \\copy people FROM '$PostgreSQL::Test::Utils::tmp_check/people.copy'", 'other');
is(value($b, 'SELECT email FROM people WHERE id = 7', 'other'), 'person7@example.org', 'its values are read');
like(error_as($b, 'postgres', "SELECT id FROM people WHERE email = 'person7\@example.org'", 'other'), qr/search key/,
    'comparing is an error, not a wrong answer');
value($b, "SELECT sdes.create_bucket('unrelated')", 'other');

# ---- while another search key is coming in ----

my $checked = "SELECT substring(detail, '[0-9]+') FROM sdes.health() WHERE \"check\" = 'dek'";
my $before = value($a, $checked);
my ($during, $fifth) = split /\n/,
    value($a, "BEGIN; DO 'BEGIN PERFORM sdes.rotate_search_key(); END'; $checked; " . export_of('customer_pii', $name_b) . '; COMMIT');
is($during, $before + 1, 'an incoming search key is in health');
like(notices($b, import_of($fifth)), qr/is brought in here, too.*switch_search_key\(\) here, and at the sender after/s,
    'a site that goes by the same search key follows');
is(value($b, "SELECT string_agg(state, ',' ORDER BY version) FROM sdes.keys WHERE purpose = 'search'"), 'active,incoming', 'values get its tokens');
my $search_keys = q{SELECT version, key_id FROM sdes.keys WHERE purpose = 'search' ORDER BY version};
is(value($b, $search_keys), value($a, $search_keys), 'it is the same key under the same number');
like(notices($b, import_of($third), 'other'), qr/imported before/, 'a parcel is still imported once');
sub tokens_settled
{
    my ($node) = @_;
    return wait_for(sub { value($node, q{SELECT count(*) FROM sdes.keys WHERE purpose = 'search' AND state IN ('incoming', 'decrypt-only') AND emptied_at IS NULL}) eq '0' }, 60);
}
my $by_index = "SET enable_seqscan = off; SELECT string_agg(id::text, ',' ORDER BY id) FROM people WHERE email = 'person7\@example.org'";
ok(tokens_settled($a), 'all values of A have its token');
$a->wait_for_catchup('from_a');
ok(tokens_settled($b), 'so have those of B');
is(query_as($b, 'reader', $by_index), '7,1000', 'values with two tokens are found');
value($b, 'CALL sdes.switch_search_key()');
value($a, "INSERT INTO people VALUES (53, 'between\@example.org')");
$a->wait_for_catchup('from_a');
is(query_as($b, 'reader', $by_index), '7,1000', 'B has switched: values of both are found');
is(query_as($b, 'reader', "SET enable_seqscan = off; SELECT id FROM people WHERE email = 'between\@example.org'"), 53, 'A has not, and what it writes is found at B');
value($a, 'CALL sdes.switch_search_key()');
value($a, "INSERT INTO people VALUES (54, 'latest\@example.org')");
ok(tokens_settled($_), $_->name . ' drops the old tokens') for $a, $b;
$a->wait_for_catchup('from_a');
is(query_as($b, 'reader', $by_index), '7,1000', 'both have switched: values of both are found');
is(query_as($b, 'reader', "SET enable_seqscan = off; SELECT id FROM people WHERE email = 'latest\@example.org'"), 54, 'and what is new');

# The sender switched first: changes wait until the subscriber has, too.
value($a, 'SELECT sdes.rotate_search_key()');
ok(tokens_settled($a), 'A: another one is in');
value($a, 'CALL sdes.switch_search_key()');
ok(tokens_settled($a), 'A: and the only one');
value($a, "INSERT INTO people VALUES (55, 'ahead\@example.org')");
my $late = query_as($a, 'keeper', export_of('customer_pii', $name_b));
like(notices($b, import_of($late)), qr/is brought in here, too/, 'B takes it over later');
ok(tokens_settled($b), 'B: its own values have its token');
value($b, 'CALL sdes.switch_search_key()');
$a->wait_for_catchup('from_a');
is(query_as($b, 'reader', $by_index), '7,1000', 'B: values of both are found again');
is(query_as($b, 'reader', "SET enable_seqscan = off; SELECT id FROM people WHERE email = 'ahead\@example.org'"), 55, 'B: and what had to wait');

# Values of another search key stay what they are when this database replaces its own.
value($b, "CREATE INDEX ON people (email)", 'other');
like(notices($b, 'SELECT sdes.rotate_search_key()', 'other'), qr/values under keys of other sites get no token/, 'a notice tells of imported values');
ok(wait_for(sub { value($b, "SELECT count(*) FROM sdes.keys WHERE state = 'incoming' AND emptied_at IS NOT NULL", 'other') }, 60), 'another search key is in');
value($b, 'CALL sdes.switch_search_key()', 'other');
is(value($b, "CREATE EXTENSION amcheck; SELECT bt_index_check('people_email_idx', true)", 'other'), '', 'an index of theirs alone is in order');
is(value($b, 'SELECT email FROM people WHERE id = 7', 'other'), 'person7@example.org', 'and they are read');
like(error_as($b, 'postgres', "SET enable_hashjoin = on; SET enable_mergejoin = off; SET enable_nestloop = off; SELECT count(*) FROM people a JOIN people b USING (email)", 'other'),
    qr/55000.*search keys cannot be compared/s, 'a hash join of them is an error');

# ---- a row that was edited by hand ----

my $absurd = "UPDATE sdes.bucket SET rotation_period = '280000 years' WHERE name = 'customer_pii'";
like(error_as($a, 'postgres', $absurd), qr/23514/, 'a period that no date has room for is refused');
my $sixth = value($a, "BEGIN; ALTER TABLE sdes.bucket DROP CONSTRAINT bucket_rotation_period_check; $absurd; "
    . export_of('customer_pii', $name_other) . '; ROLLBACK');
my (undef, undef, $refused) = $b->psql('other', "\\set VERBOSITY verbose\n" . import_of($sixth));
like($refused, qr/22023.*an hour to 100 years/s, 'also from a site that is trusted');

# ---- trust ends ----

like(error_as($a, 'keeper', "SELECT sdes.distrust_site('$name_b')"), qr/42501/, 'an officer ends trust');
query_as($a, 'officer', "SELECT sdes.distrust_site('$name_b')");
like(error_as($a, 'keeper', export_of('customer_pii', $name_b)), qr/42704/, 'nothing goes there any more');
query_as($b, 'officer', "SELECT sdes.distrust_site('$name_a')");
my $fourth = value($a, export_of('customer_pii', $name_other));
like(error_as($b, 'keeper', import_of($fourth)), qr/42501.*not trusted/s, 'nothing comes from there');

# A row that was edited by hand does not fit its certificate any more.
value($a, "UPDATE sdes.site SET fingerprint = sha256('x') WHERE name = '$name_other'");
like(error_as($a, 'keeper', export_of('customer_pii', $name_other)), qr/XX001.*does not fit its certificate/s, 'an edited row is noticed');

# ---- an aborted call leaves nothing ----

my $keys = value($a, "SELECT detail FROM sdes.health() WHERE \"check\" = 'orphans'");
value($a, 'CREATE DATABASE third');
value($a, "CREATE EXTENSION sdes; BEGIN; SELECT sdes.site_certificate(); ROLLBACK", 'third');
ok(wait_for(sub { value($a, "SELECT ok FROM sdes.health() WHERE \"check\" = 'orphans'", 'third') eq 't' }), 'nor keys in the token');
is(value($a, "SELECT count(*) FROM sdes.health() WHERE NOT ok"), 0, 'A is in health');

done_testing();
