# 085_dump_matrix.pl
#     Every form of a dump by every kind of role: it holds ciphertext only, comes back
#     byte for byte, with keys, buckets and grants, and its indexes find at once what
#     they found before. Into other databases, clusters, and HSMs.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesFaults;
use Test::More;

my $ROWS = soak(40, 2000);
my $node = new_cluster('matrix', conf => "log_statement = none\nfsync = off\n");
my $dir = $node->basedir;
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE boss SUPERUSER LOGIN;
CREATE ROLE owner LOGIN;
CREATE ROLE reader LOGIN;
CREATE ROLE support LOGIN;
CREATE ROLE stranger LOGIN;
CREATE ROLE oms LOGIN;
GRANT pg_read_all_data TO reader, support;
CREATE DATABASE shop OWNER owner;
SQL
$node->safe_psql('shop', <<'SQL');
CREATE EXTENSION sdes;
SELECT sdes.create_bucket(b) FROM unnest('{pii,payment}'::text[]) AS b;
SELECT sdes.create_bucket('vault', mode => 'hsm');
-- A copy of a database would re-encrypt what it has.
SELECT sdes.pause_rotation(b) FROM unnest('{pii,payment,vault}'::text[]) AS b;
SELECT sdes.grant_access(b, 'oms', '{encrypt,search,decrypt}') FROM unnest('{pii,payment,vault}'::text[]) AS b;
SELECT sdes.grant_access(b, 'reader', '{decrypt}') FROM unnest('{pii,payment,vault}'::text[]) AS b;
SELECT sdes.grant_access(b, 'support', '{mask}') FROM unnest('{pii,payment,vault}'::text[]) AS b;
GRANT ALL ON SCHEMA public TO owner;
SET ROLE owner;
CREATE DOMAIN mail AS sdes.enc_text('pii') CHECK (VALUE::text LIKE '%@%');
CREATE TYPE address AS (street sdes.enc_text('pii'), zip text);
CREATE TABLE customers (id int PRIMARY KEY,
    email sdes.enc_text('pii', 'searchable') NOT NULL UNIQUE CHECK (email::text LIKE '%@%'),
    login sdes.enc_text('pii', 'searchable_ci'), card sdes.enc_pan('payment', 'searchable'),
    status sdes.enc_text('pii', 'searchable') DEFAULT 'canary-default' CHECK (status IN ('canary-default', 'open')),
    phones sdes.enc_text('pii')[], contact mail, home address, secret sdes.enc_text('vault'), big sdes.enc_text('pii'));
CREATE INDEX customers_login ON customers (login sdes.enc_text_ci_ops);
CREATE INDEX customers_card ON customers USING hash (card);
CREATE TABLE orders (id int PRIMARY KEY, email sdes.enc_text('pii', 'searchable') REFERENCES customers (email), note sdes.enc_text('pii'));
CREATE TABLE events (id int, who sdes.enc_text('pii', 'searchable')) PARTITION BY HASH (who);
CREATE TABLE events_0 PARTITION OF events FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE events_1 PARTITION OF events FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE INDEX events_who ON events (who);
CREATE TABLE places (id int, name sdes.enc_text('pii'));
CREATE TABLE towns (size int) INHERITS (places);
CREATE TABLE notes (id int PRIMARY KEY, topic sdes.enc_text('pii', 'searchable'), body sdes.enc_text('pii') CHECK (length(body) > 2));
CREATE INDEX notes_topic ON notes (topic);
CREATE TABLE log (id int);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO public.log VALUES (CASE WHEN NEW.email::text <> '''' THEN NEW.id END); RETURN NEW; END';
CREATE TRIGGER note AFTER INSERT ON customers FOR EACH ROW EXECUTE FUNCTION note();
CREATE VIEW shown AS SELECT id, email, lower(login) AS login FROM customers;
GRANT ALL ON ALL TABLES IN SCHEMA public TO oms;
GRANT SELECT ON customers TO stranger;
RESET ROLE;
SELECT lo_from_bytea(4711, 'a large object');
GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC;
SQL
query_as($node, 'oms', <<"SQL", 'shop');
INSERT INTO customers SELECT i, 'canary-' || i || '\@example.org', 'Canary-Login-' || i, '4111 1111 1111 1111',
    CASE WHEN i % 3 = 0 THEN 'open' ELSE 'canary-default' END, ARRAY['canary-phone-' || i, NULL, ''],
    'canary-contact-' || i || '\@example.org', ROW(('canary-street-' || i)::sdes.enc_text('pii'), '86150')::address, 'canary-secret-' || i,
    CASE WHEN i <= 2 THEN 'canary-big' || repeat(md5(i::text), 1024 * 1024 / 32) END
    FROM generate_series(1, $ROWS) AS i;
INSERT INTO customers (id, email) VALUES (0, 'canary-alone\@example.org');
INSERT INTO orders SELECT i, 'canary-' || i || '\@example.org', 'canary-order-' || i FROM generate_series(1, $ROWS) AS i;
INSERT INTO events SELECT i, 'canary-event-' || i FROM generate_series(1, $ROWS) AS i;
INSERT INTO places SELECT i, 'canary-place-' || i FROM generate_series(1, 10) AS i;
INSERT INTO towns SELECT i, 'canary-town-' || i, i FROM generate_series(1, 10) AS i;
INSERT INTO notes SELECT i, 'canary-topic-' || i, 'canary-body-' || i FROM generate_series(1, $ROWS) AS i;
SQL
$node->safe_psql('shop', 'SET ROLE owner; CREATE MATERIALIZED VIEW seen AS SELECT id, email, card FROM customers');
my @CANARIES = ('canary-', 'Canary-', '4111 1111 1111 1111', '4111111111111111');

# SHA-256 over every encrypted datum, with what it belongs to.
my $NOTES = q{SELECT 'notes', id, sdes.enc_text_send(topic), sdes.enc_text_send(body) FROM notes};
my $DATA = <<"SQL";
SELECT 'customers', id, sdes.enc_text_send(email), sdes.enc_text_send(login), sdes.enc_pan_send(card), sdes.enc_text_send(status),
    (SELECT string_agg(coalesce(sdes.enc_text_send(p)::text, 'none'), ',' ORDER BY n) FROM unnest(phones) WITH ORDINALITY AS u(p, n)),
    sdes.enc_text_send(contact), sdes.enc_text_send((home).street), (home).zip, sdes.enc_text_send(secret), sdes.enc_text_send(big)
    FROM customers
SQL
my @MORE = (
    q{SELECT 'orders', id, sdes.enc_text_send(email), sdes.enc_text_send(note) FROM orders},
    q{SELECT tableoid::regclass, id, sdes.enc_text_send(who) FROM events},
    q{SELECT tableoid::regclass, id, sdes.enc_text_send(name) FROM places},
    q{SELECT 'seen', id, sdes.enc_text_send(email), sdes.enc_pan_send(card) FROM seen},
    q{SELECT 'log', count(*), count(DISTINCT id) FROM log},
    q{SELECT 'large', lo_get(4711)},
);

sub sha256
{
    my ($server, $database, @queries) = @_;
    my $rows = join ' UNION ALL ', map { "SELECT r::text AS row FROM ($_) AS r" } @queries;
    return $server->safe_psql($database, "SELECT count(*) || ' ' || encode(sha256(convert_to(string_agg(row, E'\\n' ORDER BY row COLLATE \"C\"), 'UTF8')), 'hex') FROM ($rows) AS rows");
}
my @ALL = ($DATA, @MORE, $NOTES);
my $sha256 = sha256($node, 'shop', @ALL);
my $notes = sha256($node, 'shop', $NOTES);
my $GRANTS = q{SELECT string_agg(concat_ws(' ', b.name, a.role, a.privilege), ', ' ORDER BY b.name, a.role, a.privilege)
    FROM sdes.access AS a JOIN sdes.bucket AS b ON b.uuid = a.bucket};
my $grants = $node->safe_psql('shop', $GRANTS);
# Names of buckets come with the keys; a column's modifier is a hash of its bucket's.
my $COLUMNS = q{SELECT string_agg(concat_ws(' ', attrelid::regclass, attname, atttypid::regtype, atttypmod), ', '
    ORDER BY attrelid::regclass::text COLLATE "C", attnum) FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND relkind IN ('r', 'p', 'm', 'v', 'c')};
my $NAMED = $COLUMNS =~ s/atttypid::regtype, atttypmod/format_type(atttypid, atttypmod)/r;
my ($columns, $named) = map { $node->safe_psql('shop', $_) } $COLUMNS, $NAMED;

# A query by that index, at once: the index, and the row.
sub found_ok
{
    my ($server, $database, $where, $index, $name) = @_;
    my ($table) = $index =~ /^([a-z]+)_/;
    my $plan = query_as($server, 'oms', "SET enable_seqscan = off; EXPLAIN (COSTS OFF) SELECT id FROM $table WHERE $where", $database);
    my $found = query_as($server, 'oms', "SELECT count(*), min(id) FROM $table WHERE $where", $database);
    return ok($plan =~ /(?:Index Scan using|Index Only Scan using|Bitmap Index Scan on) $index/ && $found eq '1|7',
        "$name: $index finds the row") || diag("$plan\n$found");
}

sub reads_ok
{
    my ($server, $database, $name) = @_;
    my $QUERY = 'SELECT email, phones[1], (home).street, secret FROM customers WHERE id = 7';
    is(query_as($server, 'reader', $QUERY, $database), 'canary-7@example.org|canary-phone-7|canary-street-7|canary-secret-7',
        "$name: who may decrypt reads it");
    like(query_as($server, 'support', 'SELECT email FROM customers WHERE id = 7', $database), qr/^c\*+$/, "$name: support sees a mask");
    like(query_as($server, 'stranger', 'SELECT email FROM customers WHERE id = 7', $database), qr/^sdes1:/, "$name: a stranger ciphertext");
    return;
}

sub whole_ok
{
    my ($server, $database, $name) = @_;
    is(sha256($server, $database, @ALL), $sha256, "$name: the ciphertext is the same");
    found_ok($server, $database, q{email = 'canary-7@example.org'}, 'customers_email_key', $name);
    found_ok($server, $database, q{lower(login) = 'canary-login-7'}, 'customers_login', $name);
    found_ok($server, $database, q{topic = 'canary-topic-7'}, 'notes_topic', $name);
    reads_ok($server, $database, $name);
    is($server->safe_psql($database, $GRANTS), $grants, "$name: grants are the same");
    is($server->safe_psql($database, $NAMED), $named, "$name: columns are the same");
    return;
}
whole_ok($node, 'shop', 'before');

# ---- forms and roles ----

my %ROLES = (boss => 'a superuser', owner => 'the owner', reader => 'who may decrypt', support => 'who sees masks');

# Of a dump: options, and whether pg_restore reads it. What is restored first is a form, too.
my %FORMS = (
    plain => { dump => [] },
    custom => { dump => [ '-Fc', '-Z0' ], archive => 1 },
    directory => { dump => [ '-Fd', '-j', '4', '-Z0' ], archive => 1, restore => [ '-j', '4' ] },
    inserts => { dump => [ '--inserts', '--rows-per-insert=10' ] },
    'column-inserts' => { dump => ['--column-inserts'] },
    'schema-only' => { dump => ['--schema-only'], as => 'schema' },
    'data-only' => { dump => [ '--data-only', '--disable-triggers' ], after => 'schema-only', finish => 'REFRESH MATERIALIZED VIEW seen' },
    keys => { dump => [ '--data-only', '-t', 'sdes.*' ], as => 'keys' },
    table => { dump => [ '-t', 'notes' ], after => 'keys', as => 'table' },
);

sub dump_file { return "$dir/" . join '.', @_ }

sub restore_ok
{
    my ($server, $database, $form, $file, $name) = @_;
    my @command = $FORMS{$form}{archive}
        ? ('pg_restore', '--exit-on-error', @{ $FORMS{$form}{restore} // [] }, '-U', 'boss', '-d', $server->connstr($database), $file)
        : ('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-U', 'boss', '-d', $server->connstr($database), '-f', $file);
    return ok($server->run_log(\@command), "$name: it is restored");
}

# What holds of a database that was restored from a form.
my %HOLDS = (
    whole => \&whole_ok,
    schema => sub {
        my ($server, $database, $name) = @_;
        is($server->safe_psql($database, $COLUMNS), $columns, "$name: columns are the same");
        is($server->safe_psql($database, 'SELECT count(*) FROM customers'), '0', "$name: there are no rows");
        is($server->safe_psql($database, 'SELECT count(*) FROM sdes.dek'), '0', "$name: and no keys");
    },
    keys => sub {
        my ($server, $database, $name) = @_;
        is($server->safe_psql($database, $GRANTS), $grants, "$name: grants are the same");
    },
    table => sub {
        my ($server, $database, $name) = @_;
        is(sha256($server, $database, $NOTES), $notes, "$name: the ciphertext is the same");
        found_ok($server, $database, q{topic = 'canary-topic-7'}, 'notes_topic', $name);
        is(query_as($server, 'reader', 'SELECT body FROM notes WHERE id = 7', $database), 'canary-body-7', "$name: who may decrypt reads it");
    },
);

for my $role (sort keys %ROLES)
{
    for my $form (sort keys %FORMS)
    {
        my $file = dump_file($form, $role);
        ok($node->run_log([ 'pg_dump', '-f', $file, @{ $FORMS{$form}{dump} }, '-U', $role, $node->connstr('shop') ]),
            "$form by $ROLES{$role}: it is dumped");
        is(find_leaks(\@CANARIES, $file), '', "$form by $ROLES{$role}: it holds no plaintext");
    }
    for my $form (grep { !$FORMS{$_}{as} || $_ eq 'table' } sort keys %FORMS)
    {
        my $database = "from_$form";
        $database =~ tr/-/_/;
        $node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0");
        $node->safe_psql($database, 'CREATE EXTENSION sdes') if $form eq 'table';
        for my $part (grep { defined } $FORMS{$form}{after}, $form)
        {
            my $name = "$part by $ROLES{$role}";
            my $restored = restore_ok($node, $database, $part, dump_file($part, $role), $name);
            $node->safe_psql($database, $FORMS{$part}{finish}) if $restored && $FORMS{$part}{finish};
            $restored
                and $HOLDS{ $FORMS{$part}{as} // 'whole' }->($node, $database, $name);
        }
        $node->safe_psql('postgres', "DROP DATABASE $database WITH (FORCE)");
    }
}

# That the search finds what there is.
append_to_file("$dir/planted", 'INSERT INTO customers VALUES (7, \'canary-7@example.org\')');
isnt(find_leaks(\@CANARIES, "$dir/planted"), '', 'plaintext in a dump would be found');
isnt(find_leaks(['a large object'], dump_file('custom', 'boss')), '', 'also in an archive: what is not encrypted is there');

# ---- the whole cluster ----

my $all = "$dir/all.sql";
ok($node->run_log([ 'pg_dumpall', '-f', $all, '-d', $node->connstr('postgres') ]), 'pg_dumpall: it is dumped');
is(find_leaks(\@CANARIES, $all), '', 'pg_dumpall: it holds no plaintext');
my $second = new_cluster('second', hsm => $node->{hsm}, conf => "log_statement = none\nfsync = off\n");
my ($out, $error) = ('', '');
{
    local %ENV = $second->_get_env();
    IPC::Run::run([ 'psql', '-X', '-q', '-d', $second->connstr('postgres'), '-f', $all ], '<', \undef, '>', \$out, '2>', \$error);
}
# Every cluster has its first superuser.
is(join("\n", grep { /ERROR|FATAL/ && !/role "\w+" already exists/ } split /\n/, $error), '', 'pg_dumpall: it is restored');
whole_ok($second, 'shop', 'pg_dumpall');
is(query_as($second, 'oms', q{INSERT INTO orders VALUES (9000, 'canary-7@example.org', 'new') RETURNING note::text}, 'shop'), 'new',
    'pg_dumpall: the second cluster goes on');
is(query_as($second, 'oms', q{INSERT INTO customers (id, email) VALUES (9000, 'new@example.org') RETURNING status::text}, 'shop'),
    'canary-default', 'pg_dumpall: with defaults');
like(error_as($second, 'oms', q{INSERT INTO orders VALUES (9001, 'nobody@example.org')}, 'shop'), qr/23503/, 'pg_dumpall: with foreign keys');
like(error_as($second, 'oms', q{INSERT INTO customers (id, email) VALUES (9001, 'canary-7@example.org')}, 'shop'), qr/23505/, 'pg_dumpall: with unique ones');
like(error_as($second, 'oms', q{INSERT INTO customers (id, email) VALUES (9001, 'nowhere')}, 'shop'), qr/23514/, 'pg_dumpall: with checks');
is($second->safe_psql('shop', 'SELECT count(*) FROM log WHERE id = 9000'), '1', 'pg_dumpall: with triggers');

# ---- an HSM without the keys ----

my $stranger = new_cluster('elsewhere', conf => "log_statement = none\nfsync = off\n");
$stranger->safe_psql('postgres', "CREATE ROLE $_ LOGIN") for qw(owner reader support stranger oms);
$stranger->safe_psql('postgres', 'CREATE ROLE boss SUPERUSER LOGIN; GRANT pg_read_all_data TO reader');
for my $form (qw(custom directory inserts))
{
    $stranger->safe_psql('postgres', "CREATE DATABASE from_$form OWNER owner TEMPLATE template0");
    restore_ok($stranger, "from_$form", $form, dump_file($form, 'owner'), "another HSM, $form");
    is(sha256($stranger, "from_$form", @ALL), $sha256, "another HSM, $form: the ciphertext is the same");
}
like(error_as($stranger, 'reader', 'SELECT email FROM customers', 'from_custom'),
    qr/42704: key encryption key is not in the HSM token.*HINT:  Configure the token that holds it/s, 'another HSM: reading says what is missing');
like(query_as($stranger, 'stranger', 'SELECT email FROM customers WHERE id = 7', 'from_custom'), qr/^sdes1:/, 'another HSM: a stranger sees ciphertext');
ok($stranger->run_log([ 'pg_dump', '-f', "$dir/again.sql", '--inserts', '--rows-per-insert=10', '-U', 'owner', $stranger->connstr('from_inserts') ]),
    'another HSM: it can be dumped from there');
$stranger->safe_psql('postgres', 'DROP DATABASE from_inserts WITH (FORCE)');
$node->safe_psql('postgres', 'CREATE DATABASE home TEMPLATE template0');
restore_ok($node, 'home', 'inserts', "$dir/again.sql", 'back home');
whole_ok($node, 'home', 'back home');

no_leaks_ok($node, \@CANARIES, 'the server holds no plaintext');
$_->stop for $node, $second, $stranger;
done_testing();
