#!/bin/bash
#
# test_pgbench.sh
#     pgbench in its three protocols, several clients at a time: no transaction fails,
#     and what is in the table afterwards is what was written.

set -uo pipefail
here=$(dirname "$0")
database=pgbench
tests=0
failures=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export PGUSER=oms

ok()
{
    local name=$1 result=ok
    shift
    tests=$((tests + 1))
    "$@" >"$scratch/why" 2>&1 || { result="not ok" failures=$((failures + 1)); }
    echo "$result $tests - $name"
    [ "$result" = ok ] || {
        echo "#   Failed test '$name'"
        head -c 4000 "$scratch/why" | sed 's/^/#   /'
    } >&2
}

query()
{
    PGOPTIONS="-c search_path=$1" psql -X -A -t -d "$database" -c "$2"
}

is()
{
    [ "$1" = "$2" ] || {
        echo "got $1, expected $2"
        return 1
    }
}

PGUSER=postgres "$here/database" "$database" || exit 1

# Each client has its own rows; :visit is what was seen of the row that :email found.
cat >"$scratch/script" <<'SQL'
\set n random(1, 1000000000)
\set mine :client_id * 1000 + random(1, 20)
BEGIN;
INSERT INTO customers (email, name, card, visits)
VALUES ('client ' || :mine, 'name ' || :mine, '4111 1111 1111 1111', 1)
ON CONFLICT (email) DO UPDATE SET visits = customers.visits + 1;
SELECT id, visits, name FROM customers WHERE email = 'client ' || :mine \gset
UPDATE customers SET name = 'name ' || :mine || ' of ' || :visits, visits = :visits WHERE email = 'client ' || :mine;
INSERT INTO orders (email, item) VALUES ('client ' || :mine, :n);
SELECT count(*) AS orders FROM orders WHERE email = 'client ' || :mine \gset
SELECT 1 / (:orders = :visits)::int;
END;
SQL

for mode in simple extended prepared; do
    for twin in plain secret; do
        query $twin 'TRUNCATE customers, orders' >/dev/null
        PGOPTIONS="-c search_path=$twin" pgbench -n -M "$mode" -c 4 -j 2 -t 100 -f "$scratch/script" \
            "$database" >"$scratch/$twin.out" 2>&1
        ok "$mode, $twin: no transaction failed" \
            grep -q '^number of transactions actually processed: 400/400$' "$scratch/$twin.out"
        grep '^tps\|ERROR\|aborted' "$scratch/$twin.out" | head -n 5 | sed 's/^/# /'
        ok "$mode, $twin: every transaction left its order" \
            is "$(query $twin "SELECT count(*), count(DISTINCT item) > 390 FROM orders")" '400|t'
        ok "$mode, $twin: every visit was counted, and the name belongs to its row" is "$(query $twin "
            SELECT sum(visits), bool_and(name = 'name ' || substr(email, 8) || ' of ' || visits),
                bool_and(card = '4111 1111 1111 1111'),
                bool_and(visits = (SELECT count(*) FROM orders o WHERE o.email = c.email))
            FROM customers c")" '400|t|t|t'
    done
done

# As other roles. The rows are read by who sees masks or armor.
cat >"$scratch/reads" <<'SQL'
\set n random(1, 20)
SELECT email, name, card FROM secret.customers WHERE visits = :n;
UPDATE secret.customers SET city = 'c' || :n WHERE id = (SELECT min(id) FROM secret.customers);
SQL
cat >"$scratch/writes" <<'SQL'
UPDATE secret.customers SET name = 'x';
SQL
for role in support stranger; do
    ok "$role reads, and writes other columns" grep -q 'processed: 40/40$' <<<"$(
        pgbench -U $role -n -M prepared -c 2 -t 20 -f "$scratch/reads" "$database" 2>&1)"
    ok "$role cannot write an encrypted column" grep -q 'processed: 0/4$' <<<"$(
        pgbench -U $role -n -M prepared -c 2 -t 2 -f "$scratch/writes" "$database" 2>&1)"
done
ok "support sees masks" is "$(PGUSER=support query secret 'SELECT DISTINCT card FROM customers')" '4111 1111 **** 1111'
ok "a role without grant sees armor" grep -q '^sdes1:' <<<"$(PGUSER=stranger query secret 'SELECT card FROM customers LIMIT 1')"

echo "1..$tests"
[ "$failures" -eq 0 ]
