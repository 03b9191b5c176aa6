# make search: set up, then search on the embedded demo data. make help lists the rest.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help setup search test check lint tests browser postgres clean

help:
	@echo 'make search  set up .venv, make the demo data, search it: some minutes on two cores'
	@echo 'make test    set up, then run every test'
	@echo 'make check   set up, then formatting, style, types, layers and every test'
	@echo 'make setup   only set up .venv (PYTHON=python3.12 chooses the Python)'
	@echo 'make clean   remove .venv, the demo data and caches; studies in results/ stay'

setup:
	@command -v $(PYTHON) >/dev/null || { echo "no $(PYTHON) here: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) setup_env.py

search: setup
	@test -e demo-data/meta.csv || $(BIN)/scenefront data demo demo-data
	$(BIN)/scenefront search --config demo.yaml
	$(BIN)/scenefront plot

test: setup browser postgres tests

check: setup browser postgres lint tests

# Three files at a time, as many wait for a process to start; tests/conftest.py spreads those with whole searches.
tests:
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

lint:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A checking machine must have a browser and PostgreSQL; a developer may do without.
browser:
	@if command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; then :; \
	elif [ "$$CI" = true ]; then \
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		$$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; \
	else echo 'no Chromium here: the browser tests will be skipped'; fi

postgres:
	@if command -v pg_ctl >/dev/null || ls /usr/lib/postgresql/*/bin/pg_ctl >/dev/null 2>&1; then :; \
	elif [ "$$CI" = true ]; then \
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		$$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql; \
	else echo 'no PostgreSQL here: its tests will be skipped'; fi

clean:
	rm -rf .venv demo-data .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
