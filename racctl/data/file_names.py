"""What the tables of a data set's folder are called."""

from __future__ import annotations

MANIFEST_FILE = "manifest.parquet"
REPS_FILE = "reps.parquet"
LABELS_FILE = "labels.parquet"
