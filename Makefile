# Loupe. `make` alone lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TEST_PROCESSES ?= 2

.PHONY: help setup up demo test lint format bench deploy remove clean

help:  ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP)  ## Virtual environment with pinned dependencies, and the browser that the tests need
	@scripts/install-browser

$(STAMP): requirements.txt layers/core/requirements.txt trainer/requirements.txt trainer/requirements-hf.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(BIN)/pip check
	@touch $@

up: setup  ## Run the local cloud until Ctrl-C; what is in it stays for the next time
	@$(BIN)/loupe local up

demo: setup  ## The whole loop on 800 real handwritten digits; TASK=bounding-box: on scenes of several
	@$(BIN)/loupe demo $(if $(TASK),--task $(TASK))

test: setup  ## All tests: unit, contract, infrastructure, local flow, browser
	$(BIN)/pytest --numprocesses $(TEST_PROCESSES) --dist loadfile tests/unit tests/contract tests/infrastructure
	$(BIN)/pytest --numprocesses $(TEST_PROCESSES) --dist loadgroup --no-loadscope-reorder tests/local tests/browser

lint: setup  ## ruff, mypy, the template's and the state machine's checks, dependency direction
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	AWS_DEFAULT_REGION=us-east-1 SAM_CLI_TELEMETRY=0 $(BIN)/sam validate --lint
	$(BIN)/cfn-lint --regions us-east-1 eu-central-1 -- template.yaml
	$(BIN)/pytest -q tests/infrastructure

format: setup  ## Let ruff format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## Measure speed and memory, side by side; prints a table
	@$(BIN)/python -m benchmarks

deploy: setup  ## Build and deploy to AWS, asking for what it needs
	$(BIN)/sam build --config-env default
	$(BIN)/sam deploy --guided

remove: setup  ## Remove the stack from AWS (buckets with data stay)
	$(BIN)/sam delete

clean:  ## Remove what was built; the local cloud's state in .loupe stays
	rm -rf .aws-sam $(VENV) .pytest_cache .mypy_cache .ruff_cache
