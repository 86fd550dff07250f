# 049_switched_sessions.pl
#     After a switch of search keys values carry two tokens for a while, and which one counts
#     is known to every process that puts them into an index: to sessions that were there
#     before, to new ones that have used no key yet, to COPY and to VACUUM.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use Test::More;

my $node = new_cluster('switched', conf => "sdes.rotation_naptime = 1s\nautovacuum = off\n");
sub value { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

my $ROWS = 3000;
value(<<"SQL");
CREATE EXTENSION sdes;
CREATE EXTENSION amcheck;
SELECT sdes.create_bucket('pii');
SELECT sdes.grant_access('pii', 'postgres', '{encrypt,decrypt,search}');
CREATE TABLE seek (id int PRIMARY KEY, note int, mail sdes.enc_text('pii', 'searchable') UNIQUE);
CREATE INDEX ON seek (note);
CREATE TABLE copied (LIKE seek INCLUDING ALL);
CREATE TABLE loaded (LIKE seek INCLUDING ALL);
INSERT INTO seek SELECT i, i, 'user' || i FROM generate_series(1, $ROWS) AS i;
SQL

# Each of these is the first statement of a session or process.
my %sound = map { $_ => "SELECT bt_index_check('${_}_mail_key', true)" } qw(seek copied loaded);
sub is_sound { my ($table, $name) = @_; my ($status, undef, $err) = $node->psql('postgres', $sound{$table}); return is("$status$err", '0', "$name: the index keeps one order"); }
sub all_found
{
    my ($table, $name) = @_;
    my $found = value("SET enable_seqscan = off; SELECT count(*) FROM generate_series(1, $ROWS, 7) AS i WHERE EXISTS (SELECT FROM $table WHERE mail = ('user' || i)::text)");
    return is($found, int(($ROWS + 6) / 7), "$name: every value is found");
}

my $old = $node->background_psql('postgres', on_error_stop => 0);
$old->query('UPDATE seek SET note = note + 1 WHERE id <= 10');
value('SELECT sdes.rotate_search_key()');
ok(wait_for(sub { value("SELECT count(*) FROM sdes.keys WHERE state = 'incoming' AND emptied_at IS NOT NULL") }, 60), 'all values have two tokens');
value("SELECT sdes.pause_rotation('#system')");
$old->query('UPDATE seek SET note = note + 1 WHERE id <= 10');
value('SELECT sdes.switch_search_key()');

$old->query("UPDATE seek SET note = note + 1 WHERE id <= $ROWS / 2");
is_sound('seek', 'a session from before the switch');
value("UPDATE seek SET note = note + 1 WHERE id > $ROWS / 2");
is_sound('seek', 'a new session');
all_found('seek', 'both');
value('INSERT INTO copied SELECT * FROM seek');
is_sound('copied', 'values that are copied');
all_found('copied', 'values that are copied');
my $file = "$PostgreSQL::Test::Utils::tmp_check/seek.copy";
value("\\copy seek TO '$file'");
value("SET sdes.accept_ciphertext = on; \\copy loaded FROM '$file'");
is_sound('loaded', 'values that are loaded as ciphertext');
all_found('loaded', 'values that are loaded as ciphertext');
value('DELETE FROM seek WHERE id % 500 <> 0');
value('VACUUM seek');
is_sound('seek', 'VACUUM');

# Where not even that can be looked up, it is an error and not a guess.
$old->query('BEGIN; LOCK sdes.dek IN ACCESS EXCLUSIVE MODE');
my ($status, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSET lock_timeout = '10s'; UPDATE copied SET note = note + 1 WHERE id = 7", on_error_stop => 1);
like($err, qr/55000.*not at hand/s, 'while the keys are locked it is an error');
$old->query('COMMIT');
is_sound('copied', 'and leaves the index as it was');

value("SELECT sdes.resume_rotation('#system')");
ok(wait_for(sub { value("SELECT count(*) FROM sdes.keys WHERE purpose = 'search' AND state = 'decrypt-only' AND emptied_at IS NULL") eq '0' }, 60), 'the old tokens are gone');
is_sound($_, 'afterwards') for sort keys %sound;
all_found('copied', 'afterwards');

done_testing();
