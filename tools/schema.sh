#!/usr/bin/env bash
# `make schema`: rewrite the golden files of tests/psql/, which hold what psql shows of an installation.
# shellcheck source=shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
cd "$ROOT"
SNACKBASE_ACCEPT=1 exec cargo test --package snackbase-e2e psql::
