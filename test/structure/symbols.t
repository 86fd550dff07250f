# symbols.t
#     What the built files show to the outside: sdes.so exports what PostgreSQL
#     must find and nothing else (a superuser can call any exported symbol by
#     CREATE FUNCTION), it loads no PKCS#11 library, and both are hardened.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Structure;
use Test::More;

# The main functions of background workers, which the postmaster finds by name.
my @WORKERS = qw(sdes_supervisor_main sdes_audit_worker_main sdes_mirror_worker_main sdes_launcher_main sdes_database_worker_main);

my $build = $ENV{SDES_BUILD} // "$ROOT/build";
my $module = "$ROOT/sdes.so";
my $agent = "$build/sdes_agent";

# The C functions that the newest script calls: their names are the second
# string after AS, or else the SQL name.
my %called;
for my $script (project_files(qr{^sdes--[^/]*\.sql$}))
{
    my $text = read_text($script) =~ s/--[^\n]*//gr;
    while ($text =~ /CREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\s+(?:\w+\.)?(\w+)\s*\(([^;]*?)\bAS\s+'MODULE_PATHNAME'\s*(?:,\s*'(\w+)')?/gsi)
    {
        $called{ $3 // $1 } = 1;
    }
}

# And those that it makes in a loop: comparisons, by what is compared.
for my $type (qw(enc_text enc_pan))
{
    for my $sides (qw(vv vt tv tt))
    {
        $called{"${type}_${_}_$sides"} = 1 for qw(eq lt le ge gt cmp);
        $called{"${type}_ne_$sides"} = 1 if $sides ne 'tt';
    }
    $called{"${type}_$_"} = 1 for qw(hash_v hash_t hash_extended_v hash_extended_t),
        map { "order_$_" } qw(lt le ge gt cmp support);
}
for my $sides (qw(vv vt tv tt))
{
    $called{"enc_text_ci_${_}_$sides"} = 1 for qw(eq lt le ge gt cmp);
}
for my $prefix (qw(enc_text enc_pan enc_text_ci))
{
    $called{"${prefix}_next_$_"} = 1 for qw(eq lt le ge gt cmp hash);
}
cmp_ok(scalar keys %called, '>', 0, 'the script calls C functions');

my %exported = map { (split ' ')[-1] => 1 }
    split /\n/, output_of('nm', '--dynamic', '--defined-only', $module);
my %needed = (
    (map { $_ => 1 } qw(Pg_magic_func _PG_init), @WORKERS),
    (map { ($_ => 1, "pg_finfo_$_" => 1) } keys %called));
is(join(' ', grep { !$needed{$_} } sort keys %exported), '', 'sdes.so exports nothing more than that');
is(join(' ', grep { !$exported{$_} } sort keys %needed), '', 'sdes.so exports all that PostgreSQL must find');

for my $file ($module, $agent)
{
    my ($name) = $file =~ m{([^/]+)$};
    my $dynamic = output_of('readelf', '--dynamic', '--wide', $file);
    my @libraries = $dynamic =~ /\(NEEDED\).*\[(.*?)\]/g;
    if ($file eq $module)
    {
        is(join(' ', grep { !/^(?:lib(?:crypto|nettle|IPSec_MB|c)|ld-linux.*)\.so/ } @libraries), '',
            "$name loads libc and what computes AES and HMAC only");
    }
    else
    {
        is(join(' ', grep { /nettle|IPSec/ } @libraries), '', "$name seals no values, and leaves AES to OpenSSL");
    }
    my $segments = output_of('readelf', '--program-headers', '--wide', $file);
    like($dynamic, qr/BIND_NOW|\bNOW\b/, "$name: all symbols are bound at the start");
    like($segments, qr/GNU_RELRO/, "$name: relocations are read-only after it");
    unlike($segments, qr/GNU_STACK.*RWE/, "$name: no executable stack");
    unlike($dynamic, qr/TEXTREL|R(?:UN)?PATH/, "$name: no relocated code, no search path of its own");

    open my $in, '<:raw', $file or die "$file: $!";
    my $bytes = do { local $/; <$in> };
    is(index($bytes, $ROOT), -1, "$name: no path of the machine that built it");
}

like(output_of('readelf', '--file-header', $agent), qr/Type:\s+DYN/, 'the agent is position-independent');

done_testing();
