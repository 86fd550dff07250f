# 030_forms.pl
#     Every SQL form of test/forms gives on encrypted tables what it gives on plain
#     ones: test/programs/forms.py runs and compares them. What the docs call an
#     exception behaves as they say, and there are no other exceptions.

use strict;
use warnings;
use JSON::PP;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use Test::More;

my $FORMS = 450; # at the least

my $node = new_cluster('forms', conf => "fsync = off\nmax_prepared_transactions = 2\n");
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION sdes;
CREATE ROLE oms LOGIN;
CREATE SCHEMA plain AUTHORIZATION oms;
CREATE SCHEMA enc AUTHORIZATION oms;
SELECT sdes.create_bucket(b), sdes.grant_access(b, 'oms', '{encrypt,search,decrypt}')
    FROM unnest('{customer_pii,payment,partners}'::text[]) AS b;
SQL

my @files = grep { !/schema\.sql$/ } sort glob 'test/forms/*.sql';
my ($out, $err) = ('', '');
{
    local %ENV = $node->_get_env;
    IPC::Run::run([ 'test/programs/forms.py', $node->connstr('postgres'), @files ],
        '<', \undef, '>', \$out, '2>', \$err);
}
is($err, '', 'the forms ran');

my (%forms, %marked, %ways);
# As bytes, which is how they are printed.
for my $result (map { JSON::PP->new->utf8(0)->decode($_) } split /\n/, $out)
{
    my ($pass, $form, $flags) = @$result{qw(pass form flags)};
    ok(!$forms{$pass}{$form}, "$pass: \"$form\" is one form") if exists $forms{$pass}{$form};
    $forms{$pass}{$form} = 1;
    ok(!@{ $result->{problems} }, "$pass: $result->{file}: $form")
        or diag(join "\n", @{ $result->{problems} });
    $marked{$1}++ if ($flags->{except} // '') =~ /^(\S+)/;
    $ways{ $flags->{instead} }++ if exists $flags->{instead};
}
# Of all forms, not of those that somebody has chosen.
if (!$ENV{SDES_FORM})
{
    is(scalar keys %forms, 3, 'in three passes');
    cmp_ok(scalar keys %{ $forms{$_} }, '>=', $FORMS, "$_: enough forms") for sort keys %forms;

    # The docs' exceptions: rows of a table, that begin with a name in backquotes.
    my $docs = slurp_file('docs/sql.md');
    my ($section) = $docs =~ /^## What differs\n(.*?)(?=^## |\z)/ms;
    my %listed = map { $_ => 1 } ($section // '') =~ /^\| `([a-z-]+)` \|/mg;
    is_deeply([ sort keys %marked ], [ sort keys %listed ], 'the docs list the exceptions that there are');
    is_deeply([ grep { !$listed{$_} } sort keys %ways ], [], 'ways round are those of exceptions');
}

$node->stop;
done_testing();
