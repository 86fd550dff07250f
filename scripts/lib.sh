# lib.sh
#     What the project's scripts share: messages, who runs what, throw-away
#     tokens and servers. To be sourced by bash under "set -euo pipefail".
#
# PostgreSQL refuses to run as root. As root, servers and their tests run as
# the operating system's user "postgres"; as anyone else, as that person, with
# sudo for packages and "make install" only.
# shellcheck shell=bash

# shellcheck disable=SC2034  # for those who source this file
SDES_ROOT=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
PG_CONFIG=${PG_CONFIG:-pg_config}
# One locale for all that these scripts start: there may be no other one.
export LC_ALL=C.UTF-8

if [ "$(id -u)" -eq 0 ]; then
    SERVER_USER=postgres
else
    SERVER_USER=$(id -un)
fi

# Messages ------------------------------------------------------------------

if [ -t 1 ]; then
    BOLD=$'\e[1m' PLAIN=$'\e[0m'
else
    BOLD='' PLAIN=''
fi

say()
{
    printf '    %s\n' "$*"
}

die()
{
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# Seconds, with tenths, since a moment that now_ms printed.
now_ms()
{
    date +%s%3N
}

seconds_since()
{
    local ms=$(($(now_ms) - $1))
    printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100))
}

step()
{
    STEP_BEGAN=$(now_ms)
    printf '%s\n' "${BOLD}==> $*${PLAIN}"
}

step_done()
{
    say "done in $(seconds_since "$STEP_BEGAN")"
}

# Who runs what ---------------------------------------------------------------

as_root()
{
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root's rights, and there is no sudo: $*"
    fi
}

# As the server's user, with our environment. setpriv becomes the program, so
# that a signal sent to it arrives (runuser would stay in between).
as_server()
{
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid="$SERVER_USER" --regid="$SERVER_USER" --init-groups \
            env HOME=/nonexistent "$@"
    else
        "$@"
    fi
}

# Folders ---------------------------------------------------------------------

# Makes a folder that belongs to the server's user. Where that user cannot come
# (a checkout below /root), the folder is made below /var/tmp and linked.
make_server_dir()
{
    local dir=$1 parent real
    parent=$(dirname "$dir")
    mkdir -p "$parent"
    if (cd / && as_server test -x "$parent") 2>/dev/null; then
        mkdir -m 700 "$dir"
        real=$dir
    else
        real=$(mktemp -d "/var/tmp/sdes-$(basename "$dir")-XXXXXX")
        ln -s "$real" "$dir"
    fi
    if [ "$(id -u)" -eq 0 ]; then
        chown "$SERVER_USER:" "$real"
    fi
}

remove_server_dir()
{
    local dir=$1 real
    if [ -L "$dir" ]; then
        real=$(readlink "$dir")
        case $real in
            /var/tmp/sdes-*) rm -rf "$real" ;;
        esac
        rm -f "$dir"
    else
        rm -rf "$dir"
    fi
}

# Prints a folder for the server's socket: the one given when the path of a
# socket in it keeps within the 107 bytes of unix(7), else a new one in /tmp.
socket_dir()
{
    local dir=$1 longest
    longest=$dir/.s.PGSQL.65535.lock
    if [ ${#longest} -gt 107 ]; then
        dir=$(mktemp -d /tmp/sdes-XXXXXX)
    else
        mkdir -m 700 "$dir"
    fi
    if [ "$(id -u)" -eq 0 ]; then
        chown "$SERVER_USER:" "$dir"
    fi
    echo "$dir"
}

# The throw-away HSM ----------------------------------------------------------

softhsm_module()
{
    local path
    for path in /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so \
        /usr/local/lib/softhsm/libsofthsm2.so; do
        if [ -e "$path" ]; then
            echo "$path"
            return
        fi
    done
    die "SoftHSM2 is not installed, 'make setup' does that"
}

# NSS's softokn: the second module that everything has to run on.
nss_module()
{
    local path
    for path in /usr/lib/*/libsoftokn3.so /usr/lib/*/nss/libsoftokn3.so \
        /usr/lib64/libsoftokn3.so /usr/lib/libsoftokn3.so; do
        if [ -e "$path" ]; then
            echo "$path"
            return
        fi
    done
    die "NSS is not installed, 'scripts/setup' does that"
}

# What C_Initialize of that module wants to be told: the folder of make_nss_token,
# and the label, which its token does not keep.
nss_init_args()
{
    local dir=$1 label=$2
    echo "configdir='sql:$dir/nss' certPrefix='' keyPrefix='' secmod='secmod.db'" \
        "dbTokenDescription='$label' flags=optimizeSpace updatedir=''"
}

# A SoftHSM2 token with that label in a new folder: softhsm2.conf, tokens/, the
# user's PIN in the file pin, the security officer's in so-pin.
#
# PINs travel in the environment of pkcs11-tool, since ps shows command lines
# to everybody. SoftHSM2 truncates and rewrites token.object at every login,
# and a kill in that moment would lose the token with all its keys: so that
# file is made read-only. Its folder must stay writable for new keys.
make_token()
{
    local dir=$1 label=$2 module
    module=$(softhsm_module)
    as_server bash -euo pipefail -s "$dir" "$label" "$module" <<'SCRIPT'
umask 077
dir=$1 label=$2 module=$3
mkdir -p "$dir/tokens"
cat >"$dir/softhsm2.conf" <<CONF
directories.tokendir = $dir/tokens
objectstore.backend = file
log.level = ERROR
slots.removable = false
CONF
new_pin()
{
    od -An -N8 -tx1 /dev/urandom | tr -d ' \n'
}
new_pin >"$dir/pin"
new_pin >"$dir/so-pin"
SDES_PIN=$(cat "$dir/pin")
SDES_SO_PIN=$(cat "$dir/so-pin")
export SDES_PIN SDES_SO_PIN SOFTHSM2_CONF=$dir/softhsm2.conf
{
    pkcs11-tool --module "$module" --slot-index 0 --init-token --label "$label" \
        --so-pin env:SDES_SO_PIN
    pkcs11-tool --module "$module" --token-label "$label" --init-pin \
        --so-pin env:SDES_SO_PIN --pin env:SDES_PIN
} >"$dir/init.log" 2>&1 || { cat "$dir/init.log" >&2; exit 1; }
rm "$dir/init.log"
chmod 400 "$dir"/tokens/*/token.object
SCRIPT
}

# A token of NSS in a new folder: its database in nss/, the user's PIN in the file pin.
make_nss_token()
{
    local dir=$1
    as_server bash -euo pipefail -s "$dir" <<'SCRIPT'
umask 077
dir=$1
mkdir -p "$dir/nss"
od -An -N8 -tx1 /dev/urandom | tr -d ' \n' >"$dir/pin"
certutil -N -d "sql:$dir/nss" -f "$dir/pin"
SCRIPT
}

# Throw-away servers ----------------------------------------------------------

pg_bindir()
{
    "$PG_CONFIG" --bindir
}

pg_major()
{
    "$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/'
}

# A data directory in <dir>/data with the token of make_token in <dir>/hsm; its
# socket folder is written to the file <dir>/socket. More lines for
# postgresql.conf come from standard input.
make_server()
{
    local dir=$1 token=$2 sockets real
    real=$(readlink -f "$dir")
    sockets=$(socket_dir "$real/s")
    (
        cd "$real"
        as_server "$(pg_bindir)/initdb" -D "$real/data" -U postgres -A trust --no-sync \
            --locale=C.UTF-8 -E UTF8 >"$real/initdb.log" 2>&1
    ) || {
        cat "$real/initdb.log" >&2
        die "initdb failed"
    }
    as_server tee -a "$real/data/postgresql.conf" >/dev/null <<CONF

# Reached through its socket only, whose folder is ours alone.
listen_addresses = ''
port = 5432
unix_socket_directories = '$sockets'
shared_preload_libraries = 'sdes'
sdes.pkcs11_module = '$(softhsm_module)'
sdes.pkcs11_token = 'pkcs11:token=$token'
sdes.pin_source = 'file:$real/hsm/pin'
CONF
    as_server tee -a "$real/data/postgresql.conf" >/dev/null
    echo "$sockets" | as_server tee "$real/socket" >/dev/null
}

start_server()
{
    local real
    real=$(readlink -f "$1")
    (
        cd "$real"
        # The server must not hold on to our output: a caller may wait for its end.
        SOFTHSM2_CONF=$real/hsm/softhsm2.conf as_server "$(pg_bindir)/pg_ctl" \
            -D "$real/data" -l "$real/server.log" -w -s start </dev/null >"$real/start.log" 2>&1
    ) || {
        cat "$real/start.log" >&2
        tail -n 20 "$real/server.log" >&2
        die "the server did not start"
    }
}

# Stops the server of that folder, if there is one, and removes the folder.
remove_server()
{
    local dir=$1 real sockets
    [ -e "$dir" ] || [ -L "$dir" ] || return 0
    real=$(readlink -f "$dir")
    if [ -e "$real/data/postmaster.pid" ]; then
        (cd "$real" && as_server "$(pg_bindir)/pg_ctl" -D "$real/data" -m immediate -w -s stop) ||
            say "the server in $real was not running any more"
    fi
    if [ -e "$real/socket" ]; then
        sockets=$(cat "$real/socket")
        case $sockets in
            /tmp/sdes-*) rm -rf "$sockets" ;;
        esac
    fi
    remove_server_dir "$dir"
}
