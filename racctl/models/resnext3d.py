"""3D-ResNeXt: grouped 3D convolutions in residual bottlenecks, up to the feature map before pooling.

Hara, Kataoka, Satoh, "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?" (CVPR 2018), table 1.
The names of the layers are those of the authors' checkpoints (github.com/kenshohara/3D-ResNets-PyTorch), without `fc`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

EXPANSION = 2  # of a bottleneck's width; a ResNet's is 4


@dataclass(frozen=True)
class ResNeXt3DConfig:
    """The defaults are ResNeXt-101."""

    depths: tuple[int, ...] = (3, 4, 23, 3)  # bottlenecks of each stage
    groups: int = 32  # the cardinality
    stem: int = 64
    width: int = 128  # of the first stage's bottlenecks; doubles from stage to stage

    @property
    def channels(self) -> int:
        """Of the feature map."""
        return EXPANSION * self.width * 2 ** (len(self.depths) - 1)


class Bottleneck(nn.Module):
    """(b, into, t, h, w) to (b, 2 * width, t / stride, h / stride, w / stride).

    1x1x1, 3x3x3 in groups, 1x1x1, each batch-normalised, on a shortcut that is projected where the shape changes (type
    B).
    """

    def __init__(self, into: int, width: int, groups: int, stride: int) -> None:
        super().__init__()
        out = EXPANSION * width
        self.conv1, self.bn1 = nn.Conv3d(into, width, 1, bias=False), nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, stride, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3, self.bn3 = nn.Conv3d(width, out, 1, bias=False), nn.BatchNorm3d(out)
        self.relu = nn.ReLU(inplace=True)
        projection = nn.Sequential(nn.Conv3d(into, out, 1, stride, bias=False), nn.BatchNorm3d(out))
        self.downsample = projection if stride != 1 or into != out else None

    def forward(self, maps: Tensor) -> Tensor:
        shortcut = maps if self.downsample is None else self.downsample(maps)
        inner = self.relu(self.bn1(self.conv1(maps)))
        inner = self.relu(self.bn2(self.conv2(inner)))
        return self.relu(self.bn3(self.conv3(inner)) + shortcut)


class ResNeXt3D(nn.Sequential):
    """Clips (b, 3, t, h, w) to features (b, 2048, t / 16, h / 32, w / 32), each size rounded up."""

    def __init__(self, config: ResNeXt3DConfig | None = None) -> None:
        super().__init__()
        c = config or ResNeXt3DConfig()
        self.conv1 = nn.Conv3d(3, c.stem, 7, (1, 2, 2), padding=3, bias=False)
        self.bn1, self.relu = nn.BatchNorm3d(c.stem), nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool3d(3, 2, padding=1)
        into = c.stem
        for k, depth in enumerate(c.depths):
            width, stride = c.width * 2**k, 1 if k == 0 else 2
            first = Bottleneck(into, width, c.groups, stride)
            into = EXPANSION * width
            others = (Bottleneck(into, width, c.groups, 1) for _ in range(depth - 1))
            self.add_module(f"layer{k + 1}", nn.Sequential(first, *others))
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
