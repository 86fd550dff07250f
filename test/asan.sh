# asan.sh
#     Servers whose sdes.so, agent and auditor's program are built with AddressSanitizer and
#     UndefinedBehaviorSanitizer, for test/run. To be sourced, after scripts/lib.sh.
#
# The server itself is the stock one, in a copy of its installation: PostgreSQL finds
# its folders by its own path, so that the copy takes our libraries and the original
# is left alone. In the copy "postgres" is a program that preloads the sanitizer and
# becomes the server, however it is started. What palloc hands out is not fenced; stack,
# globals, OpenSSL's and malloc's memory are.
#
# Whoever finds something writes a file into a folder of reports and aborts: an exit
# might pass for a session's end.
# shellcheck shell=bash

# -fno-sanitize=object-size: the server's own macros look past what gcc takes for the object.
ASAN_FLAGS="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-sanitize=object-size -fno-omit-frame-pointer"
ASAN_BUILD=build/asan

asan_build()
{
    make -j "$JOBS" BUILD=$ASAN_BUILD MODULE_big=$ASAN_BUILD/sdes COPT="$ASAN_FLAGS"
    gcc -shared -fPIC -Wl,-z,initfirst -Wall -Wextra -Werror -o $ASAN_BUILD/first.so test/programs/asan_first.c
}

# The copy, in <dir>/installed: bin, lib, share and the headers, which a test reads, as
# pg_config names them, with ours in.
# From here on it is the PostgreSQL that is tested.
asan_install()
{
    local dir=$1 root=$1/installed bin part
    for part in bindir pkglibdir sharedir includedir-server; do
        part=$("$PG_CONFIG" "--$part")
        mkdir -p "$root$(dirname "$part")"
        cp -a "$part" "$root$(dirname "$part")"
    done
    bin=$root$(pg_bindir)
    cp $ASAN_BUILD/sdes.so "$root$("$PG_CONFIG" --pkglibdir)/"
    cp sdes.control sdes--*.sql "$root$("$PG_CONFIG" --sharedir)/extension/"
    install -m 0755 $ASAN_BUILD/sdes_audit "$bin/"
    cp $ASAN_BUILD/first.so "$root/"
    asan_wrap "$root" "$bin"
    chmod -R a+rX "$root"
    install -m 0711 $ASAN_BUILD/sdes_agent "$bin/"
    as_server mkdir "$dir/reports"
    export PG_CONFIG=$bin/pg_config
    # It would warn of our library that comes before it.
    export ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0:abort_on_error=1:log_path=$dir/reports/asan
    export UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1
    export SDES_ASAN_REPORTS=$dir/reports
}

# The server moves down into a folder, and keeps its name. What it starts by itself has the
# sanitizer in it, too: clients and pg_ctl must not.
asan_wrap()
{
    local root=$1 bin=$2
    mkdir "$bin/stock"
    mv "$bin/postgres" "$bin/stock/"
    gcc -O2 -Wall -Wextra -Werror -DPRELOAD="\"$root/first.so:$(gcc -print-file-name=libasan.so)\"" \
        -o "$bin/postgres" test/programs/asan_postgres.c
}

# The copy's libraries and programs are the instrumented ones.
asan_is_used()
{
    local file
    for file in "$("$PG_CONFIG" --pkglibdir)/sdes.so" "$(pg_bindir)/sdes_agent" "$(pg_bindir)/sdes_audit"; do
        nm -D "$file" | grep __asan_init >/dev/null || return
    done
}

# A server in <dir>, not started yet. What it finds is in <dir>/reports.
asan_server()
{
    local dir=$1
    make_server_dir "$dir"
    asan_install "$dir"
    make_token "$dir/hsm" sdes-check
    make_server "$dir" sdes-check <<<"$TEST_CONF"
}

# That a bug in the server is reported: two are loaded on purpose.
asan_finds()
{
    local dir=$1 bug status=0
    for bug in 'volatile char *p = malloc(8); p[8] = 1;' 'volatile int n = 2147483647; n++;'; do
        # shellcheck disable=SC2086  # the flags are a list
        echo "#include <stdlib.h>
              __attribute__((constructor)) static void begin(void) { $bug }" |
            gcc -shared -fPIC -w $ASAN_FLAGS -x c -o "$("$PG_CONFIG" --pkglibdir)/bug.so" -
        start_server "$dir"
        ! PGHOST=$(cat "$dir/socket") PGPORT=5432 as_server "$(pg_bindir)/psql" -X -U postgres -d postgres -c "LOAD 'bug'" || status=1
        asan_stop "$dir" -m immediate
        ! asan_no_reports "$dir" >/dev/null || status=1
        rm -f "$dir"/reports/*
    done
    rm "$("$PG_CONFIG" --pkglibdir)/bug.so"
    return $status
}

asan_stop()
{
    (cd "$1" && as_server "$(pg_bindir)/pg_ctl" -D "$1/data" -w -s "${@:2}" stop)
}

# Shows the reports, if there are any.
asan_no_reports()
{
    ! compgen -G "$1/reports/*" >/dev/null || { cat "$1"/reports/*; false; }
}

# How a test with a server can run: "plainly", "killing" or "never".
asan_way()
{
    case $(basename "$1") in
        # They send SIGSEGV, which the sanitizer would take for a finding.
        013_supervisor.pl | 015_processes.pl | 024_fault_campaign.pl | 051_failover.pl) echo killing ;;
        # It searches all memory for keys, and here a process has terabytes of it.
        022_memory.pl) echo never ;;
        # It measures how memory grows, and the sanitizer keeps for a while what was freed.
        025_statements.pl) echo never ;;
        *) echo plainly ;;
    esac
}
