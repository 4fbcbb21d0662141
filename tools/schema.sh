#!/usr/bin/env bash
# Rewrite pgrx-tests/schema.out from a fresh installation. Run by `make schema`, inside tools/with-cluster.sh.
# shellcheck source=shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
: "${SNACKBASE_TEST_TEMPLATE:?run this with tools/with-cluster.sh}"

psql --no-psqlrc --no-align --tuples-only --set ON_ERROR_STOP=1 --dbname "$SNACKBASE_TEST_TEMPLATE" \
    --file "$ROOT/pgrx-tests/schema.sql" --output "$ROOT/pgrx-tests/schema.out"
say "Wrote pgrx-tests/schema.out; read the difference before you commit it."
