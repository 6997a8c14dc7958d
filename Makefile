# The front door. Every target does its own set-up; python3.11, venv and make are all it needs.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
WORKERS ?= 4

.PHONY: help demo test test-cluster check format chaos bench bench-large lock clean
help:
	@echo "make demo    load 336,776 real flights, preview a purge, run it, read the audit log"
	@echo "make test    the whole test suite, with a real PostgreSQL"
	@echo "make test-cluster  what needs a real cluster: KUBECONFIG=… ONEOFF_TEST_IMAGE=… make test-cluster"
	@echo "make check   format, lint, types, layers"
	@echo "make chaos   the long forms of the kill and fault tests"
	@echo "make bench   speed, as paired ratios, with 100,000 runs where many are wanted"
	@echo "make bench-large  the same of a log of 1,000,000 runs, which takes half an hour and 10 GB of disk"

$(READY): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY)
	@$(BIN)/python examples/flights/demo.py

# Tests start thousands of processes, each of which would compile anew what has changed. They wait for them and
# for clocks half of the time: so there are more workers than processors, and who has nothing left takes over.
test: $(READY)
	@$(BIN)/python -m compileall -q src
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow"

# What has to be set, and where it goes: tests/cluster/__init__.py.
test-cluster: $(READY)
	@$(BIN)/python -m pytest tests/cluster -m cluster

check: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(READY)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

chaos: WORKERS = 2
chaos: $(READY)
	@$(BIN)/python -m compileall -q src
	@$(BIN)/python -m pytest -n $(WORKERS) -m slow --timeout 600

bench: $(READY)
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.verify

bench-large: $(READY)
	@$(BIN)/python -m benchmarks.verify 1000000

# The lock holds hashes and no address of a registry.
lock:
	uv pip compile pyproject.toml --extra postgres --extra signing --extra fast --extra kubernetes --group dev \
	    --python-version 3.11 --universal --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --no-header -o requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
