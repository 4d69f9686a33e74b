"""Command lines that are shown and run one after the other."""

from __future__ import annotations

import shlex
import subprocess
import sys

import typer

from racctl.cli.console import note


def run_chain(lines: list[str]) -> None:
    """Show each `racctl` command line on stdout and run it; what fails ends the chain with its exit code."""
    for line in lines:
        print(f"$ {line}", flush=True)
        program, *words = shlex.split(line)
        if program != "racctl":
            raise ValueError(f"no command of racctl: {line}")
        code = subprocess.run([sys.executable, "-m", "racctl", *words], check=False).returncode
        if code:
            raise typer.Exit(code)
        print(flush=True)
    note(f"{len(lines)} commands; 'man racctl-pipelines' has more")
