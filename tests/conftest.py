"""What holds for every test."""

import signal

# A job that a script runs in the background has SIGINT ignored, and so have the commands that the tests start from
# there: they could not be interrupted.
signal.signal(signal.SIGINT, signal.default_int_handler)
