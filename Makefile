# Everything a newcomer needs: `make run` shows what the plugin prints, `make test` checks it all.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# A stamp is named after the Python that made the venv, so another PYTHON makes it anew.
INSTALLED := $(VENV)/installed-$(subst /,-,$(PYTHON))
TESTABLE := $(VENV)/testable-$(subst /,-,$(PYTHON))

.PHONY: help run test lint format docs bench soak clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /make \1	/p' $(firstword $(MAKEFILE_LIST))

run: $(INSTALLED) ## install what is missing, then print one collection of libvirt's test driver
	@$(BIN)/telegraf-execd-libvirt --once --uri test:///default
	@echo "That was libvirt's test driver. For a real hypervisor: $(BIN)/telegraf-execd-libvirt --check," \
	  "then $(BIN)/telegraf-execd-libvirt --once --uri qemu:///system" >&2

test: lint ## lint, then run all tests
	$(BIN)/python -m pytest

lint: $(TESTABLE) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(TESTABLE) ## put the code into the style that lint checks
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(TESTABLE) ## bring the generated parts of the README and the examples up to date
	$(BIN)/python scripts/update_docs.py

bench: $(TESTABLE) ## print what a tick costs, beside libvirt's bare call; BENCH="--json" for more
	@$(BIN)/python scripts/bench.py $(BENCH)

soak: $(TESTABLE) ## run for minutes to see that nothing leaks and that trouble passes
	$(BIN)/python scripts/soak.py

clean: ## remove everything that make and the tests have made
	rm -rf $(VENV) .venvs .cache build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests scripts -name __pycache__ -prune -exec rm -rf {} +

# What is said while installing goes to stderr: stdout has the metrics only.
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
