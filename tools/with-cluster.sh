#!/usr/bin/env bash
# Run a command against a throw-away cluster that holds the extension, and clean up after it.
# Usage: tools/with-cluster.sh [--release] [--next] COMMAND…   (CLUSTER_SETTINGS: further lines of the clusters' configuration)
#
# The command finds in its environment:
#   PGHOST PGPORT PGUSER PGDATABASE   the cluster's socket directory, port, superuser and maintenance database
#   SNACKBASE_TEST_GATEWAY            the gateway program
#   SNACKBASE_TEST_VERIFIER           the program snackbase-verify
#   SNACKBASE_TEST_GATEWAY_PASSWORD   password of the login role snackbase_gateway (TCP, 127.0.0.1, PGPORT)
#   SNACKBASE_TEST_TEMPLATE           a database with only the extension in it, to copy
#   SNACKBASE_TEST_LOG                the cluster's log; its lines have user, database and SQLSTATE after the process number
#   SNACKBASE_TEST_SMTP               a Python that has the mail server of the tests (tools/setup.sh smtp)
#   SNACKBASE_TEST_SPARE_HOST, _PORT  a second, empty cluster with the extension's files (for restores)
#   SNACKBASE_TEST_NEXT_BIN           with --next: the programs of a newer server with the extension (for upgrades)
# and psql, pg_dump, pg_restore, pgbench of the same version in PATH.
# shellcheck source=shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
# shellcheck source=postgres.sh
. "$ROOT/tools/postgres.sh"

profile=dev
if [ "${1:-}" = --release ]; then profile=release; shift; fi
next=
if [ "${1:-}" = --next ]; then next=yes; shift; fi
[ $# -gt 0 ] || die "usage: tools/with-cluster.sh [--release] [--next] COMMAND…"
pg_choose

say "Building gateway and extension ($profile, PostgreSQL $PG)"
gateway_build "$profile"
home="$(mktemp -d "${TMPDIR:-/tmp}/snackbase-XXXXXX")"
chmod 755 "$home"
bin="$(server_link "$home/server")"
stop() {
    local cluster
    # (main, spare, and those of tests that were interrupted)
    for cluster in "$home"/*/; do
        if cluster_running "$bin" "$cluster"; then cluster_stop "$bin" "$cluster" || true; fi
    done
    rm -rf "$home"
}
trap stop EXIT
trap 'exit 130' INT TERM
extension_package "$home/server" "$profile"
if [ -n "$next" ]; then
    # (a subshell: what it chooses must not become this script's choice)
    (
        PG="$(pg_next)" PG_CONFIG=
        pg_choose
        say "Building the extension for PostgreSQL $PG, too"
        server_link "$home/next" >"$home/next-bin"
        extension_package "$home/next" "$profile"
    )
    SNACKBASE_TEST_NEXT_BIN="$(cat "$home/next-bin")"
    export SNACKBASE_TEST_NEXT_BIN
fi

# A crash of the machine may cost these clusters their data; tests do not wait for disks. Benchmarks do.
settings="fsync = off"
if [ "$profile" = release ]; then settings="shared_buffers = 1GB"; fi
settings+=$'\n'"${CLUSTER_SETTINGS:-}"
for cluster in main spare; do
    cluster_create "$bin" "$home/$cluster" "$(free_port)" "$settings"
    cluster_start "$bin" "$home/$cluster"
done

export PATH="$bin:$PATH"
export PGHOST="$home/main/socket" PGUSER=postgres PGDATABASE=postgres
PGPORT="$(sed -n 's/^port = //p' "$home/main/data/postgresql.conf")"
SNACKBASE_TEST_SPARE_PORT="$(sed -n 's/^port = //p' "$home/spare/data/postgresql.conf")"
SNACKBASE_TEST_GATEWAY_PASSWORD="$(random_secret)"
export PGPORT SNACKBASE_TEST_SPARE_PORT SNACKBASE_TEST_GATEWAY_PASSWORD
export SNACKBASE_TEST_GATEWAY="$GATEWAY" SNACKBASE_TEST_VERIFIER="$VERIFIER" SNACKBASE_TEST_LOG="$home/main/data/server.log"
export SNACKBASE_TEST_SMTP="$SMTP_DIR/bin/python"
export SNACKBASE_TEST_SPARE_HOST="$home/spare/socket" SNACKBASE_TEST_TEMPLATE=snackbase_template

psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 <<SQL
create database $SNACKBASE_TEST_TEMPLATE;
\connect $SNACKBASE_TEST_TEMPLATE
create extension snackbase;
alter role snackbase_gateway login password '$SNACKBASE_TEST_GATEWAY_PASSWORD';
SQL

"$@"
