#!/usr/bin/env bash
# `make stop`: stop what a detached `make run` or `make cluster` left running.
# shellcheck source=shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
# shellcheck source=postgres.sh
. "$ROOT/tools/postgres.sh"
# shellcheck source=data-dir.sh
. "$ROOT/tools/data-dir.sh"
private_bin

stopped=
if [ -f "$DATA_DIR/run.pid" ]; then
    pid="$(cat "$DATA_DIR/run.pid")"
    # The number may have been given to another program since: only ours has this script in its command line.
    if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q 'tools/run.sh'; then
        kill -TERM "$pid"
        stopped="the running server"
        tail --pid "$pid" --follow /dev/null
    fi
    rm -f "$DATA_DIR/run.pid"
fi
if cluster_running "$BIN" "$DATA_DIR"; then
    cluster_stop "$BIN" "$DATA_DIR"
    stopped="${stopped:-the cluster}"
fi
say "Stopped ${stopped:-nothing: nothing was running}."
