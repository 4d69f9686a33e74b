# What a contributor needs. `make check` is what has to hold before a commit.
PYTHON ?= python3

.PHONY: setup test docs lint check bench
setup:
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -q -e '.[dev]'

test:
	.venv/bin/python -m pytest -q

docs:
	.venv/bin/python -m racctl.cli.docs

lint:
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

check: lint test

bench:
	.venv/bin/python tests/benchmarks/pose_speed.py
	.venv/bin/python tests/benchmarks/counting.py
