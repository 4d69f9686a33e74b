"""Frozen pose encoders: the joints of a window to tokens.

Two kinds of weights are fed differently. Those that racctl trained itself see
`racctl.skeleton.normalise.joint_tokens`: x, y and z in units of the body, and the score, 25 joints in the order of
D2-STX. Released CTR-GCN checkpoints were trained on NTU RGB+D: x, y and z in metres in the camera's space with y
upwards, Kinect's order, and the middle of the spine in a window's first frame as the origin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from racctl.contracts import Meta, Pose
from racctl.encoders.base import EncodeOptions
from racctl.errors import DataError, UsageError
from racctl.io.checkpoint import digest
from racctl.io.sniff import sniff
from racctl.models.ctrgcn import CTRGCN, CTRGCNConfig, one_person
from racctl.skeleton.normalise import joint_tokens, tell_missing_joints
from racctl.skeleton.remap import remap
from racctl.skeleton.topology import topology_named
from racctl.weights import embedded
from racctl.weights.load import load_trained

FRAMES_SHOWN = 64  # frames that a window is shown in, whatever its length
STEP = 4  # frames for a token
OWN, NTU = 4, 3  # channels of what the two kinds see
NTU_LICENCE = "CC BY-NC 4.0 (the released CTR-GCN checkpoints)"


@dataclass(frozen=True)
class CTRGCNEncoder:
    """A frozen network and what it wants to see. topology: of its joints, and of its tokens.  channels: of the tokens.
    record: of its weights, for provenance.  rate: frames per second that it was trained at, 0 where that is unknown.
    smooth: seconds, of the joints it was trained on, see `joint_tokens`."""

    name: str
    network: CTRGCN
    record: Meta
    device: torch.device
    rate: float = 0.0
    smooth: float = 0.0

    @property
    def topology(self) -> str:
        return self.network.config.topology

    @property
    def channels(self) -> int:
        return 4 * self.network.config.base

    @property
    def frames(self) -> int:
        """That a window is shown in."""
        return FRAMES_SHOWN

    @property
    def steps(self) -> int:
        return FRAMES_SHOWN // STEP

    def seen(self, pose: Pose, rate: float = 0.0) -> np.ndarray:
        """(T, V, C) float32 of the main person, on the pose's own clock; zeros where nobody is seen. DataError where
        the weights need metres and the pose has none.

        rate: frames per second that the windows will have, 0 for that of the training. At half of it people move twice
        as fast for the network, and are smoothed over twice the time."""
        tell_missing_joints(pose, self.topology)
        if self.network.config.channels == OWN:
            slow = self.rate / rate if self.rate and rate else 1.0
            return joint_tokens(remap(pose, self.topology), self.smooth * slow)
        return metres(pose, self.topology)

    @torch.no_grad()
    def __call__(self, joints: np.ndarray) -> Tensor:
        """(S, 64, V, C) as `seen` gives them to tokens (S, 4 * base, 16, V, 1) float32."""
        windows = torch.from_numpy(joints).to(self.device)
        if self.network.config.channels == NTU:
            windows = centred(windows, topology_named(self.topology).index("spine_mid"))
        half = self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            return self.network.tokens(windows.permute(0, 3, 1, 2)[..., None]).float()


def metres(pose: Pose, topology: str) -> np.ndarray:
    """(T, V, 3) float32 world coordinates as Kinect has them, zeros where nobody is seen."""
    person = pose.chosen("main")
    if pose.world is None:
        raise DataError(
            f"clip '{pose.clip}' has no coordinates in metres, which these weights need; 'racctl pose' gives them"
        )
    turned = remap(pose, topology)
    if not person or turned.world is None:
        return np.zeros((len(pose.frame), len(topology_named(topology)), 3), np.float32)
    # Both look along z. MediaPipe's x goes to the right of the picture and y down, Kinect's to the left and up.
    return np.nan_to_num(turned.world[:, person[0]] * np.array([-1, -1, 1], np.float32))


def centred(windows: Tensor, joint: int) -> Tensor:
    """(S, T, V, 3) with this joint of each window's first seen frame as the origin; frames of zeros stay so."""
    seen = (windows != 0).any(-1).any(-1)  # (S, T)
    first = seen.to(torch.uint8).argmax(1)
    origin = windows[torch.arange(len(windows), device=windows.device), first, joint]
    return torch.where(seen[..., None, None], windows - origin[:, None, None], windows)


def open_ctrgcn(options: EncodeOptions, device: torch.device) -> CTRGCNEncoder:
    """Return the encoder with the weights that the options name."""
    untrained = options.random and not options.pose_weights
    return pose_encoder(options.pose_encoder, options.pose_weights, untrained, device, options.seed)


def pose_encoder(
    name: str, weights: str = "", random: bool = False, device: torch.device | None = None, seed: int = 0
) -> CTRGCNEncoder:
    """The encoder called `name`. weights: a file, of `racctl train encoder` or a released CTR-GCN checkpoint;
    "" for the embedded ones.  random: no training at all, marked in what is made.

    Raises UsageError for a name that is none, DataError for weights that do not fit.
    """
    if random:
        config = CTRGCNConfig(people=1, channels=OWN, topology="d2stx25")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = CTRGCN(config)
        encoder = CTRGCNEncoder(name, network, {"name": name, "random": True, "seed": seed}, torch.device("cpu"))
    else:
        path = Path(weights) if weights else embedded(name)
        if path is None:
            raise UsageError(f"no weights of '{name}' are embedded; name a file, or '--random-weights' to try it out")
        encoder = _loaded(name, path)
    encoder.network.eval().requires_grad_(False)
    device = device or torch.device("cpu")
    return replace(encoder, network=encoder.network.to(device), device=device)


def _loaded(name: str, path: Path) -> CTRGCNEncoder:
    try:
        with open(path, "rb") as file:
            kind = sniff(file)
    except OSError as error:
        raise DataError(f"cannot open '{path}': {(error.strerror or str(error)).lower()}") from None
    if kind != "safetensors":
        return _released(name, path)
    network, meta, record = load_trained(path, [name])
    if not isinstance(network, CTRGCN):
        raise DataError(f"'{path}' holds another network than CTR-GCN")
    rate, smooth = (float(meta["input"].get(key, 0)) for key in ("rate", "smooth"))
    return CTRGCNEncoder(name, network, record, torch.device("cpu"), rate, smooth)


def _released(name: str, path: Path) -> CTRGCNEncoder:
    """A checkpoint of the authors of CTR-GCN, for one person or two."""
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
        people = len(tensors["data_bn.weight"]) // (25 * NTU)
        classes, base = len(tensors["fc.weight"]), tensors["l1.gcn1.bn.weight"].shape[0]
        network = CTRGCN(CTRGCNConfig(classes, "ntu25", 1, NTU, base))
        network.load_state_dict(one_person(tensors) if people == 2 else tensors)
    except Exception as error:  # torch.load and load_state_dict raise whatever the damage leads to
        reason = (str(error).splitlines() or [""])[0].strip().lower()
        raise DataError(f"'{path}' is no checkpoint of CTR-GCN ({type(error).__name__}: {reason[:80]})") from None
    return CTRGCNEncoder(
        name, network, {"name": path.name, "sha256": digest(tensors), "licence": NTU_LICENCE}, torch.device("cpu")
    )
