# Settings: syntax is checked when they are set, nothing else is; no value is
# repeated in the log, since somebody may have put a PIN into it; and nothing
# that is wrong with them keeps the server from starting.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use SdesTest;

my $node = SdesTest::new_cluster('settings');
SdesTest::new_extension($node);
my $was = $node->safe_psql('postgres', 'SHOW sdes.pkcs11_token');

my @wrong = (
    [ 'sdes.pkcs11_token', 'pkcs11:token=x?pin-value=S3CRET1', qr/must not hold a PIN/ ],
    [ 'sdes.pkcs11_token', 'token=S3CRET2',                    qr/The value must/ ],
    [ 'sdes.pkcs11_token', 'pkcs11:object=S3CRET3',            qr/The value must/ ],
    [ 'sdes.pkcs11_module', 'relative/S3CRET4.so',             qr/be an absolute path/ ],
    [ 'sdes.pin_source',    '/etc/S3CRET5',                    qr/The value must be file:/ ],
    [ 'sdes.pin_source',    'credential:../S3CRET6',           qr/The value must/ ]);

foreach my $case (@wrong)
{
    my ($name, $value, $why) = @$case;
    my $from = -s $node->logfile;

    $node->append_conf('wrong.conf', "$name = '$value'\n");
    $node->append_conf('postgresql.conf', "include 'wrong.conf'\n") if $case == $wrong[0];
    $node->reload;
    SdesTest::wait_for(sub { slurp_file($node->logfile, $from) =~ $why }, 10);
    my $log = slurp_file($node->logfile, $from);
    like($log, qr/invalid value for parameter "\Q$name\E"/, "$name is refused: $value");
    like($log, $why, '... with the reason');
    unlike($log, qr/S3CRET/, '... and without the value');
    is($node->safe_psql('postgres', 'SHOW sdes.pkcs11_token'), $was, '... the old one stays');
    unlink $node->data_dir . '/wrong.conf';
    $node->append_conf('wrong.conf', "\n");
}

# The same at a start: a warning, and the setting counts as not set.
$node->append_conf('wrong.conf', "$_->[0] = '$_->[1]'\n") foreach @wrong[ 2, 3, 4 ];
my $from = -s $node->logfile;
$node->restart;
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'the server starts with wrong settings');
unlike(slurp_file($node->logfile, $from), qr/S3CRET/, 'the log does not repeat them');
SdesTest::wait_for(
    sub {
        $node->safe_psql('postgres',
            q{SELECT hint FROM sdes.health() WHERE "check" = 'module'}) =~ /Set sdes\.pkcs11/;
    },
    10);
is($node->safe_psql('postgres', q{SELECT ok FROM sdes.health() WHERE "check" = 'module'}),
    'f', 'health() says that no module is set');

# Values of the right form that lead nowhere stay visible, and health() tells.
unlink $node->data_dir . '/wrong.conf';
$node->append_conf('wrong.conf', <<'CONF');
sdes.pkcs11_module = '/nonexistent/module.so'
sdes.pin_source = 'file:/nonexistent/pin'
CONF
$node->restart;
is($node->safe_psql('postgres', 'SHOW sdes.pkcs11_module'),
    '/nonexistent/module.so', 'a missing module stays visible as it was set');
SdesTest::wait_for(
    sub {
        $node->safe_psql('postgres',
            q{SELECT detail FROM sdes.health() WHERE "check" = 'module'}) =~ /nonexistent/;
    },
    10);
like(
    $node->safe_psql('postgres', q{SELECT detail FROM sdes.health() WHERE "check" = 'module'}),
    qr{/nonexistent/module\.so}, 'health() names it');

$node->stop;
done_testing();
