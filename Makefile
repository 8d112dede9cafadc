# The commands of developers and CI. `make` alone prints this list.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
# Tests mostly wait for processes, so there are more workers than cores.
JOBS ?= 3
# The tests that query Prometheus and Alertmanager; `make backends` runs them in the versions of docker-compose.yml.
BACKEND_TESTS := $(addprefix tests/deploy/test_,backends.py alerts.py monitoring.py dashboards_live.py drills.py)
PACKAGES := libs/stubs libs/observability libs/chassis libs/testing services/registration services/payment services/gateway deploy/local deploy/local/simulator
export GRPC_VERBOSITY ?= ERROR

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: $(VENV)/.installed ## Create .venv with all packages and tools; other targets run it when needed

# The lock holds hashes and no host name. The workspace's packages are linked, not copied.
$(VENV)/.installed: requirements.lock $(PACKAGES:=/pyproject.toml)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  echo "python3 cannot create virtual environments: install Debian's python3-venv, then run make again" >&2; exit 1; }
	@$(BIN)/python -m uv --version 2>/dev/null | grep -q "^uv $(UV_VERSION)" || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@echo "installing 151 packages into $(VENV), 500 MB on disk; one to three minutes the first time, seconds from a cache"
	@$(BIN)/uv pip install --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(addprefix -e ,$(PACKAGES))
	@touch $@

.PHONY: run
run: install ## Start the embedded stack (database, services, trace sink); Ctrl-C stops it
	@exec $(BIN)/ticketcap up

.PHONY: test
test: install ## Lint and run every test (12 minutes); T=path runs one file or test without lint
ifdef T
	$(BIN)/python -m pytest $(T)
else
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile
endif

.PHONY: unit
unit: install ## Run the tests without database, process or socket, with coverage (30 seconds)
	$(BIN)/python -m pytest --unit -q -n 2 --cov --cov-report= libs services deploy/local tests/docs
	@$(BIN)/python tools/coverage_floor.py

.PHONY: lint
lint: install ## Check style, types, prose, names, SQL, layers and protos
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/prose.py
	$(BIN)/python tools/names.py
	$(BIN)/python tools/sql.py
	$(BIN)/lint-imports --no-logo --no-cache tools/layers.toml
	$(BIN)/python tools/protos.py check

.PHONY: format
format: install ## Format the sources (ruff, buf)
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	$(BIN)/buf format -w protos

.PHONY: protos
protos: install ## Generate libs/stubs from protos
	$(BIN)/python tools/protos.py generate

.PHONY: dashboards
dashboards: install ## Generate Grafana's dashboards from deploy/grafana
	$(BIN)/python -m deploy.grafana

.PHONY: soak
soak: install ## Run payments under random faults for SECONDS (600); SEED=n replays a run
	MONEY_SECONDS=$(or $(SECONDS),600) MONEY_SEED=$(SEED) $(BIN)/python -m pytest -s tests/test_money_faults.py

.PHONY: drills
drills: install ## Cause every alert's fault and wait for its alert (8 minutes)
	$(BIN)/python -m pytest -s -m "drill or not drill" tests/deploy/test_drills.py

.PHONY: backends
backends: install ## Test against the collector, Jaeger and Prometheus of docker-compose.yml, built with Go
	deploy/programs/build.sh
	PATH="$$PWD/.build/programs/bin:$$PATH" $(BIN)/python -m pytest -m "not drill" $(BACKEND_TESTS)
	TRACES_THROUGH=collector $(BIN)/python -m pytest tests/traces

.PHONY: docs
docs: install ## Generate docs/telemetry.md and the file lists in READMEs
	$(BIN)/python tools/telemetry_docs.py
	$(BIN)/python tools/file_lists.py

.PHONY: bench
bench: install ## Measure a rush of 2,000 registrations, an idle event, payments and telemetry
	$(BIN)/python tools/bench.py
	$(BIN)/python tools/telemetry_bench.py

.PHONY: bench-telemetry
bench-telemetry: install ## Measure the cost of telemetry at 10 % and 100 %, and failing collectors
	$(BIN)/python tools/bench_telemetry_cost.py
	$(BIN)/python tools/bench_telemetry_cost.py --collectors

.PHONY: lock
lock: install ## Resolve the dependencies into the lock files
	$(BIN)/python tools/lock.py

.PHONY: clean
clean: ## Remove .venv, builds and caches; .ticketcap (the state of make run) stays
	rm -rf $(VENV) .build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .import_linter_cache
