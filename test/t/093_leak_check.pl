# 093_leak_check.pl
#     sdes.leak_check(): a server that is as it should be has no leak of note; each kind of
#     leak is made, is in the list, and is gone once what its row says was done.

use strict;
use warnings;
use IO::Socket::INET;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use Test::More;

my $node = new_cluster('leaks', init => { allows_streaming => 'logical' });
my $tmp = $PostgreSQL::Test::Utils::tmp_check;
new_shop($node);

sub value { my ($sql) = @_; return $node->safe_psql('shop', $sql); }

# All rows, of a kind and object or of all: [ severity, leak, object, detail, remedy ].
sub leaks
{
    my ($leak, $object) = @_;
    my @rows = map { [ split /\|/, $_, 5 ] } split /\n/, value('SELECT * FROM sdes.leak_check()');
    return grep { (!defined $leak || $_->[1] eq $leak) && (!defined $object || $_->[2] eq $object) } @rows;
}

sub clean_ok
{
    my ($name) = @_;
    is(join("\n", map { "@$_" } grep { $_->[0] ne 'low' } leaks()), '', $name);
    return;
}

# What a leak is made by, where it is then, and how bad; it ends by the SQL that its remedy
# is, or by the given one if that is prose.
sub leak_ok
{
    my ($made_by, $severity, $leak, $object, %opts) = @_;
    my $name = $opts{name} // "$leak, $object";
    is(scalar leaks($leak, $object), 0, "$name: not there before");
    value($_) for ref $made_by ? @$made_by : $made_by;
    # A reload takes a moment.
    my @rows;
    wait_for(sub { @rows = leaks($leak, $object) }, 10);
    is(scalar @rows, 1, "$name: is found") or return;
    is($rows[0][0], $severity, "$name: is $severity");
    like($rows[0][3], $opts{detail} // qr/./, "$name: is described");
    like($rows[0][4], $opts{remedy} // qr/./, "$name: has a remedy");
    value($opts{ended_by} // $rows[0][4]);
    ok(wait_for(sub { !leaks($leak, $object) }, 10), "$name: is gone after that");
    return;
}

clean_ok('a new shop has no leak of note');
my ($mirror) = leaks('audit', 'sdes.audit_mirror');
is($mirror->[0], 'low', 'that its journal is in one place is one');

# ---- who may look ----

value('CREATE ROLE auditor LOGIN; GRANT sdes_auditor TO auditor');
is(query_as($node, $_, 'SELECT count(*) FROM sdes.leak_check()', 'shop'), scalar leaks(), "$_ may look") for qw(dba security auditor);
like(error_as($node, 'oms', 'SELECT * FROM sdes.leak_check()', 'shop'), qr/42501/, 'others may not');
like(error_as($node, 'dba', "SELECT * FROM sdes.$_", 'shop'), qr/42501/, "nobody else calls $_") for 'server_leaks()', 'keeps_plain_text((SELECT adbin FROM pg_attrdef LIMIT 1))';

# ---- what is stored of a row ----

value(<<'SQL');
CREATE TABLE people (id int PRIMARY KEY, email sdes.enc_text('customer_pii', 'searchable'), mails sdes.enc_text('customer_pii')[],
    plain text DEFAULT 'none' CHECK (plain <> 'x'), dear sdes.enc_text('customer_pii') DEFAULT 'friend');
CREATE DOMAIN mail AS sdes.enc_text('customer_pii', 'searchable');
CREATE TABLE others (id int, email mail);
CREATE FUNCTION opened(sdes.enc_text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1::text; END';
CREATE FUNCTION opened(others) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1.email::text; END';
CREATE FUNCTION same(sdes.enc_text, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1::text = $2; END';
CREATE OPERATOR === (FUNCTION = same, LEFTARG = sdes.enc_text, RIGHTARG = text);
SQL
# None of these keeps plaintext.
value(<<'SQL');
CREATE INDEX ON people (email);
CREATE INDEX ON people (lower(plain)) WHERE plain LIKE 'a%' AND email = 'sealed';
CREATE STATISTICS harmless ON id, lower(plain) FROM people;
CREATE VIEW few AS SELECT id, email FROM people WHERE email = 'sealed' AND plain = 'x' AND email::text LIKE '%@example.org';
CREATE MATERIALIZED VIEW sealed AS SELECT id, email FROM people;
CREATE TABLE plain (t text, u text GENERATED ALWAYS AS (upper(t)) STORED);
CREATE FUNCTION moves(int) RETURNS void LANGUAGE sql AS 'INSERT INTO others SELECT id, email FROM people WHERE id = $1';
SQL
clean_ok('nor has one with indexes, views and functions that keep ciphertext');
is(join("\n", map { "@$_" } grep { $_->[2] ne 'sdes.audit_mirror' } leaks()), '', 'and none at all');

leak_ok('CREATE INDEX bad ON people (opened(email))', 'high', 'index', 'public.bad');
leak_ok(q{CREATE INDEX bad ON people (id) WHERE opened(email) = 'x'}, 'high', 'index', 'public.bad', name => 'index predicate');
leak_ok(q{CREATE INDEX bad ON people (id) WHERE email === 'x'}, 'high', 'index', 'public.bad', name => 'index by an operator');
leak_ok('CREATE UNIQUE INDEX bad ON others (opened(others))', 'high', 'index', 'public.bad', name => 'index of a row, with a domain');
leak_ok('ALTER TABLE people ADD clear text GENERATED ALWAYS AS (opened(email)) STORED', 'high', 'generated column', 'public.people.clear');
leak_ok("CREATE TABLE spread (email sdes.enc_text('customer_pii')) PARTITION BY LIST (opened(email))", 'high', 'partition key',
    'public.spread', ended_by => 'DROP TABLE spread', remedy => qr/partitioned by HASH or LIST/);
leak_ok('CREATE STATISTICS bad ON lower(email::text), id FROM people', 'low', 'statistics', 'public.bad');
leak_ok([ 'CREATE VIEW clear AS SELECT email::text FROM people', 'CREATE MATERIALIZED VIEW bad AS SELECT email FROM clear WITH NO DATA' ],
    'low', 'materialized view', 'public.bad');
value('DROP VIEW clear');
leak_ok('CREATE RULE bad AS ON INSERT TO people DO ALSO INSERT INTO plain VALUES (NEW.email::text)', 'low', 'rule', 'bad on public.people');

# ---- what functions store, by their text ----

sub body { my ($cast) = @_; return "BEGIN NEW.plain := NEW.email$cast; RETURN NEW; END"; }
sub set_function { my ($head, $body) = @_; return "CREATE OR REPLACE FUNCTION $head AS \$f\$ $body \$f\$"; }
my $TRIGGER = 'bad_trigger() RETURNS trigger LANGUAGE plpgsql';
leak_ok([ set_function($TRIGGER, body('::text')), 'CREATE TRIGGER bad BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION bad_trigger()' ],
    'low', 'trigger', 'bad on public.people', detail => qr/a hint: public\.bad_trigger\(\)/,
    ended_by => set_function($TRIGGER, 'BEGIN NEW.dear := NEW.email; RETURN NEW; END'));
my %BODIES = (
    'bad()' => 'INSERT INTO plain SELECT email::text FROM people',
    'bad_cast()' => 'INSERT INTO plain SELECT CAST(email AS varchar(20)) FROM people',
    'bad_update()' => 'UPDATE plain SET t = email::text FROM people',
);
for my $function (sort keys %BODIES)
{
    leak_ok(set_function("$function RETURNS void LANGUAGE sql", $BODIES{$function}), 'low', 'function', "public.$function",
        ended_by => set_function("$function RETURNS void LANGUAGE sql", 'INSERT INTO others (email) SELECT email FROM people'));
}
leak_ok('CREATE FUNCTION bad_atomic() RETURNS void BEGIN ATOMIC INSERT INTO plain SELECT email::text FROM people; END', 'low', 'function',
    'public.bad_atomic()', ended_by => 'DROP FUNCTION bad_atomic()');

my $TAKES = 'takes(text) RETURNS void LANGUAGE plpgsql';
leak_ok(set_function($TAKES, q{BEGIN PERFORM set_config('sdes.accept_ciphertext', 'on', true); INSERT INTO others VALUES (1, $1::mail); END}),
    'medium', 'ciphertext input', 'public.takes(text)', ended_by => set_function($TAKES, 'BEGIN INSERT INTO others VALUES (1, $1::mail); END'));

# ---- constants ----

my %CONSTANTS = (
    'view public.bad_view' => [ q{CREATE OR REPLACE VIEW bad_view AS SELECT id FROM people WHERE %s}, q{email::text = 'plain'}, q{email = 'sealed'} ],
    'view public.bad_list' => [ q{CREATE OR REPLACE VIEW bad_list AS SELECT id FROM people WHERE %s}, q{email::text IN ('plain', 'other')}, q{email IN ('sealed', 'other')} ],
    'view public.bad_cast' => [ q{CREATE OR REPLACE VIEW bad_cast AS SELECT id FROM people WHERE %s}, q{email = 'plain'::text}, q{email = 'sealed'} ],
    'view public.bad_inner' => [ q{CREATE OR REPLACE VIEW bad_inner AS SELECT id FROM others WHERE id IN (SELECT id FROM people WHERE %s)},
        q{sdes.reveal(email) <> 'plain'}, q{email <> 'sealed'} ],
    'default of public.people.dear' => [ 'ALTER TABLE people ALTER dear SET DEFAULT %s', q{'plain'::text}, q{'sealed'} ],
    'constraint bad of public.people' => [ 'ALTER TABLE people DROP CONSTRAINT IF EXISTS bad, ADD CONSTRAINT bad CHECK (%s)',
        q{email::text <> 'plain'}, q{email <> 'sealed'} ],
    'policy bad on public.people' => [ 'DROP POLICY IF EXISTS bad ON people; CREATE POLICY bad ON people USING (%s)',
        q{email::text = 'plain'}, q{email = 'sealed'} ],
    'trigger bad2 on public.people' => [ 'CREATE OR REPLACE TRIGGER bad2 BEFORE INSERT ON people FOR EACH ROW WHEN (%s) EXECUTE FUNCTION bad_trigger()',
        q{NEW.email::text = 'plain'}, q{NEW.email = 'sealed'} ],
    'index public.bad' => [ 'DROP INDEX IF EXISTS bad; CREATE INDEX bad ON people (id) WHERE %s', q{email = 'plain'::text}, q{email = 'sealed'} ],
    'function public.bad_body(integer)' => [ 'CREATE OR REPLACE FUNCTION bad_body(int) RETURNS boolean RETURN (SELECT %s FROM people WHERE id = $1)',
        q{email::text = 'plain'}, q{email = 'sealed'} ],
    'domain public.bad_domain' => [ q{DROP DOMAIN IF EXISTS bad_domain; CREATE DOMAIN bad_domain AS sdes.enc_text('customer_pii') DEFAULT %s}, q{'plain'::text}, q{'sealed'} ],
);
for my $object (sort keys %CONSTANTS)
{
    my ($form, $plain, $sealed) = @{ $CONSTANTS{$object} };
    leak_ok(sprintf($form, $plain), 'low', 'constant', $object, ended_by => sprintf($form, $sealed), remedy => qr/without a cast/);
}

# ---- what travels ----

leak_ok('CREATE PUBLICATION bad FOR ALL TABLES', 'medium', 'publication', 'bad', ended_by => 'DROP PUBLICATION bad; CREATE PUBLICATION bad FOR TABLE people',
    remedy => qr/^DROP PUBLICATION bad; /);
leak_ok('CREATE PUBLICATION keys FOR TABLE sdes.dek, people', 'low', 'publication', 'keys',
    ended_by => 'ALTER PUBLICATION keys DROP TABLE sdes.dek', remedy => qr/^ALTER PUBLICATION keys DROP TABLE sdes\.dek;/);
value(q{CREATE EXTENSION postgres_fdw; CREATE SERVER there FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'nowhere')});
leak_ok('CREATE FOREIGN TABLE away (id int, email mail) SERVER there', 'low', 'foreign table', 'public.away',
    remedy => qr/ALTER SERVER there OPTIONS \(ADD options '-c sdes\.accept_ciphertext=on'\)/,
    ended_by => q{ALTER SERVER there OPTIONS (ADD options '-c sdes.accept_ciphertext=on')});

# Another address of this host, by which it would reach others; nothing is sent.
sub own_address
{
    my $socket = IO::Socket::INET->new(Proto => 'udp', PeerAddr => '192.0.2.1', PeerPort => 9);
    return $socket && $socket->sockhost !~ /^127\./ ? $socket->sockhost : undef;
}
SKIP:
{
    my $address = own_address();
    skip 'this host has no address but that of itself', 4 if !defined $address;
    my $hba = slurp_file($node->data_dir . '/pg_hba.conf');
    my $port = PostgreSQL::Test::Cluster::get_free_port();
    set_conf($node, listen_addresses => $address, port => $port);
    $node->stop;
    $node->{_port} = $port;
    append_to_file($node->data_dir . '/pg_hba.conf', "host all all $address/32 trust\n");
    $node->start;
    my @psql = ('psql', '-X', '-A', '-t', '-d', "host=$address port=$port dbname=shop user=oms");
    my ($in, $out, $err) = ('', '', '');
    my $remote = IPC::Run::start([ @psql, '-c', 'SELECT pg_sleep(600)' ], '<', \undef, '>', \$out, '2>', \$err);
    ok(wait_for(sub { leaks('connection', "oms from $address") }), 'connection: is found') or diag($err);
    my ($row) = leaks('connection');
    is($row->[0], 'medium', 'connection: is medium');
    like($row->[4], qr/hostssl.*end the session/, 'connection: has a remedy');
    my $tls = $hba . "hostssl all all $address/32 trust\n";
    unlink $node->data_dir . '/pg_hba.conf';
    append_to_file($node->data_dir . '/pg_hba.conf', $tls);
    value('SELECT pg_reload_conf(); SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE client_addr IS NOT NULL');
    $remote->finish;
    my ($again) = run_command([ @psql, '-c', 'SELECT 1' ]);
    is("$again" . scalar leaks('connection'), '0', 'connection: is gone after that, for good');
}

# ---- the audit ----

leak_ok(q{SELECT sdes.set_audit('payment', 'async')}, 'low', 'audit', 'bucket payment');

# ---- settings ----

# While the log is redacted, nothing that writes to it is a leak.
my %LOGS = (
    log_statement => 'all', log_min_duration_statement => 0, log_min_duration_sample => '10ms', log_transaction_sample_rate => '0.5',
    log_parameter_max_length_on_error => -1, debug_print_parse => 'on', debug_print_rewritten => 'on', debug_print_plan => 'on',
    'auto_explain.log_min_duration' => 0, 'pg_stat_statements.track_utility' => 'on',
);
set_conf($node, shared_preload_libraries => 'auto_explain, pg_stat_statements, sdes', 'pg_stat_statements.track_utility' => 'off');
$node->restart;
value("ALTER SYSTEM SET $_ = '$LOGS{$_}'") for keys %LOGS;
value('SELECT pg_reload_conf(), pg_sleep(1)');
clean_ok('settings that log statements are none while the log is redacted');
value("ALTER SYSTEM RESET $_") for keys %LOGS;
leak_ok('ALTER SYSTEM SET sdes.redact = off; SELECT pg_reload_conf()', 'high', 'redaction', 'sdes.redact', remedy => qr/^ALTER SYSTEM SET sdes\.redact = 'on';/);
leak_ok("ALTER $_ SET sdes.redact = off", 'high', 'redaction', "sdes.redact of $_", remedy => qr/^ALTER \Q$_\E RESET sdes\.redact$/)
    for 'ROLE oms', 'DATABASE shop', 'ROLE oms IN DATABASE shop', 'ROLE ALL';
value('CREATE DATABASE away; ALTER DATABASE away SET sdes.redact = off');
is(scalar leaks('redaction'), 0, 'settings of another database are for its own list');
is(value(q{SET sdes.redact = off; SELECT count(*) FROM sdes.leak_check() WHERE severity = 'high'}), '0', 'a setting of a session is its own affair');
value('ALTER SYSTEM SET sdes.redact = off; ALTER SYSTEM SET log_statement = none; SELECT pg_reload_conf(), pg_sleep(1)');
for my $name (sort keys %LOGS)
{
    my $leak = $name =~ /^pg_stat/ ? 'statement statistics' : 'statement log';
    leak_ok("ALTER SYSTEM SET $name = '$LOGS{$name}'; SELECT pg_reload_conf()", 'high', $leak, $name);
}
leak_ok("ALTER DATABASE shop SET log_statement = 'mod'", 'high', 'statement log', 'log_statement of DATABASE shop');
value('ALTER SYSTEM RESET ALL; SELECT pg_reload_conf()');
ok(wait_for(sub { !leaks('redaction') }), 'the log is redacted again');

# ---- what takes a restart ----

# Starts the server with settings, and once more with others: the leaks are there between.
sub restart_ok
{
    my ($made_by, $ended_by, $name, @rows) = @_;
    $made_by->();
    $node->start;
    for (@rows)
    {
        my ($severity, $leak, $object) = @$_;
        my @found = leaks($leak, $object);
        is(join(' ', map { $_->[0] } @found), $severity, "$name: $leak, $object is $severity");
    }
    $node->stop;
    $ended_by->();
    $node->start;
    is(join(' ', map { scalar leaks($_->[1], $_->[2]) } @rows), join(' ', map { 0 } @rows), "$name: all are gone after that");
    $node->stop;
    return;
}

$node->stop;
my $inside = $node->data_dir . '/audit';
my $shim = "$tmp/dumpable.so";
system_or_bail('cc', '-shared', '-fPIC', '-O1', '-D_GNU_SOURCE', '-o', $shim, 'test/programs/dumpable.c');
restart_ok(
    sub {
        mkdir $inside or die "$inside: $!";
        chmod 0750, $node->data_dir;
        set_conf($node, shared_preload_libraries => 'sdes, "$libdir/pg_stat_statements", auto_explain', 'sdes.audit_directory' => $inside,
            shared_memory_type => 'sysv', 'pg_stat_statements.track_utility' => 'on');
        $ENV{LD_PRELOAD} = $shim;
    },
    sub {
        system_or_bail('chmod', '-R', 'go=', $node->data_dir);
        mkdir "$tmp/audit.second" or die "audit.second: $!";
        set_conf($node, shared_preload_libraries => 'pg_stat_statements, auto_explain, sdes', 'sdes.audit_directory' => '',
            shared_memory_type => 'mmap', 'sdes.audit_mirror' => "$tmp/audit.second");
        delete $ENV{LD_PRELOAD};
    },
    'a server in a bad state',
    [ 'high', 'memory', 'processes' ], [ 'medium', 'memory', 'shared memory' ], [ 'low', 'audit', 'sdes.audit_directory' ],
    [ 'low', 'audit', 'sdes.audit_mirror' ], [ 'low', 'data directory', $node->data_dir ], [ 'medium', 'preload order', 'pg_stat_statements' ],
    [ 'low', 'preload order', 'auto_explain' ]);
restart_ok(sub { set_conf($node, shared_preload_libraries => '') }, sub { set_conf($node, shared_preload_libraries => 'sdes') },
    'without sdes', [ 'high', 'preload', 'shared_preload_libraries' ]);

$node->start;
clean_ok('at the end there is no leak of note');
$node->stop;
done_testing();
