# Two commands on a bare machine with Python 3.11 or newer:  make demo   make test
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test fast check clean

demo: $(VENV)/demo.done
	$(BIN)/fromnoise train mnist_5k
	$(BIN)/fromnoise show classes runs/mnist_5k --out runs/mnist_5k/classes.png
	@echo
	@echo "  digits, a class in every column   runs/mnist_5k/classes.png"
	@echo "  from noise to digits              runs/mnist_5k/samples/reverse.gif"
	@echo "  the report of the run             runs/mnist_5k/report.html"
	@echo
	@echo "  Next:  $(BIN)/fromnoise sample runs/mnist_5k --label 3 --guidance 3 --out threes.png"
	@echo "         $(BIN)/fromnoise show compare runs/mnist_5k ddpm:1000 ddim:50 unipc:10"
	@echo "         $(BIN)/fromnoise data inspect FOLDER-OF-YOUR-PICTURES --out mine.yaml"

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
