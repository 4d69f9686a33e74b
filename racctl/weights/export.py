"""Trained networks as ONNX files, which run without racctl and without PyTorch.

A file holds one network: a recogniser, windows to logits; an encoder, windows to tokens; or a counter, tokens to the
density of repetitions. Its metadata has the header of the racctl.model/1 that it was made of, so that classes, rates
and licence travel along. What is done before and after (cutting windows, scaling joints, summing a density) is
racctl's.
"""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from racctl.contracts import Meta
from racctl.errors import DataError, UsageError
from racctl.io.checkpoint import read_model
from racctl.models.catalog import COUNTER_MODELS, ENCODER_MODELS, recognisers
from racctl.models.d2stx import SCALE
from racctl.skeleton.topology import topology_named
from racctl.weights import embedded, names
from racctl.weights.load import load_trained

OPSET = 17
PRECISIONS = ("float32", "float16", "int8")
EXAMPLE_TOKENS = 24  # of a clip that a counter is traced with; any number can be counted
PLACES_OF_TOKENS = 4  # rows and columns of the tokens of racctl's own video encoders
METADATA_KEY = "racctl"
ERRORS_ALONE = 3  # onnxruntime's level of what it prints
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Exportable:
    """A network with named inputs and one output.

    examples: one of each input, by name.
    output: its name.
    free: by input or output the axes that may have any length, with their names.
    """

    network: nn.Module
    examples: dict[str, Tensor]
    output: str
    free: dict[str, dict[int, str]]


class _Recogniser(nn.Module):
    """Named inputs to logits; a model of joints alone is given no pictures."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.model.config.input == "pose":
            (joints,) = inputs
            nothing = joints.new_zeros(joints.shape[0], joints.shape[1], 1, 1)
            logits: Tensor = self.model(nothing, nothing, joints)
            return logits
        logits = self.model(*inputs)
        return logits


class _Encoder(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, windows: Tensor) -> Tensor:
        tokens: Tensor = self.model.tokens(windows)
        return tokens


class _Counter(nn.Module):
    """Tokens to the repetitions within each."""

    def __init__(self, model: Any, streams: Sequence[str]) -> None:
        super().__init__()
        self.model, self.streams = model, streams

    def forward(self, *tokens: Tensor) -> Tensor:
        streams = dict(zip(self.streams, tokens, strict=True))
        grid = getattr(self.model.config, "grid", 0)
        if "video" in streams and grid and PLACES_OF_TOKENS % grid == 0:  # the exporter knows no adaptive pooling
            parts = rearrange(streams["video"], "b t c (g h) (k w) -> b t c g k (h w)", g=grid, k=grid)
            streams["video"] = parts.mean(-1)
        density: Tensor = self.model(**streams).final
        return density / SCALE


def load_exportable(name: str) -> tuple[Exportable, Meta]:
    """Return the network in a racctl.model/1, by file or by the name of embedded weights, and its header.

    Raises UsageError for a name that is neither, DataError for another file.
    """
    path = Path(name) if Path(name).is_file() else embedded(name)
    if path is None:
        raise UsageError(f"no such model '{name}'; expected a file or one of {', '.join(names())}")
    network, header, _ = load_trained(path, [*recognisers(), *ENCODER_MODELS, *COUNTER_MODELS])
    with open(path, "rb") as file:
        header = read_model(file, str(path))[0]
    try:
        if header["model"] in COUNTER_MODELS:
            return _counter(network), header
        if header["model"] in ENCODER_MODELS:
            return _encoder(network, header["input"]), header
        return _recogniser(network, header["input"]), header
    except (KeyError, TypeError) as error:
        raise DataError(f"'{path}' has a damaged header: it lacks {error}") from None


def _recogniser(network: Any, look: Meta) -> Exportable:
    config = network.config
    window, size = look["window"], look["size"]
    examples: dict[str, Tensor] = {}
    if getattr(config, "input", "") != "pose":
        examples["gray"], examples["mask"] = (torch.rand(2, window, size, size) for _ in range(2))
    if look["topology"]:
        examples["joints"] = torch.rand(2, window, len(topology_named(look["topology"])), 4)
    free = {name: {0: "windows"} for name in (*examples, "logits")}
    return Exportable(_Recogniser(network).eval(), examples, "logits", free)


def _encoder(network: Any, look: Meta) -> Exportable:
    c = network.config
    if hasattr(c, "people"):
        example = torch.rand(2, c.channels, look["sampled"], len(topology_named(c.topology)), c.people)
    else:
        example = torch.rand(2, c.channels, look["sampled"], look["size"], look["size"])
    return Exportable(_Encoder(network).eval(), {"windows": example}, "tokens", {})


def _counter(network: Any) -> Exportable:
    c = network.config
    if hasattr(c, "block"):
        raise UsageError("this counter reads a clip in blocks, as many as it is long, which ONNX cannot hold")
    examples: dict[str, Tensor] = {}
    if c.branches != "pose":
        examples["video"] = torch.rand(1, EXAMPLE_TOKENS, c.video, PLACES_OF_TOKENS, PLACES_OF_TOKENS)
    if c.branches != "video":
        joints = len(topology_named(c.parts)) if c.parts else c.joints
        examples["pose"] = torch.rand(1, EXAMPLE_TOKENS, c.pose, joints)
    free = {name: {1: "tokens"} for name in (*examples, "density")}
    return Exportable(_Counter(network, list(examples)).eval(), examples, "density", free)


def export_onnx(name: str, precision: str = "float32", calibration: Sequence[Arrays] = ()) -> bytes:
    """Return a network as ONNX.

    name: of embedded weights, or a file.
    precision: "float32"; "float16", whose inputs and outputs stay float32; or "int8".
    calibration: inputs of the network, by name, from which the ranges of int8 are settled; without any only the
        weights are int8, and the ranges of what is computed are found as it is.

    Raises UsageError without the packages that it needs, DataError for a model that is none.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"invalid value '{precision}' for '--precision'; expected one of {', '.join(PRECISIONS)}")
    exportable, header = load_exportable(name)
    model = _traced(exportable)
    if precision == "float16":
        model = _half(model)
    elif precision == "int8":
        model = _quantized(model, calibration)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, json.dumps({**header, "precision": precision})
    return bytes(model.SerializeToString())


def _traced(exportable: Exportable) -> Any:
    """Return the network as an ONNX model; what is constant in it is computed now."""
    onnx = _needed("onnx")
    with _quietly(), _plain_attention(), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "traced.onnx")
        torch.onnx.export(
            exportable.network,
            tuple(exportable.examples.values()),
            str(path),
            input_names=list(exportable.examples),
            output_names=[exportable.output],
            dynamic_axes=exportable.free,
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load_model(str(path))
    onnx.checker.check_model(model)
    return model


def _half(model: Any) -> Any:
    _needed("onnxruntime")
    with _quietly():
        from onnxruntime.transformers.float16 import convert_float_to_float16

        return convert_float_to_float16(model, keep_io_types=True)


class _Samples:
    """Calibration data as onnxruntime asks for it."""

    def __init__(self, samples: Sequence[Arrays]) -> None:
        self._left = iter(samples)

    def get_next(self) -> Arrays | None:
        return next(self._left, None)


def _quantized(model: Any, calibration: Sequence[Arrays]) -> Any:
    onnx = _needed("onnx")
    _needed("onnxruntime")
    with _quietly(), tempfile.TemporaryDirectory() as folder:
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        whole, ready, small = (Path(folder, f"{name}.onnx") for name in ("whole", "ready", "small"))
        onnx.save_model(model, str(whole))
        quant_pre_process(str(whole), str(ready), skip_symbolic_shape=True)
        if calibration:
            quantize_static(
                str(ready),
                str(small),
                _Samples(calibration),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        else:
            quantize_dynamic(str(ready), str(small), weight_type=QuantType.QInt8)
        return onnx.load_model(str(small))


def _needed(package: str) -> Any:
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError:
        raise UsageError(f"exporting needs '{package}'; install it with pip install 'racctl[export]'") from None


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep remarks of the exporters, which are for their developers, from the user."""
    with contextlib.suppress(ImportError):
        import onnxruntime

        onnxruntime.set_default_logger_severity(ERRORS_ALONE)
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _plain_attention() -> Iterator[None]:
    """Keep PyTorch from an operator for whole layers that only it has."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
