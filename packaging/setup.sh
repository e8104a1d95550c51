#!/usr/bin/env bash
# Set up everything that building, testing and running from a checkout needs: system packages and .venv.
#
# usage: [PYTHON=python3.12] packaging/setup.sh
#
# Missing system packages are installed where this is root on a system with apt-get, and named in one sentence elsewhere.
# Running it again brings an existing .venv up to date.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

# Debian's names; a system without apt-get has the same things under similar names.
install_packages() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing $*"
        DEBIAN_FRONTEND=noninteractive apt-get -qq update
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null
    else
        echo "setup: please install these packages (Debian's names): $*" >&2
        return 1
    fi
}

if ! command -v "$python" >/dev/null; then
    install_packages python3 python3-venv
fi
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    echo "setup: $python is Python $version, and 3.10 is the oldest that works: run 'make setup PYTHON=python3.12'" >&2
    exit 1
fi

# The tunnel runs ip and nft, the tests run ping and tmux as well.
missing=()
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then missing+=("python$version-venv"); fi
if ! command -v ip >/dev/null; then missing+=(iproute2); fi
if ! command -v nft >/dev/null; then missing+=(nftables); fi
if ! command -v tmux >/dev/null; then missing+=(tmux); fi
if ! command -v ping >/dev/null; then missing+=(iputils-ping); fi
if [ ${#missing[@]} -gt 0 ]; then install_packages "${missing[@]}"; fi

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    echo "setup: making .venv with Python $version"
    "$python" -m venv --clear .venv
fi

# Building compiles the core, and pip what has no wheel for this machine. Using a checkout needs neither on most.
if ! command -v gcc >/dev/null || ! "$python" -c '
import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'; then
    install_packages gcc libc6-dev "python$version-dev" || echo "setup: going on without, until something is to be compiled" >&2
fi

echo "setup: installing Python packages into .venv"
.venv/bin/python -m pip install --quiet --editable '.[fast,dev]'
