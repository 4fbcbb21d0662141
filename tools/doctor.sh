#!/usr/bin/env bash
# `make doctor`: what the database finds wrong with its own configuration.
# shellcheck source=shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
exec "$ROOT/tools/psql.sh" --no-psqlrc --expanded --command "select severity, code, message, hint from snackbase.doctor()"
