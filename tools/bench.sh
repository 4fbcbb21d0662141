#!/usr/bin/env bash
# `make bench`: the measurements of bench/, each in a throw-away cluster with release builds.
# Usage: tools/bench.sh [FOLDER…]   (default: every folder of bench/)
# shellcheck source=shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
folders=("$@")
[ $# -gt 0 ] || folders=(requests records audit ledger identity)
for folder in "${folders[@]}"; do
    # Elsewhere nothing seals in the background: what is measured there is something else.
    export CLUSTER_SETTINGS=""
    if [ "$folder" = ledger ]; then CLUSTER_SETTINGS="snackbase.audit_databases = 'bench'"; fi
    export CLUSTER_PRELOAD=""
    if [ "$folder" = audit ]; then
        CLUSTER_PRELOAD="$(mktemp -d "${TMPDIR:-/tmp}/snackbase-XXXXXX")/slow_flush.so"
        cc -shared -fPIC -O2 -Wall -Werror -o "$CLUSTER_PRELOAD" "$ROOT/bench/audit/slow_flush.c"
        chmod 755 "$(dirname "$CLUSTER_PRELOAD")"
        trap 'rm -rf "$(dirname "$CLUSTER_PRELOAD")"' EXIT
    fi
    if [ "$folder" = identity ]; then
        (cd "$ROOT" && cargo build --release --package snackbase-gateway --example argon2_rate)
        export BENCH_ARGON2="$TARGET_DIR/release/examples/argon2_rate"
    fi
    "$ROOT/tools/with-cluster.sh" --release node "$ROOT/bench/$folder/run.mjs"
done
