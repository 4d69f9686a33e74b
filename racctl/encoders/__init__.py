"""Frozen networks that turn pictures and poses into tokens."""
