# Two commands do everything: `make course` and `make test`. `make help` lists the rest.
PROFILE ?= cpu
ONLY ?=
PYTHON ?= python3
PIP_FLAGS ?=

VENV := .venv
BIN := $(VENV)/bin
ADAPTLAB := $(BIN)/adaptlab

.DEFAULT_GOAL := help
.PHONY: help setup fetch course handouts lab test lint bench publish readme newcomer pins clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo '  with PROFILE=smoke|cpu|full|gpu (now $(PROFILE)) and ONLY="00 07"'

setup: $(VENV)/.ready ## make the environment in .venv, at the pinned versions

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; ok = (3, 11) <= v < (3, 14); \
	    ok or sys.exit("adaptlab: Python 3.11 to 3.13 is needed, this is %d.%d; try make PYTHON=python3.12" % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) -c constraints.txt torch
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) -c constraints.txt -e '.[bench,course,reasoning,test]'
	@touch $@

fetch: setup ## download the models and data (into data/cache)
	$(ADAPTLAB) fetch --only "$(ONLY)"

course: setup ## run the notebooks and write their handouts (into build/PROFILE)
	$(ADAPTLAB) run --profile $(PROFILE) --only "$(ONLY)"

handouts: setup ## write the handouts of notebooks that have been run
	$(ADAPTLAB) handouts --profile $(PROFILE) --only "$(ONLY)"

lab: setup ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

test: setup fetch ## run all tests
	$(BIN)/python -m pytest

lint: setup ## check the code's and the notebooks' form
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(ADAPTLAB) lint

bench: setup fetch ## measure our code against the plain way (into build/bench.json)
	$(BIN)/python -m tests.bench $(ONLY)

publish: setup ## copy the records of ONLY's runs into data/results
	$(ADAPTLAB) publish --profile $(PROFILE) $(ONLY)

readme: setup ## write the README's numbers and figure from data/results
	$(ADAPTLAB) readme

newcomer: setup ## time the two commands in fresh clones (into data/results)
	$(BIN)/python -m tests.bench.newcomer

pins: setup ## write the versions of this environment into constraints.txt
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+.*//' > constraints.txt

clean: ## remove what was built; the environment and the downloads stay
	rm -rf build .pytest_cache .ruff_cache .hypothesis
