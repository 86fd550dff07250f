# lib.sh
#     What the benchmarks share: a throw-away server and HSM token below build/bench, and
#     arithmetic. Sourced after scripts/lib.sh.

HERE=$SDES_ROOT/bench
BENCH=$SDES_ROOT/build/bench
SERVER=$BENCH/server
RUNS=${RUNS:-3}

sql()
{
    env -u PGSERVICE PGOPTIONS='-c client_min_messages=warning' PGHOST="$sockets" PGPORT=5432 PGUSER=postgres PGDATABASE=bench \
        PSQLRC=/dev/null "$(pg_bindir)/psql" -X -q -A -t -v ON_ERROR_STOP=1 "$@"
}

# Sets a parameter of the server and waits until a new session sees it.
configure()
{
    local name=$1 value=$2
    sql -c "ALTER SYSTEM SET $name = '$value'" -c "SELECT pg_reload_conf()" >/dev/null
    until [ "$(sql -c "SHOW $name")" = "$value" ]; do sleep 0.1; done
}

median()
{
    printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

calc()
{
    awk "BEGIN { printf \"$1\", $2 }"
}

build_and_install()
{
    step "Building sdes and installing it into the server's folders"
    mkdir -p "$BENCH"
    {
        make -C "$SDES_ROOT" all && as_root make -C "$SDES_ROOT" install
    } >"$BENCH/build.log" 2>&1 || {
        cat "$BENCH/build.log" >&2
        die "that failed, see above"
    }
    step_done
}

# Commits are flushed to the disk as they are in production, and the WAL's files are kept,
# which a server that has been up for some time need not make either.
start()
{
    step "Starting a throw-away HSM token and PostgreSQL server"
    make_server_dir "$SERVER"
    make_token "$(readlink -f "$SERVER")/hsm" sdes-bench
    make_server "$SERVER" sdes-bench <<CONF
shared_buffers = 1GB
max_wal_size = 4GB
min_wal_size = 4GB
checkpoint_timeout = 30min
autovacuum = off
CONF
    start_server "$SERVER"
    sockets=$(cat "$(readlink -f "$SERVER")/socket")
    sql -d postgres -c "CREATE DATABASE bench"
    step_done
}
