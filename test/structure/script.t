# script.t
#     The SQL script: how it is loaded, and what its functions may look up. What
#     needs a server (a comment on every object) is in test/t/001_catalog.pl.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Structure;
use Test::More;

my ($version) = read_text('sdes.control') =~ /^default_version\s*=\s*'(.*?)'/m;
ok(defined $version, 'sdes.control names the version');
ok(-e "$ROOT/sdes--$version.sql", 'that version has its script');
# It is read in the encoding of the database.
unlike(read_text("sdes--$version.sql"), qr/[^\0-\x7f]/, 'it is in ASCII');

# Statements, without comments and without what is in quotes: a function's body
# may say anything.
sub statements
{
    my ($text) = @_;
    my @statements = ('');
    while ($text =~ /\G(--[^\n]*|\/\*.*?\*\/|'(?:[^']|'')*'|\$(\w*)\$.*?\$\2\$|;|.)/gs)
    {
        my $token = $1;
        next if $token =~ m{^(?:--|/\*)};
        if ($token eq ';') { push @statements, ''; }
        elsif ($token =~ /^['\$]./s) { $statements[-1] .= "''"; }
        else { $statements[-1] .= $token; }
    }
    return map { s/^\s+|\s+$//gr } @statements;
}

for my $script (project_files(qr{^sdes--[^/]*\.sql$}))
{
    my $text = read_text($script);
    like($text, qr/^\\echo .*\\quit\s*$/m, "$script: psql does not run it by mistake");
    is(scalar(() = $text =~ /'\$libdir/g), 0, "$script: MODULE_PATHNAME, no path of its own");

    my (@insecure, @quoted, @unlabelled);
    for my $statement (statements($text =~ s/^\\echo.*$//mr))
    {
        my ($function) = $statement =~ /^CREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\s+([\w.]+)/i
            or next;
        push @insecure, $function
            if $statement =~ /SECURITY\s+DEFINER/i
            && $statement !~ /SET\s+search_path\s*(?:=|TO)\s*pg_catalog\s*,\s*pg_temp\b/i;
        push @quoted, $function if $statement =~ /SET\s+search_path\s*(?:=|TO)\s*'/i;
        # A procedure cannot be labelled.
        push @unlabelled, $function
            if $statement !~ /^CREATE\s+PROCEDURE/i
            && ($statement !~ /\b(?:IMMUTABLE|STABLE|VOLATILE)\b/i
            || $statement !~ /PARALLEL\s+(?:SAFE|RESTRICTED|UNSAFE)|RETURNS\s+(?:event_)?trigger/i);
    }
    is("@insecure", '', "$script: every SECURITY DEFINER function sets search_path");
    is("@quoted", '', "$script: no search_path is one quoted string");
    is("@unlabelled", '', "$script: every function says how volatile and how parallel it is");
}

done_testing();
