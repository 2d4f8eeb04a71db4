#!/bin/sh
# Builds .venv from requirements.lock.txt, and does nothing when it is already right.
# The stamp .venv/.lock-hash is written last, so that a half-built environment is built again.
set -eu
cd "$(dirname "$0")/.."

digest='import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())'
stamp=.venv/.lock-hash
folder=$(pwd -P) # scripts in .venv name their interpreter in full: a moved folder needs a new one

say() { printf 'environment: %s\n' "$1" >&2; }

find_python() {
    for candidate in python3.13 python3.12 python3; do
        # A version manager may leave a shim that only prints an error: what counts is whether it runs.
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    say "no Python 3.12 or newer (with venv) found; install Python 3.13 from python.org or your system's packages"
    return 1
}

install() { .venv/bin/python -m pip install -qq --disable-pip-version-check --no-input "$@"; }

if .venv/bin/python -c '' >/dev/null 2>&1 && [ -f "$stamp" ]; then
    lock=$(.venv/bin/python -c "$digest" requirements.lock.txt)
    project=$(.venv/bin/python -c "$digest" pyproject.toml)
    if [ "$(cat "$stamp")" = "$lock $project $folder" ]; then
        exit 0
    fi
    case $(cat "$stamp") in
    "$lock "*" $folder") rebuild=no ;; # only the project's own metadata changed
    *) rebuild=yes ;;
    esac
else
    rebuild=yes
fi

if [ "$rebuild" = yes ]; then
    python=$(find_python)
    say "creating .venv with $("$python" --version 2>&1)"
    rm -rf .venv
    "$python" -m venv .venv
    say "installing the locked packages (a few minutes the first time)"
    install --require-hashes --only-binary :all: -r requirements.lock.txt
fi
rm -f "$stamp"
say "installing twinsim itself, editable"
install --no-deps --no-build-isolation --editable .
lock=$(.venv/bin/python -c "$digest" requirements.lock.txt)
project=$(.venv/bin/python -c "$digest" pyproject.toml)
echo "$lock $project $folder" >"$stamp"
