# 001_catalog.pl
#     What CREATE EXTENSION leaves in the catalogs.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use Test::More;

my $node = new_cluster('main');
new_extension($node);

my $members = "pg_depend AS m WHERE m.deptype = 'e' AND m.refclassid = 'pg_extension'::regclass"
    . " AND m.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'sdes')";

cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM $members"), '>', 10,
    'the extension has members');

# But for the types of rows and arrays, which are objects of an extension since PostgreSQL 17.
is($node->safe_psql('postgres', <<"SQL"), '', 'every object has a comment');
SELECT pg_describe_object(m.classid, m.objid, 0) FROM $members
    AND NOT EXISTS (SELECT FROM pg_type AS t WHERE m.classid = 'pg_type'::regclass AND t.oid = m.objid
        AND (t.typrelid <> 0 OR t.typcategory = 'A'))
    AND NOT EXISTS (SELECT FROM pg_description AS d
        WHERE d.classoid = m.classid AND d.objoid = m.objid AND d.objsubid = 0)
    ORDER BY 1
SQL

is($node->safe_psql('postgres', <<"SQL"), '', 'SECURITY DEFINER functions have a fixed search_path');
SELECT p.oid::regprocedure FROM pg_proc AS p WHERE p.prosecdef
    AND p.oid IN (SELECT m.objid FROM $members AND m.classid = 'pg_proc'::regclass)
    AND NOT coalesce(p.proconfig @> ARRAY['search_path=pg_catalog, pg_temp'], false)
    ORDER BY 1
SQL

$node->stop;
done_testing();
