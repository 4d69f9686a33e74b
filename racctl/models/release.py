"""Checkpoints of the authors' code of D2-STX and of TransRAC, by its names, as weights of ours.

The three parts of D2-STX are saved apart: `model_state_dict` (video), `model_p_state_dict` (pose) and
`fusion_layer_state_dict`. Nothing of theirs ships with racctl. What their forward passes never use is left out, and so
is what can be computed: the patch embedding and positions of a ViT, two norms of each block, the unused projection of
the joints, the index of relative positions.
"""

from __future__ import annotations

import torch
from torch import Tensor

Weights = dict[str, Tensor]

BRANCH_NAMES = {"embed": "decoder_embed", "norm": "decoder_norm", "map": "map"}  # ours: theirs
BLOCK_NAMES = {
    "norm_self": "selfattn.norm",
    "itself.out": "selfattn.to_out.0",
    "norm_cross": "attn.norm",
    "cross.query": "attn.to_q",
    "cross.out": "attn.to_out.0",
    "norm_feed": "mlp.net.0",
    "feed.0": "mlp.net.1",
    "feed.2": "mlp.net.4",
}
WINDOW_NAMES = {
    "norm": "norm1",
    "attention.out": "attn.proj",
    "norm_feed": "norm2",
    "feed.0": "mlp.fc1",
    "feed.2": "mlp.fc2",
}
FUSION_NAMES = {
    "norm.pose": "input_pose_norm",
    "norm.video": "input_video_norm",
    "project.pose": "pose_proj",
    "project.video": "video_proj",
    "head.pose.0": "pose_output.0",
    "head.pose.2": "pose_output.2",
    "head.video.0": "video_output.0",
    "head.video.2": "video_output.2",
}
STAGE_NAMES = {
    f"{stage}.{guide}": (f"{stage}_{guide}_to_{guided}_attn", f"{stage}_{guide}_norm")
    for stage in ("spatial", "temporal")
    for guide, guided in (("pose", "video"), ("video", "pose"))
}


def from_release(video: Weights, pose: Weights, fusion: Weights, guide: str = "both") -> Weights:
    """Return the state of a `D2STX` with `release(config)`.

    Raises KeyError names what a part lacks.
    """
    parts = {"branches.video": branch(video), "branches.pose": branch(pose), "fusion": fused(fusion, guide)}
    return {f"{part}.{name}": tensor for part, weights in parts.items() for name, tensor in weights.items()}


def branch(theirs: Weights) -> Weights:
    """Return one branch's decoder."""
    weights = {"place": theirs["decoder_spatial_pos_embed"], "shot": theirs["shot_token"]}
    weights |= _renamed(theirs, BRANCH_NAMES, "", "")
    for k in range(_count(theirs, "decoder_blocks")):
        old, new = f"decoder_blocks.{k}.", f"blocks.{k}."
        weights |= _renamed(theirs, BLOCK_NAMES, old, new)
        weights |= _split(theirs[f"{old}selfattn.to_qkv.weight"], f"{new}itself.", ("query", "key", "value"))
        weights |= _split(theirs[f"{old}attn.to_kv.weight"], f"{new}cross.", ("key", "value"))
        weights[f"{new}cross.query.bias"] = torch.zeros(len(theirs[f"{old}attn.to_q.weight"]))
    for k in range(_count(theirs, "decode_heads")):
        old, new = f"decode_heads.{k}.", f"windows.{k}."
        weights |= _renamed(theirs, WINDOW_NAMES, old, new)
        qkv = (theirs[f"{old}attn.qkv.weight"], theirs[f"{old}attn.qkv.bias"])
        weights |= _split(qkv[0], f"{new}attention.", ("query", "key", "value"), qkv[1])
        weights[f"{new}relative"] = theirs[f"{old}attn.relative_position_bias_table"]
    return weights


def fused(theirs: Weights, guide: str) -> Weights:
    """Return the fusion."""
    left_out = {"pose": "video", "video": "pose", "both": ""}[guide]
    heads = {
        ours: name for ours, name in FUSION_NAMES.items() if not (left_out and ours.startswith(f"head.{left_out}"))
    }
    weights = _renamed(theirs, heads, "", "")
    for stage, (attention, norm) in STAGE_NAMES.items():
        if left_out and stage.endswith(left_out):
            continue
        parts = ("query", "key", "value")
        weight, bias = theirs[f"{attention}.in_proj_weight"], theirs[f"{attention}.in_proj_bias"]
        weights |= _split(weight, f"{stage}.attention.", parts, bias)
        weights |= _renamed(theirs, {f"{stage}.attention.out": f"{attention}.out_proj", f"{stage}.norm": norm}, "", "")
    weights["joint"] = theirs["joint_position_embedding"]
    if guide == "both":
        weights["share"] = theirs["temporal_fusion_weight"]
    return weights


def _count(theirs: Weights, name: str) -> int:
    return 1 + max(int(key.split(".")[1]) for key in theirs if key.startswith(f"{name}."))


def _renamed(theirs: Weights, names: dict[str, str], old: str, new: str) -> Weights:
    """Return weight and, where there is one, bias of each."""
    weights = {f"{new}{ours}.weight": theirs[f"{old}{name}.weight"] for ours, name in names.items()}
    biases = {f"{new}{ours}.bias": theirs.get(f"{old}{name}.bias") for ours, name in names.items()}
    return weights | {name: bias for name, bias in biases.items() if bias is not None}


def _split(weight: Tensor, start: str, parts: tuple[str, ...], bias: Tensor | None = None) -> Weights:
    """Return a projection of several things at once as one for each; no bias is a bias of zero."""
    bias = torch.zeros(len(weight)) if bias is None else bias
    pairs = zip(parts, weight.chunk(len(parts)), bias.chunk(len(parts)), strict=True)
    return {f"{start}{part}.{kind}": value for part, w, b in pairs for kind, value in (("weight", w), ("bias", b))}


TRANSRAC_NAMES = {  # ours: theirs
    "frames.convolution": "conv3D",
    "frames.norm": "bn1",
    "correlation.similarities.0.query": "sims.linear_q",
    "correlation.similarities.0.key": "sims.linear_k",
    "correlation.similarities.0.value": "sims.linear_v",
    "correlation.convolution": "conv3x3",
    "correlation.norm": "bn2",
    "correlation.rows.0": "input_projection",
    "correlation.rows.2": "ln1",
    "correlation.later.layers": "transEncoder.trans_encoder",
    "head": "FC.layers",
}
TRANSRAC_LEFT_OUT = ("backbone.", "transEncoder.pos_encoder.")  # the encoder, and what can be computed


def transrac_from_release(theirs: Weights) -> Weights:
    """Return the state of a `TransRAC` with `compat="release"` from the `state_dict` of the authors' checkpoint.

    Its encoder, Video-Swin-T as mmaction names it, is left out: `racctl encode` has that of torchvision.

    Raises KeyError for a tensor that TransRAC does not have.
    """
    weights = {}
    for name, tensor in theirs.items():
        name = name.removeprefix("module.")  # of torch's DataParallel, which they trained with
        if name.startswith(TRANSRAC_LEFT_OUT):
            continue
        ours = next((ours for ours, part in TRANSRAC_NAMES.items() if name.startswith(f"{part}.")), None)
        if ours is None:
            raise KeyError(name)
        weights[ours + name.removeprefix(TRANSRAC_NAMES[ours])] = tensor
    return weights
