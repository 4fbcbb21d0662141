#!/usr/bin/env bash
# `make demo`: the story of the project on real data, in a throw-away cluster.
# shellcheck source=shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
"$ROOT/tools/npm.sh" demo
export SNACKBASE_DEMO_DATABASE=demo
# shellcheck disable=SC2016 # expanded by the inner shell, which has the cluster in its environment
exec "$ROOT/tools/with-cluster.sh" bash -c \
    'createdb --template "$SNACKBASE_TEST_TEMPLATE" "$SNACKBASE_DEMO_DATABASE" && cd "$ROOT" && exec node demo/demo.mjs'
