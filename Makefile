# Everything below sets up what it needs in .venv; a fresh machine needs Python >= 3.11, make and a package index.
PYTHON ?= $(shell for v in 3.11 3.12 3.13 3.14; do p=$$(command -v python$$v) && $$p -c 'import venv' 2>/dev/null && echo $$p && break; done || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed
# Without byte code each of the hundreds of processes that tests start compiles every module anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test test-all lint unit property mutants bench dist docs screenshots clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.11.13'
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group dev --editable .
	touch $(STAMP)

setup: $(STAMP)

demo: setup
	$(BIN)/envpin demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: setup
	$(BIN)/pytest tests/unit -q

# Simulated searches and hostile bytes: as closed as the unit tests, but many runs of each.
property: setup
	$(BIN)/pytest tests/property -q

# The modules that decide, changed one expression at a time; bounded by the minutes of tests/mutation.toml.
mutants: setup
	$(BIN)/python scripts/mutants.py

test: lint
	$(BIN)/pytest -n 2 --dist loadgroup

# The sweeps too: what `test` takes a sample of.
test-all: lint
	ENVPIN_TEST_ALL=1 $(BIN)/pytest -n 2 --dist loadgroup
	$(BIN)/python scripts/mutants.py

# Each quick command beside its budget; merges are timed by benchmarks/replay.py.
bench: setup
	$(BIN)/python benchmarks/budgets.py

# What is published: built twice, and the same to the byte.
dist: setup
	rm -rf dist build/again
	$(BIN)/uv build --quiet --out-dir dist
	$(BIN)/uv build --quiet --out-dir build/again
	for file in $$(cd dist && ls *.whl *.tar.gz); do cmp "dist/$$file" "build/again/$$file" || exit 1; done
	$(BIN)/uvx --quiet twine check --strict dist/*.whl dist/*.tar.gz
	$(BIN)/uvx --quiet check-wheel-contents dist/*.whl

# build/site/index.html; a link to nowhere fails.
docs: setup
	$(BIN)/python scripts/site.py

# The pictures in the docs, by the Chromium that tests find.
screenshots: setup
	$(BIN)/python scripts/screenshots.py

clean:
	rm -rf .venv .cache build dist mutants
