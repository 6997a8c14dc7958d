# The front door. Every target does its own set-up; python3.11, venv and make are all it needs.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
WORKERS ?= 2

.PHONY: help demo test check format chaos bench lock clean
help:
	@echo "make demo    load 336,776 real flights, preview a purge, run it, read the audit log"
	@echo "make test    the whole test suite, with a real PostgreSQL"
	@echo "make check   format, lint, types, layers"
	@echo "make chaos   the long forms of the kill and fault tests"
	@echo "make bench   speed, as paired ratios"

$(READY): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY)
	@$(BIN)/python examples/flights/demo.py

test: $(READY)
	@$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

check: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(READY)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

chaos: $(READY)
	@$(BIN)/python -m pytest -n $(WORKERS) -m slow --timeout 600

bench: $(READY)
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.verify

# The lock holds hashes and no address of a registry.
lock:
	uv pip compile pyproject.toml --extra postgres --extra signing --extra kubernetes --group dev --python-version 3.11 --universal \
	    --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
