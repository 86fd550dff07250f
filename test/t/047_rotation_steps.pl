# 047_rotation_steps.pl
#     All processes of the server are killed between every two steps that an administrator
#     takes in the life of a key: within each transaction, and right after its commit. What
#     was not committed never was, what was is there, and every value can be read.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use SdesRotation;
use Test::More;

my $node = new_cluster('steps', conf => <<'CONF');
log_statement = none
sdes.rotation_naptime = 1s
CONF
my $ROWS = 200;

sub keys_of
{
    my ($purpose) = @_;
    return $node->safe_psql('ledger', "SELECT string_agg(version || ' ' || state, ', ' ORDER BY version) FROM sdes.keys"
            . " WHERE purpose = '$purpose' AND bucket IN ('ledger', '#system')");
}

sub state_of
{
    my ($version) = @_;
    return $node->safe_psql('ledger', "SELECT state FROM sdes.keys WHERE bucket = 'ledger' AND version = $version");
}

# Runs a statement and kills the server before its transaction's end, or right after.
sub killed_in
{
    my ($sql, $committed) = @_;
    my $session = $node->background_psql('ledger', on_error_stop => 1);
    $session->query_safe("SET client_min_messages = error");
    $session->query_safe($committed ? $sql : "BEGIN; $sql");
    crash_server($node, all => 1);
    eval { $session->quit };
    $node->start;
    return;
}

for my $mode ('cached', 'hsm')
{
    $node->safe_psql('postgres', 'DROP DATABASE IF EXISTS ledger');
    new_ledger($node, rows => $ROWS, mode => $mode);
    # Nothing is re-encrypted before it is asked for.
    $node->safe_psql('ledger', q{SELECT sdes.pause_rotation('ledger')});

    killed_in(q{SELECT sdes.rotate_bucket('ledger')}, 0);
    is(keys_of('data'), '1 active', "$mode: killed in rotate_bucket(): nothing has changed");
    intact_ok($node, "$mode: killed in rotate_bucket(): all is there", rows => $ROWS);
    if ($mode eq 'hsm')
    {
        # Its key in the HSM has no row: a crash leaves nobody to remove it.
        is($node->safe_psql('ledger', q{SELECT ok FROM sdes.health() WHERE "check" = 'orphans'}), 'f', 'hsm: the key that it left is reported');
    }
    killed_in(q{SELECT sdes.rotate_bucket('ledger')}, 1);
    is(keys_of('data'), '1 decrypt-only, 2 active', "$mode: killed after rotate_bucket(): there is a new version");
    query_as($node, 'oms', q{INSERT INTO part VALUES (100001, 'new', 'new')}, 'ledger');
    intact_ok($node, "$mode: killed after rotate_bucket(): all is there", rows => $ROWS);

    killed_in(q{SELECT sdes.revoke_key('ledger', 1, 'test')}, 0);
    is(state_of(1), 'decrypt-only', "$mode: killed in revoke_key(): nothing has changed");
    intact_ok($node, "$mode: killed in revoke_key(): all can be read", rows => $ROWS);
    killed_in(q{SELECT sdes.revoke_key('ledger', 1, 'test')}, 1);
    is(state_of(1), 'retired', "$mode: killed after revoke_key(): it is revoked");
    like(error_as($node, 'oms', 'SELECT count(mail::text) FROM account', 'ledger'), qr/55000.*revoked/s, "$mode: and its values cannot be read");

    killed_in(q{SELECT sdes.resume_rotation('ledger')}, 0);
    is($node->safe_psql('ledger', q{SELECT rotation_paused FROM sdes.bucket WHERE name = 'ledger'}), 't', "$mode: killed in resume_rotation(): it is paused");
    killed_in(q{SELECT sdes.resume_rotation('ledger')}, 1);
    emptied_ok($node, 2, "$mode: killed after resume_rotation(): it goes on");
    intact_ok($node, "$mode: all can be read again", rows => $ROWS);

    killed_in(q{SELECT sdes.destroy_key('ledger', 1)}, 0);
    is(state_of(1), 'retired', "$mode: killed in destroy_key(): nothing has changed");
    killed_in(q{SELECT sdes.destroy_key('ledger', 1)}, 1);
    is(state_of(1), 'destroyed', "$mode: killed after destroy_key(): it is destroyed");
    intact_ok($node, "$mode: nothing needed it", rows => $ROWS);
}

# ---- the search key ----

my ($old) = keys_of('search') =~ /^(\d+) active$/;
my $new = $old + 1;

sub emptied { return $node->safe_psql('ledger', "SELECT emptied_at IS NOT NULL FROM sdes.keys WHERE purpose = 'search' AND version = $_[0]") eq 't' }

killed_in('SELECT sdes.rotate_search_key()', 0);
is(keys_of('search'), "$old active", 'killed in rotate_search_key(): nothing has changed');
killed_in('SELECT sdes.rotate_search_key()', 1);
is(keys_of('search'), "$old active, $new incoming", 'killed after rotate_search_key(): it is coming in');
ok(wait_for(sub { emptied($new) }, 60), 'all values get its token');
intact_ok($node, 'two tokens: all is there', rows => $ROWS);
killed_in('CALL sdes.switch_search_key()', 1);
like(keys_of('search'), qr/^$old (?:decrypt-only|retired), $new active$/, 'killed after switch_search_key(): the new one is in use');
intact_ok($node, 'killed after switch_search_key(): indexes are in the new order', rows => $ROWS);
ok(wait_for(sub { keys_of('search') eq "$old retired, $new active" }, 60), 'the old one leaves');
intact_ok($node, 'one token: all is there', rows => $ROWS);
$node->stop;
done_testing();
