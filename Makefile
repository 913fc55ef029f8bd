VENV ?= .venv
PYTHON := $(VENV)/bin/python
HILUM := $(VENV)/bin/hilum
STUDY ?=
OUT ?= demo-output
# Tests run in as many processes as there are cores, so each takes one thread; torch's would wait for another by spinning.
JOBS ?= auto
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(PYTHON) -m pytest -n $(JOBS) --maxprocesses 4 --dist loadgroup

.PHONY: help demo up test test-one named-test test-node campaign soak mutation check lint interoperability bench build sbom lock venv packages other-python docs clean

help: ## this list
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.run ## a study through a whole node on this machine, results in demo-output/ (STUDY=files OUT=folder)
	$(HILUM) demo --out "$(OUT)" $(if $(STUDY),"$(STUDY)")

up: $(VENV)/.run ## the node in the foreground, for real use
	$(HILUM) up

test: $(VENV)/.dev packages other-python ## all tests; installs what they need (ARGS=options of pytest, JOBS=processes)
	$(PYTEST) $(ARGS)

test-one: named-test $(VENV)/.dev ## some tests, with what is installed: T=tests/unit/node/db/test_jobs.py (ARGS=options of pytest)
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest $(T) $(ARGS)

named-test:
	@test -n "$(T)" || { echo "say which tests: make test-one T=tests/..." >&2; exit 2; }

# The always-on edge is tested without what it must not need: no torch, no highdicom, no driver of PostgreSQL.
test-node: $(VENV)-node/.test ## the tests of the node alone, in an environment with its own dependencies only
	$(VENV)-node/bin/python -m pytest -n $(JOBS) --maxprocesses 4 --dist loadgroup \
		tests/unit/node tests/integration/dimse $(ARGS)

campaign: $(VENV)/.dev packages ## faults by the hundred in a running node, then a table (ARGS="--list", "kills --short")
	$(PYTHON) -m tests.campaigns $(ARGS)

soak: $(VENV)/.dev packages ## two hours of mixed traffic, and whether memory, descriptors and rows stay flat (ARGS="--minutes 600")
	$(PYTHON) -m tests.campaigns soak $(ARGS)

mutation: $(VENV)/.dev ## change the node and the geometry and gate of models, and see whether unit tests notice (M=patterns)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check mutmut==3.8.1
	OMP_NUM_THREADS=1 $(VENV)/bin/mutmut run --max-children 2 $(M)
	$(VENV)/bin/mutmut results
	$(VENV)/bin/mutmut export-cicd-stats && cat mutants/mutmut-cicd-stats.json

lint: $(VENV)/.dev ## format, style, types and import rules
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

check: lint test-node test ## everything that CI runs

interoperability: $(VENV)/.dev packages ## results before OHIF and second readers; writes docs/interoperability.md
	$(PYTEST) -m interoperability --interoperability $(ARGS)

bench: $(VENV)/.dev packages ## ingest and latency figures, beside DCMTK and Orthanc
	$(PYTHON) -m tests.bench $(ARGS)

docs: $(VENV)/.dev ## write the pages that are made from tables in the code
	$(PYTHON) -m node.conformance > docs/conformance.md
	$(PYTHON) -m node.conformance.configuration > docs/configuration.md

build: $(VENV)/.dev ## the wheels of the program and of the bundles, and the source archive, in dist/
	rm -rf build dist
	$(PYTHON) -m build --no-isolation --outdir dist .
	$(PYTHON) -m build --no-isolation --wheel --outdir dist models/bundles

sbom: $(VENV)/.dev ## what the images install, as CycloneDX, in dist/ (from deploy/locks, with hashes)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check cyclonedx-bom==7.5.0
	mkdir -p dist
	for image in edge worker; do \
	    $(VENV)/bin/cyclonedx-py requirements deploy/locks/$$image.txt --output-reproducible \
	        --output-file dist/hilum-$$image.cdx.json || exit 1; \
	done

# The versions that are there stay as long as they fit; UPGRADE=1 takes the newest. Hashes are for what an image installs.
COMPILE := $(VENV)/bin/uv pip compile --quiet --python-version 3.11 --python-platform linux \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links
LOCKED := $(COMPILE) --constraint constraints.txt --generate-hashes

lock: $(VENV)/.dev ## constraints.txt and the locks of the images, from pyproject.toml (UPGRADE=1: the newest versions)
	$(PYTHON) -m pip install --quiet uv
	$(COMPILE) pyproject.toml --all-extras $(if $(UPGRADE),--upgrade) --output-file constraints.txt
	$(LOCKED) pyproject.toml --extra postgresql --output-file deploy/locks/edge.txt
	$(LOCKED) pyproject.toml --extra postgresql --extra worker --output-file deploy/locks/worker.txt
	printf 'build\nhatchling\nsetuptools\n' | $(LOCKED) - --output-file deploy/locks/build.txt

packages: ## the real peers of the tests, from Debian, where that is allowed
	@sh deploy/debian-packages.sh

other-python: $(VENV)/.dev ## a second version of Python, to compare the bytes of results
	@sh deploy/other-python.sh "$(VENV)/other-python"

venv: $(VENV)/.run ## the environment in .venv

$(VENV)/.run: pyproject.toml constraints.txt
	@sh deploy/venv.sh "$(VENV)" embedded,worker
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	@sh deploy/venv.sh "$(VENV)" embedded,postgresql,worker,training,dev
	@touch $(VENV)/.run $@

$(VENV)-node/.test: pyproject.toml constraints.txt
	@sh deploy/venv.sh "$(VENV)-node" test
	@touch $@

clean: ## remove the environment and what was built
	rm -rf "$(VENV)" "$(VENV)-node" build dist mutants ./*.egg-info
