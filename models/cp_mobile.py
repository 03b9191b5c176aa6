"""CP-Mobile: the low-complexity CNN of the DCASE 2024 task 1 baseline.

Source: https://github.com/CPJKU/dcase2024_task1_baseline, models/baseline.py, at its README's settings. The
README's table of parameters and MACs is checked row by row in tests/models.

Shape letters: B batch, C channels, F mel bins, T frames, D channels of the last stage, K classes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from models.counts import Counts, Shape, Tally, require_whole, spectrogram_size
from models.scores import MeanOfScores

# Where the network shrinks after the stem: block number -> stride over (F, T).
STRIDES = {3: (1, 2), 4: (2, 1)}


@dataclass(frozen=True, kw_only=True)
class CPMobileConfig:
    """Sizes of the network. The defaults are the published baseline."""

    num_classes: int = 10
    in_channels: int = 1
    base_channels: int = 32  # after the stem and in stage 1
    growth: float = 1.8  # width of stage i+1 over width of stage i
    expansion: float = 2.1  # inner width of a block over its input width
    depth_1: int = 3  # blocks in stage 1
    depth_2: int = 2
    depth_3: int = 1

    def __post_init__(self) -> None:
        """Refuse sizes that build no network."""
        require_whole("num_classes", self.num_classes, 2)
        require_whole("in_channels", self.in_channels, 1)
        require_whole("base_channels", self.base_channels, 8)
        if self.base_channels % 8:
            raise ValueError(f"base_channels must be a multiple of 8, got {self.base_channels}")
        for name in ("growth", "expansion"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ValueError(f"{name} must be a number above 0, got {value!r}")
        for name in ("depth_1", "depth_2", "depth_3"):
            require_whole(name, getattr(self, name), 1)

    def blocks(self) -> Iterator[tuple[int, int, int, tuple[int, int]]]:
        """Yield each block's width in, inside and out, and its stride."""
        width, number = self.base_channels, 0
        for stage, depth in enumerate((self.depth_1, self.depth_2, self.depth_3)):
            after = _multiple_of_8(self.base_channels * self.growth**stage)
            for _ in range(depth):
                number += 1
                yield width, _multiple_of_8(width * self.expansion), after, STRIDES.get(number, (1, 1))
                width = after


def _multiple_of_8(width: float) -> int:
    """Round to the nearest multiple of 8, but never more than 10 % down."""
    nearest = max(8, int(width + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * width else nearest + 8


def _conv(inputs: int, outputs: int, kernel: int, stride: tuple[int, int] = (1, 1), groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )


class Block(nn.Module):
    """Inverted bottleneck: widen, filter each channel, narrow; add the input back if it fits."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _conv(inputs, inner, 1).append(nn.ReLU()),
            _conv(inner, inner, 3, stride, groups=inner).append(nn.ReLU()),
            _conv(inner, outputs, 1),
        )
        self.shortcut: nn.Module | None = None
        if inputs == outputs:
            self.shortcut = nn.Identity() if stride == (1, 1) else nn.AvgPool2d(3, stride, padding=1)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to (B, C', F / stride[0], T / stride[1]), rounded up."""
        y: Tensor = self.layers(x)
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        activated: Tensor = self.activation(y)
        return activated


class CPMobile(MeanOfScores):
    """Stem (F and T each / 4), three stages of blocks, class scores everywhere, then a mean over F and T."""

    def __init__(self, config: CPMobileConfig) -> None:
        super().__init__()
        self.config = config
        base = config.base_channels
        self.stem = nn.Sequential(
            _conv(config.in_channels, base // 4, 3, (2, 2)).append(nn.ReLU()),
            _conv(base // 4, base, 3, (2, 2)).append(nn.ReLU()),
        )
        blocks = list(config.blocks())
        self.blocks = nn.Sequential(*(Block(*sizes) for sizes in blocks))
        *_, (_, _, width, _) = blocks
        self.head = _conv(width, config.num_classes, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def _scenes(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, F, T) to the last stage's (B, D, F', T')."""
        spectrogram_size(x.shape[1:], self.config.in_channels)
        y: Tensor = self.blocks(self.stem(x))
        return y


def count(config: CPMobileConfig, input_shape: Shape) -> Counts:
    """Count what the network costs on one input of (in_channels, F, T), without building it.

    Raises:
        ValueError: The input is not a spectrogram of in_channels.

    >>> count(CPMobileConfig(), (1, 256, 65))
    Counts(macs=29419156, params=61148, stored_values=63856, peak_values=174080)
    """
    bins, frames = spectrogram_size(input_shape, config.in_channels)
    total = Tally()
    alive = config.in_channels * bins * frames  # the next layer's input

    def conv(weights: int, outputs: int, skip: int = 0) -> None:
        nonlocal alive
        positions = bins * frames
        total.conv(weights, bias=0, positions=positions)
        total.batch_norm(outputs)
        total.hold(alive + outputs * positions + skip)
        alive = outputs * positions

    base = config.base_channels
    bins, frames = -(-bins // 2), -(-frames // 2)
    conv(config.in_channels * base // 4 * 9, base // 4)
    bins, frames = -(-bins // 2), -(-frames // 2)
    conv(base // 4 * base * 9, base)
    width = base
    for inputs, inner, outputs, stride in config.blocks():
        skip = alive if inputs == outputs else 0
        conv(inputs * inner, inner)
        bins, frames = -(-bins // stride[0]), -(-frames // stride[1])
        conv(inner * 9, inner, skip)
        conv(inner * outputs, outputs, skip)
        if skip and stride != (1, 1):
            total.hold(skip + 2 * alive)  # the shortcut is pooled beside the block's output
        width = outputs
    conv(width * config.num_classes, config.num_classes)
    return total.counts()
