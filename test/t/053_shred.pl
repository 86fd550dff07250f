# 053_shred.pl
#     A bucket is shredded: nobody reads it again, neither here nor on a standby that has
#     replayed it, nor from a backup once the KEKs are destroyed; what still opens until
#     then is listed, and a token out of reach keeps its KEK until it is back.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use Test::More;

my $hsm = new_hsm('shred');
my $second = another_token($hsm, 'shred2');
my $proxy = new_proxy($hsm);
my $tokens = "sdes.pkcs11_token = 'pkcs11:token=$hsm->{label} " . token_uri($second) . "'\n";
my $node = new_cluster('shred', hsm => $hsm, init => { allows_streaming => 1 },
    conf => "log_statement = none\nautovacuum = off\n$tokens");
new_shop($node);
ok(wait_for(sub { (health($node)->{'hsm 2'} // {})->{ok} }, 20), 'two tokens are in service');
$node->safe_psql('shop', 'SELECT * FROM sdes.sync_tokens()');
query_as($node, 'oms', orders('insert', 1, 20), 'shop');
my $CARDS = 'SELECT count(card::text) > 0 FROM orders';
my $NAMES = 'SELECT count(full_name::text) FROM orders';
$node->backup('before');
my $standby = new_cluster('shred_standby', hsm => $hsm, conf => $tokens,
    from_backup => [ $node, 'before', has_streaming => 1 ]);
$node->wait_for_catchup($standby);
is(query_as($standby, 'oms', $CARDS, 'shop'), 't', 'the standby reads');
$node->safe_psql('shop', "SELECT sdes.rewrap_bucket('payment')"); # one KEK is kept, in each token
$node->wait_for_catchup($standby);
$standby->restart; # SoftHSM2 sees a key that another process has made at its second look only
ok(wait_for(sub { (health($standby)->{'hsm 2'} // {})->{ok} }, 20), 'the standby has both tokens');
$node->wait_for_catchup($standby);
$node->safe_psql('postgres', "SELECT pg_create_physical_replication_slot('idle', true)");

# The standby is held back, and so is the first token.
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
append_to_file($proxy->{control}, "C_OpenSession 0x30\nC_Login 0x30\n");
query_as($node, 'oms', $CARDS, 'shop') for 1 .. 3;
ok(wait_for(sub { !health($node)->{hsm}{ok} }, 10), 'the first token is out of service');

my %remains;
$remains{ (split /\|/)[0] }++ for split /\n/, query_as($node, 'dba', "SELECT * FROM sdes.shred_bucket('payment', 'payment')", 'shop');
is($remains{'key encryption key'}, 4, 'KEKs in both tokens are listed, kept ones too');
is($remains{standby}, 1, 'and the standby');
is($remains{'replication slot'}, 1, 'and a slot that nobody uses');
ok($remains{'base backups, dumps and archived WAL'}, 'and backups');
ok(!$remains{'search tokens'}, 'but no tokens: no column of it is searchable');
like(error_as($node, 'oms', $CARDS, 'shop'), qr/encryption key version 1 is destroyed/, 'nobody reads it here');
is($node->safe_psql('shop', "SELECT string_agg(state || ',' || octet_length(wrapped), ' ') FROM sdes.dek"
        . " JOIN sdes.bucket ON uuid = bucket WHERE name = 'payment'"), 'destroyed,0', 'its data key is gone from the row');
is($node->safe_psql('shop', "SELECT count(*) FROM sdes.dek_copy JOIN sdes.dek USING (key_id) JOIN sdes.bucket ON uuid = bucket"
        . " WHERE name = 'payment'"), '0', 'and from its copies');
is(query_as($node, 'oms', $NAMES, 'shop'), '20', 'another bucket is read on');
is(query_as($standby, 'oms', $CARDS, 'shop'), 't', 'the standby reads until it has replayed it');

# While its agent is started anew the token has no name.
my $fates;
ok(wait_for(sub {
        $fates = $node->safe_psql('shop', 'SELECT token, destroyed, detail FROM sdes.destroy_keks()');
        $fates =~ /^$second->{label}\|f\|.*token "$hsm->{label}" cannot be reached/m || $fates =~ /\|t\|/;
    }) && $fates !~ /\|t\|/, 'no KEK is said to be destroyed while one token cannot be asked') or diag($fates);
is($node->safe_psql('shop', "SELECT count(*) FROM sdes.kek WHERE state = 'destroying'"), '4', 'all are to be destroyed');
unlink $proxy->{control} or die $!;
ok(wait_for(sub { $node->safe_psql('shop', 'SELECT * FROM sdes.destroy_keks()');
            !$node->safe_psql('shop', "SELECT count(*) FROM sdes.kek WHERE state = 'destroying'") }, 20),
    'the token is back: they are destroyed');
ok(health($node)->{orphans}{ok}, 'none is in a token');

# The standby, its key forgotten, cannot read even what it has not replayed.
like(error_as($standby, 'oms', $CARDS, 'shop'), qr/key encryption key is not in the HSM token/, 'nor does the standby read');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
$node->wait_for_catchup($standby);
like(error_as($standby, 'oms', $CARDS, 'shop'), qr/encryption key version 1 is destroyed/, 'it has replayed it');
is(query_as($standby, 'oms', $NAMES, 'shop'), '20', 'and reads the other bucket');
$standby->stop;

my $restored = new_cluster('shred_restored', hsm => $hsm, conf => $tokens, from_backup => [ $node, 'before' ]);
ok(wait_for(sub { (health($restored)->{'hsm 2'} // {})->{ok} }, 20), 'a backup from before is restored');
like(error_as($restored, 'oms', $CARDS, 'shop'), qr/key encryption key is not in the HSM token/, 'it does not read it');
is(query_as($restored, 'oms', $NAMES, 'shop'), '20', 'and reads the other bucket');
$restored->stop;
$node->stop;
done_testing();
