#!/bin/sh
# Builds .venv-peers from benchmarks/peers/requirements.txt (wheels only) and, where a C++ compiler is found, from
# requirements-source.txt beside it; does nothing when it is already right.
# `make_peers.sh lock` renews both from their .in files, with hashes and without index addresses.
# The stamp .venv-peers/.lock-hash is written last, so that a half-built environment is built again.
set -eu
cd "$(dirname "$0")/.."

peers=benchmarks/peers
stamp=.venv-peers/.lock-hash
digest='import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())'
folder=$(pwd -P)

say() { printf 'peers: %s\n' "$1" >&2; }

find_python() {
    # The interpreter of .venv first, so that peers and twinsim run on the same Python.
    for candidate in .venv/bin/python python3.13 python3.12 python3; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    say "no Python 3.12 or newer (with venv) found; install Python 3.13 from python.org or your system's packages"
    return 1
}

python=$(find_python)

if [ "${1:-}" = lock ]; then
    trap 'rm -rf .venv-lock "$peers/requirements.new"' EXIT INT TERM
    rm -rf .venv-lock
    "$python" -m venv .venv-lock
    .venv-lock/bin/python -m pip install -qq --disable-pip-version-check uv
    compile() {
        .venv-lock/bin/uv pip compile --quiet --universal --upgrade --python-version 3.12 --generate-hashes \
            --no-emit-index-url --no-emit-find-links --no-header --no-annotate "$@" --output-file "$peers/requirements.new"
    }
    compile "$peers/requirements.in"
    mv "$peers/requirements.new" "$peers/requirements.txt"
    compile --no-deps "$peers/requirements-source.in"
    mv "$peers/requirements.new" "$peers/requirements-source.txt"
    say "$(cat "$peers"/requirements*.txt | grep -cE '^[A-Za-z0-9]') packages"
    exit 0
fi

wanted="$("$python" -c "$digest" "$peers/requirements.txt") $("$python" -c "$digest" "$peers/requirements-source.txt")"
wanted="$wanted $("$python" --version) $folder"
if .venv-peers/bin/python -c '' >/dev/null 2>&1 && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi
install() { .venv-peers/bin/python -m pip install -qq --disable-pip-version-check --no-input --require-hashes "$@"; }

say "creating .venv-peers with $("$python" --version 2>&1) (a few minutes the first time)"
rm -rf .venv-peers
"$python" -m venv .venv-peers
install --only-binary :all: -r "$peers/requirements.txt"
if ! install --no-deps -r "$peers/requirements-source.txt" >.venv-peers/source.log 2>&1; then
    say "not built (it needs a C++ compiler; see .venv-peers/source.log): $(sed -n 's/^\([A-Za-z0-9_-]*==[^ ]*\).*/\1/p' "$peers/requirements-source.txt")"
fi
echo "$wanted" >"$stamp"
