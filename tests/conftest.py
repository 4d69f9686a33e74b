"""What holds for every test."""

import signal

# A job that a script runs in the background has SIGINT ignored, under nohup SIGHUP too, and so have the commands that
# the tests start from there: they could not be interrupted.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
