# 014_crash.pl
#     The server ended in the middle of a load, over and over: all processes at
#     one moment, as by a power cut; the postmaster alone; or told to drop
#     everything. After each start every order that a client saw committed
#     decrypts to what was inserted, and of what was under way there is all or
#     nothing.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep);
use SdesTest;
use SdesFaults;
use Test::More;

my $CRASHES = soak(20, 200);
my $EACH = 400; # orders for each client and round: more than it can write
my $CLIENTS = 3;

# Full pages and small segments, so that recovery replays all kinds of records.
my $node = new_cluster('crash', conf => <<'CONF');
log_statement = none
checkpoint_timeout = 30s
max_wal_size = 64MB
CONF
new_shop($node);
my $log = log_size($node);

my @WAYS = qw(everything postmaster immediate);
my (@loads, %crashes);
my ($committed, $first) = (0, 1);
for my $round (1 .. $CRASHES)
{
    my $way = $WAYS[ $round % @WAYS ];
    my $load = start_writers($node, clients => $CLIENTS, first => $first, orders => $EACH,
        batch => 1 + $round % 4);
    $first += $CLIENTS * $EACH;

    # The clients' start takes a moment; then at any time.
    wait_for(sub { grep { -s "$_->{base}.journal" } @{ $load->{writers} } }, 10);
    sleep(rand() * 0.3);
    $node->safe_psql('shop', 'CHECKPOINT') if $round % 5 == 0;
    if ($way eq 'immediate') { $node->stop('immediate'); }
    else { crash_server($node, all => $way eq 'everything'); }
    $crashes{$way}++;
    stop_writers($load);
    $node->start;
    $committed += journal_ok($load, "crash $round, $way");
    push @loads, $load;
}
is(eval { my $n = 0; $n += $_ for values %crashes; $n }, $CRASHES, "the server was ended $CRASHES times");
diag("$committed orders committed in the loads, "
        . join(', ', map { "$crashes{$_} x $_" } sort keys %crashes));

# Once more over all of them: no later crash took what an earlier one had left.
for my $n (1 .. @loads)
{
    my $load = $loads[ $n - 1 ];
    journal_ok($load, "load $n, in the end") if $n == 1 || $n % 5 == 0;
}

# Constraints and indexes agree with the rows; no value fails to open.
is($node->safe_psql('shop', <<'SQL'), 't', 'index and table agree');
SET enable_seqscan = off;
SELECT (SELECT count(*) FROM orders WHERE id > 0) = (SELECT count(*) FROM orders WHERE id + 0 > 0)
SQL
$node->safe_psql('shop', 'VACUUM; ANALYZE; REINDEX TABLE orders');
my ($all, $open) = split /\|/, query_as($node, 'oms', <<'SQL', 'shop');
SELECT count(*), count(length(full_name::text || email::text || coalesce(note::text, '')
    || coalesce(card::text, '') || coalesce(phone::text, ''))) FROM orders
SQL
is($open, $all, "all $all orders can be opened");
is($node->safe_psql('shop', <<'SQL'), '0', 'no nonce was used twice under its key');
SELECT count(*) - count(DISTINCT substr(v, 4, 20)) FROM (
    SELECT sdes.enc_text_send(full_name) FROM orders UNION ALL SELECT sdes.enc_text_send(email) FROM orders
    UNION ALL SELECT sdes.enc_text_send(phone) FROM orders WHERE phone IS NOT NULL) AS s(v)
SQL
unlike(log_since($node, $log), qr/PANIC|TRAP|invalid page|could not read block/, 'the log tells of no damage');
health_ok($node, 'all is well');
one_agent_ok($node, 'there is one agent');
works_ok($node, 'a new session writes and reads');

$node->stop;
done_testing();
