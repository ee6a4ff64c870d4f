# `make run` shows what the plugin prints, `make check` is for every change, `make test` runs all.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# A stamp is named after the Python of the venv, so another PYTHON creates it again.
INSTALLED := $(VENV)/installed-$(subst /,-,$(PYTHON))
TESTABLE := $(VENV)/testable-$(subst /,-,$(PYTHON))

# The tests start hundreds of Python processes: compile each module only once.
unexport PYTHONDONTWRITEBYTECODE

# Tests run in two processes more than there are CPUs, because many tests wait. The tests of a file
# stay in one process, as they may share a server.
CPUS := $(shell getconf _NPROCESSORS_ONLN)
PARALLEL := --numprocesses $(shell expr $(CPUS) + 2) --maxprocesses 8 --dist loadfile \
  --no-loadscope-reorder

# The rooms of the source, what runs it as a process, and the documents.
INNER := tests/test_*.py $(addprefix tests/,program hypervisor lines config sources connection \
  groups domain process documents simulation)

# For every change: each room; of the process, what it reads of a hypervisor, and one test of each
# stream, signal and command; fewer examples of property tests.
QUICK := --numprocesses $(shell expr $(CPUS) + 1) --maxprocesses 8 --dist worksteal \
  --hypothesis-profile=quick -m "smoke or not thorough"

.PHONY: help run check test platforms coverage lint format docs dist deb rpm pictures bench simulate soak clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /make \1	/p' $(firstword $(MAKEFILE_LIST))

run: $(INSTALLED) ## install what is missing, print one collection from libvirt's test driver
	@$(BIN)/telegraf-execd-libvirt --once --uri test:///default
	@echo "That was libvirt's test driver. For a real hypervisor: $(BIN)/telegraf-execd-libvirt --check," \
	  "then $(BIN)/telegraf-execd-libvirt --once --uri qemu:///system" >&2

check: lint ## lint, run the tests of each room, and the process once (half a minute)
	$(BIN)/python -m pytest $(QUICK) $(INNER)

test: lint ## lint, run all tests
	$(BIN)/python -m pytest $(PARALLEL)

platforms: $(TESTABLE) ## as root: the tests on Debian 12, 13, unstable and in a container; PLATFORMS="-k packages" for less
	TELEGRAF_EXECD_LIBVIRT_TEST_EVERYTHING=1 $(BIN)/python -m pytest $(PLATFORMS) tests/platforms

coverage: $(TESTABLE) ## run the tests and print which lines of src/ they do not reach
	@$(BIN)/coverage erase
	-$(BIN)/coverage run -m pytest $(PARALLEL) $(INNER) tests/real
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

lint: $(TESTABLE) ## check style, types and imports between rooms; find unused names
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/vulture

format: $(TESTABLE) ## apply the style that lint checks
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(TESTABLE) ## write the dashboards, the generated parts of the documentation, the examples
	$(BIN)/python scripts/build_dashboards.py
	$(BIN)/python scripts/update_docs.py

dist: $(TESTABLE) ## build sdist, wheel, one-file program, Debian and RPM packages in dist/
	@$(BIN)/python scripts/make_dist.py

deb: ## build the Debian package in dist/; needs no venv, names what it needs
	@$(PYTHON) scripts/make_dist.py deb

rpm: ## build the RPM package in dist/; needs no venv, names what it needs
	@$(PYTHON) scripts/make_dist.py rpm

pictures: $(TESTABLE) ## draw docs/images from the dashboards and an example fleet
	$(BIN)/python scripts/render_dashboards.py

bench: $(TESTABLE) ## print the cost of a tick beside libvirt's bare call; BENCH="--json" for more
	@$(BIN)/python scripts/bench $(BENCH)

simulate: $(TESTABLE) ## simulate the engine until stopped; SEEDS=100000 runs so many, SEED=7 shows one
	@cd tests && ../$(BIN)/python -m simulation

soak: $(TESTABLE) ## run for minutes; check for leaks and recovery
	$(BIN)/python scripts/soak.py

clean: ## remove everything that make and the tests created
	rm -rf $(VENV) .venvs .cache build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests scripts -name __pycache__ -prune -exec rm -rf {} +

# Installation messages go to stderr: stdout has metrics only.
$(INSTALLED): pyproject.toml scripts/prepare.sh
	@sh scripts/prepare.sh $(PYTHON) >&2
	@echo 'Installing into $(VENV) ...' >&2
	@$(PYTHON) -m venv --clear $(VENV) >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . >&2
	@touch $@

$(TESTABLE): $(INSTALLED)
	@echo 'Installing the test tools into $(VENV) ...' >&2
	@$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --editable '.[test]' >&2
	@touch $@
