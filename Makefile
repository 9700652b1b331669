# The hub's commands. `make help` lists them. Everything is installed into .venv from locks with
# hashes; an index of your own is taken from pip's settings (PIP_INDEX_URL).
PYTHON ?= python3
BIN := .venv/bin
PORT ?= 8000
export UV_PYTHON_DOWNLOADS := never
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX := $(PIP_INDEX_URL)
endif
ifdef PIP_EXTRA_INDEX_URL
export UV_INDEX := $(PIP_EXTRA_INDEX_URL)
endif

.PHONY: help demo run test bench check fmt lock clean
.DEFAULT_GOAL := help

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "%-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv

# uv is quick; a port whose index is known to pip alone installs with pip, with the same hashes.
define install
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv==0.13.9 || true
	@$(BIN)/uv pip sync -q --require-hashes -p $(BIN)/python $(1) || $(BIN)/python -m pip install -q --require-hashes -r $(1)
	@touch $(2)
endef

.venv/run.stamp: requirements.lock | .venv/bin/python
	$(call install,requirements.lock,$@)
	@rm -f .venv/dev.stamp

.venv/dev.stamp: requirements-dev.lock | .venv/bin/python
	$(call install,requirements-dev.lock,$@)
	@touch .venv/run.stamp

demo: .venv/dev.stamp ## play the main job on a hub of its own, then keep serving (ONCE=1: exit; PORT=8001)
	$(BIN)/python -m crc.demo --port $(PORT) $(if $(ONCE),--once)

run: .venv/run.stamp ## the hub with your own data, in var/ (PORT=8001: on another port)
	$(BIN)/python -m crc.runner --port $(PORT)

test: .venv/dev.stamp ## every test: on the embedded default, then on PostgreSQL and Redis
	$(BIN)/python -m tests.backends

bench: .venv/dev.stamp ## measure, and write bench/results
	$(BIN)/python -m bench

check: .venv/dev.stamp ## lint, types, layers, templates, migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/test_house_rules.py
	$(BIN)/djade --check --target-version 5.2 $$(git ls-files '*/templates/*.html')
	CRC_DATA_DIR=.cache/check $(BIN)/python manage.py makemigrations --check --dry-run
	CRC_DATA_DIR=.cache/check $(BIN)/python manage.py check --fail-level WARNING

fmt: .venv/dev.stamp ## format code and templates
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/djade --target-version 5.2 $$(git ls-files '*/templates/*.html')

lock: .venv/bin/python ## resolve the locks anew (developers)
	$(BIN)/python -m pip install -q uv==0.13.9
	$(BIN)/uv pip compile -q -U --universal -p 3.11 --generate-hashes --no-header pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q -U --universal -p 3.11 --generate-hashes --no-header --extra dev pyproject.toml -c requirements.lock -o requirements-dev.lock

clean: ## remove what can be made again (not var/)
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache
