"""The models that can be trained by name: what builds each from a plain dict, as a checkpoint's header holds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

from torch import nn

from racctl.kinds import Kind
from racctl.models.baselines import LSTM, MLP, TCN, BaselineConfig, ViViT, ViViTConfig, transformer
from racctl.models.ctrgcn import CTRGCN, CTRGCNConfig
from racctl.models.d2stx import D2STX, D2STXConfig
from racctl.models.escounts import ESCountsConfig
from racctl.models.mcat import MCAT, MCATConfig
from racctl.models.silhouette import SilhouetteConfig, SilhouetteNet
from racctl.models.skimfocus import SkimFocus, SkimFocusConfig
from racctl.models.transrac import TransRAC, TransRACConfig

RECOGNISER_MODELS: dict[str, tuple[Any, Callable[[Any], nn.Module]]] = {
    "mcat": (MCATConfig, MCAT),
    "mlp": (BaselineConfig, MLP),
    "lstm": (BaselineConfig, LSTM),
    "tcn": (BaselineConfig, TCN),
    "transformer": (BaselineConfig, transformer),
    "vivit": (ViViTConfig, ViViT),
}
ADDED_RECOGNISERS = Kind("recogniser", "racctl.recognisers", {})  # those of other packages
ENCODER_MODELS: dict[
    str, tuple[Any, Callable[[Any], nn.Module]]
] = {  # each with tokens(x), and classify(tokens) and repetitions(tokens) where it has such heads
    "ctrgcn": (CTRGCNConfig, CTRGCN),
    "silhouette": (SilhouetteConfig, SilhouetteNet),
}
COUNTER_MODELS: dict[str, tuple[Any, Callable[[Any], nn.Module]]] = {  # each from tokens to `BranchDensities`
    "d2stx": (D2STXConfig, D2STX),
    "escounts": (ESCountsConfig, D2STX),
    "transrac": (TransRACConfig, TransRAC),
    "skimfocus": (SkimFocusConfig, SkimFocus),
}
MODELS: dict[str, tuple[Any, Callable[[Any], nn.Module]]] = {**RECOGNISER_MODELS, **ENCODER_MODELS, **COUNTER_MODELS}

CounterConfig = D2STXConfig | TransRACConfig | SkimFocusConfig
Config = MCATConfig | BaselineConfig | CTRGCNConfig | SilhouetteConfig | CounterConfig


def configured(name: str, stored: dict[str, Any]) -> Config:
    """Return the config of a model from what its header holds.

    Raises ValueError for invalid values.
    """
    kind = _network(name)[0]
    known = {field.name for field in fields(kind)}
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in stored.items() if key in known}
    return kind(**values).check()


def recognisers() -> list[str]:
    """Return the names of all recognisers, those of other packages last."""
    return list(dict.fromkeys([*RECOGNISER_MODELS, *ADDED_RECOGNISERS.names()]))


def _network(name: str) -> tuple[Any, Callable[[Any], nn.Module]]:
    """Return the config's class and what builds the network from it; UsageError for a name that is none's."""
    if name in MODELS:
        return MODELS[name]
    member = ADDED_RECOGNISERS.load(name)
    return member.Config, member.build


def built(name: str, config: Config) -> nn.Module:
    """Return the model with fresh weights."""
    return _network(name)[1](config)


def as_dict(config: Config) -> dict[str, Any]:
    """Return the config as a header holds it."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}
