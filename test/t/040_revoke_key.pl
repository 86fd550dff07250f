# 040_revoke_key.pl
#     A key that is revoked opens nothing from the commit on: 100 sessions that are each
#     in the midst of a long statement, some of them in parallel workers, end with the
#     error that says so, on the primary and on a standby. How soon is measured by the
#     server's clock: from the commit's timestamp to the line in the log.

use strict;
use warnings;
use List::Util qw(max);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);
use SdesTest;
use SdesFaults;
use Test::More;

my $SESSIONS = 100;
my $ROUNDS = soak(2, 100);
my $LATEST = 2; # seconds; what is promised is 0.1, but a loaded machine is a loaded machine

my $CONF = <<'CONF';
max_connections = 130
max_worker_processes = 30
max_parallel_workers = 20
shared_buffers = 32MB
track_commit_timestamp = on
log_statement = none
jit = off
log_line_prefix = '%n %p %a '
CONF

my $hsm = new_hsm('revoke');
my $node = new_cluster('revoke', hsm => $hsm, init => { allows_streaming => 1 }, conf => $CONF);
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION sdes;
SELECT sdes.create_bucket('pii');
SELECT sdes.pause_rotation('pii'); -- which would bring the values back
CREATE ROLE shop LOGIN;
SELECT sdes.grant_access('pii', 'shop', '{encrypt,decrypt}');
GRANT CREATE ON SCHEMA public TO shop;
ALTER ROLE shop SET statement_timeout = '30s'; -- what nobody ends, ends
SQL
query_as($node, 'shop', <<'SQL');
CREATE TABLE secrets (id int, v sdes.enc_text('pii'));
INSERT INTO secrets SELECT g, 'secret ' || g FROM generate_series(1, 1000) g;
SQL
$node->backup('base');
my $standby = new_cluster('revoke_standby', hsm => $hsm, from_backup => [ $node, 'base', has_streaming => 1 ], conf => $CONF);
my $version = 1;

# Statements that open values for far longer than the test takes, and take no lock while
# they do. Most open one every 10 ms, so that what is measured is not how processes take
# turns; some never pause.
my $BUSY = 'SELECT count(v::text) FROM secrets, generate_series(1, 1000) a, generate_series(1, 1000) b';
my $LONG = "$BUSY WHERE pg_sleep(0.01) IS NOT NULL";
my $PARALLEL = "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; $BUSY";
my @STATEMENTS = ($PARALLEL, $BUSY, ($LONG) x ($SESSIONS - 2));
like(query_as($node, 'shop', $PARALLEL =~ s/SELECT/EXPLAIN SELECT/r), qr/Partial Aggregate/, 'values are opened in parallel workers');

# When the last transaction was committed, by the server's clock.
sub commit_time
{
    return $node->safe_psql('postgres', 'SELECT extract(epoch FROM timestamp) FROM pg_last_committed_xact()');
}

# Sessions that all begin a long statement at one time; none waits for another's start.
sub start_busy
{
    my ($server) = @_;
    my $gate = $server->background_psql('postgres');
    $gate->query_safe('SELECT pg_advisory_lock(1)');
    my @queries = map { start_query($server, 'shop', "SELECT pg_advisory_lock_shared(1); $_") } @STATEMENTS;
    wait_for(sub { $server->safe_psql('postgres',
        q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}) == @queries }, 60) or die 'not all came';
    $gate->query_safe('SELECT pg_advisory_unlock(1)');
    $gate->quit;
    sleep(2);
    return @queries;
}

sub revoke_ok
{
    my ($server, $name) = @_;
    my $reason = "round $version";
    my @queries = start_busy($server);
    is($server->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop' AND state = 'active' AND backend_type = 'client backend'}),
        $SESSIONS, "$name: that many sessions are at it");
    my $log = log_size($server);
    $node->safe_psql('postgres', "SELECT sdes.revoke_key('pii', $version, '$reason')");
    my $committed = commit_time();
    finish_query($_) for @queries;
    my @others = grep { $_ !~ /ERROR:  55000: encryption key version $version of bucket "pii" was revoked.*DETAIL:  Since .*, because: $reason.*HINT/s }
        map { $_->{err} . $_->{out} } @queries;
    is($others[0] // '', '', "$name: all are told that it was revoked, when and why");
    my $written = log_since($server, $log);
    my %at;
    # A parallel worker's error is in the log, too: the leader's, which comes later, counts.
    $at{$2} = $1 while $written =~ /^(\S+) \d+ (query_\d+) ERROR: /mg;
    my @delays = sort { $a <=> $b } map { $at{ $_->{name} } - $committed } @queries;
    cmp_ok($delays[-1], '<', $LATEST, "$name: soon");
    diag(sprintf '%s: the statements ended %.1f ms (median), %.1f ms (90 %%), %.1f ms (last) after the commit',
        $name, map { 1000 * $_ } @delays[ 49, 89, 99 ]);
    $version++;
    return @delays;
}

# What was stored is brought under the active key, as re-encryption does.
sub store_again
{
    query_as($node, 'shop', q{TRUNCATE secrets; INSERT INTO secrets SELECT g, 'secret ' || g FROM generate_series(1, 1000) g});
    $node->wait_for_catchup($standby);
    return;
}

my %delays;
for my $round (1 .. $ROUNDS)
{
    for my $server ($node, $standby)
    {
        my $name = $server == $node ? 'primary' : 'standby';
        push @{ $delays{$name} }, revoke_ok($server, "$name, $round");
        $node->wait_for_catchup($standby);
        like(error_as($server, 'shop', 'SELECT v FROM secrets LIMIT 1'), qr/55000: encryption key version/, "$name, $round: nor does a new session open it");
        store_again();
        is(query_as($server, 'shop', 'SELECT v FROM secrets WHERE id = 7'), 'secret 7', "$name, $round: under its successor all goes on");
    }
}
diag(sprintf '%s: %d statements, the last of them ended %.1f ms after the commit', $_, scalar @{ $delays{$_} }, 1000 * max @{ $delays{$_} })
    for sort keys %delays;

like(error_as($standby, 'postgres', "SELECT sdes.revoke_key('pii', $version, 'x')"), qr/25006: cannot execute sdes.revoke_key/, 'a standby revokes nothing');
no_crash_ok($_, 0, 'no process crashed') for $node, $standby;
$_->stop for $standby, $node;
done_testing();
