"""The recognisers by name: what builds each from a plain dict, as a checkpoint's header holds it."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from torch import nn

from racctl.models.baselines import LSTM, MLP, TCN, BaselineConfig, ViViT, check_tubelets, transformer
from racctl.models.mcat import MCAT, MCATConfig

RECOGNISERS = {
    "mcat": (MCATConfig, MCAT),
    "mlp": (BaselineConfig, MLP),
    "lstm": (BaselineConfig, LSTM),
    "tcn": (BaselineConfig, TCN),
    "transformer": (BaselineConfig, transformer),
    "vivit": (BaselineConfig, ViViT),
}


def configured(name: str, given: dict[str, Any]) -> MCATConfig | BaselineConfig:
    """The config of a model from what its header holds; ValueError for values that mean nothing."""
    kind = RECOGNISERS[name][0]
    known = {field.name for field in fields(kind)}
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items() if key in known}
    config = kind(**values).check()
    if name == "vivit":
        check_tubelets(config)
    return config


def built(name: str, config: MCATConfig | BaselineConfig) -> nn.Module:
    """The model with fresh weights."""
    return RECOGNISERS[name][1](config)


def as_dict(config: MCATConfig | BaselineConfig) -> dict[str, Any]:
    """The config as a header holds it."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}
