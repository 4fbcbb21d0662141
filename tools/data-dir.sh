# shellcheck shell=bash
# Sourced: the private cluster of `make run`, its directory and its files.
#
#   data/ socket/     the cluster            server/          the private copy of the Postgres server
#   env               how to connect         gateway          what only the gateway may know (0600)
#   superadmin        generated credentials (0600)            run.pid  process of a running `make run`
#   keys/             the key that signs checkpoints of the audit trail

DATA_DIR="${SNACKBASE_DATA_DIR:-$ROOT/.snackbase}"
mkdir -p "$DATA_DIR"
DATA_DIR="$(cd "$DATA_DIR" && pwd)"
HTTP_PORT="${SNACKBASE_PORT:-8000}"
if [ -z "${PG:-}${PG_CONFIG:-}" ] && [ -f "$DATA_DIR/data/PG_VERSION" ]; then PG="$(cat "$DATA_DIR/data/PG_VERSION")"; fi

# Set once this process has started the cluster, and so has to stop it.
CLUSTER_STARTED=

# Build with profile $1, create the cluster if it is not there, start it. Sets BIN.
private_cluster_start() {
    local port
    [ "${#DATA_DIR}" -le 80 ] || die "the path $DATA_DIR is too long for a Unix socket; set SNACKBASE_DATA_DIR to a shorter one"
    pg_choose
    if [ -f "$DATA_DIR/data/PG_VERSION" ]; then
        [ "$(cat "$DATA_DIR/data/PG_VERSION")" = "$PG" ] \
            || die "$DATA_DIR holds a cluster of PostgreSQL $(cat "$DATA_DIR/data/PG_VERSION"); use PG=$(cat "$DATA_DIR/data/PG_VERSION") or another SNACKBASE_DATA_DIR"
    fi
    BIN="$DATA_DIR/server$("$PG_CONFIG" --bindir)"
    if [ -x "$BIN/pg_ctl" ] && cluster_running "$BIN" "$DATA_DIR"; then
        die "the cluster in $DATA_DIR is already running; 'make stop' stops it"
    fi
    BIN="$(server_link "$DATA_DIR/server")"
    extension_package "$DATA_DIR/server" "$1"
    if [ ! -f "$DATA_DIR/data/PG_VERSION" ]; then
        port="$(free_port)"
        cluster_create "$BIN" "$DATA_DIR" "$port"
        cat >"$DATA_DIR/env" <<ENV
export PGHOST='$DATA_DIR/socket' PGPORT=$port PGDATABASE=snackbase PGUSER=postgres
export SNACKBASE_URL=http://127.0.0.1:$HTTP_PORT
ENV
    fi
    sed -i "s|^export SNACKBASE_URL=.*|export SNACKBASE_URL=http://127.0.0.1:$HTTP_PORT|" "$DATA_DIR/env"
    private_audit
    export CLUSTER_STARTED=yes
    cluster_start "$BIN" "$DATA_DIR"
    # shellcheck source=/dev/null
    . "$DATA_DIR/env"
    private_database
}

# The key that signs checkpoints, made once, and the settings of the sealer.
private_audit() {
    local keys="$DATA_DIR/keys" conf="$DATA_DIR/data/postgresql.conf"
    if [ ! -f "$keys/audit.key" ] && [ -n "${GATEWAY:-}" ]; then
        mkdir -p "$keys"
        chmod 700 "$keys"
        "$GATEWAY" audit keygen "$keys/audit.key" >"$keys/audit.key.pub"
        if [ "$(id -u)" -eq 0 ]; then chown -R "$OWNER" "$keys"; fi
    fi
    if ! as_owner grep -q '^snackbase.audit_databases' "$conf"; then
        as_owner tee -a "$conf" >/dev/null <<<"snackbase.audit_databases = 'snackbase'"
    fi
    if [ -f "$keys/audit.key" ] && ! as_owner grep -q '^snackbase.audit_key_file' "$conf"; then
        as_owner tee -a "$conf" >/dev/null <<<"snackbase.audit_key_file = '$keys/audit.key'"
    fi
}

# The database, the extension in it, and the gateway's password.
private_database() {
    if [ -z "$(sql postgres "select 1 from pg_database where datname = 'snackbase'")" ]; then
        sql postgres "create database snackbase"
    fi
    sql snackbase "set client_min_messages = warning; create extension if not exists snackbase; alter extension snackbase update"
    if [ ! -f "$DATA_DIR/gateway" ]; then
        (umask 077 && cat >"$DATA_DIR/gateway" <<GATEWAY
SNACKBASE_DATABASE_PASSWORD=$(random_secret)
SNACKBASE_SECRET_KEY=$(random_secret)$(random_secret)
SNACKBASE_ENCRYPTION_KEY=$(random_secret)$(random_secret)
GATEWAY
        )
    fi
    # Directories of earlier versions have no key for secrets.
    grep -q '^SNACKBASE_ENCRYPTION_KEY=' "$DATA_DIR/gateway" \
        || printf 'SNACKBASE_ENCRYPTION_KEY=%s%s\n' "$(random_secret)" "$(random_secret)" >>"$DATA_DIR/gateway"
    # shellcheck source=/dev/null
    . "$DATA_DIR/gateway"
    sql snackbase "set password_encryption = 'scram-sha-256'; alter role snackbase_gateway login password '$SNACKBASE_DATABASE_PASSWORD'"
}

# Run one SQL text ($2) in database $1 as the superuser; prints bare values.
sql() {
    as_owner "$BIN/psql" --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 \
        --host "$DATA_DIR/socket" --port "$(sed -n 's/^port = //p' "$DATA_DIR/data/postgresql.conf")" \
        --username postgres --dbname "$1" --command "$2"
}

# The programs of the cluster's own server.
private_bin() {
    pg_choose
    BIN="$DATA_DIR/server$("$PG_CONFIG" --bindir)"
    [ -x "$BIN/pg_ctl" ] || die "there is no cluster in $DATA_DIR; 'make run' makes one"
}
