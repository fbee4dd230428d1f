# `make run` and `make test` set up what they need; with the environment activated
# (`source .venv/bin/activate`) everything is plain Snakemake: see README.md.

PYTHON ?= python3
CORES ?= all
BIN := .venv/bin
# The rules call `python`: that of the environment.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run setup test lint lock site

# The studies that config.yaml names, with figures, tables and pages, and the index of all studies.
run: setup
	$(BIN)/snakemake --cores $(CORES)
	@$(BIN)/python -m weakneg index

setup: .venv/requirements.txt

# As root: apt-get install --no-install-recommends slurm-wlm munge chromium (the cluster profile, the pages)
test: .venv/requirements-dev.txt lint
	$(BIN)/python -m pytest --numprocesses 3 --no-loadscope-reorder

lint: .venv/requirements-dev.txt
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/snakemake --lint
	$(BIN)/mypy

# The pages of docs/, and those of each strategy: open site/index.html.
site: .venv/requirements-dev.txt
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --conf-dir docs/site . site
	@echo site/index.html

# The locks, resolved anew from what is asked for in envs/*.in.
lock: .venv/requirements-dev.txt
	cd envs && for name in requirements requirements-dev; do \
	  ../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --custom-compile-command "make lock" $$name.in --output-file $$name.txt || exit 1; done

# The environment: the packages of a lock, then the library of this clone, built by the setuptools of
# the lock. The copy of the lock in it says that it is complete.
.venv/%.txt: envs/%.txt | .venv
	$(BIN)/python -m pip install --require-hashes --requirement $<
	$(BIN)/python -m pip install --no-deps --no-build-isolation --editable .
	cp $< $@

.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is older than Python 3.11: name a newer one, as in make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
