# 037_index_buffers.pl
#     An equality lookup by index on an encrypted column reads as many buffers as on
#     its plain twin, and as many more as the index has levels more: an entry of a
#     btree is the whole datum. 10,000,000 rows with "make soak".

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Utils;
use SdesTest;
use Test::More;

my $rows = soak(50_000, 10_000_000);
my $lookups = 20;
# An entry: 8 bytes of tuple header, and the datum, which the token's field, the
# rest of the header and the tag make longer, aligned to 8.
my $longer = 23 + 18 + 16;

my $node = new_cluster('index_buffers', conf => <<'CONF');
shared_buffers = 512MB
max_wal_size = 8GB
maintenance_work_mem = 512MB
fsync = off
CONF
new_extension($node);
create_bucket($node, 'pii');
$node->safe_psql('postgres', <<"SQL");
CREATE EXTENSION pageinspect;
CREATE ROLE oms LOGIN;
SELECT sdes.grant_access('pii', 'oms', '{encrypt,search,decrypt}');
GRANT CREATE ON SCHEMA public TO oms;
SQL
query_as($node, 'oms', <<"SQL");
CREATE TABLE plain (id int, email text);
CREATE TABLE enc (id int, email sdes.enc_text('pii', 'searchable'));
INSERT INTO plain SELECT g, 'user' || g || '\@example.org' FROM generate_series(1, $rows) g;
INSERT INTO enc SELECT id, email FROM plain;
CREATE INDEX plain_email ON plain (email);
CREATE INDEX enc_email ON enc (email);
VACUUM ANALYZE plain, enc;
SQL

# Buffers of one lookup, whether in memory or not; and what the plan was. A session's
# first one reads catalogs and the index's meta page, too.
sub lookup
{
    my ($table, $id) = @_;
    my $plan = query_as($node, 'oms', <<"SQL");
SELECT FROM $table WHERE email = 'nobody'::text;
EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF)
SELECT id FROM $table WHERE email = 'user$id\@example.org'::text;
SQL
    my ($hit) = $plan =~ /^\s*Buffers: shared(?: hit=(\d+))?(?: read=\d+)?/m;
    my ($read) = $plan =~ /^\s*Buffers: shared.*? read=(\d+)/m;
    return (($hit // 0) + ($read // 0), $plan);
}

sub levels
{
    my ($index) = @_;
    return $node->safe_psql('postgres', "SELECT level + 1 FROM bt_metap('$index')");
}

sub pages
{
    my ($relation) = @_;
    return $node->safe_psql('postgres', "SELECT pg_relation_size('$relation') / 8192");
}

# Without it in the way of the other.
query_as($node, 'oms', 'CREATE TABLE enc2 AS TABLE enc; CREATE INDEX enc_hash ON enc2 USING hash (email)');
my %levels = map { $_ => levels("${_}_email") } qw(plain enc);
my %pages = map { $_ => pages($_) } qw(plain enc plain_email enc_email enc_hash);
note("$rows rows; levels: plain $levels{plain}, encrypted $levels{enc}; pages: "
      . join(', ', map { "$_ $pages{$_}" } sort keys %pages));

my ($wrong_plans, $wrong_buffers, %sum) = (0, 0);
for (1 .. $lookups)
{
    my $id = 1 + int($rows * $_ / ($lookups + 1));
    my ($plain, $plain_plan) = lookup('plain', $id);
    my ($enc, $enc_plan) = lookup('enc', $id);
    $wrong_plans++
        if $plain_plan !~ /Index Scan using plain_email/ || $enc_plan !~ /Index Scan using enc_email/
        || $enc_plan !~ /rows=1 loops=1/;
    $wrong_buffers++ if $enc > $plain + $levels{enc} - $levels{plain};
    $sum{plain} += $plain;
    $sum{enc} += $enc;
}
note(sprintf '%d lookups: %d buffers plain, %d encrypted', $lookups, $sum{plain}, $sum{enc});
is($wrong_plans, 0, 'the same kind of plan, by an index, finds the row');
is($wrong_buffers, 0, 'no more buffers than the levels of the index that there are more');
cmp_ok($levels{enc} - $levels{plain}, '<=', 1, 'that is one level at most');

# What the index may be larger by: the longer datum of each row, aligned, in leaves
# that are 90 % full, and what pages above them take.
my $bytes_per_row = $pages{plain_email} * 8192 / $rows;
my $most = ($bytes_per_row + ($longer + 7) / 0.9) * 1.05;
cmp_ok($pages{enc_email} * 8192 / $rows, '<=', $most, 'the index is larger by the longer datum, and no more');

done_testing();
