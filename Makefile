# make demo       run the whole chain on a phantom; writes demo/report.html
# make test       lint, then run the fast tests
# make test-slow  run the tests that start, kill and compare whole runs, and the dearer cases of others
# make chaos      kill every program, fill its disk, start it twice; updates docs/reliability.md
# make docs     build the documentation as a site in build/docs; a broken link fails it
# make lint       run ruff, mypy and import-linter
# make format     fix lint errors where possible and format the code
# make bench      run all speed benchmarks; writes benchmarks/results.md (BENCH=--quick for a trial run)
# make parity     regenerate the golden files of tensorflow-addons and test against them (Python 3.11)
# make clean      remove environments, the demo's output and build files
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Whole files in the order of tests/conftest.py, which puts the slowest first.
PYTEST := $(BIN)/python -m pytest -rs --durations=15 --numprocesses=auto --dist=loadfile \
  --no-loadscope-reorder
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-slow docs chaos lint format bench parity clean

demo: $(VENV)/demo.stamp
	@$(BIN)/python -m cgan_tf.demo --output_dir=demo

test: lint
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/dev.stamp
	$(PYTEST) -m slow

docs: $(VENV)/dev.stamp
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "build/docs/index.html"

chaos: $(VENV)/dev.stamp
	$(BIN)/python -m tests.chaos

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Python 3.11 to 3.13 is required, found $$($(PYTHON) --version); try make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: $(VENV)/bin/pip pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (a minute or two) ..."
	@$(INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/bin/pip pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (a minute or two) ..."
	@$(INSTALL) --editable '.[dev]'
	@touch $@

# A separate environment, because PyTorch is large and nothing else needs it.
BENCH_VENV := .venv-bench

bench: $(BENCH_VENV)/stamp
	$(BENCH_VENV)/bin/python -m benchmarks.run $(BENCH)

$(BENCH_VENV)/stamp: $(VENV)/bin/pip pyproject.toml constraints.txt
	@$(PYTHON) -m venv $(BENCH_VENV)
	@echo "Installing into $(BENCH_VENV) (some minutes) ..."
	@$(BENCH_VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	  --editable '.[bench]'
	@touch $@

PARITY := .venv-parity
PARITY_PYTHON ?= python3.11

parity: $(VENV)/dev.stamp $(PARITY)/stamp
	$(PARITY)/bin/python -W ignore tests/golden/make_addons.py
	$(BIN)/python -m pytest tests/contracts/test_addons.py

$(PARITY)/stamp: tests/golden/addons_constraints.txt
	@$(PARITY_PYTHON) -m venv $(PARITY)
	@echo "Installing into $(PARITY) ..."
	@$(PARITY)/bin/pip install --quiet --disable-pip-version-check --constraint $< \
	  tensorflow tensorflow-addons
	@touch $@

clean:
	rm -rf $(VENV) $(PARITY) $(BENCH_VENV) demo build *.egg-info
