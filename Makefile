# `make run` prints one collection, `make test` runs all checks; `make help` lists all targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The stamps contain the name of the Python, so that another PYTHON creates a new venv.
INSTALLED := $(VENV)/installed-$(subst /,-,$(PYTHON))
TESTABLE := $(VENV)/testable-$(subst /,-,$(PYTHON))

.PHONY: help run test lint format docs bench soak clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /make \1	/p' $(firstword $(MAKEFILE_LIST))

run: $(INSTALLED) ## install what is missing, then print one collection of the test driver
	@$(BIN)/telegraf-execd-libvirt --once --uri test:///default
	@echo "That was libvirt's test driver. For a real hypervisor: $(BIN)/telegraf-execd-libvirt --check," \
	  "then $(BIN)/telegraf-execd-libvirt --once --uri qemu:///system" >&2

test: lint ## lint, then run all tests
	$(BIN)/python -m pytest

lint: $(TESTABLE) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(TESTABLE) ## format the code as lint expects
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(TESTABLE) ## write the generated parts of the documentation and the examples
	$(BIN)/python scripts/update_docs.py

bench: $(TESTABLE) ## print the cost of a tick beside libvirt's bare call; BENCH="--json" for JSON
	@$(BIN)/python scripts/bench.py $(BENCH)

soak: $(TESTABLE) ## run for minutes with a failing daemon; print leaks and recovery times
	$(BIN)/python scripts/soak.py

clean: ## remove everything that make and the tests have created
	rm -rf $(VENV) .venvs .cache build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests scripts -name __pycache__ -prune -exec rm -rf {} +

# Messages of the installation go to stderr: stdout carries metrics only.
$(INSTALLED): pyproject.toml scripts/prepare.sh
	@sh scripts/prepare.sh $(PYTHON) >&2
	@echo 'Installing into $(VENV) ...' >&2
	@$(PYTHON) -m venv --clear $(VENV) >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . >&2
	@touch $@

$(TESTABLE): $(INSTALLED)
	@echo 'Installing the test tools into $(VENV) ...' >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]' >&2
	@touch $@
