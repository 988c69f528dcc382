# make serve: run Aister on this machine. make test: every check and test. make check: linters and types only.
# make test shares the tests between WORKERS processes; WORKERS=0 runs them in one.
# make torture: what makes sure of the ledger, in full: ROUNDS times kill -9, on SQLite and on PostgreSQL; and ten times
# as many orders of what clients may send; and of hostile clients: FUZZED events and frames that are nearly right.
# make soak: a server of its own under mixed traffic for MINUTES, with figures and a picture in OUT.
# make bench: measure speed against peers: RUNS of each row (ROWS names some of them), to benchmarks/RESULTS.md; when the
#   machine is busy, wait up to WAIT minutes.
# Needs Python 3.11 or newer and a package registry; everything else goes into .venv.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# PYTHON names the Python that makes .venv; without it, the first of these that is new enough.
PYTHONS := $(if $(PYTHON),$(PYTHON),python3.11 python3.12 python3.13 python3.14 python3 python)

.PHONY: serve test check torture soak bench
.SILENT:

serve: $(VENV)/.serve
	exec $(BIN)/python manage.py serve

test: WORKERS ?= 2
test: $(VENV)/.test
	scripts/system_packages; status=0; $(MAKE) --no-print-directory check || status=$$?; \
	$(BIN)/python -m pytest -rs -n $(WORKERS) --dist loadfile || status=$$?; exit $$status

torture: ROUNDS ?= 100
torture: FUZZED ?= 1000000
torture: MACHINES := $(addprefix tests/inference/test_,$(addsuffix _machine.py,chat translation manager scheduler))
torture: $(VENV)/.test
	scripts/system_packages; ROUNDS=$(ROUNDS) FUZZED=$(FUZZED) $(BIN)/python -m pytest -rs -o log_cli=true \
	tests/torture $(MACHINES) tests/hostile/test_fuzzing.py

soak: MINUTES ?= 60
soak: OUT ?= build/soak-$(shell date -u +%Y%m%d-%H%M%S)
soak: $(VENV)/.soak
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES) --out $(OUT)

bench: RUNS ?= 5
bench: WAIT ?= 0
bench: $(VENV)/.soak
	$(BIN)/python -m benchmarks.speed $(ROWS) --runs $(RUNS) --wait $(WAIT) --out benchmarks

check: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# The stamps are as old as the last install: pip runs again only when the requirements have changed since.
$(VENV)/.serve: requirements.txt | $(BIN)/python
	echo "Installing requirements.txt into $(VENV): a few minutes, the first time."
	$(PIP) install -r requirements.txt
	touch $@

$(VENV)/.test: requirements-dev.txt requirements.txt | $(BIN)/python
	echo "Installing requirements-dev.txt into $(VENV): a few minutes, the first time."
	$(PIP) install -r requirements-dev.txt
	touch $@ $(VENV)/.serve

$(VENV)/.soak: benchmarks/requirements.txt requirements-dev.txt requirements.txt | $(BIN)/python
	echo "Installing benchmarks/requirements.txt into $(VENV)."
	$(PIP) install -r benchmarks/requirements.txt
	touch $@ $(VENV)/.test $(VENV)/.serve

$(BIN)/python:
	for python in $(PYTHONS); do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; python=; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Aister needs Python 3.11 or newer; not found as: $(PYTHONS). Install it, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; \
	  exit 1; \
	fi; \
	"$$python" -m venv $(VENV) || { rm -rf $(VENV); echo "Could not make $(VENV). On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
