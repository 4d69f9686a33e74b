"""What holds for every test."""

import os
import signal

# A job that a script runs in the background has SIGINT ignored, under nohup SIGHUP too, and so have the commands that
# the tests start from there: they could not be interrupted.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# As many workers as cores run the tests: threads of their own, and of the commands that they start, would only wait for
# each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")
