# make demo    see an explanation in a few minutes        make lint    formatting, ruff, mypy
# make test    every test                                 make bench   the benchmarks behind README.md
# make check   the quick tests, under two minutes         make clean   remove what these made
# make docs    the documentation's site, in out/site; its notebooks are run
# make lock    renew requirements.lock                    make test-newest, make test-oldest
#                                                                      every test on other versions than the lock's
# make mutants break lines on purpose and see which the tests notice: an hour and more
#
# Each target sets up all it needs in .venv. Another Python: make test PYTHON=python3.12

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LOCK   := requirements.lock
CORE   := $(VENV)/.installed-core
DEV    := $(VENV)/.installed-dev
SHARE  := -n logical --maxprocesses 8 --dist loadfile  # the tests of a file share what they trained

.DEFAULT_GOAL := help
.PHONY: help demo test check lint docs bench mutants lock test-newest test-oldest clean

help:
	@sed -n '1,9s/^# \{0,1\}//p' Makefile

demo: $(CORE)
	@echo "demo: one picture through all five methods, under four minutes"
	@$(BIN)/likethat demo --out out/demo

test: $(DEV)
	@echo "test: every test; a warning that a line of ours causes is an error"
	@$(BIN)/python -m pytest -q $(SHARE)

check: $(DEV)
	@echo "check: the quick tests"
	@$(BIN)/python -m pytest -q $(SHARE) -m "not slow"

lint: $(DEV)
	@echo "lint: ruff format"
	@$(BIN)/ruff format --check .
	@echo "lint: ruff check"
	@$(BIN)/ruff check .
	@echo "lint: mypy"
	@$(BIN)/mypy

docs: $(DEV)
	@echo "docs: notebooks are run; a warning of the builder is an error"
	@$(BIN)/python docs/build.py

bench: $(DEV)
	@echo "bench: EPIC; results go to benchmarks/results/epic.md"
	@$(BIN)/python benchmarks/epic.py --write
	@echo "bench: part prototypes; results go to benchmarks/results/parts.md"
	@$(BIN)/python benchmarks/parts.py

mutants: $(DEV)
	@echo "mutants: 200 lines broken one at a time, in memory: an hour and more"
	@$(BIN)/python benchmarks/mutants.py

# What a torch for GPUs brings along is left out, and so is the name of its build: torch itself pins both.
lock:
	@$(call environment,.venv-lock)
	@$(call basis,.venv-lock,-c constraints.txt)
	@$(call likethat,.venv-lock,-c constraints.txt,[dev])
	@{ sed -n '1,2p' $(LOCK) && .venv-lock/bin/python -m pip freeze --all --exclude-editable | \
	  sed 's/+.*//' | grep -vE '^(nvidia|cuda|triton)'; } > .venv-lock/$(LOCK)
	@mv .venv-lock/$(LOCK) $(LOCK) && rm -rf .venv-lock
	@echo "lock: $$(grep -c == $(LOCK)) packages in $(LOCK)"

# Here what another package announces is an error too: this is the run that is to find it.
test-newest:
	@$(call environment,.venv-newest)
	@$(call basis,.venv-newest)
	@$(call likethat,.venv-newest,,[test])
	@.venv-newest/bin/python -m pytest -q $(SHARE) -W error::DeprecationWarning -W error::PendingDeprecationWarning -W error::FutureWarning

test-oldest:
	@$(call environment,.venv-oldest)
	@$(PYTHON) .ci/lower_bounds.py > .venv-oldest/constraints.txt
	@$(call basis,.venv-oldest,-c .venv-oldest/constraints.txt)
	@$(call likethat,.venv-oldest,-c .venv-oldest/constraints.txt,[test])
	@.venv-oldest/bin/python -m pytest -q $(SHARE)

clean:
	@echo "clean: removing $(VENV) and its like, caches and out/"
	@rm -rf $(VENV) $(VENV)-* out dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(call environment,$(VENV))

$(CORE): pyproject.toml zoo/pyproject.toml $(LOCK) | $(BIN)/python
	@$(call basis,$(VENV),-c $(LOCK))
	@$(call likethat,$(VENV),-c $(LOCK))
	@touch $@

$(DEV): $(CORE)
	@$(call likethat,$(VENV),-c $(LOCK),[dev])
	@touch $@

# $(call environment,FOLDER): a new and empty one.
define environment
command -v $(PYTHON) >/dev/null 2>&1 || { echo "likethat needs Python 3.11 or newer, and there is no '$(PYTHON)' here."; exit 1; }; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "likethat needs Python 3.11 or newer, and $(PYTHON) is older; try make PYTHON=python3.11."; exit 1; }; \
	echo "setup: new environment in $(1)"; \
	rm -rf $(1) && $(PYTHON) -m venv $(1)
endef

# $(call basis,FOLDER,CONSTRAINTS): what must be there first. Constraints do not reach pip's isolated builds, so what
# builds likethat is installed; torch goes alone: with the rest in one call pip may choose another build of it.
define basis
$(call pip,$(1),$(2)) --upgrade pip && $(call pip,$(1),$(2)) --upgrade hatchling editables && \
	echo "setup: torch (the longest step)" && $(call pip,$(1),$(2)) torch
endef

# $(call likethat,FOLDER,CONSTRAINTS,EXTRAS)
define likethat
echo "setup: likethat$(3)" && $(call pip,$(1),$(2)) --no-build-isolation -e ./zoo -e ".$(3)"
endef

# Errors alone are printed: that one of several indexes lacks a package is worth no line.
pip = $(1)/bin/python -m pip --disable-pip-version-check -qq install $(2)
