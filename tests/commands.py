"""Running the installed command as a user's shell does."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from warm import HEAVY, Warm

RACCTL = str(Path(sys.executable).with_name("racctl"))
LIBRARY = "libpywrap_litert"  # that the networks run in, which is loaded when the first frame has come


def afresh(*words: object, stdin: bytes = b"", timeout: float = 120, **options) -> subprocess.CompletedProcess:
    """Run one command as a shell starts it; stdout and stderr as bytes. `options` of subprocess.run."""
    command = [RACCTL, *map(str, words)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, check=False, **options)


def racctl(
    *words: object, stdin: bytes = b"", timeout: float = 120, cwd: str | Path = "."
) -> subprocess.CompletedProcess:
    """Run one command in a process of its own that has its imports behind it: what `afresh` returns."""
    command = [RACCTL, *map(str, words)]
    return warm_process().run("from racctl.cli.app import main; main()", command, stdin, timeout, cwd)


@functools.cache
def warm_process() -> Warm:
    """The process that `racctl` copies."""
    return Warm(*HEAVY)


def one_line(done: subprocess.CompletedProcess, code: int) -> str:
    """The message of a failed command, held to the house rules: the exit code, one line, nothing on stdout."""
    text = done.stderr.decode()
    assert done.returncode == code, text
    assert done.stdout == b""
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("racctl"), text
    assert not lines[0].endswith("."), text
    assert "Traceback" not in text
    assert "internal error" not in text
    return lines[0]


def on_a_terminal(*words: object, keys: bytes = b"", timeout: float = 60) -> tuple[int, str]:
    """Run with stdin, stdout and stderr on a pseudo-terminal: exit code, everything that appears."""
    import pty
    import select

    pid, master = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm-256color"
        os.environ["COLUMNS"] = "120"
        os.execv(RACCTL, [RACCTL, *map(str, words)])
    if keys:
        os.write(master, keys)
    shown, end = b"", time.monotonic() + timeout
    while time.monotonic() < end:
        if select.select([master], [], [], 0.2)[0]:
            try:
                data = os.read(master, 65536)
            except OSError:
                break
            if not data:
                break
            shown += data
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode(errors="replace")


def wait_for_frames(process: subprocess.Popen, timeout: float = 60) -> None:
    """Return when a command that looks at a video is in the middle of it: a moment after its networks are loaded."""
    mapped = Path(f"/proc/{process.pid}/maps")  # Linux has it
    if not mapped.exists():
        time.sleep(4)
        return
    end = time.monotonic() + timeout
    while LIBRARY not in mapped.read_text():
        assert process.poll() is None and time.monotonic() < end, "no frame was looked at"
        time.sleep(0.02)
    time.sleep(0.7)


def in_process(capsys, *words: object) -> tuple[int, str]:
    """Run one command in this process, where starting one is not the point: exit code and what is on stderr."""
    from racctl.cli.app import run

    code = run([str(word) for word in words])
    return code, capsys.readouterr().err


SERVER = """
import json, os, resource, sys, tempfile
from racctl.cli.app import run
replies = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    files = [tempfile.TemporaryFile() for _ in range(2)]
    for number, file in enumerate(files, 1):
        os.dup2(file.fileno(), number)
    code = run(json.loads(line))
    sys.stdout.flush()
    sys.stderr.flush()
    texts = []
    for file in files:
        file.seek(0)
        texts.append(file.read().decode("latin-1"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"code": code, "stdout": texts[0], "stderr": texts[1], "peak": peak}), file=replies, flush=True)
"""


class Server:
    """A process that runs one command after the other, for the many that fail: most of their time goes into imports.

    Standard input of the commands is empty. Use as a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def run(self, *words: object) -> tuple[subprocess.CompletedProcess, int]:
        """Run one command: what `racctl` here returns, and the largest size of the process so far, KiB."""
        self._process.stdin.write(json.dumps([str(word) for word in words]) + "\n")
        self._process.stdin.flush()
        reply = json.loads(self._process.stdout.readline())
        out, err = (reply[name].encode("latin-1") for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(words, reply["code"], out, err), reply["peak"]
