# lib.sh
#     What the scripts of this folder share: a throw-away server on a PKCS#11
#     module, and the same small check on it. To be sourced by bash.
#
# A script makes a token below $HSM, and calls check_module with what the module
# can do.
# shellcheck shell=bash

set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../scripts/lib.sh"

NAME=$(basename "$0")
LOGS=$SDES_ROOT/build/modules
WORK=$LOGS/$NAME-$$
TOKEN=sdes-module
passed=0
failed=0

ok()
{
    passed=$((passed + 1))
    echo "ok - $NAME: $1"
}

not_ok()
{
    failed=$((failed + 1))
    echo "not ok - $NAME: $1"
    printf '%s\n' "${2:-}" | sed 's/^/#   /'
}

is()
{
    if [ "$1" = "$2" ]; then
        ok "$3"
    else
        not_ok "$3" "got:      $1"$'\n'"expected: $2"
    fi
}

like()
{
    if [[ $1 =~ $2 ]]; then
        ok "$3"
    else
        not_ok "$3" "got:      $1"$'\n'"expected: $2"
    fi
}

query_as()
{
    local role=$1
    shift
    PGHOST=$(cat "$REAL/server/socket") PGPORT=5432 PGDATABASE=postgres PGUSER=$role \
        "$(pg_bindir)/psql" -XAtq -v ON_ERROR_STOP=1 -v VERBOSITY=verbose "$@" 2>&1
}

# Waits until the agent is logged in, at most half a minute (a software TPM takes its time).
wait_for_login()
{
    local i
    for ((i = 0; i < 150; i++)); do
        [ "$(query_as postgres -c "SELECT ok FROM sdes.health() WHERE \"check\" = 'login'")" = t ] && return
        sleep 0.2
    done
    return 1
}

# Rows of sdes.health() that are not well, and lists of what is left in the token.
ailments()
{
    query_as postgres -c "SELECT \"check\" || ': ' || detail FROM sdes.health() WHERE NOT ok"
}

# How many objects are in the token, as another program sees it (which cannot give
# a module init args, so that only sdes.health() speaks for NSS).
count_objects()
{
    [ -z "$init_args" ] || return 0
    SOFTHSM2_CONF=$HSM/softhsm2.conf SDES_PIN=$(cat "$HSM/pin") as_server pkcs11-tool --module "$module" \
        --token-label "$TOKEN" --login --pin env:SDES_PIN --list-objects 2>/dev/null | grep -c ' Object; ' || true
}

# A folder that the server's user owns, and in it a new PIN: make_module_dir DIGITS
make_module_dir()
{
    mkdir -p "$LOGS"
    trap finish EXIT
    make_server_dir "$WORK"
    REAL=$(readlink -f "$WORK")
    make_server_dir "$REAL/server"
    HSM=$REAL/server/hsm
    as_server mkdir -m 700 "$HSM"
    # shellcheck disable=SC2016  # the inner shell expands it
    as_server bash -c 'umask 077; od -An -N8 -tu8 /dev/urandom | tr -d " \n" | tail -c "$1" >"$2"' \
        bash "$1" "$HSM/pin"
}

# Scripts have a function clean_up when they started something.
finish()
{
    local status=$?
    if [ -e "$WORK/server" ]; then
        cp "$(readlink -f "$WORK")/server/server.log" "$LOGS/$NAME.log" 2>/dev/null || true
        remove_server "$WORK/server"
    fi
    if [ "$(type -t clean_up)" = function ]; then
        clean_up
    fi
    remove_server_dir "$WORK"
    if [ $status -ne 0 ]; then
        echo "not ok - $NAME: the script ended with status $status"
        failed=$((failed + 1))
    fi
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ] || exit 1
}

# Values go in and come out, as the application's role, also in a new session.
check_values()
{
    local bucket=$1 values
    is "$(query_as postgres -c "CREATE TABLE $bucket (id int PRIMARY KEY, v sdes.enc_text('$bucket'))" \
        -c "GRANT SELECT, INSERT ON $bucket TO oms" \
        -c "SELECT sdes.grant_access('$bucket', 'oms', '{encrypt,decrypt}')")" '' "$bucket: a table and a grant"
    is "$(query_as oms -c "INSERT INTO $bucket VALUES (1, 'ada@example.org'), (2, ''), (3, repeat('é', 3000))")" \
        '' "$bucket: values go in"
    values=$(query_as oms -c "SELECT md5(v::text) FROM $bucket ORDER BY id") || true
    is "$values" "$(query_as postgres -c "SELECT md5(v) FROM (VALUES ('ada@example.org'), (''), (repeat('é', 3000))) x(v)")" \
        "$bucket: the same come out"
}

# check_kind BUCKET MODE EXPECTED ARGUMENTS
check_kind()
{
    local bucket=$1 mode=$2 expected=$3 arguments=$4 keys objects result
    keys=$(query_as postgres -c "SELECT count(*) FROM sdes.keys")
    objects=$(count_objects)
    result=$(query_as postgres -c "SELECT sdes.create_bucket('$bucket'$arguments)" || true)
    if [[ $expected == refused:* ]]; then
        like "$result" "${expected#refused:}" "$bucket is refused, and the error says why"
        printf '%s\n' "$result" | sed 's/^/#   /'
        is "$(query_as postgres -c "SELECT count(*) FROM sdes.keys")" "$keys" "$bucket: no key is in the database"
        is "$(count_objects)" "$objects" "$bucket: and none was left in the token"
        is "$(ailments)" '' "$bucket: says sdes.health(), too"
    else
        like "$result" '^[0-9a-f-]{36}$' "$bucket is made"
        is "$(query_as postgres -c "SELECT DISTINCT mode || ' ' || wrapped_by FROM sdes.keys WHERE bucket = '$bucket'")" \
            "$mode $expected" "$bucket: by the mechanism it should be"
        [[ $result =~ ^[0-9a-f-]{36}$ ]] || return 0
        check_values "$bucket"
        BUCKETS+=("$bucket")
        [ -n "$init_args" ] || is "$(($(count_objects) > objects))" 1 "$bucket: its key is in the token"
    fi
}

# check_module MODULE NAME=VALUE...
#     init-args  what is to be sdes.pkcs11_init_args
#     aes-256, rsa-4096, hsm
#                the mechanism that a bucket of this kind must be made by, or
#                "refused:" and a regular expression of the error
check_module()
{
    local module=$1 bucket init_args='' aes_256='' rsa_4096='' hsm='' setting
    shift
    for setting; do
        case $setting in
            init-args=*) init_args=${setting#*=} ;;
            aes-256=*) aes_256=${setting#*=} ;;
            rsa-4096=*) rsa_4096=${setting#*=} ;;
            hsm=*) hsm=${setting#*=} ;;
            *) die "unknown: $setting" ;;
        esac
    done
    BUCKETS=()
    make_server "$WORK/server" "$TOKEN" <<CONF
sdes.pkcs11_module = '$module'
sdes.pkcs11_init_args = '${init_args//\'/\'\'}'
sdes.pin_source = 'file:$HSM/pin'
fsync = off
CONF
    start_server "$WORK/server"
    query_as postgres -c 'CREATE EXTENSION sdes' -c 'CREATE ROLE oms LOGIN'
    wait_for_login || true
    is "$(ailments)" '' 'health has nothing to say'
    check_kind aes_cached cached "$aes_256" ''
    check_kind rsa_cached cached "$rsa_4096" ", 'rsa-4096'"
    check_kind aes_hsm hsm "$hsm" ", 'aes-256', 'hsm'"

    (cd "$REAL/server" && as_server "$(pg_bindir)/pg_ctl" -D data -m fast -w -s stop)
    start_server "$WORK/server"
    wait_for_login || true
    for bucket in "${BUCKETS[@]}"; do
        is "$(query_as oms -c "SELECT v FROM $bucket WHERE id = 1")" ada@example.org "$bucket: read after a restart"
    done
    is "$(ailments)" '' 'health has nothing to say at the end'
}
