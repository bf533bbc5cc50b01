"""Convolutional networks: residual, inverted bottlenecks, ConvNeXt, U-Net, a detector's head.

In: nothing. Out: modules with random weights; widths are small, structure and operators are the published ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def conv_norm(inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution and batch normalisation, with statistics as after training."""
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    norm = nn.BatchNorm2d(outputs)
    nn.init.uniform_(norm.running_mean, -0.5, 0.5)
    nn.init.uniform_(norm.running_var, 0.5, 2.0)
    return nn.Sequential(conv, norm)


class Residual(nn.Module):
    """The basic block of He et al. 2015, "Deep Residual Learning"."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = conv_norm(inputs, outputs, stride=stride)
        self.second = conv_norm(outputs, outputs)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else conv_norm(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


class ResNet18(nn.Module):
    """Eight residual blocks, at a quarter of the published width."""

    def __init__(self) -> None:
        super().__init__()
        widths = [
            (16, 16, 1),
            (16, 16, 1),
            (16, 32, 2),
            (32, 32, 1),
            (32, 64, 2),
            (64, 64, 1),
            (64, 128, 2),
            (128, 128, 1),
        ]
        self.stem = conv_norm(3, 16, 7, 2)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.blocks = nn.Sequential(*(Residual(*width) for width in widths))
        self.head = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.pool(torch.relu(self.stem(x))))
        return self.head(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))


class Squeeze(nn.Module):
    """Squeeze-and-excite of Hu et al. 2018, with MobileNetV3's hard sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, channels // 4, 1)
        self.up = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.up(torch.relu(self.down(functional.adaptive_avg_pool2d(x, 1))))
        return x * functional.hardsigmoid(gate)


class Bottleneck(nn.Module):
    """The inverted bottleneck of MobileNetV2 (Sandler et al. 2018) and V3 (Howard et al. 2019)."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, activation: nn.Module, squeeze: bool) -> None:
        super().__init__()
        inner = inputs * 4
        self.expand = conv_norm(inputs, inner, 1)
        self.depthwise = conv_norm(inner, inner, 5 if squeeze else 3, stride, inner)
        self.squeeze = Squeeze(inner) if squeeze else nn.Identity()
        self.project = conv_norm(inner, outputs, 1)
        self.activation = activation
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.depthwise(self.activation(self.expand(x))))
        y = self.project(self.squeeze(y))
        return x + y if self.residual else y


class MobileNet(nn.Module):
    """MobileNetV2 with ReLU6, or V3 with HardSwish and squeeze-and-excite."""

    def __init__(self, version: int) -> None:
        super().__init__()
        activation: nn.Module = nn.ReLU6() if version == 2 else nn.Hardswish()
        squeeze = version == 3
        shapes = [(16, 16, 1), (16, 24, 2), (24, 24, 1), (24, 40, 2)]
        self.stem = nn.Sequential(conv_norm(3, 16, 3, 2), activation)
        self.blocks = nn.Sequential(*(Bottleneck(*s, activation=activation, squeeze=squeeze) for s in shapes))
        self.last = nn.Sequential(conv_norm(40, 96, 1), activation)
        self.head = nn.Sequential(nn.Linear(96, 64), activation, nn.Dropout(0.2), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.last(self.blocks(self.stem(x))).mean([2, 3]))


class ConvNeXtBlock(nn.Module):
    """Depthwise 7x7, layer norm over channels last, two linear layers with GELU, layer scale (Liu et al. 2022)."""

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.up = nn.Linear(channels, 4 * channels)
        self.down = nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.rand(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(x).permute(0, 2, 3, 1)
        y = self.scale * self.down(functional.gelu(self.up(self.norm(y))))
        return x + y.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """A patch stem with layer norm over channels first, two blocks, and the head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 4, 4)
        self.weight = nn.Parameter(torch.rand(24))
        self.bias = nn.Parameter(torch.rand(24))
        self.blocks = nn.Sequential(ConvNeXtBlock(), ConvNeXtBlock())
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        mean = x.mean(1, keepdim=True)
        x = (x - mean) / torch.sqrt((x - mean).pow(2).mean(1, keepdim=True) + 1e-6)
        x = self.weight[:, None, None] * x + self.bias[:, None, None]
        return self.head(self.blocks(x).mean([-2, -1]))


class UNet(nn.Module):
    """Two levels down, two up: one by transposed convolution, one by bilinear resizing; joined by concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.Sequential(conv_norm(3, 16), nn.ReLU())
        self.down2 = nn.Sequential(conv_norm(16, 32), nn.ReLU())
        self.bottom = nn.Sequential(conv_norm(32, 64), nn.LeakyReLU(0.1))
        self.rise = nn.ConvTranspose2d(64, 32, 2, 2)
        self.up2 = nn.Sequential(conv_norm(64, 32), nn.ReLU())
        self.up1 = nn.Sequential(conv_norm(48, 16), nn.ReLU())
        self.head = nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.down1(x)
        two = self.down2(functional.max_pool2d(one, 2))
        low = self.bottom(functional.max_pool2d(two, 2))
        y = self.up2(torch.cat([self.rise(low), two], 1))
        y = functional.interpolate(y, scale_factor=2.0, mode="bilinear", align_corners=False)
        return torch.sigmoid(self.head(self.up1(torch.cat([y, one], 1))))


class DetectorHead(nn.Module):
    """A head like YOLOv8's: split bottlenecks with SiLU, upsampling, boxes by softmax over bins, decoded to sides."""

    def __init__(self, classes: int = 5, bins: int = 8) -> None:
        super().__init__()
        self.bins, self.classes = bins, classes
        self.stem = nn.Sequential(conv_norm(3, 16, 3, 2), nn.SiLU(), conv_norm(16, 32, 3, 2), nn.SiLU())
        self.inner = nn.Sequential(conv_norm(16, 16), nn.SiLU())
        self.join = nn.Sequential(conv_norm(48, 32, 1), nn.SiLU())
        self.down = nn.Sequential(conv_norm(32, 32, 3, 2), nn.SiLU())
        self.fuse = nn.Sequential(conv_norm(64, 32, 1), nn.SiLU())
        self.boxes = nn.ModuleList([nn.Conv2d(32, 4 * bins, 1), nn.Conv2d(32, 4 * bins, 1)])
        self.scores = nn.ModuleList([nn.Conv2d(32, classes, 1), nn.Conv2d(32, classes, 1)])
        self.register_buffer("numbers", torch.arange(bins, dtype=torch.float32).reshape(1, bins, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.stem(x).chunk(2, 1)
        fine = self.join(torch.cat([a, b, self.inner(b)], 1))
        coarse = self.down(fine)
        fine = self.fuse(torch.cat([fine, functional.interpolate(coarse, scale_factor=2.0, mode="nearest")], 1))
        found = [self.decode(level, features) for level, features in enumerate((fine, coarse))]
        return torch.cat(found, 2)

    def decode(self, level: int, features: Tensor) -> Tensor:
        """Boxes (centre, size) and scores of one level: [N, 4 + classes, places]."""
        batch, _, height, width = features.shape
        stride = 4.0 * 2**level
        distances = self.boxes[level](features).view(batch, 4, self.bins, height * width).transpose(2, 1).softmax(1)
        sides = functional.conv2d(distances, self.numbers).view(batch, 4, height * width)
        ys, xs = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        places = torch.stack([xs.flatten(), ys.flatten()])[None]
        begin, end = places - sides[:, :2], places + sides[:, 2:]
        boxes = torch.cat([(begin + end) / 2, end - begin], 1) * stride
        return torch.cat([boxes, self.scores[level](features).flatten(2).sigmoid()], 1)
