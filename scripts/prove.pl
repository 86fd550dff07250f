#!/usr/bin/perl
#
# prove.pl
#     Runs TAP tests like prove(1), and ends with a line that can be added up:
#     "N passed, N failed". A test script that stopped before its end counts as
#     one more failure, and so does one that bails out, after which no other is run.
#
#     prove.pl [-jN] [-IDIR]... TEST...

use strict;
use warnings;
use TAP::Harness;
use TAP::Parser::Aggregator;

my ($jobs, @lib) = (1);
while (@ARGV && $ARGV[0] =~ /^-([jI])(.+)$/)
{
    shift @ARGV;
    if ($1 eq 'j') { $jobs = $2; }
    else { push @lib, $2; }
}
die "usage: prove.pl [-jN] [-IDIR]... TEST...\n" if !@ARGV;

my $harness = TAP::Harness->new({ jobs => $jobs, lib => \@lib, timer => 1 });
my $result = TAP::Parser::Aggregator->new;
$result->start;
my $ended = eval { $harness->aggregate_tests($result, @ARGV); 1 };
print $@ if !$ended;
$result->stop;
$harness->summary($result);

my $failed = $result->failed;
for my $name ($result->descriptions)
{
    my ($parser) = $result->parsers($name);
    $failed++ if !$parser->failed && ($parser->exit || $parser->wait || $parser->parse_errors);
}
$failed ||= !$ended;
printf "%d passed, %d failed\n", scalar $result->passed, $failed;
exit($failed > 0 || !$result->all_passed ? 1 : 0);
