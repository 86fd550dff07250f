# files.t
#     The files themselves: the version in one place, the formatting that
#     .clang-format and .editorconfig ask for, nothing of the machine they were
#     written on.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Structure;
use Test::More;

my @files = project_files(qr/./);
my ($version) = read_text('sdes.control') =~ /^default_version\s*=\s*'(.*?)'/m;

# Prose may name a version (a changelog must), code and scripts may not.
my @code = grep { m{^(?:src|scripts|demo|test|\.ci)/|^Makefile$} && !m{\.(?:md|rsp|json)$} } @files;
is(join(' ', grep { read_text($_) =~ /["']\Q$version\E["']|sdes--\Q$version\E/ } @code),
    '', 'the version number is in sdes.control alone');

# A path this short would turn up by chance.
my @paths = grep { length > 4 } $ROOT, $ENV{HOME} // '';
my @here = grep { my $text = read_text($_); grep { index($text, "$_/") >= 0 } @paths } @files;
is("@here", '', 'no file names a path of this machine');

my @sources = grep { /\.[ch]$/ } @files;
my $format = $ENV{CLANG_FORMAT} // 'clang-format';
my @unformatted;
for my $source (@sources)
{
    push @unformatted, $source
        if output_of($format, '--style=file', "$ROOT/$source") ne read_text($source);
}
is("@unformatted", '', "every C file is as clang-format writes it ('make format' does that)");

my @text = grep { !m{^expected/|^test/fuzz/regressions/\w+/|^test/isolation/expected/|\.patch$|^LICENSE$} && -T "$ROOT/$_" } @files;
is(join(' ', grep { read_text($_) =~ /[ \t]$/m } @text), '', 'no blanks at the end of a line');
is(join(' ', grep { my $t = read_text($_); $t ne '' && $t !~ /[^\n]\n\z/ } @text),
    '', 'every file ends with one newline');
is(join(' ', grep { read_text($_) =~ /\r/ } @text), '', 'no carriage returns');
is(join(' ', grep { read_text($_) =~ /^ *\t/m } grep { /\.(?:pl|pm|t|sql|sh|md)$|^scripts\/[^.]+$|^test\/run$|^demo\/[^.]+$/ } @text),
    '', 'scripts are indented with spaces');

my @shell = grep { read_text($_) =~ m{\A#!/bin/(?:ba)?sh|^# shellcheck shell=}m } grep { !/\.[ch]$/ } @text;
cmp_ok(scalar @shell, '>', 0, 'there are shell scripts');
chdir $ROOT or die "$ROOT: $!";
my $complaints = `shellcheck -x @shell 2>&1`;
is($complaints, '', 'shellcheck has nothing to say');

my @perl = grep { /\.(?:pl|pm|t)$/ } @text;
is(join(' ', grep { read_text($_) !~ /^use strict;\nuse warnings;$/m } @perl), '',
    'every Perl file is strict');

done_testing();
