# shellcheck shell=bash
# Sourced by every script here: where the project is, who owns the Postgres processes, how scripts speak.
set -euo pipefail
# Whoever runs Postgres has to be able to read what is made here.
umask 022

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export ROOT
TARGET_DIR="${CARGO_TARGET_DIR:-$ROOT/target}"
export TARGET_DIR
# Where tools/setup.sh installs the mail server of the tests.
SMTP_DIR="$TARGET_DIR/smtp"
export SMTP_DIR
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
# The flag that `cargo pgrx` would pass through RUSTFLAGS comes from extension/build.rs: one set of artefacts.
export CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND=1

# Postgres refuses to run as root: then its own system user runs it, otherwise whoever types the command.
if [ "$(id -u)" -eq 0 ]; then OWNER=postgres; else OWNER="$(id -un)"; fi

say() { printf '%s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Run a program as the user who owns the cluster.
as_owner() {
    if [ "$(id -u)" -eq 0 ]; then (cd / && runuser -u "$OWNER" -- "$@"); else "$@"; fi
}

# Run a program with the rights to change the system.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "installing system packages needs root or sudo, and neither is here. Missing: $*"
    fi
}

# A TCP port below the ephemeral range that nobody listens on.
free_port() {
    local port
    for _ in $(seq 100); do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            printf '%s\n' "$port"
            return
        fi
    done
    die "no free TCP port between 20000 and 32000"
}

# 32 characters nobody can guess.
random_secret() { head -c 24 /dev/urandom | base64 | tr '+/' '-_'; }
