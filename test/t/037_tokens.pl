# 037_tokens.pl
#     Tokens are the same wherever they are made: lower case is PostgreSQL's own for
#     every character, a text has one token in every encoding, and what is dumped and
#     restored into another one is found by its index there.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use Test::More;

my $BY_INDEX = 'SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_memoize = off;';

my $node = new_cluster('tokens', conf => "fsync = off\nshared_buffers = 64MB\n");
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE shop LOGIN;
CREATE ROLE stranger LOGIN;
CREATE DATABASE source TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';
SQL

sub prepare_database
{
    my ($database) = @_;
    $node->safe_psql($database, <<'SQL');
CREATE EXTENSION sdes;
SELECT sdes.create_bucket('pii');
SELECT sdes.grant_access('pii', 'shop', '{encrypt,search,decrypt}');
GRANT CREATE ON SCHEMA public TO shop;
SQL
    return;
}

sub by_index_ok
{
    my ($database, $query, $index, $name) = @_;
    return like(query_as($node, 'shop', "$BY_INDEX EXPLAIN $query", $database), qr/using $index/, "$name: by index");
}

# ---- lower case ----

prepare_database('source');
query_as($node, 'shop', <<'SQL', 'source');
CREATE TABLE plain (n int, c text);
INSERT INTO plain SELECT n, chr(n) FROM generate_series(1, 1114111) n WHERE n NOT BETWEEN 55296 AND 57343;
-- All that lower() changes, what it makes of them, and some of the others.
CREATE TEMP TABLE changed AS SELECT DISTINCT lower(c) AS c FROM plain WHERE lower(c) <> c;
ANALYZE changed;
CREATE TABLE letters AS SELECT n, c || 'Xy' AS c FROM plain LEFT JOIN changed USING (c)
    WHERE lower(c) <> c OR changed IS NOT NULL OR n < 2000 OR n % 97 = 0;
CREATE TABLE enc (n int, c sdes.enc_text('pii', 'searchable_ci'));
INSERT INTO enc SELECT n, c FROM letters;
CREATE INDEX enc_c ON enc (c sdes.enc_text_ci_ops);
ANALYZE;
SQL
cmp_ok(query_as($node, 'shop', 'SELECT count(*) FROM letters WHERE lower(c) <> c', 'source'), '>', 1300,
    'lower case: there are letters');

# Rows that one side finds and the other does not.
sub same_lower_ok
{
    my ($database, $collation, $name) = @_;
    my $lower = "lower(l.c $collation)";
    my $join = "enc e JOIN letters l ON lower(e.c $collation) = $lower";
    by_index_ok($database, "SELECT * FROM $join", 'enc_c', $name);
    is(query_as($node, 'shop', <<"SQL", $database), '0', "$name: PostgreSQL and tokens agree on every character");
$BY_INDEX
CREATE TEMP TABLE found AS SELECT e.n AS e, l.n AS l FROM $join;
RESET enable_hashjoin;
SELECT count(*) FROM (SELECT a.n AS e, l.n AS l FROM letters a JOIN letters l ON lower(a.c $collation) = $lower) AS p (e, l)
    FULL JOIN found USING (e, l) WHERE p IS NULL OR found IS NULL
SQL
    return;
}

same_lower_ok('source', '', 'C.UTF-8');
for my $locale (split /\n/, $node->safe_psql('source', <<'SQL'))
SELECT quote_ident(collname) FROM pg_collation
WHERE collprovider = 'c' AND collencoding = 6 AND collname ~ '^(en_US|de_DE|fr_FR)\.utf8$'
SQL
{
    same_lower_ok('source', "COLLATE $locale", $locale);
}
# The rest is what it is, lower-cased or not.
is(query_as($node, 'shop', <<'SQL', 'source'), '0', 'C.UTF-8: characters without case are found as they are');
INSERT INTO enc SELECT -n, c FROM plain WHERE n % 53 = 0;
SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
SELECT count(*) FROM plain p WHERE n % 53 = 0 AND NOT EXISTS (SELECT FROM enc e WHERE lower(e.c) = lower(p.c) AND e.n = -p.n)
SQL
for my $query ("SELECT n FROM enc WHERE lower(c) = 'AXY'", q{SELECT n FROM enc WHERE lower(c) = ''})
{
    is(query_as($node, 'shop', $query, 'source'), '', "$query: nothing");
}
is(query_as($node, 'shop', q{SELECT count(*) FROM enc WHERE lower(c COLLATE "C") = 'Äxy'}, 'source'),
    query_as($node, 'shop', q{SELECT count(*) FROM letters WHERE lower(c COLLATE "C") = 'Äxy'}, 'source'),
    'collation C knows ASCII only, as it always did');

# ---- bytes that are no UTF-8 ----

$node->safe_psql('postgres', <<'SQL');
CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8';
SQL
prepare_database('bytes');
query_as($node, 'shop', <<'SQL', 'bytes');
CREATE TABLE plain (n int, c text);
INSERT INTO plain VALUES (1, E'\303\204A'), (2, E'\303\244a'), (3, E'\377A'), (4, E'\303A'), (5, E'A\360\220\200'),
    (6, E'\300\200A'), (7, E'\355\240\200B'), (8, E'\364\220\200\200C'), (9, ''), (10, 'Plain'), (11, E'\303'), (12, NULL);
INSERT INTO plain SELECT 100 + b, E'A\303'::text || convert_from(set_byte('x'::bytea, 0, b), 'SQL_ASCII') FROM generate_series(128, 255) b;
CREATE TABLE enc (n int, c sdes.enc_text('pii', 'searchable', 'searchable_ci'));
INSERT INTO enc SELECT n, c FROM plain;
CREATE INDEX enc_c ON enc (c);
CREATE INDEX enc_ci ON enc (c sdes.enc_text_ci_ops);
SQL
for my $condition ('e.c = p.c', 'lower(e.c) = lower(p.c)', 'lower(e.c) = p.c', 'e.c = lower(p.c)')
{
    my $pairs = "SELECT coalesce(string_agg(e.n || '-' || p.n, ' ' ORDER BY e.n, p.n), '') FROM plain p JOIN %s e ON $condition";
    is(query_as($node, 'shop', $BY_INDEX . sprintf($pairs, 'enc'), 'bytes'), query_as($node, 'shop', sprintf($pairs, 'plain'), 'bytes'),
        "SQL_ASCII: $condition finds what it finds in text");
}
by_index_ok('bytes', 'SELECT * FROM plain p JOIN enc e ON e.c = p.c', 'enc_c', 'SQL_ASCII');
# The index is there for who asks for it by its operator: bytes stay as they are.
is(query_as($node, 'shop', "$BY_INDEX SELECT string_agg(n::text, ' ' ORDER BY n) FROM enc WHERE c OPERATOR(sdes.=^) E'\\377a'", 'bytes'), '3',
    'SQL_ASCII: what is no UTF-8 has a token of its bytes, ASCII letters lower-cased');

# ---- other encodings ----

# Text that all of them have.
my @TEXTS = ("Gr\\u00fc\\u00dfe", 'plain', "\\u00c4rger", "\\u00e9t\\u00e9", 'a' x 2000, '', "\\u00ffx");
query_as($node, 'shop', <<'SQL', 'source');
CREATE TABLE people (id int PRIMARY KEY, name sdes.enc_text('pii', 'searchable', 'searchable_ci'), card sdes.enc_pan('pii', 'searchable'));
CREATE UNIQUE INDEX people_name ON people (name);
CREATE INDEX people_lower ON people (name sdes.enc_text_ci_ops);
CREATE INDEX people_hash ON people USING hash (name);
CREATE INDEX people_card ON people (card);
CREATE TABLE refers (name sdes.enc_text('pii', 'searchable') REFERENCES people (name) ON UPDATE CASCADE);
CREATE TABLE parts (name sdes.enc_text('pii', 'searchable')) PARTITION BY HASH (name);
CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SQL
my $id = 0;
query_as($node, 'shop', join("\n", (map { sprintf "INSERT INTO people VALUES (%d, E'%s', '4111 1111 1111 1111');", ++$id, $_ } @TEXTS),
    'INSERT INTO refers SELECT name FROM people; INSERT INTO parts SELECT name FROM people;'), 'source');
my $TOKENS = q{SELECT string_agg(encode(substr(sdes.enc_text_send(name), 24, 36), 'hex'), ' ' ORDER BY id) FROM people};
my $tokens = $node->safe_psql('source', $TOKENS);
$node->command_ok([ 'pg_dump', '-Fc', '-d', $node->connstr('source'), '-f', $node->basedir . '/dump', '-T', 'plain', '-T', 'letters', '-T', 'enc' ], 'a dump');

for my $encoding ('UTF8', 'LATIN1', 'LATIN9', 'WIN1252', 'SQL_ASCII')
{
    my $database = lc "to_$encoding";
    my $locale = $encoding eq 'UTF8' || $encoding eq 'SQL_ASCII' ? 'C.UTF-8' : 'C';
    $node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0 ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE '$locale'");
    $node->command_ok([ 'pg_restore', '-j2', '-d', $node->connstr($database), $node->basedir . '/dump' ], "$encoding: restored");
    is($node->safe_psql($database, $TOKENS), $tokens, "$encoding: the tokens are the same");
    my ($found, $again) = ('', '');
    for my $n (1 .. @TEXTS)
    {
        # In SQL_ASCII a client's text is taken as it comes.
        my $text = $TEXTS[ $n - 1 ];
        if ($encoding eq 'SQL_ASCII') { $text =~ s/\\u([0-9a-f]{4})/sprintf '\\%03o\\%03o', 0xc0 | hex($1) >> 6, 0x80 | hex($1) & 0x3f/ge; }
        $found .= query_as($node, 'shop', "$BY_INDEX SELECT id FROM people WHERE name = E'$text'", $database) . ' ';
        $again .= error_as($node, 'shop', "INSERT INTO people VALUES (100 + $n, E'$text', NULL)", $database) =~ /23505/ ? "$n " : 'no ';
    }
    is($found, "1 2 3 4 5 6 7 ", "$encoding: every text is found by index");
    is($again, $found, "$encoding: UNIQUE holds for every text");
    by_index_ok($database, q{SELECT id FROM people WHERE name = 'plain'}, 'people_', $encoding);
    is(query_as($node, 'shop', "$BY_INDEX SELECT count(*) FROM people WHERE card = '4111111111111111'", $database), '7', "$encoding: card numbers are found");
    is(query_as($node, 'shop', q{SELECT count(*) FROM people JOIN refers USING (name) JOIN parts USING (name)}, $database), '7', "$encoding: values are joined");
    is(query_as($node, 'shop', q{SELECT count(*) FROM parts WHERE name = 'plain'}, $database), '1', "$encoding: partitions are found");
    is($encoding =~ /UTF8/ ? query_as($node, 'shop', "$BY_INDEX SELECT id FROM people WHERE lower(name) = E'\\u00e4rger'", $database) : '3', '3',
        "$encoding: in lower case");
}

$node->stop;
done_testing();
