# 089_standbys.pl
#     Standbys, under load: they decrypt with an agent of their own and under the policy as
#     they have replayed it, one follows the other, any of them is promoted while the primary
#     goes on, which then is rewound and follows. And restores to any moment of the load. At
#     each place every value is what its plain copy says, nobody else gets one, what is
#     revoked is revoked, and whoever reads leaves a record.

use strict;
use warnings;
use File::Path qw(rmtree);
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);
use SdesTest;
use SdesFaults;
use SdesRotation;
use Test::More;

my $PROMOTIONS = soak(2, 50);
my $RESTORES = soak(2, 50);
my $ROWS = 500;
my $CONF = <<'CONF';
log_statement = none
wal_log_hints = on
hot_standby_feedback = on
max_wal_size = 128MB
wal_keep_size = 512MB
wal_retrieve_retry_interval = 200ms
archive_timeout = 0
restart_after_crash = on
sdes.rotation_naptime = 1s
sdes.rotation_batch_rows = 50
CONF

my $first = new_cluster('first', init => { allows_streaming => 1, has_archiving => 1 }, conf => $CONF);
new_ledger($first, rows => $ROWS);
$first->safe_psql('ledger', <<'SQL');
CREATE ROLE fickle LOGIN;
CREATE ROLE nobody LOGIN;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO fickle, nobody;
CREATE EXTENSION amcheck;
SQL

# ---- what is asked of every server ----

# What the role's grant is on the primary, by how often it was changed.
my $changes = 0;
sub change_policy
{
    my ($node) = @_;
    $node->safe_psql('ledger', 'SELECT sdes.' . (++$changes % 2 ? 'grant' : 'revoke') . q{_access('ledger', 'fickle', '{decrypt}')});
    return;
}

sub policy_ok
{
    my ($node, $granted, $name) = @_;
    my $SQL = 'SELECT count(long::text) FROM account WHERE id = 1';
    my $fickle = error_as($node, 'fickle', $SQL, 'ledger');
    my $nobody = error_as($node, 'nobody', $SQL, 'ledger');
    return ok(($granted ? $fickle eq '' : $fickle =~ /42501/) && $nobody =~ /42501/, "$name: the policy is in force")
        || diag("granted: $granted\n$fickle\n$nobody");
}

my $program = $ENV{PG_CONFIG} ? `$ENV{PG_CONFIG} --bindir` : '';
chomp $program;
$program .= '/sdes_audit';

# Reads by a name of its own, and whether the server's own journal tells of it.
my $reads = 0;
sub audited_ok
{
    my ($node, $name) = @_;
    my $as = 'reader ' . ++$reads;
    query_as($node, 'oms', "SET application_name = '$as'; SELECT count(mail::text) FROM account WHERE id <= 7", 'ledger');
    my $records = '';
    for my $folder (glob $node->data_dir . '.audit/*')
    {
        my ($out, $err);
        IPC::Run::run([ $program, 'export', $folder ], '<', \undef, '>', \$out, '2>', \$err) or die "$folder: $err";
        $records .= $out;
    }
    return like($records, qr/"application": ?"\Q$as\E"/, "$name: who reads is in the journal");
}

sub chain_ok
{
    my ($node, $name) = @_;
    return is($node->safe_psql('ledger', q{SELECT coalesce(wrong, 'nothing') FROM sdes.verify_audit()}), 'nothing', "$name: nothing is wrong with the journal");
}

sub standby_ok
{
    my ($node, $name) = @_;
    is(wrong_rows($node), '0', "$name: every value is what its plain copy says");
    audited_ok($node, $name);
    chain_ok($node, $name);
    return;
}

sub primary_ok
{
    my ($node, $name) = @_;
    intact_ok($node, "$name: nothing is lost, every value is what its plain copy says", rows => $ROWS);
    my $id = 200_000_000 + int(rand(1e6));
    query_as($node, 'oms', "INSERT INTO part VALUES ($id, 'mine', 'mine')", 'ledger');
    is(query_as($node, 'oms', "SELECT secret FROM part WHERE id = $id", 'ledger'), 'mine', "$name: it goes on");
    audited_ok($node, $name);
    chain_ok($node, $name);
    return;
}

# What loads before have inserted: otherwise each round would have more to look at.
sub forget_inserted { my ($node) = @_; return $node->safe_psql('ledger', 'DELETE FROM part WHERE id >= 1000000'); }

# Keys that values are sealed under.
sub actives
{
    my ($node) = @_;
    return split /\n/, $node->safe_psql('ledger', q{SELECT key_id FROM sdes.keys WHERE state = 'active' AND bucket = 'ledger' AND purpose = 'data'});
}

# ---- a standby, and one that follows it ----

sub new_standby
{
    my ($name, $of) = @_;
    $of->backup("for_$name");
    my $node = new_cluster($name, hsm => $first->{hsm}, from_backup => [ $of, "for_$name", has_streaming => 1 ], conf => $CONF);
    rmtree($of->backup_dir . "/for_$name");
    return $node;
}

my $second = new_standby('second', $first);
my $third = new_standby('third', $second);
my %conf = map { $_->name => slurp_file($_->data_dir . '/postgresql.conf') } $first, $second, $third;

# The chain: the primary, its standby, and who follows that.
my @chain = ($first, $second, $third);
sub wait_for_all
{
    my $lsn = $chain[0]->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
    $_->poll_query_until('postgres', "SELECT pg_last_wal_replay_lsn() >= '$lsn'") or die $_->name . ' does not follow' for @chain[ 1, 2 ];
    return;
}

change_policy($first);
wait_for_all();
for my $node ($second, $third)
{
    isnt(agent_pid($node), agent_pid($first), $node->name . ': an agent of its own');
    standby_ok($node, $node->name);
    policy_ok($node, 1, $node->name);
}

# Without an HSM of its own it replays, and shows nothing.
my $pin = $third->{hsm}{pin_file};
$third->append_conf('postgresql.conf', "sdes.pin_source = 'file:$pin.none'\n");
$third->restart;
like(error_as($third, 'oms', 'SELECT count(mail::text) FROM account WHERE id = 1', 'ledger'), qr/58000: PIN of the HSM token cannot be read.*HINT/s, 'third, without a PIN: an error');
like(query_as($third, 'nobody', 'SELECT mail FROM account WHERE id = 1', 'ledger'), qr/^sdes1:/, 'third, without a PIN: ciphertext');
$first->safe_psql('postgres', 'CREATE TABLE replayed ()');
wait_for_all();
is($third->safe_psql('postgres', q{SELECT to_regclass('replayed')}), 'replayed', 'third, without a PIN: it replays');
unlink $third->data_dir . '/postgresql.conf';
append_to_file($third->data_dir . '/postgresql.conf', $conf{third});
$third->restart;
standby_ok($third, 'third, with one again');

# ---- promotions ----

# The settings of a server that was rewound are those of its source.
sub follow
{
    my ($node, $source) = @_;
    my $file = $node->data_dir . '/postgresql.conf';
    unlink $file;
    append_to_file($file, $conf{ $node->name });
    $node->append_conf('postgresql.conf', "primary_conninfo = '" . $source->connstr . ' application_name=' . $node->name . "'\n");
    $node->set_standby_mode;
    return;
}

my $began = time;
for my $n (1 .. $PROMOTIONS)
{
    my ($old, $new, $next) = @chain;
    my $name = "promotion $n";
    forget_inserted($old);
    my $load = start_load($old, rows => $ROWS);
    change_policy($old);
    rotate($old) if $n % 3 == 0;
    sleep(rand() * 1.5);
    is(wrong_rows($_), '0', "$name: " . $_->name . ' reads under load') for $new, $next;
    wait_for_all();
    my %before = map { $_ => 1 } actives($new);
    my $granted = $changes % 2;

    # Both are primaries for a moment; what the old one writes then is lost.
    $new->promote;
    my $other = start_load($new, rows => $ROWS);
    sleep(rand());
    change_policy($old);
    $changes--;
    $old->stop($n % 2 ? 'immediate' : 'fast');
    stop_load($load);
    policy_ok($new, $granted, "$name: on the new primary");

    # Before PostgreSQL 16 pg_rewind knows the timeline by the checkpoint only.
    $new->safe_psql('postgres', 'CHECKPOINT');
    my ($out, $err);
    my $rewound = IPC::Run::run([ 'pg_rewind', '-D', $old->data_dir, '--source-server', $new->connstr('postgres') ],
        '<', \undef, '>', \$out, '2>', \$err);
    ok($rewound && $err =~ /rewinding from/, "$name: the old primary is rewound") or diag($err);
    follow($old, $next);
    $old->start;
    @chain = ($new, $next, $old);
    is(wrong_rows($new), '0', "$name: under load every value is what its plain copy says");
    is(stop_load($other), '', "$name: no client met an error");
    wait_for_all();
    ok(wait_for(sub { !grep { $before{$_} } actives($new) }, 60), "$name: it seals under keys of its own");
    primary_ok($new, $name);
    wait_for_all();
    for my $node ($next, $old)
    {
        standby_ok($node, "$name: " . $node->name);
        policy_ok($node, $granted, "$name: " . $node->name);
    }
    note(sprintf '%d of %d promotions, %.0f s', $n, $PROMOTIONS, time - $began);
    diag(sprintf '%d of %d promotions, %.0f s', $n, $PROMOTIONS, time - $began) if $n % 10 == 0;
}

# ---- restores to a moment ----

my ($primary) = @chain;
$_->stop for reverse @chain[ 1, 2 ];
sub lsn { my ($function) = @_; return $primary->safe_psql('postgres', "SELECT $function() - '0/0'"); }

$began = time;
my ($base, $start, @history);
for my $n (1 .. $RESTORES)
{
    my $name = "restore $n";
    if ($n % 10 == 1)
    {
        rmtree($primary->backup_dir . "/$base") if defined $base;
        $base = "base_$n";
        $primary->backup($base);
        $start = lsn('pg_current_wal_insert_lsn');
        @history = ([ 0, $changes % 2 ]);
    }
    forget_inserted($primary);
    my $load = start_load($primary, rows => $ROWS);
    for my $i (1 .. 2)
    {
        sleep(rand());
        rotate($primary) if $i == 1 && $n % 3 == 0;
        # Between the two nobody knows which is in force.
        push @history, [ lsn('pg_current_wal_insert_lsn'), undef ];
        change_policy($primary);
        push @history, [ lsn('pg_current_wal_insert_lsn'), $changes % 2 ];
    }
    sleep(rand());
    my $end = lsn('pg_current_wal_insert_lsn');
    is(stop_load($load), '', "$name: no client met an error");
    my $file = $primary->safe_psql('postgres', 'SELECT pg_walfile_name(pg_switch_wal())');
    $primary->poll_query_until('postgres', "SELECT last_archived_wal >= '$file' FROM pg_stat_archiver") or die "$file is not archived";

    my $target = int($start + rand($end - $start));
    my ($at) = $primary->safe_psql('postgres', "SELECT '0/0'::pg_lsn + $target");
    my ($now) = map { $_->[1] } grep { $_->[0] <= $target } reverse @history;
    my $restored = new_cluster("restored_$n", hsm => $first->{hsm}, start => 0,
        from_backup => [ $primary, $base, has_restoring => 1, standby => 0 ],
        conf => "${CONF}archive_mode = off\nrecovery_target_lsn = '$at'\nrecovery_target_action = 'promote'\nrecovery_target_timeline = 'current'\n"
            . "restore_command = 'cp \"" . $first->archive_dir . "/%f\" \"%p\"'\nprimary_conninfo = ''\n");
    $restored->start;
    $restored->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'it is not promoted';
    primary_ok($restored, "$name, to $at");
    defined $now ? policy_ok($restored, $now, $name) : pass("$name: the policy was about to change");
    $restored->stop;
    rmtree($restored->basedir);
    note(sprintf '%d of %d restores, %.0f s', $n, $RESTORES, time - $began);
    diag(sprintf '%d of %d restores, %.0f s', $n, $RESTORES, time - $began) if $n % 10 == 0;
}
primary_ok($primary, 'at last');

$primary->stop;
done_testing();
