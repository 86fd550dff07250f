# SdesRotation.pm
#     Tables with values in many places beside a plain copy of each, a load that changes
#     both, and what to ask of them while keys rotate.

package SdesRotation;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More ();
use SdesTest;
use SdesFaults;

our @EXPORT = qw(new_ledger start_load stop_load wrong_rows intact_ok rotate
    wait_until_emptied versions emptied_ok rotation_workers);

# Tables in database "ledger": "account" with PK, UNIQUE and a referencing table, long
# values out of line, an array and a composite; "part", partitioned. Each value's
# plaintext stands beside it. Role oms may do anything with it. rows => 2000 of each.
sub new_ledger
{
    my ($node, %opts) = @_;
    my $rows = $opts{rows} // 2000;
    my $name = $opts{database} // 'ledger';
    my $mode = $opts{mode} // 'cached';
    $node->safe_psql('postgres', "CREATE DATABASE $name");
    $node->safe_psql('postgres', 'CREATE ROLE oms LOGIN')
        if $node->safe_psql('postgres', q{SELECT to_regrole('oms') IS NULL}) eq 't';
    $node->safe_psql($name, <<"SQL");
CREATE EXTENSION sdes;
SELECT sdes.create_bucket('ledger', mode => '$mode');
SELECT sdes.grant_access('ledger', 'oms', '{encrypt,search,decrypt}');
CREATE TYPE pair AS (n int, secret sdes.enc_text('ledger'));
CREATE TABLE account (id int PRIMARY KEY, mail sdes.enc_text('ledger', 'searchable') UNIQUE, mail_plain text,
    long sdes.enc_text('ledger'), long_plain text, list sdes.enc_text('ledger')[], pair pair, n int NOT NULL DEFAULT 0);
CREATE TABLE booking (id int PRIMARY KEY, mail sdes.enc_text('ledger', 'searchable') REFERENCES account (mail), mail_plain text);
CREATE INDEX ON booking (mail);
CREATE TABLE part (id int, secret sdes.enc_text('ledger'), secret_plain text) PARTITION BY HASH (id);
GRANT ALL ON account, booking, part TO oms;
DO \$\$ BEGIN
    FOR i IN 0 .. 3 LOOP
        EXECUTE format('CREATE TABLE part_%s PARTITION OF part FOR VALUES WITH (MODULUS 4, REMAINDER %s)', i, i);
    END LOOP;
END \$\$;
SQL
    query_as($node, 'oms', <<"SQL", $name);
INSERT INTO account (id, mail, mail_plain, long, long_plain, list, pair)
SELECT i, 'user' || i || '\@example.org', 'user' || i || '\@example.org', l, l, ARRAY['a' || i, NULL, 'b' || i], ROW(i, 'pair' || i)::pair
FROM generate_series(1, $rows) i, LATERAL (SELECT CASE WHEN i % 10 = 0 THEN repeat(md5(i::text), 300) ELSE 'short' || i END) x (l);
INSERT INTO booking SELECT id, mail, mail_plain FROM account WHERE id % 2 = 0;
INSERT INTO part SELECT i, 'part' || i, 'part' || i FROM generate_series(1, $rows) i;
SQL
    return;
}

# Clients that read and write; only serialization failures and deadlocks are tried
# again. Options: clients, database, rows.
sub start_load
{
    my ($node, %opts) = @_;
    my $dir = $node->basedir . '/pgbench_' . int(rand(1e9));
    mkdir $dir or die "$dir: $!";
    my $rows = $opts{rows} // 2000;
    append_to_file("$dir/load.sql", <<"SQL");
\\set i random(1, $rows)
\\set j random(1, 100000000)
BEGIN;
UPDATE part SET secret = 'p:j', secret_plain = 'p:j' WHERE id = :i;
UPDATE account SET n = n + 1, long = CASE WHEN id % 10 <> 0 THEN 'l:j' ELSE long::text END,
    long_plain = CASE WHEN id % 10 <> 0 THEN 'l:j' ELSE long_plain END WHERE id = :i;
SELECT count(*) FROM booking b JOIN account a ON a.mail = b.mail WHERE a.id = :i;
SELECT mail = mail_plain, long FROM account WHERE mail = 'user:i\@example.org';
INSERT INTO part VALUES (1000000 + :j, 'n:j', 'n:j');
DELETE FROM booking WHERE id = 1000000 + :i;
INSERT INTO booking SELECT 1000000 + :i, mail, mail_plain FROM account WHERE id = :i;
COMMIT;
SQL
    my %load = (dir => $dir, out => '');
    local %ENV = $node->_get_env;
    $load{handle} = IPC::Run::start(
        [ 'pgbench', '-n', '-r', '-c', $opts{clients} // 3, '-j', 1, '-T', $opts{seconds} // 600, '--max-tries', 100,
            '-U', 'oms', '-f', "$dir/load.sql", $node->connstr($opts{database} // 'ledger') ],
        '<', \undef, '>', \$load{out}, '2>', "$dir/errors");
    return \%load;
}

# Ends it; returns what it complained of.
sub stop_load
{
    my ($load) = @_;
    # Not INT, which whoever started us in the background may have had ignored.
    $load->{handle}->signal('TERM');
    eval { $load->{handle}->finish };
    return -e "$load->{dir}/errors" ? slurp_file("$load->{dir}/errors") : '';
}

# How many values are not what their plain copies say, and rows that an index misses.
sub wrong_rows
{
    my ($node, $name) = @_;
    return query_as($node, 'oms', <<'SQL', $name // 'ledger');
SELECT (SELECT count(*) FROM account WHERE mail::text IS DISTINCT FROM mail_plain OR long::text IS DISTINCT FROM long_plain
            OR list[1]::text <> 'a' || id OR list[2] IS NOT NULL OR (pair).secret::text <> 'pair' || id)
     + (SELECT count(*) FROM booking WHERE mail::text IS DISTINCT FROM mail_plain)
     + (SELECT count(*) FROM part WHERE secret::text IS DISTINCT FROM secret_plain)
     + (SELECT count(*) FROM booking b WHERE NOT EXISTS (SELECT FROM account a WHERE a.mail = b.mail))
SQL
}

# A test: every value is what it was, every row is there, indexes agree with tables.
sub intact_ok
{
    my ($node, $name, %opts) = @_;
    my $database = $opts{database} // 'ledger';
    my $rows = $opts{rows} // 2000;
    my $wrong = wrong_rows($node, $database);
    my $missing = $rows - $node->safe_psql($database, "SELECT count(*) FROM account WHERE id <= $rows")
        + $rows - $node->safe_psql($database, "SELECT count(*) FROM part WHERE id <= $rows");
    my $damage = $node->safe_psql($database, <<'SQL');
CREATE EXTENSION IF NOT EXISTS amcheck;
SELECT count(bt_index_check(c.oid, true)) FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
WHERE c.relkind = 'i' AND i.indisvalid AND i.indrelid IN ('account'::regclass, 'booking'::regclass)
SQL
    return Test::More::is("$wrong wrong, $missing missing, $damage indexes checked", '0 wrong, 0 missing, 4 indexes checked', $name);
}

sub rotate
{
    my ($node, $database, $bucket) = @_;
    return $node->safe_psql($database // 'ledger', "SELECT sdes.rotate_bucket('" . ($bucket // 'ledger') . "')");
}

# Waits until nothing is left under older keys; true if so.
sub wait_until_emptied
{
    my ($node, $database, $seconds) = @_;
    return wait_for(sub {
        my ($status, $out) = $node->psql($database // 'ledger',
            q{SELECT count(*) FROM sdes.keys WHERE state IN ('decrypt-only', 'retired') AND emptied_at IS NULL});
        return $status == 0 && $out eq '0';
    }, $seconds // 60);
}

# "2:14000" of each version that values are under.
sub versions
{
    my ($node, $database, $bucket) = @_;
    return $node->safe_psql($database // 'ledger', sprintf(<<'SQL', $bucket // 'ledger'));
SELECT string_agg(version || ':' || n, ' ' ORDER BY version)
FROM (SELECT version, sum("values") AS n FROM sdes.inventory('%s') WHERE place = 'table' GROUP BY 1) s
SQL
}

# A test: re-encryption ends, and nothing is left under any version but that one.
sub emptied_ok
{
    my ($node, $version, $name, $database) = @_;
    my $ended = wait_until_emptied($node, $database);
    my $left = versions($node, $database);
    my $ok = Test::More::like($left, qr/^$version:\d+$/, $name);
    Test::More::diag($node->safe_psql($database // 'ledger', 'SELECT * FROM sdes.rotation_progress')) if !$ok || !$ended;
    return $ok && Test::More::ok($ended, "$name: older keys are empty");
}

# Pids of the processes that re-encrypt.
sub rotation_workers
{
    my ($node) = @_;
    return split /\n/, $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'sdes worker'});
}

1;
