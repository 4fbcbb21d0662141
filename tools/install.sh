#!/usr/bin/env bash
# `make install PG_CONFIG=…`: build the extension for release and put its files into that Postgres.
# shellcheck source=shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
# shellcheck source=postgres.sh
. "$ROOT/tools/postgres.sh"
pg_choose
gateway_build release
stage="$(mktemp -d)"
trap 'rm -rf "$stage"' EXIT
extension_package "$stage" release
library="$("$PG_CONFIG" --pkglibdir)"
share="$("$PG_CONFIG" --sharedir)/extension"
put=(install -m 644)
if [ ! -w "$library" ] || [ ! -w "$share" ]; then put=(as_root install -m 644); fi
# install(1) replaces a file instead of writing into it: a server that has the old library loaded lives on.
"${put[@]}" -t "$library" "$stage$library"/snackbase.so
"${put[@]}" -t "$share" "$stage$share"/snackbase*
cat >&2 <<TEXT

Installed into $("$PG_CONFIG" --version): $library, $share

Next, as a superuser of that server:
  1. postgresql.conf: shared_preload_libraries = 'snackbase'      then restart it
  2. create extension snackbase;
  3. alter role snackbase_gateway login password '…';
  4. $GATEWAY doctor      then      $GATEWAY serve
TEXT
