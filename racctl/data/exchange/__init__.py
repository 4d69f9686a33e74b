"""Annotations in the formats of the tools that people draw them with."""
