# make demo    a study through a whole node on this machine, results in demo-output/
# make up      the node in the foreground, for real use
# make test    all tests (installs what they need)
# make check   format, lint, types, import rules, tests: what CI runs
# make interoperability  results before OHIF and second readers, in every kind of source; writes docs/interoperability.md
# make bench   ingest and latency figures, side by side with DCMTK and Orthanc

VENV ?= .venv
PYTHON := $(VENV)/bin/python
HILUM := $(VENV)/bin/hilum
STUDY ?=
OUT ?= demo-output
# Tests run in as many processes as there are cores, so each takes one thread; torch's would wait for another by spinning.
JOBS ?= auto
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(PYTHON) -m pytest -n $(JOBS) --maxprocesses 4 --dist loadgroup

.PHONY: demo up test check lint interoperability bench venv packages other-python docs clean

demo: $(VENV)/.run
	$(HILUM) demo --out "$(OUT)" $(if $(STUDY),"$(STUDY)")

up: $(VENV)/.run
	$(HILUM) up

test: $(VENV)/.dev packages other-python
	$(PYTEST) $(ARGS)

lint: $(VENV)/.dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

check: lint test

interoperability: $(VENV)/.dev packages
	$(PYTEST) -m interoperability --interoperability $(ARGS)

bench: $(VENV)/.dev packages
	$(PYTHON) -m tests.bench $(ARGS)

docs: $(VENV)/.dev
	$(PYTHON) -m node.conformance > docs/conformance.md
	$(PYTHON) -m node.conformance.configuration > docs/configuration.md

packages:
	@sh deploy/debian-packages.sh

other-python: $(VENV)/.dev
	@sh deploy/other-python.sh "$(VENV)/other-python"

venv: $(VENV)/.run

$(VENV)/.run: pyproject.toml constraints.txt
	@sh deploy/venv.sh "$(VENV)" embedded,worker
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	@sh deploy/venv.sh "$(VENV)" embedded,postgresql,worker,training,dev
	@touch $(VENV)/.run $@

clean:
	rm -rf "$(VENV)" build ./*.egg-info
