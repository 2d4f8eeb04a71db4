#!/bin/sh
# Renews requirements.lock.txt: runtime and development packages with hashes, for Python 3.12 and 3.13.
# --no-header and --no-emit-index-url keep machine paths and index addresses out of the file.
set -eu
cd "$(dirname "$0")/.."
trap 'rm -rf .venv-lock requirements.lock.new' EXIT INT TERM

rm -rf .venv-lock
for candidate in .venv/bin/python python3.13 python3.12 python3; do
    if "$candidate" -m venv .venv-lock >/dev/null 2>&1; then break; fi
done
.venv-lock/bin/python -m pip install -qq --disable-pip-version-check uv
.venv-lock/bin/uv pip compile --quiet --universal --upgrade --python-version 3.12 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-header --no-annotate --extra dev pyproject.toml \
    --output-file requirements.lock.new
mv requirements.lock.new requirements.lock.txt
echo "requirements.lock.txt: $(grep -cE '^[A-Za-z0-9]' requirements.lock.txt) packages"
