# make demo    see an explanation in a few minutes        make lint    formatting, ruff, mypy
# make test    every test                                 make bench   the benchmarks behind README.md
# make check   the quick tests, under two minutes         make clean   remove what these made
#
# Each target sets up all it needs in .venv. Another Python: make test PYTHON=python3.12

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet install -c constraints.txt
CORE   := $(VENV)/.installed-core
DEV    := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.PHONY: help demo test check lint bench clean

help:
	@sed -n '1,5s/^# \{0,1\}//p' Makefile

demo: $(CORE)
	@echo "demo: fitting and explaining, under three minutes"
	@$(BIN)/likethat demo --out out/demo

test: $(DEV)
	@echo "test: every test, warnings are errors"
	@$(BIN)/python -m pytest -q

check: $(DEV)
	@echo "check: the quick tests"
	@$(BIN)/python -m pytest -q -m "not slow"

lint: $(DEV)
	@echo "lint: ruff format"
	@$(BIN)/ruff format --check .
	@echo "lint: ruff check"
	@$(BIN)/ruff check .
	@echo "lint: mypy"
	@$(BIN)/mypy

bench: $(DEV)
	@echo "bench: EPIC; results go to benchmarks/results/epic.md"
	@$(BIN)/python benchmarks/epic.py --write
	@echo "bench: part prototypes; results go to benchmarks/results/parts.md"
	@$(BIN)/python benchmarks/parts.py

clean:
	@echo "clean: removing $(VENV), caches and out/"
	@rm -rf $(VENV) out dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "likethat needs Python 3.11 or newer, and there is no '$(PYTHON)' here."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "likethat needs Python 3.11 or newer, and $(PYTHON) is older; try make PYTHON=python3.11."; exit 1; }
	@echo "setup: new environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

# torch goes first and alone: with the rest in one call pip may choose another build of it.
$(CORE): pyproject.toml constraints.txt | $(BIN)/python
	@echo "setup: torch (the longest step)"
	@$(PIP) torch
	@echo "setup: likethat"
	@$(PIP) -e .
	@touch $@

$(DEV): $(CORE)
	@echo "setup: everything the tests need"
	@$(PIP) -e ".[dev]"
	@touch $@
