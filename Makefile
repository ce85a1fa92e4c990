# Every target does its own set-up: a virtual environment in .venv, filled from the lock files.
# Needs python3 (3.11 or newer) and make. `make lock` needs uv and is for those who change the dependencies.
PYTHON ?= python3
BIN := .venv/bin
EXTRAS := --extra postgresql --extra mysql --extra redis --extra gateway-api --extra web --group build
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header
COMPILE := $(LOCK) pyproject.toml $(EXTRAS)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.PHONY: demo test lint bench bench-failover bench-idle bench-console bench-dns bench-secondaries bench-traffic bench-network bench-jitter bench-watch soak soak-loss bed-up bed-down test-bed bench-bed pictures audit lock clean

demo: .venv/.runtime
	@$(BIN)/pointsman demo $(ARGS)

# Two processes, for most tests wait most of the time; what a failed run leaves is kept. A short path: that of a socket has 107 octets at most.
test: lint
	base=$$(mktemp -d /tmp/pm.XXXX) && \
	  $(BIN)/python -m pytest -n 2 --dist loadfile --basetemp $$base/t $(ARGS) && rm -rf $$base

lint: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: bench-failover bench-dns

# With ARGS="--bed --faults 3" on the bed of real clusters (docs/bed.md).
bench-failover: .venv/.dev
	$(if $(findstring --bed,$(ARGS)),tests/bed/install.sh)
	$(BIN)/python -m bench.failover $(ARGS)

.PHONY: bench-beside bench-scale bench-deciding
# Needs haproxy and gdnsd.
bench-beside: .venv/.dev
	$(BIN)/python -m bench.beside $(ARGS)

bench-scale: .venv/.dev
	$(BIN)/python -m bench.scale $(ARGS)

bench-deciding: .venv/.dev
	$(BIN)/python -m bench.deciding

bench-idle: .venv/.dev
	$(BIN)/python -m bench.idle $(ARGS)

bench-console: .venv/.dev
	$(BIN)/python -m bench.console
	$(BIN)/python -m bench.console_dns $(ARGS)
	$(BIN)/python -m bench.probed_dns $(ARGS)

bench-dns: .venv/.dev
	$(BIN)/python -m bench.dns $(ARGS)
	$(BIN)/python -m bench.dns_workers
	$(BIN)/python -m bench.dns_zones

.PHONY: bench-flood
bench-flood: .venv/.dev
	$(BIN)/python -m bench.flood $(ARGS)

bench-secondaries: .venv/.dev
	$(BIN)/python -m bench.secondaries $(ARGS)

.PHONY: bench-hands
bench-hands: .venv/.dev
	$(BIN)/python -m bench.hands $(ARGS)

.PHONY: bench-instances
# Needs etcd, strace and libfaketime.
bench-instances: .venv/.dev
	$(BIN)/python -m bench.instances $(ARGS)

soak: .venv/.dev
	$(BIN)/python -m bench.chaos $(ARGS)

bench-traffic: .venv/.dev
	$(BIN)/python -m bench.traffic $(ARGS)

# These two make network namespaces, which takes root.
bench-network: .venv/.dev
	$(BIN)/python -m bench.network $(ARGS)

soak-loss: .venv/.dev
	$(BIN)/python -m bench.soak $(ARGS)

bench-watch: .venv/.dev
	$(BIN)/python -m bench.watch $(ARGS)

bench-jitter: .venv/.dev
	$(BIN)/python -m bench.jitter $(ARGS)

# A bed of real clusters (docs/bed.md): takes root, and on Debian 12 installs what it needs.
bed-up: .venv/.dev
	tests/bed/install.sh
	$(BIN)/python -m tests.bed up $(ARGS)

bed-down:
	$(BIN)/python -m tests.bed down $(ARGS)

test-bed: .venv/.dev
	tests/bed/install.sh
	POINTSMAN_BED=1 $(BIN)/python -m pytest tests/bed $(ARGS)

bench-bed: .venv/.dev
	tests/bed/install.sh
	$(BIN)/python -m bench.bed $(ARGS)

# docs/console.svg and docs/incident.svg, from a demo of its own
pictures: .venv/.dev
	$(BIN)/python -m bench.screenshot

# Known holes in what the locks hold. Needs the network: the advisories come from PyPI; what it does not know is a failure.
audit: .venv-audit/.made
	.venv-audit/bin/pip-audit --strict --disable-pip --require-hashes -r requirements.lock
	.venv-audit/bin/pip-audit --strict --disable-pip --require-hashes -r requirements-dev.lock -r requirements-audit.lock

.venv-audit/.made: requirements-audit.lock
	@rm -rf .venv-audit
	@$(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/python -m pip install -q --require-hashes -r requirements-audit.lock
	@touch $@

lock:
	$(COMPILE) -o requirements.lock
	$(COMPILE) --extra dev -c requirements.lock -o requirements-dev.lock
	$(LOCK) --group audit -o requirements-audit.lock

clean:
	rm -rf .venv .venv-audit build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are written last: a set-up that was cut short is done again.
.venv/.runtime: requirements.lock
.venv/.dev: requirements-dev.lock
.venv/.runtime .venv/.dev: pyproject.toml .venv/.made
	@echo "installing $(filter %.lock,$^) into .venv"
	@$(BIN)/python -m pip install -q --require-hashes -r $(filter %.lock,$^)
	@$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@$(BIN)/python -m pip check -q
	@touch $@

.venv/.made:
	@command -v $(PYTHON) >/dev/null || { echo "pointsman needs Python 3.11 or newer, and there is no $(PYTHON)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "pointsman needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V): try make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  if [ "$$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then \
	    apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends python3-venv; \
	  else \
	    echo "$(PYTHON) cannot make virtual environments: on Debian, sudo apt-get install python3-venv" >&2; exit 1; \
	  fi
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@touch $@
