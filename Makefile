.DEFAULT_GOAL := help
.PHONY: help setup check lint types test exhaustive quickstart clean

PYTHON ?= python3
VENV   ?= .venv
RUN    ?= runs/quickstart
JOBS   ?= auto

PY     := $(VENV)/bin/python
PYTEST := $(PY) -m pytest -n $(JOBS) --maxprocesses 4 --dist loadfile
CODE   := data transformer dragoman train.py translate.py evaluate.py explain.py
START  := $(shell date +%s)

# One stamp file for each set of extras. If it is older than pyproject.toml, the set is installed again.
READY            := $(VENV)/.dragoman-development
READY_QUICKSTART := $(VENV)/.dragoman-quickstart

# The suite spends most of its time compiling small programs, so they are compiled without optimisation. Each option is
# tried first, because XLA exits if it does not know one. `make exhaustive` compiles with XLA's default options.
UNOPTIMIZED = $(shell for option in --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false; do \
	JAX_PLATFORMS=cpu XLA_FLAGS=$$option $(PY) -c 'import jax; jax.devices()' 2> /dev/null && echo $$option; done)

INSTALL = $(PY) -m pip install --quiet --disable-pip-version-check --editable

help:
	@echo "make quickstart   install, train on the bundled corpus, evaluate, translate a few lines"
	@echo "make setup        make .venv with everything for development, unless it is up to date"
	@echo "make check        lint, formatting, types, fast tests"
	@echo "make test         lint, formatting, types, all but the exhaustive tests"
	@echo "make exhaustive   repeat some tests at full size or for every option"
	@echo "make clean        remove .venv, caches and build output, but keep runs/"
	@echo "Variables: PYTHON=$(PYTHON) VENV=$(VENV) RUN=$(RUN) JOBS=$(JOBS)"
	@echo "JOBS=auto runs tests in one process for each core, up to four; JOBS=0 in a single process."

setup: $(READY)

check: lint types
	@echo "==> fast tests"
	@XLA_FLAGS="$(UNOPTIMIZED)" $(PYTEST) -m "not slow and not exhaustive"

test: lint types
	@echo "==> tests"
	@XLA_FLAGS="$(UNOPTIMIZED)" $(PYTEST) -m "not exhaustive"

exhaustive: $(READY)
	@echo "==> exhaustive tests"
	@$(PYTEST) -m exhaustive

lint: $(READY)
	@echo "==> lint and formatting"
	@$(PY) -m ruff check --quiet . && $(PY) -m ruff format --check --quiet .

types: $(READY)
	@echo "==> types"
	@$(PY) -m mypy

quickstart: $(READY_QUICKSTART)
	@echo "==> train: $(RUN)"
	@$(PY) train.py configs/quickstart.toml --run $(RUN)
	@echo "==> evaluate: $(RUN)"
	@$(PY) evaluate.py $(RUN) --baselines
	@echo "==> translate: each line, then its translation"
	@printf '%s\n' $(SAMPLE) > $(RUN)/sample.txt
	@$(PY) translate.py $(RUN) --input $(RUN)/sample.txt --output $(RUN)/sample.translated.txt
	@paste -d '\n' $(RUN)/sample.txt $(RUN)/sample.translated.txt
	@echo "==> done in $$(( $$(date +%s) - $(START) )) seconds; the model is the directory $(RUN)"

SAMPLE := 'Und der König sprach zu ihm: Gehe hin in Frieden.' \
          'Fürchte dich nicht, denn ich bin mit dir.' \
          'Und sie kamen in die Stadt und standen vor dem Tore.' \
          'Und Jehova redete zu seinen Knechten und sprach: Höret mein Wort.'

$(READY): pyproject.toml | $(VENV)/bin/pip
	@echo "==> install for development into $(VENV)"
	@$(INSTALL) '.[test,quickstart,ctranslate2,safetensors]'
	@touch $(READY_QUICKSTART) $@

$(READY_QUICKSTART): pyproject.toml | $(VENV)/bin/pip
	@echo "==> install into $(VENV)"
	@$(INSTALL) '.[quickstart]'
	@touch $@

$(VENV)/bin/pip:
	@command -v $(PYTHON) > /dev/null || { echo "make: $(PYTHON) was not found: install Python 3.11 or newer, or name one, as in make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $$($(PYTHON) --version 2>&1) is too old: Python 3.11 or newer is needed, as in make PYTHON=python3.12" >&2; exit 1; }
	@echo "==> create $(VENV)"
	@$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find $(CODE) tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
