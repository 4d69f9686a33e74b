"""Predictions against the truth: counts, labels, repetitions."""
