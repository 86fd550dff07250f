# Structure.pm
#     What the structure tests share: the project's files and their text.

package Structure;

use strict;
use warnings;
use Exporter 'import';
use File::Basename qw(dirname);
use File::Find ();
use Cwd qw(abs_path);

our @EXPORT = qw($ROOT project_files read_text output_of);
our $ROOT = abs_path(dirname(__FILE__) . '/../..');

# What building and testing leave in the tree, as .gitignore has it.
my $LEFTOVER = qr{^(?:\.git|build|results|output_iso|tmp_check|tmp_check_iso|log)(?:/|$)
    | \.(?:o|so|bc)$ | ^regression\.}x;

# Paths below the root that match, sorted.
sub project_files
{
    my ($match) = @_;
    my @files;
    File::Find::find(
        {
            no_chdir => 1,
            wanted => sub {
                my $path = substr $_, length($ROOT) + 1 > length ? length : length($ROOT) + 1;
                if ($path =~ $LEFTOVER)
                {
                    $File::Find::prune = 1;
                    return;
                }
                push @files, $path if -f && !-l && $path =~ $match;
            },
        },
        $ROOT);
    return sort @files;
}

sub read_text
{
    my ($path) = @_;
    open my $file, '<:raw', "$ROOT/$path" or die "$path: $!";
    local $/;
    return scalar <$file>;
}

# The output of a program; dies when it fails.
sub output_of
{
    my (@command) = @_;
    open my $pipe, '-|', @command or die "$command[0]: $!";
    local $/;
    my $output = <$pipe> // '';
    close $pipe or die "@command failed";
    return $output;
}

1;
