# make app: set up and start the web app.   make test: set up and pass every test.   make setup: only set up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: app test setup fast stress bench lint clean

app: $(READY)
	$(BIN)/python app.py $(ARGS)

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy bertdemo
	$(BIN)/python -m pytest -m "not stress and not browser" -n 2 --dist loadfile
	$(BIN)/python -m pytest -m "browser and not stress"

fast: $(READY)
	$(BIN)/python -m pytest -m "not stress and not browser and not slow" -n 2 --dist loadfile

stress: $(READY)
	$(BIN)/python -m pytest -m stress

bench: $(READY)
	$(BIN)/python -m pip install -q -e ".[bench]" -c constraints.txt
	for script in benchmarks/[a-z]*.py; do $(BIN)/python $$script || exit 1; done

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy bertdemo

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -e ".[test]" -c constraints.txt
	touch $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info
