#!/bin/bash
#
# test_psql.sh
#     psql: its output must not tell the encrypted tables from the plain ones, but for
#     \d, which names the types.

set -uo pipefail
here=$(dirname "$0")
database=psql
tests=0
failures=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# A test: its arguments are the name and a command.
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

# psql as a role on a twin, with a script from standard input.
run()
{
    PGUSER=$1 PGOPTIONS="-c search_path=$2" psql -X -q -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -d "$database" "${@:3}"
}

# A test: the script from standard input prints the same on both twins, and something.
same()
{
    local script=$scratch/script
    cat >"$script"
    for twin in plain secret; do
        run oms "$twin" -v scratch="$scratch/$twin" "${@:2}" -f "$script" >"$scratch/$twin.out" 2>&1
        echo "status $?" >>"$scratch/$twin.out"
    done
    ok "$1" cmp_outputs
}

cmp_outputs()
{
    diff -u "$scratch/plain.out" <(sed 's/secret/plain /g' "$scratch/secret.out") && grep -qx 'status 0' "$scratch/plain.out" &&
        [ "$(wc -l <"$scratch/plain.out")" -gt 1 ]
}

# A test: a script of a role fails with that SQLSTATE.
refused()
{
    local error
    error=$(run "$2" secret -c "$4" 2>&1)
    ok "$1" grep -q "ERROR:  $3" <<<"$error"
}

"$here/database" "$database" || exit 1

cat >"$scratch/customers.tsv" <<'TSV'
ada@example.org	Ada Lovelace	4111 1111 1111 1111	London
grace@example.org	Grace "Amazing" O'Hopper\\n\t,	5555-5555-5555-4444	New York
emilie@example.fr	Émilie du Châtelet	378282246310005	Paris
\N		\N	\N
嫦娥@example.cn	two\nlines	4111111111111111	{北京,NULL}
TSV

same '\copy in' <<SQL
\unset QUIET
\copy customers (email, name, card, city) FROM '$scratch/customers.tsv'
SELECT count(*), count(email) FROM customers;
SQL
same '\copy from the script' <<'SQL'
\unset QUIET
\copy orders (email, item) FROM stdin
ada@example.org	book 1
\N	book 2
嫦娥@example.cn	book 3
\.
SELECT * FROM orders ORDER BY id;
SQL
same 'SELECT, in every format' <<'SQL'
SELECT * FROM customers ORDER BY id;
\x
SELECT * FROM customers ORDER BY id;
\x
\pset format csv
SELECT email, name FROM customers ORDER BY email;
\pset format html
SELECT email, name FROM customers ORDER BY name;
SQL
same '\gdesc' <<'SQL'
SELECT id, email, name AS n, card, lower(email), email || name, ARRAY[email], coalesce(email, 'x') FROM customers \gdesc
SELECT DISTINCT email FROM customers \gdesc
UPDATE customers SET visits = 0 RETURNING email, card \gdesc
SQL
same 'variables' <<'SQL'
\set who 'ada@example.org'
SELECT id, name FROM customers WHERE email = :'who';
\set name 'O''Hopper "x" \\ y'
UPDATE customers SET name = :'name' WHERE email = :'who' RETURNING name;
SQL
same '\gset and back' <<'SQL'
SELECT email, name AS n, card FROM customers WHERE id = 2 \gset
\echo :email :n :card
SELECT id FROM customers WHERE email = :'email' AND name = :'n' AND card = :'card';
SELECT count(*) FROM customers WHERE email = 'nobody' \gset
\if :count
\echo found
\else
\echo none
\endif
SQL
same '\gexec, \g into a file' <<SQL
SELECT format('SELECT %L AS e, count(*) FROM orders WHERE email = %L', email::text, email::text) FROM customers
WHERE email IS NOT NULL ORDER BY id \gexec
SELECT email FROM customers ORDER BY 1 \g $scratch/g
\! cat $scratch/g
SQL
same '\copy (query) out' <<'SQL'
\unset QUIET
\copy (SELECT * FROM customers ORDER BY id) TO STDOUT
\copy (SELECT email, name FROM customers ORDER BY email) TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE *)
COPY (SELECT name, card FROM customers WHERE email = 'ada@example.org') TO STDOUT;
COPY (UPDATE customers SET visits = visits + 1 RETURNING id, email) TO STDOUT;
SQL
same 'FETCH_COUNT: psql makes a cursor' <<'SQL'
\set FETCH_COUNT 2
SELECT email, name FROM customers ORDER BY email DESC;
SELECT DISTINCT name FROM customers ORDER BY 1;
SQL
same 'DECLARE, FETCH, MOVE; PREPARE, EXECUTE' <<'SQL'
\unset QUIET
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id, email FROM customers ORDER BY email;
FETCH 2 FROM c;
MOVE BACKWARD 1 IN c;
FETCH ALL FROM c;
COMMIT;
PREPARE q (text, text[]) AS SELECT id, name FROM customers WHERE email = $1 OR email = ANY($2) ORDER BY id;
EXECUTE q ('ada@example.org', '{grace@example.org,x}');
EXECUTE q (NULL, NULL);
SQL
same 'command tags, AUTOCOMMIT off, ON_ERROR_ROLLBACK' <<'SQL'
\unset QUIET
\set AUTOCOMMIT off
\set ON_ERROR_ROLLBACK on
\set VERBOSITY terse
\set ON_ERROR_STOP off
INSERT INTO customers (email) VALUES ('new@example.org'), (NULL);
SELECT 1/0 FROM customers WHERE email = 'ada@example.org';
UPDATE customers SET name = 'x' WHERE email = 'new@example.org' RETURNING id;
DELETE FROM customers WHERE email = 'new@example.org';
ROLLBACK;
SELECT count(*) FROM customers;
COMMIT;
\set ON_ERROR_STOP on
\errverbose
SQL
same 'EXPLAIN shows the same plan' <<'SQL'
SET enable_seqscan = off;
\a
\t
EXPLAIN (COSTS off) SELECT id FROM customers WHERE email = 'ada@example.org' \g |grep -v "Cond:"
EXPLAIN (COSTS off) SELECT 1 FROM orders WHERE email IN ('a', 'b') \g |grep -v "Cond:"
SQL
same '\d of what does not name the type' <<'SQL'
\dt customers
\di
\ds
\dp customers
SQL

described=$(run oms secret -c '\d customers' -c '\d+ customers' -c '\d orders' -c '\d customers_email_key' 2>&1)
ok '\d names the type and bucket' grep -Eq "^ email +\| sdes\.enc_text\('customer_pii', ?'searchable'\) +\|" <<<"$described"
ok '\d shows the index' grep -q '"customers_email_key" UNIQUE CONSTRAINT, btree (email)' <<<"$described"
ok '\d shows the foreign key' grep -q 'FOREIGN KEY (email) REFERENCES customers(email) ON UPDATE CASCADE' <<<"$described"
ok '\d finds no fault' grep -qv ERROR <<<"${described//$'\n'/ }"

run oms secret -c "UPDATE customers SET email = 'ada@example.org', name = 'Ada Lovelace', card = '4111 1111 1111 1111' WHERE id = 1"
ok 'support sees masks' test "$(run support secret -A -t -c 'SELECT email, name, card FROM customers WHERE id = 1')" = \
    'a***************|A***************|4111 1111 **** 1111'
ok 'support writes other columns' run support secret -c "UPDATE customers SET city = 'Ada Town' WHERE id = 1"
ok 'a role without grant sees armor' grep -Eqx 'sdes1:[^|]*\|sdes1:[^|]*' <<<"$(run stranger secret -A -t -c 'SELECT email, card FROM customers WHERE id = 1')"
ok 'it writes other columns' run stranger secret -c "UPDATE customers SET city = 'Strange' WHERE id = 1"
for role in support stranger; do
    refused "$role cannot write an encrypted column" $role 42501 "UPDATE customers SET email = 'x' WHERE id = 1"
    refused "$role cannot compare" $role 42501 "SELECT id FROM customers WHERE email = 'ada@example.org'"
    refused "$role cannot cast" $role 42501 'SELECT email::text FROM customers WHERE id = 1'
done
ok 'and all is as it was for oms' test "$(run oms secret -A -t -c 'SELECT email, name, card, city FROM customers WHERE id = 1')" = \
    'ada@example.org|Ada Lovelace|4111 1111 1111 1111|Strange'

echo "1..$tests"
[ "$failures" -eq 0 ]
