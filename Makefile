# The two commands are `make demo` and `make test`; both set up $(VENV) first, once.
VENV ?= .venv
BIN := $(VENV)/bin
# 3.11 is the newest Python that tflite-runtime has wheels for. A name on PATH may be a shim without a Python behind it.
PYTHON ?= $(shell for p in python3.11 python3.10 python3.12 python3; do $$p -c 'import sys; sys.exit(not (3,10) <= sys.version_info[:2] <= (3,12))' 2>/dev/null && echo $$p && break; done)
INSTALLED := $(VENV)/.installed
# A file's tests share what they set up, so files are what is spread over processes; the slow ones measure times and stay alone.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile
# What a machine that builds releases may need, without what only edgepack's own development does.
LOCKED := build channel mcu micro npu report serial tflite-runtime tune

.DEFAULT_GOAL := help
.PHONY: help setup demo reproduce test test-fast test-slow test-arm check fmt lint types arch lock bench clean

help:           ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: $(INSTALLED)  ## make the virtual environment and install everything

$(INSTALLED): pyproject.toml
	@test -n "$(PYTHON)" || { echo "edgepack needs Python 3.10, 3.11 or 3.12; none was found on PATH (set PYTHON=/path/to/python3.11)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[build,channel,mcu,serial,micro,npu,report,tflite-runtime,tune,dev]"
	$(BIN)/python -m compileall -q edgepack
	@$(BIN)/python -c 'import sys; sys.version_info < (3, 12) or print("Python 3.12: tflite-runtime has no wheel for it and is absent; LiteRT is used")'
	@touch $@

demo: setup     ## the main job on real input: prune, cluster, factorize, int8, check, benchmark, pack
	$(BIN)/edgepack build recipes/digits.toml --out dist

reproduce: setup ## build the demo in two folders and two processes; the same bytes
	rm -rf build/reproduce
	for n in 1 2; do \
	  mkdir -p build/reproduce/$$n && cp -r recipes build/reproduce/$$n/ && EDGEPACK_CACHE=build/reproduce/$$n/store \
	  PYTHONHASHSEED=$$n $(BIN)/edgepack build build/reproduce/$$n/recipes/digits.toml --out build/reproduce/$$n/dist || exit; \
	done
	cd build/reproduce/1/dist && for f in *.edgepack *.tflite; do cmp $$f ../../2/dist/$$f && sha256sum $$f || exit; done

test: setup     ## every test but the slow ones
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not arm"

test-fast: setup ## the tests that need no TensorFlow
	$(BIN)/python -m pytest $(PARALLEL) -m "not tensorflow and not slow and not arm"

test-slow: setup ## the tests that take minutes
	$(BIN)/python -m pytest -m "slow and not arm"

test-arm: setup ## the tests on an emulated Raspberry Pi 4, which is set up first
	@command -v sshd /usr/sbin/sshd >/dev/null || { echo "installing openssh-server, which one test needs"; \
	  apt-get -qq update && apt-get -qq install --yes --no-install-recommends openssh-server >/dev/null; } || \
	  echo "openssh-server is not installed and could not be: the test over ssh will be skipped"
	$(BIN)/edgepack devices emulate rpi4
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup -m arm tests/arm tests/remote

check: fmt lint types arch test-fast ## what every commit keeps green

fmt: setup      ## formatting is as ruff would have it
	$(BIN)/ruff format --check edgepack tests recipes

lint: setup     ## no lint
	$(BIN)/ruff check edgepack tests recipes

types: setup    ## strict types
	$(BIN)/mypy

arch: setup     ## rooms import downwards only
	$(BIN)/lint-imports

lock:           ## constraints/build.txt anew: the newest releases that fit, each with its hashes
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1"
	UV_PYTHON_DOWNLOADS=never $(VENV)/lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes \
	  --no-emit-index-url --no-annotate --custom-compile-command "make lock" $(addprefix --extra ,$(LOCKED)) \
	  --output-file constraints/build.txt pyproject.toml

bench: $(VENV)/.bench  ## the figures of the README: the scoreboard (half an hour), what the commands cost
	$(BIN)/python -m tests.benchmarks scoreboard --scaling
	$(BIN)/python -m tests.benchmarks costs

$(VENV)/.bench: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[bench]"
	@touch $@

clean:          ## remove what was made here
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
