# 096_update.pl
#     ALTER EXTENSION sdes UPDATE: by every path that PostgreSQL knows, from each older
#     version to the newest, values, keys, grants and indexes are kept, and the catalog is
#     what CREATE EXTENSION makes; dumps of before and after come back. In a copy of PostgreSQL, to which a version is added
#     that does not exist: it shows that the comparison finds what a script forgets.

use strict;
use warnings;
use File::Basename qw(basename dirname);
use File::Path qw(make_path);
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesUpgrade;
use Test::More;

# ---- a PostgreSQL of our own ----

my $root = PostgreSQL::Test::Utils::tempdir();
my %dir = map { chomp(my $dir = `$ENV{PG_CONFIG} --$_`); $_ => $dir } qw(bindir pkglibdir sharedir);

# PostgreSQL finds its folders by the place of its programs; the agent cannot be read.
make_path(map { $root . dirname($_) } values %dir);
make_path("$root$dir{bindir}");
for my $file (glob "$dir{bindir}/*")
{
    my $copy = "$root$file";
    -r $file ? system_or_bail('cp', '-a', $file, $copy) : (symlink $file, $copy or die "$copy: $!");
}
system_or_bail('cp', '-a', $dir{sharedir}, "$root$dir{sharedir}");
symlink $dir{pkglibdir}, "$root$dir{pkglibdir}" or die "$root$dir{pkglibdir}: $!";
my $scripts = "$root$dir{sharedir}/extension";

my ($newest) = slurp_file("$scripts/sdes.control") =~ /^default_version\s*=\s*'(.*?)'/m;
my $node = new_cluster('update', install_path => "$root" . dirname($dir{bindir}), conf => "fsync = off\n");
is($node->safe_psql('postgres', q{SELECT setting FROM pg_config WHERE name = 'SHAREDIR'}), "$root$dir{sharedir}", 'the server runs from the copy');

# ---- what the catalog says of the extension ----

# Each object as pg_dump would make it, by the object's name, kind and schema. What is in
# order of numbers, which differ, is sorted; partitions are made as months go by.
sub objects_of
{
    my ($database) = @_;
    my ($dump, $error) = ('', '');
    local %ENV = $node->_get_env();
    IPC::Run::run([ 'pg_dump', '--binary-upgrade', '--schema-only', '-N', 'public', '-d', $node->connstr($database) ],
        '<', \undef, '>', \$dump, '2>', \$error) or die $error;
    my (undef, @entries) = split /^--\n-- (?=Name: )/m, $dump;
    my %objects;
    for my $entry (grep { !/^Name: .*audit_log_y\d/ && !/^Name: .*; Type: SEQUENCE SET;/ } @entries)
    {
        $entry =~ s/^(?:SELECT pg_catalog\.binary_upgrade_set_next_|SET rel|WHERE oid).*\n//mg;
        $entry =~ s/(binary_upgrade_create_empty_extension\(.*?'\{)[\d,]*/$1/;
        $entry =~ s/^-- PostgreSQL database dump complete\n.*//ms;
        $entry = join "\n", sort split /\s*[,;]*\n/, $entry if $entry =~ /^Name: .*; Type: OPERATOR (?:CLASS|FAMILY);/;
        my ($name) = $entry =~ /Name: (.*?); Owner:/;
        push @{ $objects{$name} }, $entry;
    }
    $objects{'configuration tables'} = [ $node->safe_psql($database, <<'SQL') ];
SELECT string_agg(c::regclass || condition, ', ' ORDER BY c::regclass::text)
    FROM pg_extension, unnest(extconfig, extcondition) AS u(c, condition) WHERE extname = 'sdes'
SQL
    return { map { $_ => join "\n", sort @{ $objects{$_} } } keys %objects };
}

# Names of what differs.
sub differences
{
    my ($one, $other) = @_;
    return join "\n", grep { ($one->{$_} // '') ne ($other->{$_} // '') } sort keys %{ { %$one, %$other } };
}

my $databases = 0;
sub new_database
{
    my ($version) = @_;
    my $database = 'db' . ++$databases;
    $node->safe_psql('postgres', "CREATE DATABASE $database");
    $node->safe_psql($database, 'CREATE EXTENSION sdes' . (defined $version ? " VERSION '$version'" : ''));
    return $database;
}

# From each version that there is a script for.
sub sources_of
{
    my ($version) = @_;
    return split /\n/, $node->safe_psql('postgres', <<"SQL");
SELECT source FROM pg_extension_update_paths('sdes') WHERE target = '$version' AND path IS NOT NULL
    AND source IN (SELECT version FROM pg_available_extension_versions WHERE name = 'sdes') ORDER BY 1
SQL
}

# ---- the walk ----

# Checks of sdes.health() that are not passed; the library is of the newest version.
sub unwell
{
    my ($database) = @_;
    return $node->safe_psql($database, 'SELECT string_agg("check", \',\') FROM sdes.health() WHERE NOT ok');
}

my $READ = q{SELECT string_agg(e::text, ',' ORDER BY id) FROM t WHERE s IN ('find 7', 'last')};

# A dump comes back into the newest version.
sub restored_ok
{
    my ($database, $state, $name) = @_;
    my $restored = 'restored' . ++$databases;
    my $file = "$root/$restored.sql";
    $node->safe_psql('postgres', "CREATE DATABASE $restored TEMPLATE template0");
    ok($node->run_log([ 'pg_dump', '-f', $file, $node->connstr($database) ])
            && $node->run_log([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($restored), '-f', $file ]),
        "$name: it is restored");
    kept_ok($node, $state, $name, $restored);
    return;
}

sub walk
{
    my ($from, $to) = @_;
    my $name = "$from to $to";
    my $database = new_database($from);
    fill($node, $database);
    my $state = state_of($node, $database);
    kept_ok($node, $state, "$from with this library", $database);
    is(unwell($database), $from eq $newest ? '' : 'version', "$from with this library: health() says so");
    restored_ok($database, $state, "a dump of $from");
    my $psql = join ' ', map { "\"$_\"" } 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($database);
    my $result = $node->safe_psql($database, "$READ;\n\\! $psql -c 'ALTER EXTENSION sdes UPDATE' >/dev/null\n$READ; INSERT INTO t (id, s) VALUES (201, 'find 201')");
    is($result, "value 7,by default\nvalue 7,by default", "$name: a session goes on over the update");
    is($node->safe_psql($database, q{SELECT extversion FROM pg_extension WHERE extname = 'sdes'}), $to, "$name: it is updated");
    $node->safe_psql($database, 'DELETE FROM t WHERE id = 201');
    kept_ok($node, $state, $name, $database);
    $node->safe_psql($database, q{SELECT sdes.create_bucket('made after'); CREATE TABLE more (v sdes.enc_text('made after'))});
    $node->safe_psql($database, q{SELECT sdes.grant_access('made after', current_user, '{encrypt,decrypt}'); INSERT INTO more VALUES ('new')});
    is($node->safe_psql($database, 'SELECT v FROM more'), 'new', "$name: it takes more buckets");
    is(unwell($database), $to eq $newest ? '' : 'version', "$name: all is well");
    restored_ok($database, $state, "a dump after $name");
    return;
}

# The catalog after an update, against that of a new extension.
sub catalog_of_update
{
    my ($from, $to) = @_;
    my $database = new_database($from);
    $node->safe_psql($database, "ALTER EXTENSION sdes UPDATE TO '$to'");
    return objects_of($database);
}

sub walk_all
{
    my ($to) = @_;
    my $made = objects_of(new_database());
    cmp_ok(scalar keys %$made, '>', 500, "$to: the catalog has objects");
    is(differences($made, objects_of(new_database())), '', "$to: made twice, they are the same");
    for my $from (sources_of($to))
    {
        is(differences($made, catalog_of_update($from, $to)), '', "$from to $to: the catalog is that of a new extension");
        walk($from, $to);
    }
    return;
}
walk_all($newest);

# ---- the walk itself is shown to work ----

# A version with a bit of everything: [ what differs if its script forgets it, statement ].
my $next = "$newest.next";
my @CHANGES = (
    [ qr/^honey; Type: TABLE;/m, q{ALTER TABLE sdes.honey ADD COLUMN note text} ],
    [ qr/^COLUMN honey.note; Type: COMMENT;/m, q{COMMENT ON COLUMN sdes.honey.note IS 'what an officer says of it'} ],
    [ qr/^forgotten\(\); Type: FUNCTION;/m, q{CREATE FUNCTION sdes.forgotten() RETURNS int LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT 1'} ],
    [ undef, q{CREATE FUNCTION sdes.answer() RETURNS int LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT 42'} ],
    [ qr/^FUNCTION answer\(\); Type: COMMENT;/m, q{COMMENT ON FUNCTION sdes.answer() IS 'the answer'} ],
    [ qr/^FUNCTION answer\(\); Type: ACL;/m, q{REVOKE EXECUTE ON FUNCTION sdes.answer() FROM PUBLIC} ],
    [ qr/^enc_text_out\(sdes\.enc_text\); Type: FUNCTION;/m, q{ALTER FUNCTION sdes.enc_text_out(sdes.enc_text) COST 10} ],
    [ undef, q{CREATE TABLE sdes.told (what text)} ],
    [ qr/^configuration tables$/m, q{SELECT pg_catalog.pg_extension_config_dump('sdes.told', '')} ],
    [ qr/^told; Type: TABLE;/m, q{ALTER TABLE sdes.told ALTER what SET NOT NULL} ],
    [ qr/^told invalidate; Type: TRIGGER;/m, q{CREATE TRIGGER invalidate AFTER INSERT ON sdes.told FOR EACH STATEMENT EXECUTE FUNCTION sdes.invalidate()} ],
    [ undef, q{CREATE VIEW sdes.seen AS SELECT name FROM sdes.bucket} ],
    [ qr/^seen; Type: VIEW;/m, q{CREATE OR REPLACE VIEW sdes.seen AS SELECT name, uuid FROM sdes.bucket} ],
    [ qr/^enc_text_ci_ops; Type: OPERATOR FAMILY;/m,
        q{ALTER OPERATOR FAMILY sdes.enc_text_ci_ops USING btree ADD FUNCTION 4 (sdes.enc_text, sdes.enc_text) pg_catalog.btequalimage(oid)} ],
);

sub write_script
{
    my ($file, @text) = @_;
    unlink "$scripts/$file";
    append_to_file("$scripts/$file", join '', @text);
    return;
}
sub statements { return map { "$_->[1];\n" } @_ }

# Where it is made, the column is in its table from the beginning.
my $whole = slurp_file("$scripts/sdes--$newest.sql");
ok($whole =~ s/(CREATE TABLE sdes\.honey \(.*?)\n\);/$1,\n    note text\n);/s, 'the table has a column more');
write_script("sdes--$next.sql", $whole, statements(@CHANGES[ 1 .. $#CHANGES ]));
write_script('sdes.control', slurp_file("$scripts/sdes.control") =~ s/\Q'$newest'/'$next'/r);

write_script("sdes--$newest--$next.sql", statements(grep { !$_->[0] } @CHANGES));
my $found = differences(objects_of(new_database()), catalog_of_update($newest, $next));
like($found, $_->[0], "forgotten, it is found: $_->[1]") for grep { $_->[0] } @CHANGES;
unlike($found, qr/^(?:seen|told|honey|answer|forgotten|enc)\b.*; Type: COMMENT|dek/m, 'and what is as it was is not');

write_script("sdes--$newest--$next.sql", statements(@CHANGES));
walk_all($next);

# ---- who may ----

my $database = new_database($newest);
$node->safe_psql('postgres', "CREATE ROLE owner LOGIN; CREATE ROLE boss LOGIN SUPERUSER; ALTER DATABASE $database OWNER TO owner; GRANT sdes_admin, sdes_officer TO owner");
like(error_as($node, 'owner', 'ALTER EXTENSION sdes UPDATE', $database), qr/42501/, 'who owns the database may not update');
is(error_as($node, 'boss', 'ALTER EXTENSION sdes UPDATE', $database), '', 'a superuser may, who has not made it');
is($node->safe_psql($database, q{SELECT extversion FROM pg_extension WHERE extname = 'sdes'}), $next, 'and does');
like($node->safe_psql($database, q{SELECT detail || '; ' || hint FROM sdes.health() WHERE NOT ok}),
    qr/^the server runs version \Q$newest\E, the extension in this database is of version \Q$next\E; Run ALTER EXTENSION sdes UPDATE/,
    'and a library of another version is told of');

$node->stop;
done_testing();
