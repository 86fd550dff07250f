# asan.sh
#     A server whose sdes.so and agent are built with AddressSanitizer and
#     UndefinedBehaviorSanitizer, for test/run. To be sourced, after scripts/lib.sh.
#
# The server itself is the stock one, in a copy of its installation: PostgreSQL finds
# its folders by its own path, so that the copy takes our libraries and the original
# is left alone. What palloc hands out is not fenced; stack, globals, OpenSSL's and
# malloc's memory are.
# shellcheck shell=bash

# -fno-sanitize=object-size: the server's own macros look past what gcc takes for the object.
ASAN_FLAGS="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-sanitize=object-size -fno-omit-frame-pointer"
ASAN_BUILD=build/asan

asan_build()
{
    make -j "$JOBS" BUILD=$ASAN_BUILD MODULE_big=$ASAN_BUILD/sdes COPT="$ASAN_FLAGS"
    # AddressSanitizer must be ready before p11-kit's constructor runs, which calls
    # functions that it intercepts. Only a library's "initfirst" sees to that.
    echo 'extern void __asan_init(void);
          __attribute__((constructor)) static void begin(void) { __asan_init(); }' |
        gcc -shared -fPIC -Wl,-z,initfirst -x c -o $ASAN_BUILD/first.so -
}

# The copy, in a folder: bin, lib and share as pg_config names them, with ours in.
asan_install()
{
    local root=$1 dir
    for dir in "$("$PG_CONFIG" --bindir)" "$("$PG_CONFIG" --pkglibdir)" "$("$PG_CONFIG" --sharedir)"; do
        mkdir -p "$root$(dirname "$dir")"
        cp -a "$dir" "$root$dir"
    done
    cp $ASAN_BUILD/sdes.so "$root$("$PG_CONFIG" --pkglibdir)/"
    cp sdes.control sdes--*.sql "$root$("$PG_CONFIG" --sharedir)/extension/"
    install -m 0711 $ASAN_BUILD/sdes_agent "$root$(pg_bindir)/sdes_agent"
    cp $ASAN_BUILD/first.so "$root/"
    chmod -R a+rX "$root"
    chmod 0711 "$root$(pg_bindir)/sdes_agent"
}

# Starts the server of <dir>/data from the copy in <dir>/installed. Not by pg_ctl, which
# would run under the sanitizer, too.
asan_start()
{
    local dir=$1 preload
    preload=$(gcc -print-file-name=libasan.so):$dir/installed/first.so
    (
        cd "$dir" || exit
        as_server env SOFTHSM2_CONF="$dir/hsm/softhsm2.conf" LD_PRELOAD="$preload" \
            ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
            "$dir/installed$(pg_bindir)/postgres" -D "$dir/data" >>"$dir/server.log" 2>&1 </dev/null
    ) &
    for _ in $(seq 300); do
        if asan_query "$dir" "SELECT 1" >/dev/null 2>&1; then
            return 0
        fi
        sleep 0.2
    done
    tail -n 40 "$dir/server.log"
    return 1
}

asan_query()
{
    as_server env PGHOST="$(cat "$1/socket")" PGPORT=5432 PGUSER=postgres PGDATABASE=postgres \
        "$(pg_bindir)/psql" -X -A -t -c "$2"
}

# The server runs from the copy, and its sdes.so is the instrumented one.
asan_is_used()
{
    local dir=$1
    nm -D "$dir/installed$("$PG_CONFIG" --pkglibdir)/sdes.so" | grep __asan_init >/dev/null &&
        nm -D "$dir/installed$(pg_bindir)/sdes_agent" | grep __asan_init >/dev/null &&
        [ "$(asan_query "$dir" "SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR'")" = \
            "$dir/installed$("$PG_CONFIG" --pkglibdir)" ]
}

# The reports of server and agent, which both write to the server's log.
asan_no_reports()
{
    ! grep -A 40 -E 'ERROR: AddressSanitizer|AddressSanitizer:|runtime error: ' "$1/server.log"
}

asan_stop()
{
    (cd "$1" && as_server "$(pg_bindir)/pg_ctl" -D "$1/data" -m fast -w -s stop)
}
