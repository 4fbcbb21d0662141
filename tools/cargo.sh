#!/usr/bin/env bash
# Run cargo over the whole workspace with the features of the Postgres in use.
# Usage: tools/cargo.sh SUBCOMMAND [ARGUMENT…]
# shellcheck source=shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
# shellcheck source=postgres.sh
. "$ROOT/tools/postgres.sh"
pg_choose
cd "$ROOT"
exec cargo "$1" --workspace --no-default-features --features "snackbase/pg$PG" "${@:2}"
