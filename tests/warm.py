"""A process that has imported what commands import, and that is copied for each of them.

Most of the time of a short command goes into imports. A copy is a process of its own all the same, with its own
standard streams, folder, environment and exit code. What it does not show is how a command starts, nor what depends on
the seed of Python's hashes: `commands.afresh` does.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HEAVY = (
    "av.video.reformatter", "einops.layers.torch", "matplotlib.backends.backend_agg", "matplotlib.figure", "PIL.Image",
    "pyarrow.compute", "pyarrow.parquet", "rich.progress", "rich.table", "safetensors.torch", "scipy.io",
    "scipy.ndimage", "scipy.optimize", "scipy.signal", "scipy.stats", "sklearn.metrics", "torch", "typer._adapters",
)  # fmt: skip
MESSAGE = 1 << 20  # bytes at most


class Warm:
    """A process that has imported those of `modules` that are installed. It ends with the one that started it."""

    def __init__(self, *modules: str) -> None:
        self._link, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, __file__, str(far_end.fileno()), *modules]
        self._process = subprocess.Popen(command, pass_fds=[far_end.fileno()], stdin=subprocess.DEVNULL)
        far_end.close()
        atexit.register(self._end)

    def _end(self) -> None:
        self._link.close()
        self._process.wait(60)

    def run(
        self, code: str, words: list[str], stdin: bytes = b"", timeout: float = 120, cwd: str | Path = "."
    ) -> subprocess.CompletedProcess:
        """Run Python code in a copy whose sys.argv is `words`: what subprocess.run says of a process."""
        pipes = [os.pipe() for _ in range(3)]
        streams = [pipes[0][0], pipes[1][1], pipes[2][1]]
        task = {"code": code, "words": words, "cwd": os.path.abspath(cwd), "environment": dict(os.environ)}
        socket.send_fds(self._link, [json.dumps(task).encode()], streams)
        for number in streams:
            os.close(number)
        with ThreadPoolExecutor(3) as threads:
            threads.submit(_write, pipes[0][1], stdin)
            out, err = (threads.submit(_read, pipe[0]) for pipe in pipes[1:])
            code = self._exit_code(words, timeout)
        return subprocess.CompletedProcess(words, code, out.result(), err.result())

    def _exit_code(self, words: list[str], timeout: float) -> int:
        process = int(self._link.recv(MESSAGE))
        self._link.settimeout(timeout)
        try:
            return int(self._link.recv(MESSAGE))
        except TimeoutError:
            os.kill(process, signal.SIGKILL)
            self._link.settimeout(None)
            self._link.recv(MESSAGE)
            raise subprocess.TimeoutExpired(words, timeout) from None
        finally:
            self._link.settimeout(None)


def _write(number: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(number, "wb", buffering=0) as pipe:
        view = memoryview(data)
        while view:
            view = view[pipe.write(view) :]


def _read(number: int) -> bytes:
    with os.fdopen(number, "rb") as pipe:
        return pipe.read()


def _serve(link: socket.socket) -> dict:
    """Copy this process for each task. Returns the task in the copy, which has the standard streams of the task."""
    while True:
        message, streams, _, _ = socket.recv_fds(link, MESSAGE, 3)
        if not message:
            os._exit(0)
        process = os.fork()
        if not process:
            link.close()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            return json.loads(message)
        for stream in streams:
            os.close(stream)
        link.send(str(process).encode())
        link.send(str(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])).encode())


def _become(task: dict) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(task["cwd"])
    os.environ.clear()
    os.environ.update(task["environment"])
    sys.argv = task["words"]


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the tests answer Ctrl-C, and this process ends with them
    sys.path[0] = str(Path(sys.executable).parent)  # as for an installed command
    for module in sys.argv[2:]:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    task = _serve(socket.socket(fileno=int(sys.argv[1])))
    _become(task)
    exec(task["code"], {"__name__": "__main__"})
