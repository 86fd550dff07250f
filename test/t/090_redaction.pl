# 090_redaction.pl
#     Whatever is logged, and however a value comes to the server: it is in no log file,
#     not in pg_stat_activity, and not in the texts of pg_stat_statements; and what is
#     logged still says what happened. The client gets its own message whole.
#
#     Each way is tried once more with sdes.redact off, where its value must be found: or
#     it would prove nothing.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use SdesProtocol;
use Test::More;
use Time::HiRes qw(sleep);

my $node = new_cluster('redact', conf => <<'CONF');
shared_preload_libraries = 'pg_stat_statements, auto_explain, sdes'
logging_collector = on
log_destination = 'stderr,csvlog'
log_directory = 'log'
log_filename = 'all.log'
log_line_prefix = '%m [%p] %a '
log_statement = all
log_duration = on
log_min_duration_statement = 0
log_parameter_max_length = -1
log_parameter_max_length_on_error = -1
log_error_verbosity = verbose
log_min_messages = debug1
log_min_error_statement = error
log_lock_waits = on
log_replication_commands = on
wal_level = logical
max_wal_senders = 2
log_temp_files = 0
deadlock_timeout = 100ms
debug_print_parse = on
debug_print_rewritten = on
debug_print_plan = on
auto_explain.log_min_duration = 0
auto_explain.log_analyze = on
auto_explain.log_nested_statements = on
restart_after_crash = on
max_worker_processes = 20
work_mem = 64kB
CONF
new_shop($node);
$node->safe_psql('shop', <<'SQL');
CREATE EXTENSION pg_stat_statements;
CREATE ROLE auditor LOGIN SUPERUSER;
GRANT pg_read_all_stats TO oms;
GRANT CREATE ON SCHEMA public TO oms;
CREATE TABLE t (id serial PRIMARY KEY, e sdes.enc_text('customer_pii'), c sdes.enc_pan('payment'),
    p text UNIQUE, n int CHECK (n < 1000000));
GRANT ALL ON t TO oms, support;
GRANT ALL ON t_id_seq TO oms, support;
INSERT INTO t (p) VALUES ('first'), ('second');
CREATE FUNCTION store(v text) RETURNS void LANGUAGE plpgsql AS $$BEGIN EXECUTE 'INSERT INTO t (e) VALUES (' || quote_literal(v) || ')'; END$$;
CREATE FUNCTION fail(v text) RETURNS int LANGUAGE plpgsql AS $$BEGIN EXECUTE format('SELECT %L::int', v); RETURN 1; END$$;
CREATE FUNCTION divide(v text) RETURNS int LANGUAGE plpgsql AS $$BEGIN EXECUTE format('SELECT 1 / (length(%L) - length(%1$L))', v); RETURN 1; END$$;
CREATE FUNCTION plain(v text) RETURNS int LANGUAGE sql AS $$SELECT v::int$$;
CREATE VIEW seen AS SELECT p FROM t WHERE p < 'a' WITH LOCAL CHECK OPTION;
GRANT ALL ON seen TO oms;
CREATE TABLE one (n bigint);
CREATE TABLE other (n bigint);
GRANT ALL ON one, other TO oms;
CREATE FUNCTION parse(v text) RETURNS json LANGUAGE plpgsql AS $$BEGIN RETURN v::json; END$$;
CREATE PROCEDURE put(v text) LANGUAGE sql AS $$INSERT INTO t (e) VALUES (v)$$;
SQL
my $log_folder = $node->data_dir . '/log';

sub logs { return glob "$log_folder/all.*"; }

# Everything that was logged so far, as the collector has written it.
my $marks = 0;

sub collected
{
    $marks++;
    $node->safe_psql('postgres', "SET application_name = 'mark$marks'; DO 'BEGIN RAISE LOG ''mark''; END'");
    return wait_for(sub { my $all = join '', map { slurp_file($_) } grep { /\.log$/ } logs(); $all =~ /mark$marks .*mark/ ? $all : 0 }, 20);
}

# ---- the ways ----

my ($oms, $texts);
my $FORCE = force_parallel();

sub simple
{
    my ($sql) = @_;
    return sub { my ($value) = @_; (my $text = $sql) =~ s/\{v\}/$value/g; return $oms->query($text); };
}

# By messages of the extended protocol: a statement, and what is bound.
sub bound
{
    my ($sql, $format) = @_;
    return sub {
        my ($value) = @_;
        (my $text = $sql) =~ s/\{v\}/$value/g;
        $oms->parse('', $text);
        $oms->bind('', '', [ $sql =~ /\$1/ ? sprintf($format // '%s', $value) : () ]);
        $oms->execute('');
        return $oms->sync;
    };
}

# By a superuser, each statement by itself and by messages of the extended protocol.
sub as_auditor
{
    my @sql = @_;
    return sub {
        my ($value) = @_;
        my $session = SdesProtocol->new($node, 'auditor', 'shop');
        for my $sql (@sql)
        {
            (my $text = $sql) =~ s/\{v\}/$value/g;
            $session->parse('', $text);
            $session->run('');
        }
        return [];
    };
}

# name => [ how, 'number' for digits ]
my %ways = (
    'a literal' => [ simple(q{INSERT INTO t (e) VALUES ('{v}')}) ],
    'a number' => [ simple('INSERT INTO t (e) VALUES ({v})'), 'number' ],
    'a number in a plan' => [ simple('SELECT count(*) FROM t WHERE id::bigint = {v}'), 'number' ],
    'an escape string' => [ simple(q{SELECT E'a\'{v}' FROM t}) ],
    'a string in dollars' => [ simple('SELECT $x$it\'s {v}$x$ FROM t') ],
    'a string over two lines' => [ simple("SELECT E'a\\''\n  '\\'{v}'") ],
    'a string with code points' => [ simple(q{SELECT U&'{v}\0041'}) ],
    'a comment' => [ simple("SELECT 1 -- {v}\n, 2 /* {v} /* */ {v} */") ],
    'several statements' => [ simple(q{SELECT 1; INSERT INTO t (e) VALUES ('{v}'); SELECT 'x{v}'}) ],
    'a long statement' => [ simple("SELECT '" . ('x' x 100_000) . q{', '{v}'}) ],
    'a parameter' => [ bound('INSERT INTO t (e) VALUES ($1)') ],
    'a literal beside a parameter' => [ bound(q{INSERT INTO t (e, p) VALUES ('{v}', $1)}) ],
    'a literal of the extended protocol' => [ bound(q{SELECT count(*) FROM t WHERE p = '{v}'}) ],
    'EXECUTE' => [ simple(q{PREPARE a{v} AS SELECT count(*) FROM t WHERE p = $1; EXECUTE a{v}('{v}'); DEALLOCATE a{v}}), 'named' ],
    'PREPARE' => [ simple(q{PREPARE b AS SELECT count(*) FROM t WHERE p = '{v}'; EXECUTE b; DEALLOCATE b}) ],
    'DO' => [ simple(q{DO $$BEGIN INSERT INTO t (e) VALUES ('{v}'); END$$}) ],
    'CALL' => [ simple(q{CALL put('{v}')}) ],
    'a function with dynamic SQL' => [ simple(q{SELECT store('{v}')}) ],
    'a cursor' => [ simple(q{BEGIN; DECLARE k CURSOR FOR SELECT p FROM t WHERE p < '{v}'; FETCH 1 FROM k; COMMIT}) ],
    'CREATE TABLE AS' => [ simple(q{CREATE TEMP TABLE made AS SELECT p FROM t WHERE p > '{v}'; DROP TABLE made}) ],
    'EXPLAIN' => [ simple(q{EXPLAIN SELECT p FROM t WHERE p > '{v}'}) ],
    'COPY of a query' => [ simple(q{COPY (SELECT p FROM t WHERE p > '{v}') TO STDOUT}) ],
    'SET' => [ simple(q{SET application_name = 'x'; SET my.value = '{v}'}) ],
    'a default' => [ simple(q{CREATE TEMP TABLE d (v text DEFAULT '{v}'); DROP TABLE d}) ],
    'a filter on opened text' => [ simple(q{SELECT count(*) FROM t WHERE e::text LIKE '%{v}%'}) ],
    'an error: quotes that do not match' => [ simple(q{INSERT INTO t (e) VALUES ('O'{v}', 'it')}) ],
    'an error: a quote without an end' => [ simple(q{INSERT INTO t (e) VALUES ('{v})}) ],
    'an error: a backslash' => [ simple(q{INSERT INTO t (p, e) VALUES ('O\'s {v}', 'x')}) ],
    'an error: no number' => [ simple(q{SELECT '{v}'::int}) ],
    'an error: no date' => [ simple(q{SELECT '{v}'::date}) ],
    'an error: no json' => [ simple(q{SELECT '{"a": {v}}'::json}) ],
    'an error: no array' => [ simple(q[SELECT '{{v}'::text[]]) ],
    'an error: a key twice' => [ simple(q{INSERT INTO t (p) VALUES ('{v}'), ('{v}')}) ],
    'an error: a check' => [ simple(q{INSERT INTO t (p, n) VALUES ('{v}', 9999999)}) ],
    'an error: a number with others' => [ simple('INSERT INTO t (n) VALUES ({v})'), 'number' ],
    'an error: a parameter that is no number' => [ bound('INSERT INTO t (n) VALUES ($1)') ],
    'an error: with a parameter' => [ bound('SELECT 1 / (length($1::text) - length($1::text))') ],
    'an error in a function with dynamic SQL' => [ simple(q{SELECT fail('{v}')}) ],
    'an error in a statement of a function' => [ simple(q{SELECT divide('{v}')}) ],
    'an error in JSON in a function' => [ simple(q{SELECT parse('{"a": {v}}')}) ],
    'an error in a function in SQL' => [ simple(q{SELECT plain('{v}')}) ],
    'an error in a DO block' => [ simple(qq{DO \$\$BEGIN\nPERFORM 'a\n{v}\nSQL statement "\n{v}'::int;\nEND\$\$}) ],
    'an error: no card number' => [ simple(q{SELECT '{v}'::text::int FROM t WHERE c IS NULL}) ],
    'an error: who may not' => [ sub { my ($v) = @_; return SdesProtocol->new($node, 'support', 'shop')->query("INSERT INTO t (e, p) VALUES ('x', '$v')"); }, 'hidden' ],
    'a line of COPY' => [ sub { my ($v) = @_; $node->psql('shop', "COPY t (p, n) FROM STDIN;\nx\t$v\n\\.\n", extra_params => [ '-U', 'oms' ]); return []; } ],
    'a column of COPY' => [ sub { my ($v) = @_; $node->psql('shop', "COPY t (p, n) FROM STDIN;\n$v\tx\ty\n\\.\n", extra_params => [ '-U', 'oms' ]); return []; } ],
    'a sort that spills' => [ simple(q{SELECT count(*) FROM (SELECT i || '{v}' FROM generate_series(1, 20000) AS i ORDER BY 1) AS s}) ],
    'a parallel query' => [ simple(qq{SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET $FORCE = on; SELECT count(*) FROM t WHERE p LIKE '%{v}'; RESET ALL}) ],
    'an error in a parallel worker' => [ simple(qq{SET $FORCE = on; SELECT (p || '{v}')::int FROM t; RESET ALL}) ],
    'a check of a view' => [ simple(q{INSERT INTO seen (p) VALUES ('{v}')}) ],
    'an error: quotes that match by chance' => [ simple(q{INSERT INTO t (p) VALUES ('the dogs' {v} bed', 'it')}) ],
    'a parameter of two lines' => [ bound('SELECT 1 / (length($1::text) - length($1::text))', "two\nwhile %s waits") ],
    'a statement of two lines in a function' => [ simple(qq{DO \$x\$BEGIN EXECUTE E'SELECT 1 AS "a"\nwhile {v}, 1 / 0'; END\$x\$}) ],
    'a text with quotes and lines in a function' => [ simple(qq{DO \$x\$BEGIN EXECUTE E'SELECT 1 / (length(''"a"\nSQL {v}\n'') - length(''"a"\nSQL {v}\n''))'; END\$x\$}) ],
    'a column of COPY with quotes and lines' => [ sub { my ($v) = @_; $node->psql('shop', qq{COPY t (p) FROM STDIN CSV;\nx,"a ""b""\nSQL $v"\n\\.\n}, extra_params => [ '-U', 'oms' ]); return []; } ],
    'a plan at another level' => [ as_auditor("SET auto_explain.log_level = warning", q{SELECT '{v}' FROM t}) ],
    'a fraction in a plan' => [ simple('SELECT 1 FROM t WHERE id > 0.{v}'), 'number' ],
    'what is parsed' => [ as_auditor("SET log_min_messages = debug2", q{SELECT '{v}'}) ],
    'memory of a prepared statement' => [ as_auditor(q{PREPARE m AS SELECT '{v}' FROM t}, 'SELECT pg_log_backend_memory_contexts(pg_backend_pid())') ],
    'a command of replication' => [ sub { my ($v) = @_; $node->psql('shop', qq{START_REPLICATION SLOT none LOGICAL 0/0 ("a" '$v')}, replication => 'database'); return []; } ],
    'a deadlock of statements that are analysed' => [ \&early_deadlock, 'number' ],
    'a deadlock' => [ \&deadlock ],
    'a wait for a lock' => [ \&lock_wait ],
    'a crash' => [ \&crash ],
);

# Two sessions, each with a row that the other wants.
sub deadlock
{
    my ($v) = @_;
    my @pair = map { SdesProtocol->new($node, 'oms', 'shop') } 1, 2;
    $_->query('BEGIN') for @pair;
    $pair[0]->query("UPDATE t SET p = p WHERE p = 'first'");
    $pair[1]->query("UPDATE t SET p = p WHERE p = 'second'");
    my $other = start_query($node, 'oms', "BEGIN; UPDATE t SET n = 1 WHERE p IN ('second') AND '$v' <> ''; UPDATE t SET n = 1 WHERE p = 'first' AND '$v' <> ''", 'shop');
    $pair[1]->query('ROLLBACK');
    sleep 0.5;
    my @got = $pair[0]->query("UPDATE t SET n = 2 WHERE p = 'second' AND '$v' <> ''");
    $pair[0]->query('ROLLBACK');
    finish_query($other);
    ok((grep { $_->[0] eq 'E' && $_->[1] eq '40P01' } @got) || $other->{err} =~ /40P01/, 'there was a deadlock');
    return [];
}

# Two sessions that wait before anybody could see their statements.
sub early_deadlock
{
    my ($v) = @_;
    my @pair = map { SdesProtocol->new($node, 'oms', 'shop') } 1, 2;
    $pair[0]->query('BEGIN; LOCK one');
    $pair[1]->query('BEGIN; LOCK other');
    $pair[0]->send_query("SELECT FROM other WHERE n = $v");
    my @got = $pair[1]->query("SELECT FROM one WHERE n = $v");
    $pair[1]->query('ROLLBACK');
    push @got, $pair[0]->answer;
    is(scalar(grep { $_->[0] eq 'E' && $_->[1] eq '40P01' } @got), 1, 'there was a deadlock while statements were analysed');
    return [];
}

sub lock_wait
{
    my ($v) = @_;
    my $holder = SdesProtocol->new($node, 'oms', 'shop');
    $holder->query("BEGIN; UPDATE t SET n = 3 WHERE p = 'first'");
    my $waiter = start_query($node, 'oms', "SET lock_timeout = 500; UPDATE t SET n = 4 WHERE p = 'first' AND '$v' <> ''", 'shop');
    finish_query($waiter);
    $holder->query('ROLLBACK');
    return [];
}

# The postmaster says what a process that crashed was doing.
sub crash
{
    my ($v) = @_;
    my $log = join '', map { slurp_file($_) } logs();
    my $victim = start_query($node, 'oms', "SELECT pg_sleep(60), '$v'", 'shop');
    my $pid = wait_for(sub { $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE application_name = '$victim->{name}' AND wait_event = 'PgSleep'") });
    kill 'KILL', $pid;
    finish_query($victim);
    ok(wait_for(sub { ($node->psql('postgres', 'SELECT 1'))[0] == 0 }), 'the server is back after a crash');
    return [];
}

# Values by way, of the run of that name; digits only where a number is wanted.
my $made = 0;

sub value_for
{
    my ($way) = @_;
    $made++;
    return ($ways{$way}[1] // '') eq 'number' ? '40' . (1_234_567_890 + 7_919 * $made) : sprintf('canary%04dqz', $made * 37 % 9973);
}

sub try_all
{
    my ($redact) = @_;
    my %value;
    $node->append_conf('postgresql.conf', "sdes.redact = $redact");
    $node->restart;
    unlink logs();
    $node->restart;
    $node->safe_psql('shop', 'SELECT pg_stat_statements_reset()');
    for my $way ((grep { $_ ne 'a crash' } sort keys %ways), 'a crash')
    {
        $texts = $node->safe_psql('shop', 'SELECT string_agg(query, chr(10)) FROM pg_stat_statements') if $way eq 'a crash';
        $oms = SdesProtocol->new($node, 'oms', 'shop');
        $value{$way} = value_for($way);
        $ways{$way}[0]->($value{$way});
        # What it leaves behind when it is idle.
        my $seen = $way eq 'a crash' ? '' : $node->safe_psql('shop', "SELECT string_agg(query, ' ') FROM pg_stat_activity WHERE query LIKE '%' || chr(99) || '%'");
        like($seen, qr/\Q$value{$way}\E/, "$way: off, pg_stat_activity shows it") if $redact eq 'off' && $way eq 'a literal';
        unlike($seen, qr/\Q$value{$way}\E/, "$way: not in pg_stat_activity") if $redact eq 'on' && $way ne 'a crash' && $way ne 'EXECUTE';
    }
    return \%value;
}

# ---- on, which is the default ----

is($node->safe_psql('postgres', 'SHOW sdes.redact'), 'on', 'it is on by default');
my $hidden = try_all('on');
my $log = collected();
for my $way (sort keys %$hidden)
{
    next if $way eq 'EXECUTE'; # it is the name of a statement there, see below
    is(find_leaks([ $hidden->{$way} ], logs()), '', "$way: in no log");
}
unlike($log, qr/\('canary|'\Q$hidden->{EXECUTE}\E'/, 'EXECUTE: nothing but a name');
# It keeps comments, which an application may want there.
my @in_texts = grep { $_ ne 'EXECUTE' && $_ ne 'a comment' && index($texts, $hidden->{$_}) >= 0 } sort keys %$hidden;
is("@in_texts", '', 'none is in the texts of pg_stat_statements');
like($texts, qr/INSERT INTO t \(e\) VALUES \(\$1\)/, 'which has statements');
$node->stop;
is(find_leaks([ map { $hidden->{$_} } grep { $_ ne 'EXECUTE' && $_ ne 'a comment' } keys %$hidden ], $node->data_dir . '/pg_stat', $node->data_dir . '/pg_stat_tmp'), '', 'nor in its files');
$node->start;

# What it has of a statement is gone when that ends: prepared before, or in a function.
my $again = SdesProtocol->new($node, 'auditor', 'shop');
$again->query($_) for "SET pg_stat_statements.track = 'all'", "PREPARE k AS SELECT count(*) FROM t WHERE p = 'prepared before' AND n = 7654321", 'EXECUTE k',
    q{CREATE FUNCTION kept() RETURNS bigint LANGUAGE plpgsql AS $$BEGIN RETURN (SELECT count(*) FROM t WHERE p = 'in a function'); END$$}, 'SELECT kept()',
    'SELECT pg_stat_statements_reset()', 'EXECUTE k', 'SELECT kept()';
$texts = $node->safe_psql('shop', 'SELECT string_agg(query, chr(10)) FROM pg_stat_statements');
unlike($texts, qr/prepared before|7654321|in a function/, 'after a reset it has no value either');
like($texts, qr/SELECT count\(\*\) FROM t WHERE p = \$1 AND n = \$2/, 'but the statement');
$again->query('SET sdes.redact = off');
$again->query($_) for 'SELECT pg_stat_statements_reset()', 'EXECUTE k', 'SELECT kept()';
$texts = $node->safe_psql('shop', 'SELECT string_agg(query, chr(10)) FROM pg_stat_statements');
like($texts, qr/$_/, "off, it has the value: $_") for 'prepared before', 'in a function';

# What is left is of use.
like($log, qr/ LOG:  00000: statement: INSERT INTO t \(e\) VALUES \(\$1\)$/m, 'the log has the statement');
like($log, qr/ LOG:  00000: duration: [\d.]+ ms$/m, 'and its duration');
like($log, qr/ LOG:  00000: duration: [\d.]+ ms  plan:\n\s*Query Text: INSERT INTO t \(e\) VALUES \(\$1\)\n\s*Insert on t  \(cost=0\.00\.\.0\.\d+ rows=0 width=0\)/, 'a plan with its costs');
like($log, qr/ LOG:  00000: execute <unnamed>: INSERT INTO t \(e\) VALUES \(\$1\)$/m, 'a prepared statement');
like($log, qr/ ERROR:  22P02: invalid input syntax for type .*: "\.\.\."\n.*STATEMENT:  SELECT \$1::int$/ms, 'an error, its SQLSTATE and its statement');
like($log, qr/ ERROR:  23505: duplicate key value violates unique constraint "t_p_key"$/m, 'which constraint');
like($log, qr/ ERROR:  42501: permission denied to encrypt.*STATEMENT:  INSERT INTO t \(e, p\) VALUES \(\$1, \$2\)$/ms, 'a refusal of sdes');
like($log, qr/CONTEXT:  COPY t, line 1, column n$/m, 'which line of COPY');
like($log, qr/QUERY:  SELECT \$1::int\n.*CONTEXT:  PL\/pgSQL function fail\(text\) line 1 at EXECUTE$/m, 'which function');
like($log, qr/CONTEXT:  SQL statement\n\s*PL\/pgSQL function divide\(text\) line 1 at EXECUTE$/m, 'which of its statements');
like($log, qr/DETAIL:  Process \d+ waits for ShareLock on transaction \d+; blocked by process \d+\.\n.*UPDATE t SET n = \$1 WHERE p = \$2/s, 'who is in a deadlock');
like($log, qr/CONTEXT:  JSON data, line 1\n\s*PL\/pgSQL function parse\(text\) line 1 at RETURN$/m, 'which function was given JSON');
like($log, qr/DETAIL:  Process (\d+) waits for \w+ on relation \d+ of database \d+; blocked by process (\d+)\.\n\tProcess \2 waits .*\n\tProcess \1: SELECT FROM one WHERE n = \$1\n\tProcess \2: SELECT FROM other WHERE n = \$1$|DETAIL:  Process (\d+) waits for \w+ on relation \d+ of database \d+; blocked by process (\d+)\.\n\tProcess \4 waits .*\n\tProcess \3: SELECT FROM other WHERE n = \$1\n\tProcess \4: SELECT FROM one WHERE n = \$1$/m, 'or in one of statements that were not analysed yet');
like($log, qr/ LOG:  00000: received replication command: START_REPLICATION SLOT none LOGICAL \$1\/\$2 \("a" \$3\)$/m, 'what a replica asked for');
like($log, qr/ LOG:  00000: level: \d+; CachedPlanSource: \d+ total .* used: PREPARE m AS SELECT \$1 FROM t$/m, 'whose memory');
like($log, qr/Failed process was running: SELECT pg_sleep\(\$1\), \$2/, 'what crashed');

# The client knows what it sent.
my ($error) = grep { $_->[0] eq 'E' } SdesProtocol->new($node, 'oms', 'shop')->query("SELECT 'mine alone'::int");
is($error->[2], 'invalid input syntax for type integer: "mine alone"', 'the client gets its message whole');
like(error_as($node, 'oms', q{SELECT fail('mine alone')}, 'shop'), qr/QUERY:  SELECT 'mine alone'::int/, 'with its query');
like(error_as($node, 'oms', q{SELECT divide('first')}, 'shop'), qr/CONTEXT:  SQL statement "SELECT 1 \/ \(length\('first'\)/, 'and its context');

# What no analysis sees is not shown either.
my $idle = SdesProtocol->new($node, 'oms', 'shop');
$idle->query(q{/* pid */ SELECT set_config('application_name', 'idle', false)});
my $shown_of_idle = sub { return $node->safe_psql('postgres', q{SELECT query FROM pg_stat_activity WHERE application_name = 'idle'}); };
$idle->query('-- a comment alone');
like($shown_of_idle->(), qr/^\s*$/, 'a comment alone');
$idle->query(q{SELECT ('the dogs' and 1 cats' bed', 'it')});
is($shown_of_idle->(), 'SELECT (...', 'quotes that match by chance');
my $silent = SdesProtocol->new($node, 'auditor', 'shop');
$silent->query(q{SET log_min_messages = panic; SET application_name = 'silent'});
$silent->query('BEGIN; SAVEPOINT a');
$silent->query(q{SELECT nothing, 'not seen'});
is($node->safe_psql('postgres', q{SELECT query FROM pg_stat_activity WHERE application_name = 'silent'}), 'SELECT nothing, ...', 'an error after a savepoint that is not logged');

# A session logs for months: what is written for the log is kept nowhere.
my $long = SdesProtocol->new($node, 'auditor', 'shop');
my $memory = sub { my ($row) = grep { $_->[0] eq 'D' } $long->query(q{SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name IN ('ErrorContext', 'sdes log')}); return $row->[1]; };
$long->query('SET debug_print_parse = off; SET debug_print_rewritten = off; SET debug_print_plan = off; SET auto_explain.log_min_duration = -1');
$long->query('SELECT 1, ' . ("'x'," x 1000) . ' 2');
my $at_first = $memory->();
$long->query('SELECT 1, ' . ("'x'," x 1000) . ' 2') for 1 .. 50;
is($memory->(), $at_first, 'no memory is kept for what was logged');

# While a statement runs, in parallel workers too.
my $running = start_query($node, 'oms', "SELECT pg_sleep(20), 'while it runs'", 'shop');
like(wait_for(sub { $node->safe_psql('postgres', "SELECT query FROM pg_stat_activity WHERE application_name = '$running->{name}' AND wait_event = 'PgSleep'") }),
    qr/^SELECT pg_sleep\(\$1\), \$2$/, 'a running statement is shown without its constants');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '$running->{name}'");
finish_query($running);
my $slow = start_query($node, 'oms', qq{SET $FORCE = on;
    SELECT count(*) FROM t WHERE p <> 'in parallel' AND pg_sleep(5) IS NOT NULL}, 'shop');
like(wait_for(sub { $node->safe_psql('postgres', q{SELECT query FROM pg_stat_activity WHERE backend_type = 'parallel worker' AND wait_event = 'PgSleep' LIMIT 1}) }),
    qr/WHERE p <> \$1 AND pg_sleep\(\$2\)/, 'and in its parallel workers');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '$slow->{name}'");
finish_query($slow);

like(error_as($node, 'oms', 'SET sdes.redact = off', 'shop'), qr/42501/, 'only a superuser may turn it off');

# ---- off: each way does lead into the log ----

my $shown = try_all('off');
collected();
for my $way (sort keys %$shown)
{
    isnt(find_leaks([ $shown->{$way} ], logs()), '', "$way: off, it is in the log") if ($ways{$way}[1] // '') ne 'hidden';
}
# PostgreSQL 17 takes the constants out of more of them by itself.
my $version = $node->safe_psql('postgres', 'SHOW server_version_num');
for my $way ('DO', 'a default', 'COPY of a query', $version < 170_000 ? ('CALL', 'a cursor', 'CREATE TABLE AS') : ())
{
    cmp_ok(index($texts, $shown->{$way}), '>=', 0, "$way: off, it is in pg_stat_statements");
}

$node->stop;
done_testing();
