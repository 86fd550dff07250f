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

# What the audit has of each form: values that were opened, by the name of the form.
my $program = `$ENV{PG_CONFIG} --bindir` =~ s/\n//r . '/sdes_audit';
my (%use, %opened, %sorted);
sleep 2; # ends are written within a second
for my $line (split /\n/, (run_command([ $program, 'export', glob $node->data_dir . '.audit/*' ]))[0])
{
    next if $line !~ /"kind":"(?:begin|end)"/;
    my $record = JSON::PP::decode_json($line);
    if ($record->{kind} eq 'begin') { $use{ $record->{use} } = $record if $record->{operation} =~ /^(?:decrypt|mask|sort)$/ }
    elsif (my $begin = $use{ $record->{use} }) { ($begin->{operation} eq 'sort' ? \%sorted : \%opened)->{ $begin->{application} } += $record->{values} }
}
my ($received, $exact, $short, $other) = (0, 0, '', '');

my (%forms, %marked, %ways);
# As bytes, which is how they are printed.
for my $result (map { JSON::PP->new->utf8(0)->decode($_) } split /\n/, $out)
{
    my ($pass, $form, $flags) = @$result{qw(pass form flags)};
    ok(!$forms{$pass}{$form}, "$pass: \"$form\" is one form") if exists $forms{$pass}{$form};
    $forms{$pass}{$form} = 1;
    ok(!@{ $result->{problems} }, "$pass: $result->{file}: $form")
        or diag(join "\n", @{ $result->{problems} });
    my $opened = 0;
    for my $receipt (@{ $result->{receipts} })
    {
        my ($application, $exactly) = @$receipt;
        my $values = $opened{$application} // 0;
        $opened += $values + ($sorted{$application} // 0);
        next if !defined $exactly || $result->{file} eq 'types.sql'; # where a column has many values
        $other .= "$application ($form): $values, not $exactly\n" if $values != $exactly;
        $exact++ if $exactly;
    }
    $short .= "$pass: $form: $opened, not $result->{received}\n" if $opened < $result->{received};
    $received++ if $result->{received};
    $marked{$1}++ if ($flags->{except} // '') =~ /^(\S+)/;
    $ways{ $flags->{instead} }++ if exists $flags->{instead};
}
is($short, '', 'the audit has the values that the client got, of each form');
is($other, '', 'and exactly as many, where that is plain');
# Of all forms, not of those that somebody has chosen.
if (!$ENV{SDES_FORM})
{
    is(scalar keys %forms, 3, 'in three passes');
    cmp_ok($received, '>=', 400, 'by so many forms the client got values that are known');
    cmp_ok($exact, '>=', 100, 'of so many statements it is plain how many');
    diag("$received forms by which the client got values that are known, $exact statements of which it is plain how many");
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
