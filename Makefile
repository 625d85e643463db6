# `make demo` and `make test` are all a new machine needs, with Python 3.11 and make on it.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The demo keeps everything it makes, ZenML's records too, in this folder.
DEMO := $(CURDIR)/.bonafide
LOCAL := BONAFIDE_HOME=$(DEMO) ZENML_CONFIG_PATH=$(DEMO)/zenml

COMPILE := uv pip compile pyproject.toml --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header --quiet

# Docstrings of more than one line: every parameter, what is returned, yielded and raised, and no other.
SECTIONS := D417,DOC102,DOC201,DOC202,DOC402,DOC403,DOC501

.PHONY: help setup demo test lint format docs picture lock bench clean

help: ## show this
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(READY)

setup: $(READY) ## make the virtual environment

demo: $(READY) ## simulate a corpus, train on it, score a few clips
	mkdir -p $(DEMO)
	echo "The demo's own home: what learned from simulated sound may be promoted here." > $(DEMO)/demo-home
	$(LOCAL) $(BIN)/bonafide corpus simulate $(DEMO)/simulated
	$(LOCAL) $(BIN)/bonafide train --config configs/demo.yaml --corpus $(DEMO)/simulated/manifest.csv
	$(LOCAL) $(BIN)/bonafide score $(DEMO)/simulated/audio/sim_0000[0-5].flac

test: $(READY) ## run every test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(READY) ## format, style, docstring sections, types, import direction
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/ruff check --select $(SECTIONS) bonafide
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(READY) ## put the code into its usual form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY) ## build the documentation into build/docs; a broken link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

picture: $(READY) ## take the README's picture of the page again; needs chromium
	$(BIN)/python docs/picture.py

lock: ## resolve every version anew; needs uv
	$(COMPILE) --extra train --extra app --extra docs --extra dev --output-file requirements.lock
	$(COMPILE) --constraint requirements.lock --output-file requirements-serving.lock

bench: $(READY) ## print what the README's speed numbers come from
	$(BIN)/python -m benchmarks.extraction

clean: ## remove what the demo and the documentation made, and the environment
	rm -rf $(VENV) $(DEMO) build
