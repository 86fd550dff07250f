# pg_upgrade, by copies and by links: a cluster with encrypted columns, indexes, defaults,
# arrays, domains, views and a matview comes over with the same ciphertext and is read and
# searched as before. From SDES_OLD_PG, the folder of another PostgreSQL with sdes
# installed (scripts/matrix has one), else from the same version.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use SdesTest;
use SdesUpgrade;

sub upgrade
{
    my ($old, $new, @how) = @_;
    $old->stop;
    $new->stop;
    local $ENV{SOFTHSM2_CONF} = $old->{hsm}{conf};
    command_ok(
        [   'pg_upgrade', '--no-sync', @how, '-j', 2, '-s', $new->host,
            '-d', $old->data_dir, '-b', $old->config_data('--bindir'), '-p', $old->port,
            '-D', $new->data_dir, '-B', $new->config_data('--bindir'), '-P', $new->port,
        ],
        'pg_upgrade');
    $new->start;
}

chdir PostgreSQL::Test::Utils::tempdir() or die "chdir: $!";
for my $how ('--copy', '--link')
{
    # 18 has checksums unless told otherwise, and pg_upgrade wants both to be alike.
    my %both = (init => { extra => ['--data-checksums'] });
    my $old = SdesTest::new_cluster("old$how", %both, install_path => $ENV{SDES_OLD_PG});
    SdesTest::new_extension($old);
    fill($old);
    my $state = state_of($old);
    my $old_version = $old->safe_psql('postgres', 'SHOW server_version');
    $old->poll_query_until('postgres', 'SELECT count(*) > 0 FROM sdes.audit_log') or die 'nothing is loaded';
    my $new = SdesTest::new_cluster("new$how", %both, hsm => $old->{hsm});
    note("from $old_version to " . $new->safe_psql('postgres', 'SHOW server_version') . ", $how");
    upgrade($old, $new, $how eq '--link' ? $how : ());

    kept_ok($new, $state, $how);
    is($new->safe_psql('postgres', 'SELECT string_agg("check", \',\') FROM sdes.health() WHERE NOT ok'),
        'owner', 'all is well, but that the cluster is another one now');
    $new->safe_psql('postgres', 'SELECT sdes.adopt_keys()');
    is($new->safe_psql('postgres', 'SELECT string_agg("check", \',\') FROM sdes.health() WHERE NOT ok'),
        '', 'the upgraded database is told that it is the owner');
    my $verify = 'SELECT wrong FROM sdes.verify_audit_log()';
    is($new->safe_psql('postgres', $verify), 'its journal is not there', 'of the audit, the rows have come over');
    system_or_bail('cp', '-a', $old->data_dir . '.audit/.', $new->data_dir . '.audit');
    ok($new->poll_query_until('postgres', "SELECT NOT EXISTS ($verify)"), 'which are what they were made from');
    $new->stop;
}
done_testing();
