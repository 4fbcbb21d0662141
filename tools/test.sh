#!/usr/bin/env bash
# `make test`: every kind of test, then how many of each ran.
# Usage: tools/test.sh [KIND…]   (unit db e2e upgrade newest; default all)
# shellcheck source=shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
cd "$ROOT"

kinds=("$@")
[ $# -gt 0 ] || kinds=(unit db e2e upgrade newest)
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
report=()
passed_total=0 failed_total=0 broken=

# Add up the closing lines that cargo's test runner prints: "test result: ok. 3 passed; 0 failed; …"
count() { sed -nE "s/.*test result: .* ([0-9]+) $1;.*/\1/p" "$log" | awk '{ n += $1 } END { print n + 0 }'; }

for kind in "${kinds[@]}"; do
    say ""
    say "== $kind"
    case "$kind" in
        unit) command=(cargo test) ;;
        db) command=(tools/db.sh) ;;
        e2e)
            tools/npm.sh tests/sdk demo clients/js
            # (those of the next kind need a second server)
            command=(tools/with-cluster.sh cargo test --package snackbase-e2e -- --skip upgrade::)
            ;;
        upgrade) command=(tools/upgrade.sh) ;;
        # What is inside Postgres once more, on the newest version of it.
        newest) command=(tools/db.sh --newest) ;;
        *) die "unknown kind of test: $kind" ;;
    esac
    status=0
    "${command[@]}" 2>&1 | tee "$log" || status=$?
    passed="$(count passed)" failed="$(count failed)"
    # A filter that matches nothing, or a runner that finds no test, is no success.
    if [ "$passed" -eq 0 ] && ! grep -q 'nothing is tested' "$log"; then status=1; fi
    if [ "$status" -ne 0 ]; then broken="$broken $kind"; [ "$failed" -gt 0 ] || failed=1; fi
    report+=("$(printf '%-7s %5d passed  %5d failed' "$kind" "$passed" "$failed")")
    passed_total=$((passed_total + passed)) failed_total=$((failed_total + failed))
done

printf '\n'
printf '%s\n' "${report[@]}"
printf '%d passed, %d failed\n' "$passed_total" "$failed_total"
[ -z "$broken" ] || die "these did not pass:$broken"
