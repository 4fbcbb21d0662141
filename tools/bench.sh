#!/usr/bin/env bash
# `make bench`: the measurements of bench/, in a throw-away cluster with release builds.
# shellcheck source=shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
exec "$ROOT/tools/with-cluster.sh" --release node "$ROOT/bench/run.mjs"
