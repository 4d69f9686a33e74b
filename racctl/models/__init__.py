"""Torch modules, one file per model; shapes and maths only."""
