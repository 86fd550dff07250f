#!/usr/bin/perl
#
# instructions.t
#     How many instructions of the processor it takes to seal and open a value, and to make
#     a token, by provider: a change that makes it many more is noticed here, whatever else
#     the machine does. Counted by valgrind, which knows no AVX-512 and no SHA extensions.
#     Where a bound is passed on purpose, it is set anew, about a tenth above what is counted.
#
#     instructions.t [PROGRAM]    build/bench_micro

use strict;
use warnings;
use Test::More;

# Counted with PostgreSQL's compiler flags, gcc 12, OpenSSL 3.0.20, nettle 3.8.1, ipsec-mb 1.3.
my %AT_MOST = (
    'copy,seal,25' => 690,
    'copy,open,25' => 500,
    'ipsec-mb,seal,25' => 1150,
    'ipsec-mb,seal,1024' => 3500,
    'ipsec-mb,open,25' => 1010,
    'ipsec-mb,open,1024' => 3400,
    'nettle,seal,25' => 1600,
    'nettle,seal,1024' => 6600,
    'nettle,open,25' => 1460,
    'nettle,open,1024' => 5200,
    'nettle,token,25' => 7500,
    'openssl,seal,25' => 3950,
    'openssl,seal,1024' => 6800,
    'openssl,open,25' => 3850,
    'openssl,open,1024' => 6600,
    'openssl,token,25' => 7200,
);

my $program = $ARGV[0] // 'build/bench_micro';
my %counted = map { /^(.*),(\d+)$/ ? ($1 => $2) : () } split /\n/, `bench/micro $program --count`;
is($?, 0, 'the calls were counted');
# A library that is not there is none to count (other architectures, other distributions).
my %built = map { $_ => 1 } split ' ', `$program --providers`;
for my $what (sort keys %AT_MOST)
{
    next if !$built{(split /,/, $what)[0]};
    my $n = $counted{$what} // 'nothing';
    ok($n =~ /^\d+$/ && $n > 0 && $n <= $AT_MOST{$what}, "$what: at most $AT_MOST{$what} instructions") or diag("counted: $n");
}
done_testing();
