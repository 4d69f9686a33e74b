"""What a network is fed with for some clips, from which the ranges of its int8 form are settled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from racctl.counters.reader import DensityReader
from racctl.errors import DataError, UsageError
from racctl.estimators.on_demand import Estimators
from racctl.io.npz import read_features
from racctl.io.spool import open_input
from racctl.models.catalog import COUNTER_MODELS, ENCODER_MODELS
from racctl.recognisers.classify_clip import ClassifyOptions, classify_source, estimates
from racctl.recognisers.recogniser import Recogniser
from racctl.weights.export import Arrays, load_exportable

CALIBRATION_WINDOWS = 64  # of a clip that are taken together


def calibration_of(name: str, sources: Sequence[str]) -> list[Arrays]:
    """Return what a network is fed with for these clips, for `export_onnx`.

    name: as there.
    sources: poses or videos for a recogniser, features for a counter.

    Raises UsageError for an encoder, and as reading the clips does.
    """
    exportable, header = load_exportable(name)
    if header["model"] in ENCODER_MODELS:
        raise UsageError("'--calibrate' is for recognisers and counters; an encoder's weights alone become int8")
    feed = _tokens_of if header["model"] in COUNTER_MODELS else _windows_of
    return [arrays for source in sources for arrays in feed(name, list(exportable.examples), source)]


def _tokens_of(name: str, inputs: list[str], source: str) -> list[Arrays]:
    reader = DensityReader(name, torch.device("cpu"))
    with open_input(source) as file:
        tokens = reader.tokens(read_features(file, source), source)
    streams = reader.inputs(tokens, slice(0, len(tokens)), [])
    if not set(inputs) <= set(streams):
        raise DataError(f"'{source}' lacks the {' or the '.join(sorted(set(inputs) - set(streams)))}")
    return [{key: streams[key].numpy() for key in inputs}]


def _windows_of(name: str, inputs: list[str], source: str) -> list[Arrays]:
    recogniser = Recogniser(name, torch.device("cpu"))
    options = ClassifyOptions(keep_pictures=True)
    with Estimators(estimates(recogniser.look)) as estimators:
        clip = classify_source(source, estimators, recogniser=recogniser, options=options)
    parts = np.array_split(clip.rows, -(-len(clip.rows) // CALIBRATION_WINDOWS))
    samples = []
    for rows in parts:
        streams = dict(zip(("gray", "mask", "joints"), recogniser.inputs(clip.streams, rows), strict=True))
        samples.append({key: tensor.numpy() for key, tensor in streams.items() if key in inputs and tensor is not None})
    return samples
