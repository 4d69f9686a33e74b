"""What holds for every test."""

import os
import signal

# A job that a script runs in the background has SIGINT ignored, under nohup SIGHUP too, and so have the commands that
# the tests start from there: they could not be interrupted.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# As many workers as cores run the tests: threads of networks on top of that only wait for each other. OpenBLAS, which
# would follow OMP_NUM_THREADS, keeps its own: with a single thread it rounds otherwise, and what `synth` draws differs.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(max(2, os.cpu_count() or 1)))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
