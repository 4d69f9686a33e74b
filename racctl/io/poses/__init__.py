"""Readers of the pose files that other programs write."""
