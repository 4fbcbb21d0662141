#!/usr/bin/env bash
# `make upgrade`: pg_upgrade of a cluster with records and a ledger to a newer major version of Postgres, which is fetched
# when it is not here.
# shellcheck source=shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
# shellcheck source=postgres.sh
. "$ROOT/tools/postgres.sh"
pg_choose
cd "$ROOT"
if [ -z "$(pg_next)" ]; then
    say "There is no version newer than PostgreSQL $PG to upgrade to: nothing is tested."
    exit 0
fi
tools/setup.sh next
exec tools/with-cluster.sh --next cargo test --package snackbase-e2e --test e2e upgrade::
