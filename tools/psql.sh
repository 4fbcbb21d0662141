#!/usr/bin/env bash
# `make psql`: psql on the private cluster, as its superuser. Arguments go to psql.
# shellcheck source=shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
# shellcheck source=postgres.sh
. "$ROOT/tools/postgres.sh"
# shellcheck source=data-dir.sh
. "$ROOT/tools/data-dir.sh"
private_bin
cluster_running "$BIN" "$DATA_DIR" || die "the cluster in $DATA_DIR is not running; 'make run' or 'make cluster' starts it"
# shellcheck source=/dev/null
. "$DATA_DIR/env"
exec "$BIN/psql" "$@"
