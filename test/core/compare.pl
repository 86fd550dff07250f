#!/usr/bin/perl
#
# compare.pl DIFFERENCES SUMMARY SUMMARY RESULTS RESULTS
#     Compares what PostgreSQL's tests printed on two servers: the summaries of
#     pg_regress and the folders with the tests' output, the server with sdes first.
#     Prints a line of TAP for each test.
#
# DIFFERENCES lists what may differ, see there. What it lists and is not met any more is
# a failure, too, so that it says no more than is true.

use strict;
use warnings;

my ($differences, $sdes_summary, $other_summary, $sdes_results, $other_results) = @ARGV;

# Lines of a test that only one server prints: { test => { "> line" => 1 } }.
sub known_differences
{
    my ($path) = @_;
    my (%known, $test);
    open my $file, '<', $path or die "could not read $path: $!";
    while (my $line = <$file>)
    {
        if ($line =~ /^test (\S+): \S/) { $test = $1; }
        elsif ($line =~ /^[<>]/) { $known{ $test // die "$path: no test" }{ squeeze($line) } = 1; }
        elsif ($line !~ /^\s*(#|$)/ && $line !~ /^\s/) { die "$path: what is this? $line"; }
    }
    close $file;
    return \%known;
}

# Widths of columns follow what is in them, numbers of objects what was made before, and
# numbers of rows the rows that are compared themselves. What is left of a line that only moved, or
# was only padded, is on both sides.
sub squeeze
{
    my ($line) = @_;
    $line =~ s/\s+/ /g;
    $line =~ s/-{2,}/--/g;
    $line =~ s/ $//;
    $line =~ s/\b(1[6-9]|[2-9]\d)\d{3}\b/OID/g;
    $line =~ s/^([<>]) \(\d+ rows?\)$/$1 (rows)/;
    return $line;
}

# What pg_regress said of each test: { test => 'ok' or 'FAILED' }.
sub verdicts
{
    my ($path) = @_;
    my %verdict;
    open my $file, '<', $path or die "could not read $path: $!";
    while (my $line = <$file>)
    {
        $verdict{$1} = $2 if $line =~ /^(?:test|   ) +(\S+) +\.\.\. (ok|FAILED)/;
    }
    close $file;
    return \%verdict;
}

sub differing_lines
{
    my ($test) = @_;
    my @lines = `diff '$other_results/$test.out' '$sdes_results/$test.out' 2>&1`;
    my %count;
    for my $line (map { squeeze($_) } grep { !/^[0-9]|^---$/ } @lines)
    {
        my ($side, $text) = $line =~ /^([<>]) ?(.*)/ or next;
        $count{$text} += $side eq '>' ? 1 : -1;
    }
    return map { ($count{$_} > 0 ? '> ' : '< ') . $_ } grep { $count{$_} != 0 } sort keys %count;
}

my $known = known_differences($differences);
my ($sdes, $other) = (verdicts($sdes_summary), verdicts($other_summary));
my $as_expected = grep { $_ eq 'ok' } values %$sdes;

if (!%$sdes || !%$other)
{
    print "not ok - PostgreSQL's tests ran\n";
    print map { "# $_" } `tail -n 20 '$sdes_summary' '$other_summary'`;
}
for my $test (sort keys %{ { %$sdes, %$other } })
{
    my @lines = differing_lines($test);
    my %met = map { $_ => 1 } @lines;
    my $both_expected = ($sdes->{$test} // '') eq 'ok' && ($other->{$test} // '') eq 'ok';
    my @new = grep { !$known->{$test}{$_} } sort keys %met;
    my @gone = grep { !$met{$_} } sort keys %{ $known->{$test} };
    @new = () if $both_expected;
    if (@new || @gone)
    {
        print "not ok - $test\n", map { "#   $_\n" } @new, map { "is listed and was not met: $_" } @gone;
    }
    else
    {
        print "ok - $test", (@lines && !$both_expected ? ' but for what is listed' : ''), "\n";
    }
}
print "not ok - $_ is listed and was not run\n" for grep { !$sdes->{$_} } sort keys %$known;
print "# as PostgreSQL's own expected files have it: $as_expected of ", scalar keys %$sdes, "\n";
