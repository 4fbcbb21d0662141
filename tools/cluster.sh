#!/usr/bin/env bash
# `make cluster`: the private cluster alone, in the background, without a gateway.
# shellcheck source=shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
# shellcheck source=postgres.sh
. "$ROOT/tools/postgres.sh"
# shellcheck source=data-dir.sh
. "$ROOT/tools/data-dir.sh"
private_cluster_start "${PROFILE:-dev}"
say "Postgres is running. Connect with:  . $DATA_DIR/env && psql      Stop with:  make stop"
