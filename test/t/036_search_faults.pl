# 036_search_faults.pl
#     Comparisons by index never wait, and what they need is waited for before: the
#     first indexed lookup of a new backend while the HSM hangs can be cancelled and
#     holds nobody up. Lookups while keys expire, grants go and agent and HSM fail;
#     indexes after crashes; the same e-mail from four sessions; a standby.

use strict;
use warnings;
use PostgreSQL::Test::BackgroundPsql;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);
use SdesTest;
use SdesFaults;
use Test::More;

my $ROWS = 3000;
my $CRASHES = soak(2, 20);

my $hsm = new_hsm('search');
my $proxy = new_proxy($hsm);
my $node = new_cluster('search', hsm => $hsm, init => { allows_streaming => 1 }, conf => <<'CONF');
log_statement = none
shared_buffers = 32MB
max_connections = 30
max_wal_size = 256MB
CONF
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION sdes;
CREATE EXTENSION amcheck;
SELECT sdes.create_bucket('pii');
SELECT sdes.create_bucket('other');
CREATE ROLE shop LOGIN;
CREATE ROLE searchers;
CREATE ROLE member LOGIN IN ROLE searchers;
CREATE ROLE bystander LOGIN;
SELECT sdes.grant_access('pii', 'shop', '{encrypt,search,decrypt}');
SELECT sdes.grant_access('other', 'shop', '{encrypt,search,decrypt}');
SELECT sdes.grant_access('pii', 'searchers', '{search}');
GRANT CREATE ON SCHEMA public TO shop;
SQL
query_as($node, 'shop', <<"SQL");
CREATE TABLE users (
    id int PRIMARY KEY,
    email sdes.enc_text('pii', 'searchable', 'searchable_ci') UNIQUE,
    note sdes.enc_text('other'));
CREATE TABLE orders (id int, email sdes.enc_text('pii', 'searchable') REFERENCES users (email));
CREATE TABLE plain (id int, email text);
INSERT INTO users SELECT g, 'User' || g || '\@Example.org', 'note ' || g FROM generate_series(1, $ROWS) g;
INSERT INTO plain SELECT g, 'User' || g || '\@Example.org' FROM generate_series(1, $ROWS) g;
CREATE INDEX users_lower ON users (email sdes.enc_text_ci_ops);
CREATE INDEX orders_email ON orders USING hash (email);
ANALYZE;
GRANT SELECT ON users, plain TO member;
GRANT SELECT, INSERT ON plain TO bystander;
SQL

# A client that stays connected. Its statements tell result or error.
sub new_session
{
    my ($role) = @_;
    return $node->background_psql('postgres', on_error_stop => 0,
        extra_params => [ '-U', $role, '-v', 'VERBOSITY=verbose' ]);
}

sub ask
{
    my ($session, $query) = @_;
    my $out = $session->query($query);
    my $err = $session->{stderr};
    $session->{stderr} = '';
    return $err eq '' ? $out : $err;
}

# ---- every way to search an index first thing in a session ----

my $BY_INDEX = 'SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_memoize = off;';
my $next = 100_000;
my %FORMS = (
    literal => [ 7, sub { q{SELECT id FROM users WHERE email = 'User7@Example.org'} } ],
    'text constant' => [ 7, sub { q{SELECT id FROM users WHERE email = 'User7@Example.org'::text} } ],
    'prepared, text' => [ 7, sub { q{PREPARE q (text) AS SELECT id FROM users WHERE email = $1; EXECUTE q('User7@Example.org')} } ],
    'prepared, encrypted' => [ 7, sub { q{SET plan_cache_mode = force_generic_plan;
        PREPARE q (sdes.enc_text) AS SELECT id FROM users WHERE email = $1; EXECUTE q('User7@Example.org')} } ],
    'prepared, list' => [ 7, sub { q{SET plan_cache_mode = force_generic_plan;
        PREPARE q (sdes.enc_text, sdes.enc_text) AS SELECT id FROM users WHERE email IN ($1, $2); EXECUTE q('none', 'User7@Example.org')} } ],
    'prepared, array' => [ 7, sub { q{SET plan_cache_mode = force_generic_plan;
        PREPARE q (sdes.enc_text[]) AS SELECT id FROM users WHERE email = ANY ($1); EXECUTE q('{none,User7@Example.org}')} } ],
    'IN list' => [ "7\n9", sub { q{SELECT id FROM users WHERE email IN ('User7@Example.org', 'User9@Example.org', 'none') ORDER BY id} } ],
    'ANY' => [ 7, sub { q{SELECT id FROM users WHERE email = ANY (ARRAY['none', 'User7@Example.org'])} } ],
    lower => [ 7, sub { q{SELECT id FROM users WHERE lower(email) = 'user7@example.org'} } ],
    join => [ 7, sub { q{SELECT u.id FROM plain p JOIN users u ON u.email = p.email WHERE p.id = 7} } ],
    'parallel' => [ 7, sub { 'SET ' . force_parallel() . q{ = on; SELECT id FROM users WHERE email = 'User7@Example.org'::text} } ],
    'INSERT, UNIQUE' => [ '', sub { $next++; "INSERT INTO users VALUES ($next, 'new$next\@example.org')" } ],
    'ON CONFLICT' => [ '', sub { $next++; "INSERT INTO users VALUES ($next, 'User7\@Example.org') ON CONFLICT (email) DO NOTHING" } ],
    'FK' => [ '', sub { $next++; "INSERT INTO orders VALUES ($next, 'User7\@Example.org')" } ],
    function => [ 7, sub { q{DO $$ DECLARE v sdes.enc_text := 'User7@Example.org'; n int;
        BEGIN SELECT id INTO n FROM users WHERE email = v; RAISE NOTICE 'found %', n; END $$} } ],
);

sub start_form
{
    my ($form) = @_;
    return start_query($node, 'shop', "$BY_INDEX " . $FORMS{$form}[1]->());
}

sub forms_ok
{
    my ($name) = @_;
    for my $form (sort keys %FORMS)
    {
        my $query = finish_query(start_form($form));
        if ($form eq 'function') { like($query->{err}, qr/found 7/, "$name: $form"); }
        else { is($query->{err} . $query->{out}, $FORMS{$form}[0], "$name: $form"); }
    }
    return;
}

forms_ok('at first');
for my $form ('literal', 'text constant', 'IN list', 'ANY', 'lower', 'join')
{
    unlike(query_as($node, 'shop', "$BY_INDEX EXPLAIN " . $FORMS{$form}[1]->()), qr/Seq Scan on users/, "$form: by index");
}

# ---- the HSM hangs ----

sub hang
{
    append_to_file($proxy->{control}, join '', map { "$_ hang\n" } qw(C_Decrypt C_DecryptInit C_UnwrapKey));
    return;
}

sub mend
{
    unlink $proxy->{control};
    settle_here();
    return;
}

sub settle_here
{
    return wait_for(sub {
        $node->safe_psql('postgres', q{SELECT bool_and(ok) FROM sdes.health()}) eq 't' }, 20);
}

# Tests that something is done within a second.
sub at_once_ok
{
    my ($name, $what) = @_;
    my $began = time;
    $what->();
    return cmp_ok(time - $began, '<', 1, "HSM hangs: meanwhile, $name");
}

my $busy = new_session('shop');
my $LOOKUP = q{SELECT id FROM users WHERE email = 'User9@Example.org'};
is(ask($busy, "$BY_INDEX $LOOKUP"), '9', 'a session has the keys');
ask($busy, q{SELECT note::text FROM users WHERE id = 1});

# How many locks on the tables are left. An error reaches its client before the server
# lets go of its locks, so they may take a moment; half a second, and the agent has not
# yet given the module up.
sub locks_soon
{
    my $locks;
    wait_for(sub {
        $locks = $node->safe_psql('postgres',
            q{SELECT count(*) FROM pg_locks WHERE relation IN ('users'::regclass, 'orders'::regclass)});
        return $locks eq '0';
    }, 0.5);
    diag($node->safe_psql('postgres', q{SELECT l.relation::regclass, l.mode, l.granted, a.backend_type, a.wait_event, a.query FROM pg_locks l
        LEFT JOIN pg_stat_activity a USING (pid) WHERE l.relation IN ('users'::regclass, 'orders'::regclass)})) if $locks ne '0';
    return $locks;
}

# The agent gives a module 2 seconds; what follows has to happen before.
sub waiting_ok
{
    my ($name, @queries) = @_;
    hang();
    $_ = start_query($node, 'shop', $_) for @queries;
    ok(wait_for_waiters(@queries), "HSM hangs: $name wait in new sessions");
    return @queries;
}

my ($timeout) = waiting_ok('those with a timeout', "SET statement_timeout = 300; $BY_INDEX $LOOKUP");
finish_query($timeout);
like($timeout->{err}, qr/57014.*statement timeout/, 'HSM hangs: statement_timeout works');
cmp_ok($timeout->{seconds}, '<', 1, 'HSM hangs: in time');
mend();

waiting_ok('lookups', "$BY_INDEX $LOOKUP");
at_once_ok('a session with keys looks up', sub { is(ask($busy, $LOOKUP), '9', 'HSM hangs: the row is found') });
at_once_ok('stored values are joined', sub {
    is(ask($busy, 'SELECT count(*) FROM users a JOIN users b ON a.email = b.email'), $ROWS + 1, 'HSM hangs: all of them') });
at_once_ok('a plain table is read and written', sub {
    query_as($node, 'bystander', q{INSERT INTO plain VALUES (0, 'x'); SELECT count(*) FROM plain}) });
at_once_ok('VACUUM', sub { $node->safe_psql('postgres', 'VACUUM (ANALYZE) users') });
at_once_ok('DDL', sub { query_as($node, 'shop', 'ALTER TABLE plain ADD extra int; CREATE INDEX ON plain (extra)') });
mend();

my @forms = sort keys %FORMS;
while (my @some = splice @forms, 0, 4)
{
    my @queries = waiting_ok(join(', ', @some), map { "$BY_INDEX " . $FORMS{$_}[1]->() } @some);
    my $names = join ', ', map { "'$_->{name}'" } @queries;
    $node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name IN ($names)");
    for my $query (@queries)
    {
        my $form = shift @some;
        finish_query($query);
        like($query->{err}, qr/57014.*user request/, "HSM hangs: $form is cancelled");
        cmp_ok($query->{seconds}, '<', 1, "HSM hangs: $form within a second");
    }
    is(locks_soon(), '0', 'HSM hangs: nothing is left locked');
    mend();
}
forms_ok('HSM hung');

# ---- it fails, or there is no agent ----

append_to_file($proxy->{control}, "C_Decrypt 0x30\nC_DecryptInit 0x30\nC_UnwrapKey 0x30\n");
for my $form ('literal', 'text constant', 'prepared, encrypted', 'lower', 'join', 'FK')
{
    my $query = finish_query(start_form($form));
    like($query->{err}, qr/ERROR:  58000: .*HINT/s, "HSM fails: $form gets a clear error");
}
is(ask($busy, $LOOKUP), '9', 'HSM fails: a session with keys goes on');
mend();
forms_ok('HSM failed');

my $supervisor = supervisor_pid($node);
my $agent = agent_pid($node);
kill 'STOP', $supervisor or die 'could not stop the supervisor';
kill 'KILL', $agent or die 'could not kill the agent';
like(finish_query(start_form('text constant'))->{err}, qr/58000: (?:key agent is not running|lost the connection).*HINT/s,
    'agent gone: a clear error');
is(ask($busy, $LOOKUP), '9', 'agent gone: a session with keys goes on');
kill 'CONT', $supervisor;
mend();
forms_ok('agent gone');
is(ask($busy, $LOOKUP), '9', 'the session is the same');

# ---- keys expire ----

set_conf($node, 'sdes.key_cache_max_age' => '1s');
$node->reload;
sleep(0.3);
my $session = new_session('shop');
ask($session, "$BY_INDEX PREPARE q (text) AS SELECT id FROM users WHERE email = \$1");
for my $n (1 .. 3)
{
    is(ask($session, q{EXECUTE q('User7@Example.org')}), '7', "keys expire: a prepared lookup, $n");
    sleep(1.3) if $n < 3;
}
my $SLOWLY = q{(SELECT email, pg_sleep(0.02) FROM plain WHERE id > 0 LIMIT 130 OFFSET 0) p};
is(ask($session, "SELECT count(*) FROM $SLOWLY JOIN users u ON u.email = p.email"), '130',
    'keys expire: while one statement searches');
is(ask($session, "SELECT count(u.note::text) FROM $SLOWLY JOIN users u ON u.email = p.email"), '130',
    'keys expire: while one statement searches and opens');
ask($session, "BEGIN; DECLARE c CURSOR FOR SELECT u.id FROM plain p JOIN users u ON u.email = p.email WHERE p.id > 0");
is(ask($session, 'FETCH 1 FROM c') =~ /^\d+$/, 1, 'keys expire: a cursor');
sleep(1.3);
is(ask($session, 'FETCH 1 FROM c') =~ /^\d+$/, 1, 'keys expire: between FETCHes');
ask($session, 'COMMIT');
$session->quit;
set_conf($node, 'sdes.key_cache_max_age' => '1h');
$node->reload;
sleep(0.3);

# ---- grants that go or come while a statement runs ----

my $JOIN = q{SELECT count(*), count(note::text) FROM }
    . q{(SELECT email, pg_sleep(0.01) FROM plain WHERE id > 0 LIMIT 100 OFFSET 0) p JOIN users u ON u.email = p.email};
$session = new_session('shop');
is(ask($session, "$BY_INDEX $JOIN"), '100|100', 'a join by index');
my $join = start_query($node, 'shop', "$BY_INDEX $JOIN; $JOIN");
sleep(0.4);
$node->safe_psql('postgres', q{SELECT sdes.grant_access('other', 'bystander', '{mask}')});
finish_query($join);
is($join->{err} . $join->{out}, "100|100\n100|100", "another's grant: statements under way go on");

sub revoked_ok
{
    my ($role, $name, $revoke) = @_;
    my $rows = q{SELECT count(*) FROM (SELECT email, pg_sleep(0.01) FROM plain WHERE id > 0 LIMIT 100 OFFSET 0) p }
        . 'JOIN users u ON u.email = p.email';
    my $query = start_query($node, $role, "$BY_INDEX $rows; SELECT 'next'; $rows");
    sleep(0.4);
    $revoke->();
    finish_query($query);
    like($query->{err}, qr/ERROR:  42501: permission denied to search.*grant_access/s, "$name: it ends with its next statement");
    like($query->{out}, qr/\A(?:100\n)?(?:next)?\z/, "$name: or before");
    return;
}

revoked_ok('member', 'membership revoked', sub { $node->safe_psql('postgres', 'REVOKE searchers FROM member') });
like(error_as($node, 'member', $LOOKUP), qr/42501/, 'membership revoked: nor does a new session search');
$node->safe_psql('postgres', 'GRANT searchers TO member');
is(query_as($node, 'member', "$BY_INDEX $LOOKUP"), '9', 'membership given back');
revoked_ok('member', 'search revoked', sub { $node->safe_psql('postgres', q{SELECT sdes.revoke_access('pii', 'searchers', '{search}')}) });
$node->safe_psql('postgres', q{SELECT sdes.grant_access('pii', 'searchers', '{search}')});
like(ask($session, "BEGIN; DECLARE c CURSOR FOR SELECT p.id FROM plain p JOIN users u ON u.email = p.email WHERE p.id > 0; FETCH 1 FROM c"),
    qr/^\d+$/, 'a cursor');
$node->safe_psql('postgres', q{SELECT sdes.revoke_access('pii', 'shop', '{search}')});
like(ask($session, 'FETCH 2000 FROM c'), qr/42501: permission denied to search/, 'a cursor: search revoked between FETCHes');
$node->safe_psql('postgres', q{SELECT sdes.grant_access('pii', 'shop', '{search}')});
$_->quit for $session, $busy;

# ---- the same e-mail from four sessions ----

query_as($node, 'shop', <<'SQL');
CREATE TABLE logins (n int, email sdes.enc_text('pii', 'searchable', 'searchable_ci') UNIQUE);
CREATE TABLE ci (n int, email sdes.enc_text('pii', 'searchable_ci'));
CREATE UNIQUE INDEX ci_email ON ci (email sdes.enc_text_ci_ops);
SQL

sub race_ok
{
    my ($table, @spellings) = @_;
    my $rounds = 40;
    my @queries;
    for my $n (0 .. 3)
    {
        my $sql = join "\n", map { sprintf "INSERT INTO %s VALUES (%d, '%s');", $table, $n, sprintf $spellings[$n], $_ } 1 .. $rounds;
        my $file = $node->basedir . "/race_${table}_$n.sql";
        append_to_file($file, "SELECT pg_advisory_lock_shared(1);\n$sql\n");
        push @queries, $file;
    }
    my $starter = new_session('shop');
    ask($starter, 'SELECT pg_advisory_lock(1)');
    my @running = map {
        my %run = (out => '', err => '');
        local %ENV = $node->_get_env();
        $run{handle} = IPC::Run::start([ 'psql', '-XAtq', '-U', 'shop', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres'),
            '-f', $_ ], '<', \undef, '>', \$run{out}, '2>', \$run{err});
        \%run;
    } @queries;
    wait_for(sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}) == 4 }, 10);
    ask($starter, 'SELECT pg_advisory_unlock(1)');
    $_->{handle}->finish for @running;
    $starter->quit;
    my $errors = join '', map { $_->{err} } @running;
    my @duplicates = $errors =~ /ERROR:  23505: /g;
    my @others = grep { !/23505/ } $errors =~ /ERROR: .*/g;
    is(scalar @duplicates, 3 * $rounds, "$table: of four who insert one e-mail, three are refused");
    is("@others", '', "$table: for no other reason");
    is($node->safe_psql('postgres', "SELECT count(*) FROM $table"), $rounds, "$table: and one wins");
    is(query_as($node, 'shop', "SELECT count(DISTINCT lower(email::text)) FROM $table"), $rounds, "$table: each time");
    unlike($errors, qr/\@example/i, "$table: errors do not tell the e-mail");
    return;
}

race_ok('logins', ('same%d@example.org') x 4);
race_ok('ci', 'same%d@example.org', 'Same%d@example.org', 'SAME%d@EXAMPLE.ORG', 'saMe%d@Example.Org');

# ---- crashes ----

# All indexes on the tables against their heaps.
sub indexes_ok
{
    my ($name) = @_;
    my $bad = $node->safe_psql('postgres', <<'SQL');
SELECT count(bt_index_check(c.oid, true)), count(bt_index_parent_check(c.oid, true, true)) > 3
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid JOIN pg_am a ON a.oid = c.relam
WHERE t.relname IN ('users', 'logins', 'ci', 'orders') AND i.indisvalid AND a.amname = 'btree'
SQL
    like($bad, qr/\|t$/, "$name: amcheck finds nothing");
    is(query_as($node, 'shop', <<'SQL'), 't|t|t', "$name: no duplicate got in, every value opens");
SELECT count(email::text) = count(DISTINCT email::text), count(*) = count(email::text), count(*) = count(DISTINCT email) FROM logins
SQL
    return;
}

my $first = 1;
for my $round (1 .. $CRASHES)
{
    my (@running, @files);
    for my $n (0 .. 2)
    {
        # Two of three have the same values.
        my $from = $first + ($n == 2 ? 2000 : 0);
        my $file = $node->basedir . "/crash_${round}_$n.sql";
        append_to_file($file, join '', map {
            "INSERT INTO logins VALUES ($_, 'crash$_\@example.org') ON CONFLICT (email) DO NOTHING;\n\\echo done $_\n" } $from .. $from + 1999);
        my %run = (out => '', err => '');
        local %ENV = $node->_get_env();
        $run{handle} = IPC::Run::start([ 'psql', '-XAtq', '-U', 'shop', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $file ],
            '<', \undef, '>', "$file.out", '2>', \$run{err});
        push @running, \%run;
        push @files, "$file.out";
    }
    my $building = start_query($node, 'shop', join '; ', map { "CREATE INDEX CONCURRENTLY again_${round}_$_ ON logins (email)" } 1 .. 50);
    wait_for(sub { slurp_file($files[0]) =~ /done/ }, 10);
    sleep(0.5 + rand() * 0.5);
    crash_server($node, all => 1);
    $_->{handle}->finish for @running;
    finish_query($building);
    $node->start;
    settle_here();
    my @done = map { slurp_file($_) =~ /^done (\d+)$/mg } @files;
    cmp_ok(scalar @done, '>', 0, "crash $round: there were inserts");
    indexes_ok("crash $round");
    my %there = map { $_ => 1 } split /\n/, query_as($node, 'shop', "$BY_INDEX SELECT n FROM logins WHERE email = ANY (ARRAY["
        . join(', ', map { "'crash$_\@example.org'" } $first .. $first + 3999) . '])');
    is(join(' ', grep { !$there{$_} } @done), '', "crash $round: every committed value is found by index");
    $first += 4000;
    for my $index (split /\n/, $node->safe_psql('postgres', q{SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid}))
    {
        query_as($node, 'shop', "DROP INDEX $index");
    }
}
query_as($node, 'shop', 'CREATE INDEX CONCURRENTLY again ON logins (email)');
indexes_ok('in the end');

# ---- a standby ----

$node->backup('base');
my $standby = new_cluster('search_standby', hsm => $hsm, from_backup => [ $node, 'base', has_streaming => 1 ]);
query_as($node, 'shop', q{INSERT INTO users VALUES (900001, 'Fresh@Example.org')});
$node->wait_for_catchup($standby);
is(query_as($standby, 'shop', "$BY_INDEX SELECT id FROM users WHERE email = 'Fresh\@Example.org'"), '900001', 'standby: a lookup by index');
is(query_as($standby, 'shop', "$BY_INDEX SELECT id FROM users WHERE lower(email) = 'fresh\@example.org'"), '900001', 'standby: in lower case');
is(query_as($standby, 'member', "$BY_INDEX $LOOKUP"), '9', 'standby: with search alone');
like(error_as($standby, 'bystander', q{SELECT sdes.enc_text_eq_vt(NULL, 'x'); SELECT sdes.enc_text_hash_t('x')}), qr/42501/,
    'standby: without, no token is made');
one_agent_ok($standby, 'standby: it has an agent of its own');
$node->stop;
$standby->promote;
is(query_as($standby, 'shop', "$BY_INDEX SELECT id FROM users WHERE email = 'Fresh\@Example.org'"), '900001', 'promoted: a lookup by index');
like(error_as($standby, 'shop', q{INSERT INTO users VALUES (900002, 'Fresh@Example.org')}), qr/23505/, 'promoted: UNIQUE holds');
query_as($standby, 'shop', q{INSERT INTO users VALUES (900002, 'Other@Example.org')});
is(query_as($standby, 'shop', "$BY_INDEX SELECT id FROM users WHERE lower(email) = 'other\@example.org'"), '900002', 'promoted: it goes on');
$standby->stop;

no_crash_ok($standby, 0, 'no process of the standby crashed');
done_testing();
