#!/bin/sh
# Install what building libvirt-python needs, which is on PyPI as source only: libvirt's headers,
# pkg-config, a C compiler, Python's headers and its venv module, as far as missing.
# Usage: sh scripts/prepare.sh [PYTHON]
set -eu

python=${1:-python3}

die() {
    echo "prepare: $*" >&2
    exit 1
}

ask() {
    "$python" -c "import os, sys, sysconfig; print($1)"
}

# Compile instead of looking for the file: a header may include one that is missing.
compiles() {
    # shellcheck disable=SC2086 # compiler and flags may be several words
    printf '#include <%s>\n' "$1" | $compiler -fsyntax-only -x c $2 - 2>/dev/null
}

has_libvirt() {
    flags=$(pkg-config --cflags libvirt 2>/dev/null) && compiles libvirt/libvirt.h "$flags"
}

find_missing() {
    {
        "$python" -c 'import ensurepip, venv' 2>/dev/null || echo "Python's venv module"
        compiles stdio.h "" || echo "a C compiler"
        compiles Python.h "-I$include" || echo "Python's headers"
        has_libvirt || echo "libvirt's headers (with pkg-config)"
    } | paste -s -d , - | sed 's/,/, /g'
}

[ "$(ask 'sys.version_info >= (3, 9)' 2>/dev/null)" = True ] ||
    die "$python is not Python 3.9 or newer; select another: make run PYTHON=python3.11"

include=$(ask 'sysconfig.get_paths()["include"]')
compiler=$(ask 'os.getenv("CC") or sysconfig.get_config_var("CC") or "cc"')
missing=$(find_missing)
[ -n "$missing" ] || exit 0

# The distribution's packages serve its own Pythons only: python3-... the default one, python3.X-...
# another.
name=
if [ "$(ask sys.base_prefix)" = /usr ]; then
    name=python$(ask '"%d.%d" % sys.version_info[:2]')
    [ "$(readlink -f /usr/bin/python3)" != "/usr/bin/$name" ] || name=python3
fi
if command -v apt-get >/dev/null; then
    # A failed update, such as of one source of many, matters only if the installation fails too.
    install="apt-get update; DEBIAN_FRONTEND=noninteractive apt-get install -y \
--no-install-recommends libvirt-dev pkg-config gcc libc6-dev${name:+ $name-dev $name-venv}"
elif command -v dnf >/dev/null; then
    install="dnf install -y libvirt-devel pkgconf-pkg-config gcc${name:+ $name-devel}"
else
    die "missing: $missing; install it by hand, apt-get and dnf were not found"
fi

as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "missing: $missing; run as root: $install"
    as_root=sudo
fi
echo "prepare: missing: $missing; installing it as root: $install" >&2
$as_root sh -c "$install" || die "missing: $missing; installation failed, run as root: $install"

missing=$(find_missing)
[ -z "$missing" ] || die "still missing for $(ask sys.executable): $missing; \
if this is not the distribution's Python, try: make run PYTHON=/usr/bin/python3"
