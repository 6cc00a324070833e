# Two commands on a bare machine with Python 3.11 or newer:  make demo   make test
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test fast check clean

demo: $(VENV)/demo.done
	$(BIN)/fromnoise train digits
	$(BIN)/fromnoise sample runs/digits -n 100 --out runs/digits/grid.png
	@echo
	@echo "  a grid of samples       runs/digits/grid.png"
	@echo "  from noise to digits    runs/digits/samples/reverse.gif"
	@echo "  the report of the run   runs/digits/report.html"

test: $(VENV)/test.done
	$(BIN)/ruff check fromnoise tests
	$(BIN)/python -m pytest -n auto --dist loadfile --durations=10

fast: $(VENV)/test.done  ## without the tests that train for longer
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow"

check: $(VENV)/test.done  ## lint and types
	$(BIN)/ruff check fromnoise tests
	$(BIN)/pyright

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "fromnoise needs Python 3.11 or newer; say make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.done: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo]'
	@touch $@

$(VENV)/test.done: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo,test]'
	@touch $@

clean:
	rm -rf $(VENV)
