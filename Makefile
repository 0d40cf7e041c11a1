# Every target works in a fresh clone with python3, its venv module and make.
PYTHON ?= python3
EXTRAS ?= sandbox
HOST ?= 127.0.0.1
PORT ?= 8000
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help sandbox test processes browser chaos outages matrix bench screenshots lint format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

sandbox: .venv/installed-$(EXTRAS) ## Run the examples on http://127.0.0.1:8000/ (HOST=, PORT=; EXTRAS=sandbox,mesa for Mesa's too)
	@HOST=$(HOST) PORT=$(PORT) exec $(BIN)/python scripts/sandbox.py

test: .venv/installed-test ## Run the tests: SQLite, PostgreSQL and a browser where they can be had
	@exec $(BIN)/python scripts/test.py $(ARGS)

processes: .venv/installed-test ## Run the tests of real workers, servers, projects and Celery: killed, drained, upgraded, behind nginx
	@exec $(BIN)/python scripts/test.py processes $(ARGS)

browser: .venv/installed-test ## Run the rest of what is seen in a browser: every card of a page, outages, embedding, the admin
	@exec $(BIN)/python scripts/test.py browser $(ARGS)

# With ARGS, the last of the three alone.
chaos: .venv/installed-test ## Prove the promises at length: simulated, failing SQL, processes killed (ARGS=--short: some kills)
	$(if $(ARGS),,$(BIN)/python -m tests.reliability.simulate --seeds 100000 --jobs 2)
	$(if $(ARGS),,$(BIN)/python -m tests.reliability.faults)
	@exec $(BIN)/python -m tests.reliability.chaos $(ARGS)

# With ARGS=together, two hours of all of it in fifteen minutes.
outages: .venv/installed-test ## Harmful runs, Redis and database gone, clocks set, bad networks, all at once (ARGS=--short: in minutes)
	@exec $(BIN)/python -m tests.reliability.outages $(ARGS)

matrix: .venv/installed-matrix ## Run tox: each Python and Django that this machine has, style, types, packaging, documents
	$(BIN)/tox run-parallel --parallel 4 --parallel-no-spinner $(ARGS)

bench: .venv/installed-test ## Time commands, checkpoints, the admin with 1,000,000 commands, a live page, and frames beside other servers (ARGS=--short: minutes)
	@$(BIN)/python -m benchmarks.commands $(ARGS)
	@$(BIN)/python -m benchmarks.checkpoints $(ARGS)
	@$(BIN)/python -m benchmarks.admin $(ARGS)
	@$(BIN)/python -m benchmarks.page $(ARGS)
	@exec $(BIN)/python -m benchmarks.live $(ARGS)

screenshots: .venv/installed-test ## Take the pictures of the documents, and walk through the sandbox into var/walk/ (ARGS=--short: the walk)
	@exec $(BIN)/python -m scripts.screenshots $(ARGS)

lint: .venv/installed-lint ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed-lint ## Put imports in order and lay out the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove what the other targets made
	rm -rf .venv .tox var build dist .pytest_cache .ruff_cache .mypy_cache *.egg-info

.venv/installed-%: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
