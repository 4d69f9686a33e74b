"""Decoding (PyAV) and drawing."""
