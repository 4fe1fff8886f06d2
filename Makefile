# Everything below sets up what it needs in .venv; a fresh machine needs Python >= 3.11, make and a package index.
PYTHON ?= $(shell for v in 3.11 3.12 3.13 3.14; do p=$$(command -v python$$v) && $$p -c 'import venv' 2>/dev/null && echo $$p && break; done || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: setup demo test test-all lint unit locks docs clean

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

test: lint
	$(BIN)/pytest -n 2 --dist loadgroup

# The sweeps too: what `test` takes a sample of.
test-all: lint
	ENVPIN_TEST_ALL=1 $(BIN)/pytest -n 2 --dist loadgroup

clean:
	rm -rf .venv .cache build dist
