# 049_search_key_switch.pl
#     The switch of search keys builds indexes while clients read and write, and exchanges
#     them in one moment; killed or cancelled at any of its steps it has changed nothing.
#     Afterwards values carry two tokens for a while, and which one counts is known to every
#     process that puts them into an index: to sessions that were there before, to new ones
#     that have used no key yet, to COPY and to VACUUM.

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
value("SELECT sdes.pause_rotation(b) FROM unnest('{#system,pii}'::text[]) AS b");
$old->query('UPDATE seek SET note = note + 1 WHERE id <= 10');

# ---- its steps ----

my $indexes = q{SELECT string_agg(pg_get_indexdef(indexrelid) || indisunique || indisprimary || indisreplident
    || coalesce(obj_description(indexrelid), ''), chr(10) ORDER BY indexrelid::regclass::text COLLATE "C") FROM pg_index
    WHERE indrelid IN ('seek'::regclass, 'copied'::regclass, 'loaded'::regclass) AND indexrelid::regclass::text NOT LIKE '%\_sdes%'};
my $before = value($indexes);
my $keys = q{SELECT string_agg(state, ',' ORDER BY version) FROM sdes.keys WHERE purpose = 'search'};
sub phase { return value('SELECT phase FROM pg_stat_progress_create_index') }
sub reaches { my ($phase) = @_; return wait_for(sub { phase() =~ /^$phase/ }, 30) }

# Leads a switch to a step and keeps it there; returns what keeps it.
my %steps = (
    'before it builds' => sub {
        my ($keeper, $switch) = @_;
        $keeper->query_safe('BEGIN; LOCK seek IN ROW EXCLUSIVE MODE');
        $switch->();
        return reaches('waiting for writers before build');
    },
    'while it builds' => sub { my (undef, $switch) = @_; $switch->(); return reaches('building index') },
    'before it completes' => sub {
        my ($keeper, $switch) = @_;
        $switch->();
        reaches('building index') or return 0;
        $keeper->query_safe('BEGIN; LOCK seek IN ROW EXCLUSIVE MODE');
        return reaches('waiting for writers before validation');
    },
    'before older snapshots end' => sub {
        my ($keeper, $switch) = @_;
        $keeper->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
        $switch->();
        return reaches('waiting for old snapshots');
    },
    'before all tables are locked' => sub {
        my ($keeper, $switch) = @_;
        $keeper->query_safe('BEGIN; LOCK copied IN ACCESS SHARE MODE');
        $switch->();
        return wait_for(sub { value("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted") }, 30);
    });
value(<<'SQL');
CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(current_setting($$my.pause$$)::float); RETURN $1; END';
SET my.pause = 0;
CREATE INDEX seek_slow ON seek (slow(id), mail) WHERE id <= 300;
ALTER TABLE seek REPLICA IDENTITY USING INDEX seek_pkey;
COMMENT ON INDEX seek_mail_key IS 'whose mail it is';
ALTER SYSTEM SET my.pause = 0.01;
SELECT pg_reload_conf();
SQL
$before = value($indexes);
$old->quit;
for my $step (sort keys %steps)
{
    for my $end ('killed', 'cancelled')
    {
        my $keeper = $node->background_psql('postgres', on_error_stop => 1);
        my $switch;
        ok($steps{$step}->($keeper, sub { $switch = start_query($node, $ENV{USER} // 'postgres', 'CALL sdes.switch_search_key()') }), "$step: it is there")
            or diag(phase(), $switch->{err});
        if ($end eq 'killed')
        {
            crash_server($node, all => 1);
            eval { $keeper->quit };
            finish_query($switch);
            $node->start;
        }
        else
        {
            value("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CALL%'");
            like(finish_query($switch)->{err}, qr/57014|55P03/, "$step: it can be cancelled");
            $keeper->quit;
        }
        is(value($keys), 'active,incoming', "$step, $end: the old key is in use");
        is(value($indexes), $before, "$step, $end: indexes are as they were");
        value("UPDATE seek SET note = note + 1 WHERE id % 7 = 1");
        is_sound('seek', "$step, $end");
        all_found('seek', "$step, $end");
    }
}
is(value('SELECT count(*) FROM pg_index WHERE NOT indisvalid'), 4, 'copies of indexes are left, one of each');
value("ALTER SYSTEM SET my.pause = 0; SELECT pg_reload_conf()");

# What rebuilds them makes them valid; no plan takes them, and they stay in order.
value('CREATE TABLE kept AS SELECT * FROM copied; BEGIN; TRUNCATE copied; INSERT INTO copied SELECT * FROM seek; COMMIT');
is(value(q{SELECT indisvalid FROM pg_index WHERE indexrelid = 'copied_mail_key_sdes'::regclass}), 't', 'a copy that was rebuilt is valid');
is(value('SELECT count(*) FROM (SELECT FROM copied a JOIN copied b USING (mail) ORDER BY a.note, a.mail) x'), $ROWS, 'its table can be queried');
is(value("SELECT bt_index_check('copied_mail_key_sdes', true)"), '', 'and it is in order');
all_found('copied', 'a copy that is valid');
value('TRUNCATE copied');

# ---- others ----

sub refused { my ($sql, $why, $name, $user) = @_; return like(error_as($node, $user // 'postgres', $sql), $why, $name); }
refused('CREATE INDEX ON seek (mail sdes.enc_text_next_ops)', qr/0A000.*copies of indexes only/s, 'nobody else makes such an index');
value('CREATE TABLE twice (mail sdes.enc_text(\'pii\', \'searchable\')); INSERT INTO twice SELECT \'same\' FROM generate_series(1, 2)');
$node->psql('postgres', 'CREATE UNIQUE INDEX CONCURRENTLY ON twice (mail)');
refused('CALL sdes.switch_search_key()', qr/55000.*"twice_mail_idx" is invalid.*REINDEX or drop it/s, 'an index that is invalid is told of at once');
value('DROP TABLE twice');

# An owner's code does not run as whoever calls.
value(<<'SQL');
CREATE ROLE mallory LOGIN;
GRANT CREATE ON SCHEMA public TO mallory;
SELECT sdes.grant_access('pii', 'mallory', '{encrypt}');
SET ROLE mallory;
CREATE FUNCTION quiet(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN IF session_user <> current_user OR current_user = $$postgres$$ THEN NULL; END IF; RETURN $1; END';
CREATE FUNCTION evil(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN public.quiet($1); END';
CREATE TABLE trap (n int, mail sdes.enc_text('pii', 'searchable'));
INSERT INTO trap SELECT i, 'trap' || i FROM generate_series(1, 10) i;
CREATE INDEX trap_index ON trap ((n + evil(1)), mail) WHERE evil(2) = 2;
CREATE TABLE trap_list (n int, mail sdes.enc_text('pii', 'searchable')) PARTITION BY LIST ((n + evil(1)));
CREATE OR REPLACE FUNCTION quiet(int) RETURNS int LANGUAGE plpgsql AS
    'BEGIN BEGIN ALTER ROLE mallory SUPERUSER; EXCEPTION WHEN OTHERS THEN NULL; END; RETURN $1; END';
SQL

# An operator class of somebody else's stays what an index depends on.
value(<<'SQL');
CREATE OPERATOR CLASS my_int_ops FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int, int);
CREATE INDEX seek_mine ON seek (note my_int_ops, mail) WITH (fillfactor = 80);
SQL
$before = value($indexes);
value('ALTER INDEX seek_mine RESET (fillfactor)');

# One at a time; and while somebody holds an index alone, tables can be used.
my $holder = $node->background_psql('postgres', on_error_stop => 1);
$holder->query_safe('BEGIN; ALTER INDEX seek_mine SET (fillfactor = 80)');
my $first = start_query($node, $ENV{USER} // 'postgres', 'CALL sdes.switch_search_key()');
ok(wait_for(sub { value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CALL%' AND wait_event_type = 'Lock'") }, 20), 'an index is locked: the switch waits');
refused('CALL sdes.switch_search_key()', qr/55006.*another session is switching/s, 'a second switch is refused');
is(value("SET statement_timeout = '5s'; SELECT count(*) FROM seek"), $ROWS, 'an index is locked: tables can be used');
$holder->query_safe('SELECT count(*) FROM seek');
$holder->query_safe('COMMIT');
$holder->quit;
unlike(finish_query($first)->{err}, qr/ERROR/, 'and it goes through');
is(value("SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'"), 'f', 'whose code ran as its owner');
is(value("SELECT reloptions FROM pg_class WHERE relname = 'seek_mine'"), '{fillfactor=80}', 'what was set of the index stands');
is(value($indexes), $before, 'indexes are the same by name and kind');
refused('DROP OPERATOR CLASS my_int_ops USING btree', qr/2BP01/, 'and depend on what they did');
value('DROP INDEX seek_mine');
$before = value($indexes);
value("SELECT sdes.resume_rotation(b) FROM unnest('{#system,pii}'::text[]) AS b");
ok(wait_for(sub { value("SELECT count(*) FROM sdes.keys WHERE purpose = 'search' AND state = 'decrypt-only' AND emptied_at IS NULL") eq '0' }, 60), 'the old tokens are gone');
value('SELECT sdes.rotate_search_key()');
is(value("SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'"), 'f', 'nor does it by rotate_search_key()');
value('DROP TABLE trap_list');
ok(wait_for(sub { value("SELECT count(*) FROM sdes.keys WHERE state = 'incoming' AND emptied_at IS NOT NULL") }, 60), 'again all values have two tokens');
value("SELECT sdes.pause_rotation(b) FROM unnest('{#system,pii}'::text[]) AS b");

$old = $node->background_psql('postgres', on_error_stop => 0);
$old->query('UPDATE seek SET note = note + 1 WHERE id <= 10');
value('CALL sdes.switch_search_key()');
is(value($indexes), $before, 'after a switch they are the same by name and kind');
is(value('SELECT count(*) FROM pg_index WHERE NOT indisvalid'), 0, 'and no copy is left');
is(value(q{SELECT count(*) FROM pg_depend JOIN pg_opclass o ON refobjid = o.oid WHERE classid = 'pg_class'::regclass AND opcname LIKE '%next_ops'}), 0,
    'nor does any depend on how a copy compared');

# ---- what sessions know of it ----

$old->query("UPDATE seek SET note = note + 1 WHERE id <= $ROWS / 2");
is_sound('seek', 'a session from before the switch');
value("UPDATE seek SET note = note + 1 WHERE id > $ROWS / 2");
is_sound('seek', 'a new session');
all_found('seek', 'both');
is(value("SELECT count(*) FROM seek WHERE get_byte(sdes.enc_text_send(mail), 2) & 2 = 0"), 0, 'all values carry two tokens');
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

value("SELECT sdes.resume_rotation(b) FROM unnest('{#system,pii}'::text[]) AS b");
ok(wait_for(sub { value("SELECT count(*) FROM sdes.keys WHERE purpose = 'search' AND state = 'decrypt-only' AND emptied_at IS NULL") eq '0' }, 60), 'the old tokens are gone');
is_sound($_, 'afterwards') for sort keys %sound;
all_found('copied', 'afterwards');

done_testing();
