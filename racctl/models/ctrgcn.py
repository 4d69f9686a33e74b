"""CTR-GCN, a graph convolution over body joints that refines its topology for each channel: pose to tokens or classes.

Chen et al., "Channel-wise Topology Refinement Graph Convolution for Skeleton-Based Action Recognition" (ICCV 2021).
Written from the paper and from the names and shapes in the published checkpoints, which load strictly. They are CC
BY-NC 4.0; nothing of them ships with racctl.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from racctl.skeleton.topology import Topology, topology_named

SUBSETS = 3  # of the graph: each joint itself, edges towards the trunk, edges away from it
REDUCTION = 8  # of the channels that two joints are compared in
DILATIONS = (1, 2)  # of the temporal branches
INITIAL_DENSITY_LOGIT = -3.0  # bias of the density before training: softplus of it is a repetition in some 20 tokens


@dataclass(frozen=True)
class CTRGCNConfig:
    """The paper's network with base 64 and 2 people.

    channels: of the input, x, y and z in the paper.
    topology: of the joints; its edges are the graph.
    density: a head that gives repetitions for each token, not in the paper.
    """

    classes: int = 60  # NTU RGB+D; 120 for NTU RGB+D 120; 0 for no such head
    topology: str = "ntu25"
    people: int = 2
    channels: int = 3
    base: int = 64  # four units of it, then three of twice it and three of four times it
    density: bool = False

    def check(self) -> CTRGCNConfig:
        """Raise ValueError for invalid values; returns self."""
        if self.classes < 0 or min(self.people, self.channels) < 1 or self.base < 8 or self.base % 8:
            raise ValueError("classes, people and channels are positive and base is a multiple of 8")
        topology_named(self.topology)
        return self


class CTRGCN(nn.Module):
    """Joints (n, channels, t, v, people) to class logits (n, classes); `tokens` stops before the pooling."""

    def __init__(self, config: CTRGCNConfig) -> None:
        super().__init__()
        self.config = c = config.check()
        topology = topology_named(c.topology)
        self.data_bn = nn.BatchNorm1d(c.people * len(topology) * c.channels)
        graph, wide = partition(topology), [c.base, 2 * c.base, 4 * c.base]
        sizes = [c.channels, *[wide[0]] * 4, *[wide[1]] * 3, *[wide[2]] * 3]
        for k, (into, out) in enumerate(pairwise(sizes), 1):
            self.add_module(f"l{k}", Unit(into, out, graph, 2 if k in (5, 8) else 1, residual=k > 1))
        if c.classes:
            self.fc = nn.Linear(wide[2], c.classes)
        if c.density:
            self.density = nn.Linear(wide[2], 1)
            nn.init.constant_(self.density.bias, INITIAL_DENSITY_LOGIT)

    def tokens(self, joints: Tensor) -> Tensor:
        """Return (n, channels, t, v, people) to (n, 4 * base, ceil(t / 4), v, people)."""
        n, _, _, v, m = joints.shape
        flat = self.data_bn(rearrange(joints, "n c t v m -> n (m v c) t"))
        x = rearrange(flat, "n (m v c) t -> (n m) c t v", m=m, v=v)
        for k in range(1, 11):
            x = self.get_submodule(f"l{k}")(x)
        return rearrange(x, "(n m) c t v -> n c t v m", n=n)

    def forward(self, joints: Tensor) -> Tensor:
        return self.classify(self.tokens(joints))

    def classify(self, tokens: Tensor) -> Tensor:
        """Return (n, classes) logits from `tokens`."""
        return self.fc(reduce(tokens, "n c t v m -> n c", "mean"))

    def repetitions(self, tokens: Tensor) -> Tensor:
        """Return (n, t) repetitions within each token's span, of all people together; 0 or more."""
        return F.softplus(self.density(reduce(tokens, "n c t v m -> n t c", "mean"))).squeeze(-1)


class Unit(nn.Module):
    """Spatial graph convolution, then temporal convolution, with a residual about both."""

    def __init__(self, into: int, out: int, graph: Tensor, stride: int, residual: bool) -> None:
        super().__init__()
        self.gcn1, self.tcn1 = SpatialConvolution(into, out, graph), TemporalConvolution(out, stride)
        self.skip = residual
        needs_projection = residual and (into != out or stride != 1)
        self.residual: nn.Module = _convolution(into, out, stride=stride) if needs_projection else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.tcn1(self.gcn1(x))
        if self.skip:
            y = y + self.residual(x)
        return y.relu()


class SpatialConvolution(nn.Module):
    """The sum of refined graph convolutions over the three subsets of the graph; (n, c, t, v) stays (n, c', t, v)."""

    def __init__(self, into: int, out: int, graph: Tensor) -> None:
        super().__init__()
        self.convs = nn.ModuleList(RefinedConvolution(into, out) for _ in range(SUBSETS))
        self.PA = nn.Parameter(graph.clone())  # the topology that all channels share, learnt
        self.alpha = nn.Parameter(torch.zeros(1))  # how much of the refinement counts
        self.bn = nn.BatchNorm2d(out)
        nn.init.constant_(self.bn.weight, 1e-6)  # so that a unit begins as its residual
        self.down: nn.Module = nn.Identity()
        if into != out:
            self.down = nn.Sequential(nn.Conv2d(into, out, 1), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = sum(conv(x, shared, self.alpha) for conv, shared in zip(self.convs, self.PA, strict=True))
        return (self.bn(y) + self.down(x)).relu()


class RefinedConvolution(nn.Module):
    """Channel-wise topology refinement.

    The graph of each channel is the shared one and what the two joints' features, averaged over time, differ in.
    """

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        compared = max(REDUCTION, into // REDUCTION) if into <= 9 else into // REDUCTION
        self.conv1, self.conv2 = nn.Conv2d(into, compared, 1), nn.Conv2d(into, compared, 1)
        self.conv3, self.conv4 = nn.Conv2d(into, out, 1), nn.Conv2d(compared, out, 1)

    def forward(self, x: Tensor, shared: Tensor, alpha: Tensor) -> Tensor:
        mean = x.mean(2, keepdim=True)  # of a 1x1 convolution: the convolution of the mean
        to, of = self.conv1(mean).transpose(2, 3), self.conv2(mean)
        bias = None if self.conv4.bias is None else self.conv4.bias * alpha
        # Cheaper than alpha times every graph.
        graph = F.conv2d(torch.tanh(to - of), self.conv4.weight * alpha, bias) + shared  # (n, c', v, v)
        return self.conv3(x) @ graph.transpose(-1, -2)


class TemporalConvolution(nn.Module):
    """Four branches over time, each with a quarter of the channels.

    Two dilated convolutions, a maximum and a projection.
    """

    def __init__(self, channels: int, stride: int, kernel: int = 5) -> None:
        super().__init__()
        quarter = channels // 4
        branches = []
        for dilation in DILATIONS:
            wide = _convolution(quarter, quarter, kernel, stride, dilation)
            branches.append(nn.Sequential(*_projection(channels, quarter), wide))
        pool = [nn.MaxPool2d((3, 1), (stride, 1), (1, 0)), nn.BatchNorm2d(quarter)]
        branches.append(nn.Sequential(*_projection(channels, quarter), *pool))
        branches.append(nn.Sequential(nn.Conv2d(channels, quarter, 1, (stride, 1)), nn.BatchNorm2d(quarter)))
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def _projection(into: int, out: int) -> list[nn.Module]:
    return [nn.Conv2d(into, out, 1), nn.BatchNorm2d(out), nn.ReLU()]


def _convolution(into: int, out: int, kernel: int = 1, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Return a convolution over time with batch normalisation, under the names of the published checkpoints."""
    around = (kernel - 1) * dilation // 2
    conv = nn.Conv2d(into, out, (kernel, 1), (stride, 1), (around, 0), (dilation, 1))
    nn.init.kaiming_normal_(conv.weight, mode="fan_out")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(out)))


def partition(topology: Topology) -> Tensor:
    """Return (3, v, v): the identity, the edges inward to the trunk, the edges outward.

    Each column of the latter two sums to one or is zero.

    Row u, column w: how much joint u takes from joint w.
    """
    v = len(topology)
    inward = torch.zeros(v, v)
    for near, far in topology.edges:  # away from the trunk
        inward[topology.index(near), topology.index(far)] = 1
    return torch.stack([torch.eye(v), _normalised(inward), _normalised(inward.T)])


def _normalised(links: Tensor) -> Tensor:
    return links / links.sum(0, keepdim=True).clamp(min=1)


def one_person(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights for two people as weights for one: the first half of the input's normalisation."""
    halved = dict(weights)
    for name in ("weight", "bias", "running_mean", "running_var"):
        halved[f"data_bn.{name}"] = weights[f"data_bn.{name}"][: len(weights[f"data_bn.{name}"]) // 2].clone()
    return halved
