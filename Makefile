# On a fresh machine `make demo` and `make test` each do everything from nothing: they make the
# environment, install the package with the versions of constraints.txt, and run.

PYTHON ?= python3
VENV ?= .venv
DEMO_OUT ?= demo_report

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
LOWEST := .venv-lowest
# One process per core that is ours (each uses one thread), a test module at a time: fixtures are
# per module.
CORES := $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
PARALLEL := -n $(CORES) --maxprocesses 8 --dist loadfile

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint doc linkcheck bench lowest clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed-core ## simulate EEG, run the whole pipeline, write an HTML report
	$(BIN)/python -m mne_neurolm.demo --out $(DEMO_OUT)

test: lint ## everything a change must pass: lint, the test suite, the examples of docstrings
	$(BIN)/python -m pytest $(PARALLEL)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --doctest-modules mne_neurolm

lint: $(VENV)/.installed-test ## ruff, mypy, codespell
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

doc: $(VENV)/.installed-doc ## run the examples, build doc/_build/html, check its links; warnings are errors
	# The examples run again when the package has changed, not only when they have.
	rm -rf doc/generated doc/auto_examples doc/_build/html
	$(BIN)/python -m sphinx -W --keep-going -b html doc doc/_build/html
	$(BIN)/python tools/check_links.py doc/_build/html

linkcheck: $(VENV)/.installed-doc ## try the documentation's links to other sites (needs a network)
	$(BIN)/python -m sphinx -b linkcheck doc doc/_build/linkcheck

bench: $(VENV)/.installed-test ## run the benchmarks
	$(BIN)/python benchmarks/bench.py $(ARGS)

lowest: ## run the test suite with the oldest versions that pyproject.toml allows
	test -x $(LOWEST)/bin/pip || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python tools/lowest.py test > $(LOWEST)/constraints.txt
	# Braindecode takes any torchaudio, and 2.11.1 does not load beside torch 2.11.0.
	echo "torchaudio==2.11.0" >> $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip --disable-pip-version-check install -c $(LOWEST)/constraints.txt -e ".[test]"
	# Old releases deprecate other things than new ones; only the tested behaviour counts here.
	$(LOWEST)/bin/python -m pytest $(PARALLEL) -W default::DeprecationWarning -W default::FutureWarning \
		-W default::PendingDeprecationWarning

clean: ## remove what the other targets wrote, except the environments
	rm -rf build dist doc/_build doc/generated doc/auto_examples $(DEMO_OUT) .mypy_cache .pytest_cache .ruff_cache
	find mne_neurolm tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp per set of extras: quick when nothing changed, a new installation when the
# requirements did.
$(VENV)/.installed-%: pyproject.toml constraints.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt -e ".$(if $(filter core,$*),,[$*])"
	touch $@
