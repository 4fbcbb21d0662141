#!/usr/bin/env bash
# Rewrite what is compared with a fresh installation: pgrx-tests/schema.out and tests/psql/*.out. Run by `make schema`,
# inside tools/with-cluster.sh.
# shellcheck source=shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
: "${SNACKBASE_TEST_TEMPLATE:?run this with tools/with-cluster.sh}"

psql --no-psqlrc --no-align --tuples-only --set ON_ERROR_STOP=1 --dbname "$SNACKBASE_TEST_TEMPLATE" \
    --file "$ROOT/pgrx-tests/schema.sql" --output "$ROOT/pgrx-tests/schema.out"
(cd "$ROOT" && SNACKBASE_ACCEPT=1 cargo test --quiet --package snackbase-e2e psql::golden) >&2
say "Wrote pgrx-tests/schema.out and tests/psql/*.out; read the difference before you commit it."
