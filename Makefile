# Everything runs in .venv, which tools/make_environment.sh builds from the hash-locked requirements
# and rebuilds only when they change.
BIN := .venv/bin
DEMO := runs/demo

.DEFAULT_GOAL := help
.PHONY: help environment demo test test-all check bench bench-peers docs lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

environment: ## the Python environment .venv, built only when the lock file changed
	@sh tools/make_environment.sh

demo: environment ## the glioma twin end to end; leaves a report in runs/demo
	@$(BIN)/twinsim run oncology/glioma --out $(DEMO)
	@echo "report: $(CURDIR)/$(DEMO)/report.html"

test: environment ## the tests, without the slow proofs
	@$(BIN)/python -m pytest -q -n auto --dist loadfile

test-all: environment ## the tests with the slow proofs
	@$(BIN)/python -m pytest -q -n auto --dist loadfile -m "slow or not slow"

check: environment ## lint, format, layering, types, documentation links
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports --no-cache >.lint-imports.log 2>&1 || { cat .lint-imports.log; rm -f .lint-imports.log; exit 1; }
	@rm -f .lint-imports.log
	@$(BIN)/basedpyright --level error
	@$(BIN)/python tools/check_docs.py

bench: environment ## every benchmark in benchmarks/
	@$(BIN)/twinsim bench

bench-peers: environment ## the environment of the programs that benchmarks run beside ours
	@sh tools/make_peers.sh

docs: environment ## relative links and commands in the documentation exist
	@$(BIN)/python tools/check_docs.py

lock: ## renew requirements.lock.txt from pyproject.toml
	@sh tools/make_lock.sh

clean: ## remove everything that make built, and no result in runs/
	@rm -rf .venv .venv-lock .venv-peers build dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
