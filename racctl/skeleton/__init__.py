"""Joints by name: topologies, remapping between them, normalisation."""
