# 091_scanner.pl
#     What is a constant in SQL is what PostgreSQL's own scanner says: random texts, made of
#     what quotes, escapes and comments are made of, and all SQL of the project.
#
#     A text and what is left of it for a log have the same tokens but for constants. Where
#     sdes cuts a text it shows no more than the tokens before.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use Test::More;

my $TEXTS = soak(100_000, 20_000_000);

my $config = $ENV{PG_CONFIG} // 'pg_config';
chomp(my $includes = `$config --includedir-server`);
plan skip_all => "this PostgreSQL installs no header with its scanner's tokens (15 does)" if !-e "$includes/parser/gramparse.h";

my $node = new_cluster('scanner', conf => "fsync = off\nlog_statement = none\n");
my $library = "$PostgreSQL::Test::Utils::tmp_check/scan_sql.so";
system_or_bail('sh', '-c', 'exec ${CC:-cc} -shared -fPIC -O1 -D_GNU_SOURCE -Isrc -isystem "$1" -o "$2" test/programs/scan_sql.c src/sqltext/sqltext.c', 'sh', $includes, $library);
$node->safe_psql('postgres', <<"SQL");
CREATE FUNCTION scan_sql(text) RETURNS text STRICT LANGUAGE c AS '$library';
CREATE FUNCTION redact_sql(text) RETURNS text STRICT LANGUAGE c AS '$library';
CREATE TABLE wrong (sql text, redacted text);
CREATE TABLE counted (what text, n bigint);
SQL
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION check_texts(texts text[]) RETURNS void LANGUAGE sql AS $$
    WITH made AS MATERIALIZED (
        SELECT sql, scan_sql(sql) AS tokens, redact_sql(sql) AS redacted FROM unnest(texts) AS sql),
    compared AS MATERIALIZED (
        SELECT *, tokens = scan_sql(redacted) AS whole, redacted LIKE '%...' AND starts_with(tokens, scan_sql(left(redacted, -3))) AS cut FROM made),
    bad AS (INSERT INTO wrong SELECT sql, redacted FROM compared WHERE tokens IS NOT NULL AND (whole OR cut) IS NOT TRUE
            OR redacted ~ '^([^"]|"[^"]*")*''')
    INSERT INTO counted SELECT CASE WHEN tokens IS NULL THEN 'error' WHEN whole THEN 'whole' ELSE 'cut' END, count(*) FROM compared GROUP BY 1
$$;
-- What texts are made of.
CREATE TABLE piece (id int GENERATED ALWAYS AS IDENTITY (START 0 MINVALUE 0), piece text);
INSERT INTO piece (piece) VALUES ('''), ('''), (''''''), ('E'''), ('e'''), ('n'''), ('b'''), ('x'''), ('U&'''), ('u&"'), ('"'), ('"'),
    ('$$'), ('$a$'), ('$a'), ('$1'), ('$'), ('--'), ('/*'), ('*/'), (E'\n'), (E'\r'), (' '), (' '), (E'\t'), ('\'), ('\'''), ('\\'), ('a'), ('b1'),
    ('é'), ('select'), ('1'), ('0'), ('1.5'), ('.'), ('..'), ('2e'), ('-'), ('+'), ('/'), ('*'), ('('), (')'), (','), (';'), ('::'), ('=>'), ('[1:2]'), ('&'), ('@'), ('_');
SQL
# What ends a string that another piece began makes most texts of use.
my $made = 0;
while ($made < $TEXTS)
{
    my $n = $TEXTS - $made < 100_000 ? $TEXTS - $made : 100_000;
    $node->safe_psql('postgres', <<"SQL");
SELECT setseed(@{[ ($made / 20_000_001) ]});
SELECT check_texts(array_agg(sql)) FROM (
    SELECT string_agg(piece || CASE WHEN piece ~ '''\$' AND random() < 0.5 THEN 'w''' ELSE '' END, '') AS sql
    FROM (SELECT t, floor(random() * (SELECT count(*) FROM piece))::int AS id FROM generate_series(1, $n) AS t, generate_series(1, 2 + t % 11)) AS chosen
    JOIN piece USING (id) GROUP BY t) AS texts;
SQL
    $made += $n;
    note("$made texts") if $TEXTS > 100_000;
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM wrong'), '0', "$TEXTS texts have the same tokens, but for constants")
    or diag($node->safe_psql('postgres', 'SELECT sql, redacted FROM wrong ORDER BY length(sql) LIMIT 10'));
my %counted = map { split /\|/ } split /\n/, $node->safe_psql('postgres', 'SELECT what, sum(n) FROM counted GROUP BY 1');
cmp_ok($counted{whole}, '>', $TEXTS / 4, 'most are whole');
cmp_ok($counted{cut}, '>', $TEXTS / 100, 'some are cut');
note(join ', ', map { "$_ $counted{$_}" } sort keys %counted);

# Of SQL that people wrote nothing is cut.
$node->safe_psql('postgres', 'TRUNCATE wrong; TRUNCATE counted');
my @files = (glob('sql/*.sql'), glob('*.sql'), glob('demo/*.sql'), glob('bench/*.sql'));
for my $file (@files)
{
    # Statement by statement, more or less; psql's own commands are none.
    my @texts = map { s/^\\.*$//mgr } split /;\n/, slurp_file($file);
    my $tag = '$text$';
    $node->safe_psql('postgres', 'SELECT check_texts(ARRAY[' . join(', ', map { "$tag$_$tag" } @texts) . ']::text[])');
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM wrong'), '0', 'all SQL of ' . @files . ' files has the same tokens')
    or diag($node->safe_psql('postgres', 'SELECT sql, redacted FROM wrong ORDER BY length(sql) LIMIT 3'));
%counted = map { split /\|/ } split /\n/, $node->safe_psql('postgres', 'SELECT what, sum(n) FROM counted GROUP BY 1');
cmp_ok($counted{whole}, '>', 500, 'of many statements');
note(join ', ', map { "$_ $counted{$_}" } sort keys %counted);

$node->stop;
done_testing();
