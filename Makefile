# Two commands on a fresh machine: `make quickstart` and `make test`. Both are safe to call again.
.DELETE_ON_ERROR:
.PHONY: help quickstart test quick dask fuzz faults simulation wheel browser lengthy oldest references bench lint types clean

# Where nothing may be kept, each of hundreds of processes compiles all modules again, for half a second.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

help:
	@echo "make quickstart  install into $(VENV), run the suite 'quickstart', say where its figures are"
	@echo "make test        install into $(VENV), run the tests"
	@echo "make quick       of these, what runs no whole command, page or process, in a minute: for each change"
	@echo "make dask fuzz faults simulation wheel browser  what tests leave out as it takes minutes; all: make lengthy"
	@echo "make oldest      the tests with the oldest versions that pyproject.toml allows, in .venv-oldest"
	@echo "make references  train anew what stands in results/reference; resumable, takes a day"
	@echo "make bench       measure speed and memory, and write benchmarks/results.md; forty minutes"
	@echo "make lint types  what CI checks besides"

# The stamp makes a second call fast; it depends on all that an installation follows from.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "robustbench_rec needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "Python's venv is missing: apt-get install python3-venv" >&2; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	@# The pip that Python brings may be years old, and then resolves for half a minute more.
	$(BIN)/python -m pip install --quiet --quiet 'pip>=25' || true
	@# Python compiles what it imports; all of torch would take pip another half minute.
	$(BIN)/python -m pip install --quiet --quiet --no-compile --constraint constraints.txt --editable '.[test]'
	@touch $@

quickstart: $(STAMP)
	@if $(BIN)/robustbench-rec data fetch movielens-100k; then \
		$(BIN)/robustbench-rec run quickstart; \
	else \
		echo "MovieLens-100K could not be fetched: going on with the synthetic world alone."; \
		$(BIN)/robustbench-rec run quickstart --only dataset=synthetic; \
	fi

PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist worksteal
# Many of these tests wait, for workers that are gone or slow, while others use the core.
PATIENT := --numprocesses $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) + 2 ))) --dist loadgroup
LENGTHY := browser or dask or fuzz or faults or simulation or wheel
# The files with a marker: to import all files takes each process of pytest ten seconds.
MARKED = $(shell grep -lrE "mark\.($(subst $() or $(),|,$(1)))\b" tests | sort)

test: $(STAMP)
	$(PYTEST)

quick: $(STAMP)
	$(PYTEST) -q -m "not (slow or $(LENGTHY))"

browser dask fuzz faults simulation wheel: $(STAMP)
	$(BIN)/python -m pytest $(PATIENT) -q -m $@ $(call MARKED,$@)

lengthy: $(STAMP)
	$(BIN)/python -m pytest $(PATIENT) -q -m "$(LENGTHY)" $(call MARKED,$(LENGTHY))

# But of torch, whose old wheels are gigabytes. Newer pyparsings warn of what the oldest matplotlib calls.
OLDEST := .venv-oldest
PINS := import tomllib; held = tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]; \
	print(*(one.replace(">=", "==") for one in held if "torch" not in one), "pyparsing==3.1.4", sep="\n")
oldest:
	$(PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --quiet 'pip>=25' || true
	$(PYTHON) -c '$(PINS)' > $(OLDEST)/pins.txt
	grep -E '^(torch|pytest)==' constraints.txt >> $(OLDEST)/pins.txt
	$(OLDEST)/bin/python -m pip install --quiet --quiet --no-compile --constraint $(OLDEST)/pins.txt --editable '.[test]'
	$(OLDEST)/bin/python -m pytest --numprocesses auto --dist worksteal

# Published tables on Electronic and Health are of protocol 2, and not among them. The founding study
# has a folder for each data set: each is a family of tests of its own.
REFERENCES := false-negatives label-noise popularity-shift drrl-each-level drrl-noisy-selection \
	drrl-retuned drrl-searched movielens

references: $(STAMP)
	@echo "What stands in results/reference, trained anew: about 20 hours of two cores. Stop it"
	@echo "by Ctrl-C whenever you like; called again, it goes on. Each suite says how long it still takes."
	@set -e; reference() { \
		name="$$1"; shift; \
		$(BIN)/robustbench-rec run "$$@" --out "results/runs/$$name"; \
		$(BIN)/robustbench-rec merge "results/runs/$$name" --out "results/reference/$$name"; \
	}; \
	reference drrl drrl --only dataset=amazon2014-beauty; \
	reference drrl-health drrl --only dataset=amazon2014-health; \
	reference drrl-movielens drrl --only dataset=movielens-100k; \
	for suite in $(REFERENCES); do reference "$$suite" "$$suite"; done
	$(BIN)/robustbench-rec leaderboard

bench: $(STAMP)
	$(BIN)/python -m benchmarks

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build *.egg-info
