# make setup | test | test-slow | test-all | lint | docs | site | demo. Everything goes into .venv; a second call of setup costs nothing.
SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip --disable-pip-version-check
STAMP := $(VENV)/.ramen-installed

.PHONY: setup test test-slow test-all lint docs site demo

setup: $(STAMP)

# torch goes first: the rest then takes what is there instead of a build of its own choice.
$(STAMP): setup.py pyproject.toml constraints.txt ramen/_version.py | $(PYTHON)
	$(PIP) install -q "$$(grep '^torch==' constraints.txt)"
	$(PIP) install -q -c constraints.txt -e '.[dev,minilm]'
	touch $@

$(PYTHON):
	@for python in python3.11 python3; do \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  $$python -c 'import venv, ensurepip' 2>/dev/null || { \
	    echo "make: $$python cannot make environments: install its venv package (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }; \
	  exec $$python -m venv $(VENV); \
	done; \
	echo "make: no Python of 3.11 or later: install python3.11 and its venv package" >&2; exit 1

# Two workers of a thread each take half as long as one of two.
test: setup
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -q -n 2 --dist loadfile

# Processes, kills, a browser, wheels, torchrun, benchmarks.
test-slow: setup
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -q -m slow -n 2 --dist loadfile

test-all: test test-slow

lint: setup
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

# The part of docs/settings.md that is generated from ramen/config.py.
docs: setup
	$(PYTHON) docs/settings_page.py

# The documentation as a site, in build/site. The variable silences advertising of mkdocs-material.
site: setup
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build -q --strict

demo: setup
	$(PYTHON) examples/demo.py
