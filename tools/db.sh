#!/usr/bin/env bash
# Run the in-database tests (pgrx-tests/) in a throw-away server.
# Usage: tools/db.sh [--newest] [NAME]   (on the newest version of Postgres, fetched when it is not here; only tests whose name contains NAME)
# shellcheck source=shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
# shellcheck source=postgres.sh
. "$ROOT/tools/postgres.sh"
pg_choose
if [ "${1:-}" = --newest ]; then
    shift
    newest="$(pg_newest)"
    if [ -z "$newest" ]; then
        say "PostgreSQL $PG is the newest version there is: nothing is tested once more."
        exit 0
    fi
    PG_CONFIG="" PG="$newest"
    export PG_CONFIG PG
    "$ROOT/tools/setup.sh"
    pg_choose
fi

cd "$ROOT/extension"
# Compile with the developer's own pgrx configuration: what follows only redirects where tests run.
cargo test --no-run --no-default-features --features "pg$PG pg_test" >&2
# The library that the tests install has fewer dependencies than the tests, so it is another build.
cargo build --lib --no-default-features --features "pg$PG pg_test" >&2

home="$(mktemp -d "${TMPDIR:-/tmp}/snackbase-XXXXXX")"
chmod 755 "$home"
# The framework leaves a copy of every installation it makes below the target directory.
trap 'rm -rf "$home" "$TARGET_DIR/debug/snackbase-pg$PG"' EXIT
trap 'exit 130' INT TERM
bin="$(server_link "$home/server")"
mkdir "$home/pgrx" "$home/pgdata"
# A port of its own: another checkout may be running its tests. (The framework adds the major version.)
printf 'base_testing_port = %s\n[configs]\npg%s = "%s/pg_config"\n' "$(($(free_port) - PG))" "$PG" "$bin" >"$home/pgrx/config.toml"

arguments=("pg$PG" --no-default-features --pgdata "$home/pgdata")
if [ "$(id -u)" -eq 0 ]; then
    chown "$OWNER" "$home/pgdata"
    require_reachable "$home/pgdata"
    arguments+=(--runas "$OWNER")
fi
PGRX_HOME="$home/pgrx" cargo pgrx test "${arguments[@]}" "$@"
