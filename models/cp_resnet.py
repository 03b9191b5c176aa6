"""CP-ResNet: grouped residual network with a restricted receptive field and frequency damping.

Source: CP-JKU, technical report for DCASE 2021 task 1A, table 1 and sections 3.1 to 3.4. Where it leaves a detail
open, the choice here is the one that gives its four numbers of stored values exactly (the table in tests/models).

Shape letters: B batch, C channels, W width, F mel bins, T frames, K classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.counts import Counts, Shape, Tally, require_flag, require_sides, require_whole, spectrogram_size
from models.scores import MeanOfScores

# Blocks before the tail; a max-pool of 2 is behind some of them, and one doubles the width.
NUM_BLOCKS = 5
POOLED = frozenset({0, 1, 3})
WIDENING = 4
# Behind the stem and three pools, this many mel bins or frames are one.
SMALLEST_SIDE = 17
# The damping window at the first and the last row of a kernel; it is 1 at the middle row.
WINDOW_EDGE = 0.01


@dataclass(frozen=True, kw_only=True)
class CPResNetConfig:
    """Sizes of the network. The defaults are the report's third submission, before it is pruned."""

    num_classes: int = 10
    in_channels: int = 1
    width: int = 256  # channels up to the last block of the body, which doubles them
    groups: int = 16  # of the convolutions in the blocks
    rho: int = 8  # receptive field: how many kernels behind the first block are 3 x 3, the others 1 x 1
    tail_blocks: int = 0  # at twice the width, behind the last pool: the report's K
    damped: bool = True  # frequency damping, of every kernel that is higher than 1
    block_scale: bool = False  # batch norms in the blocks have a scale and a shift

    def __post_init__(self) -> None:
        """Refuse sizes that build no network."""
        require_whole("num_classes", self.num_classes, 2)
        for name in ("in_channels", "width", "groups"):
            require_whole(name, getattr(self, name), 1)
        for name in ("rho", "tail_blocks"):
            require_whole(name, getattr(self, name), 0)
        for name in ("damped", "block_scale"):
            require_flag(name, getattr(self, name))
        if self.width % self.groups:
            raise ValueError(f"groups must divide width, got groups {self.groups} and width {self.width}")
        if self.rho > 8 + 2 * self.tail_blocks:
            raise ValueError(
                f"rho must be at most 8 + 2 x tail_blocks, as no other kernel is left to grow, "
                f"got rho {self.rho} and tail_blocks {self.tail_blocks}"
            )

    def blocks(self) -> Iterator[tuple[int, int, tuple[int, int], bool]]:
        """Yield each block's width in and out, the sides of its two kernels, and whether a pool is behind it."""
        width = self.width
        for number in range(NUM_BLOCKS + self.tail_blocks):
            before = 2 * number - 2  # kernels behind the first block and before this one
            kernels = (3 if before < self.rho else 1, 3 if before + 1 < self.rho else 1) if number else (3, 1)
            after = 2 * width if number == WIDENING else width
            yield width, after, kernels, number in POOLED
            width = after

    def stem_size(self, input_shape: Shape) -> tuple[int, int]:
        """Return F and T behind the stem, for an input of (in_channels, F, T).

        Raises:
            InputShapeError: Not a spectrogram of in_channels, or so small that a pool is left without input.
        """
        bins, frames = spectrogram_size(input_shape, self.in_channels)
        require_sides(bins, frames, SMALLEST_SIDE)
        return (bins - 1) // 2, (frames - 1) // 2


class DampedConv2d(nn.Conv2d):
    """A convolution without bias whose kernels fade towards their first and last row, along frequency.

    `weight` is trained; `effective_weight()` is what the convolution uses, and all that inference needs.
    """

    window: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int, groups: int) -> None:
        if kernel < 3 or kernel % 2 == 0:
            raise ValueError(f"kernel must be odd and at least 3, to have a middle and an edge, got {kernel}")
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        middle = kernel // 2
        away = (torch.arange(kernel) - middle).abs() / middle
        # Not persistent: it follows from the kernel, and weights can be exchanged with an undamped network.
        self.register_buffer("window", (1 - (1 - WINDOW_EDGE) * away)[:, None], persistent=False)

    def effective_weight(self) -> Tensor:
        """Return the weights times the window, (C', C / groups, kernel, kernel)."""
        return self.weight * self.window

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to (B, C', F', T')."""
        return F.conv2d(x, self.effective_weight(), None, self.stride, self.padding, groups=self.groups)


def _conv(inputs: int, outputs: int, kernel: int, groups: int, damped: bool) -> nn.Conv2d:
    """Make a convolution that keeps F and T."""
    if damped and kernel > 1:
        return DampedConv2d(inputs, outputs, kernel, 1, kernel // 2, groups)
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)


class Block(nn.Module):
    """Two grouped convolutions beside a shortcut, then a pool if there is one.

    The channels before the convolutions are rolled by one group, so that each group gets those of the group before
    it; the shortcut is not rolled, and their sum mixes the groups.
    """

    def __init__(self, config: CPResNetConfig, inputs: int, outputs: int, kernels: tuple[int, int], pool: bool) -> None:
        super().__init__()
        groups, damped, scale = config.groups, config.damped, config.block_scale
        self.roll = inputs // groups % inputs  # of a single group, rolled all the way round, nothing is left to do
        self.layers = nn.Sequential(
            _conv(inputs, outputs, kernels[0], groups, damped),
            nn.BatchNorm2d(outputs, affine=scale),
            nn.ReLU(),
            _conv(outputs, outputs, kernels[1], groups, damped),
            nn.BatchNorm2d(outputs, affine=scale),
        )
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs:
            self.shortcut = nn.Sequential(_conv(inputs, outputs, 1, 1, damped), nn.BatchNorm2d(outputs))
        self.activation = nn.ReLU()
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to (B, C', F, T), or to half of F and T, rounded down."""
        rolled = torch.roll(x, self.roll, 1) if self.roll else x
        y: Tensor = self.layers(rolled)
        y = y + self.shortcut(x)
        pooled: Tensor = self.pool(self.activation(y))
        return pooled


class CPResNet(MeanOfScores):
    """Stem (F and T each / 2), blocks (each / 8), class scores everywhere, then a mean over F and T."""

    def __init__(self, config: CPResNetConfig) -> None:
        super().__init__()
        self.config = config
        stem = (config.in_channels, config.width, 5, 2, 1)
        self.stem = nn.Sequential(
            DampedConv2d(*stem, groups=1) if config.damped else nn.Conv2d(*stem, bias=False),
            nn.BatchNorm2d(config.width),
            nn.ReLU(),
        )
        self.blocks = nn.Sequential(*(Block(config, *sizes) for sizes in config.blocks()))
        self.head = nn.Sequential(
            nn.Conv2d(2 * config.width, config.num_classes, 1, bias=False), nn.BatchNorm2d(config.num_classes)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def _scenes(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, F, T) to the last block's (B, 2W, F', T')."""
        self.config.stem_size(x.shape[1:])
        y: Tensor = self.blocks(self.stem(x))
        return y


def count(config: CPResNetConfig, input_shape: Shape) -> Counts:
    """Count what the network costs on one input of (in_channels, F, T), without building it.

    The window of the damping belongs to the weights: it is neither a parameter nor work.

    Raises:
        ValueError: The input is not a spectrogram of in_channels, or is too small for the last pool.

    >>> count(CPResNetConfig(), (1, 256, 44)).stored_values
    635176
    """
    bins, frames = config.stem_size(input_shape)
    positions = bins * frames
    width, groups = config.width, config.groups
    total = Tally()
    total.conv(weights=config.in_channels * width * 25, bias=0, positions=positions)
    total.batch_norm(width)
    total.hold(config.in_channels * input_shape[1] * input_shape[2] + width * positions)
    for inputs, outputs, (first, second), pool in config.blocks():
        weights = (inputs * first**2 + outputs * second**2) * outputs // groups
        total.conv(weights, bias=0, positions=positions)
        if config.block_scale:
            total.batch_norm(outputs)
            total.batch_norm(outputs)
        else:
            total.running += 4 * outputs
        if inputs != outputs:
            total.conv(weights=inputs * outputs, bias=0, positions=positions)
            total.batch_norm(outputs)
        total.hold((inputs + 2 * outputs) * positions)  # the second convolution runs, the shortcut waits
        if pool:
            bins, frames = bins // 2, frames // 2
            positions = bins * frames
    total.conv(weights=2 * width * config.num_classes, bias=0, positions=positions)
    total.batch_norm(config.num_classes)
    total.hold((2 * width + config.num_classes) * positions)
    total.hold(config.num_classes * (positions + 1))
    return total.counts()
