# kenpin: `make` lists what there is.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= elpv
PORT ?= 18830
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test lint format mosquitto cameras faults clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/demo.done ## train, export, and watch a line inspect (DATA=shapes is faster; PORT=18830)
	@$(BIN)/python -m demo --data $(DATA) --port $(PORT)

test: lint mosquitto cameras faults ## linters, then every test: unit, property, cameras, integration, faults
	@$(BIN)/python -m pytest -n 3 --dist worksteal  # side by side: most wait for processes more than they compute

lint: $(VENV)/dev.done ## ruff and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/dev.done ## let ruff put the code in shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

mosquitto: # a real broker for the integration tests
	@scripts/mosquitto

cameras: # what the camera tests need: Aravis, an RTSP server
	@scripts/cameras

faults: # a network and a file system of their own for the fault tests
	@scripts/faults

$(VENV)/demo.done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "kenpin needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "no venv module; run: sudo apt-get install python3-venv" >&2; exit 2; }
	@echo "installing kenpin and what it needs into $(VENV); the first time this downloads about 700 MB, and takes 2.5 GB of disk …"
	@$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/dev.done: $(VENV)/demo.done
	@$(PIP) --editable '.[dev]'
	@touch $@

clean: ## remove what make made
	rm -rf $(VENV) demo-out *.egg-info build
