# What a contributor needs. `make check` has to pass before a commit.
PYTHON ?= python3

.PHONY: setup test docs pictures lint check dist bench
setup:
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -q -e '.[dev]'

test:
	.venv/bin/python -m pytest -q

# Man pages of the tools, and completions.
docs:
	.venv/bin/python -m racctl.cli.docs

# The pictures of the README: a minute, offline.
pictures:
	.venv/bin/python docs/pictures.py

lint:
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

check: lint test

# Source distribution and wheel in dist/, checked.
dist:
	.venv/bin/pip install -q build twine
	rm -rf dist
	.venv/bin/python -m build
	.venv/bin/python -m twine check --strict dist/*

bench:
	.venv/bin/python tests/benchmarks/pose_speed.py
	.venv/bin/python tests/benchmarks/counting.py
