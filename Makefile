# `make demo` and `make test` are all a new machine needs, with Python (3.11 to 3.13) and make on it.
# The first that runs: a name on the PATH may belong to a version manager that has it switched off.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do $$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
APP := serving/http/app
RUNTIME := $(APP)/runtime/package-lock.sha256
# The demo keeps everything it makes, ZenML's records too, in this folder of the checkout.
DEMO := .bonafide
LOCAL := BONAFIDE_HOME="$(CURDIR)/$(DEMO)" ZENML_CONFIG_PATH="$(CURDIR)/$(DEMO)/zenml"
# What to type after the demo; a test runs each of these lines.
define NEXT
What the demo made is in $(DEMO). To look at it, type here:
  BONAFIDE_HOME=$(DEMO) $(BIN)/bonafide models list
  BONAFIDE_HOME=$(DEMO) $(BIN)/bonafide score --format jsonl $(DEMO)/simulated
  BONAFIDE_HOME=$(DEMO) $(BIN)/bonafide evaluate --corpus $(DEMO)/simulated
  BONAFIDE_HOME=$(DEMO) $(BIN)/bonafide models lineage
  BONAFIDE_HOME=$(DEMO) $(BIN)/bonafide serve
  BONAFIDE_HOME=$(DEMO) $(BIN)/bonafide app
The last one is the page; open http://127.0.0.1:8501 in a browser.
endef
export NEXT

COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header --no-strip-extras --quiet
# Where every locked version must have a wheel.
PYTHONS := 3.11 3.12 3.13
PLATFORMS := x86_64-manylinux_2_28 aarch64-manylinux_2_28 aarch64-apple-darwin
INSTALLS := MACOSX_DEPLOYMENT_TARGET=14.0 uv pip install --dry-run --quiet --only-binary :all: \
	--require-hashes --target build/nowhere

# Docstrings of more than one line: every parameter, what is returned, yielded and raised, and no other.
SECTIONS := D417,DOC102,DOC201,DOC202,DOC402,DOC403,DOC501

.PHONY: help setup demo next test test-all lint format docs picture lock bench clean

help: ## show this
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed, and none was found on the PATH"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(READY)

# What the page at /app/ runs on; without npm it is left out, and so are its tests.
$(RUNTIME): $(APP)/package-lock.json $(READY)
	$(BIN)/python $(APP)/npm.py

setup: $(READY) $(RUNTIME) ## make the virtual environment

demo: $(READY) ## simulate a corpus, train on it, score a few clips
	mkdir -p $(DEMO)
	echo "The demo's own home: what learned from simulated sound may be promoted here." > $(DEMO)/demo-home
	$(LOCAL) $(BIN)/bonafide corpus simulate $(DEMO)/simulated
	$(LOCAL) $(BIN)/bonafide train --config demo --corpus $(DEMO)/simulated/manifest.csv
	$(LOCAL) $(BIN)/bonafide score $(DEMO)/simulated/audio/sim_0000[0-5].flac
	@$(MAKE) --no-print-directory next

next: ## say what to type after the demo
	@echo "$$NEXT"

test: $(READY) $(RUNTIME) ## run every test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-all: export BONAFIDE_MOMENTS := all
test-all: test ## run every test, of what is alike not some but all

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
	$(COMPILE) --extra train --extra app --extra dashboard --extra provenance --extra report --extra mcp --extra traces --extra docs --extra dev \
		--output-file requirements.lock
	$(COMPILE) --extra traces --constraint requirements.lock --output-file requirements-serving.lock
	@for python in $(PYTHONS); do for platform in $(PLATFORMS); do for lock in requirements requirements-serving; do \
		echo "$$lock.lock: wheels for Python $$python on $$platform"; \
		$(INSTALLS) --python-version $$python --python-platform $$platform --requirement $$lock.lock || exit 1; \
	done; done; done

bench: $(READY) ## print what the README's speed numbers come from
	$(BIN)/python -m benchmarks.extraction

clean: ## remove what the demo and the documentation made, and the environment
	rm -rf $(VENV) $(DEMO) build
