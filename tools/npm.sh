#!/usr/bin/env bash
# Install the locked JavaScript packages of folders that need them, when they are not there yet.
# Usage: tools/npm.sh FOLDER…
# shellcheck source=shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
for folder in "$@"; do
    lock="$ROOT/$folder/package-lock.json"
    if ! cmp -s "$lock" "$ROOT/$folder/node_modules/.snackbase-lock"; then
        (cd "$ROOT/$folder" && npm ci --no-audit --no-fund --loglevel error) >&2
        cp "$lock" "$ROOT/$folder/node_modules/.snackbase-lock"
    fi
done
