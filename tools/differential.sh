#!/usr/bin/env bash
# The differential test of tests/differential/ with new seeds, until the time is over or a door disagrees.
# Usage: tools/differential.sh [SECONDS]   (default 600)
# SNACKBASE_DIFFERENTIAL_SEED=n repeats the seed that a report names.
# shellcheck source=shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
cd "$ROOT"

export SNACKBASE_DIFFERENTIAL_SECONDS="${1:-600}"
exec tools/with-cluster.sh cargo test --package snackbase-e2e differential::every_door -- --nocapture
