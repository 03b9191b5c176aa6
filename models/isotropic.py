"""Isotropic and recursiv networks: patch embedding, then blocks of constant width and resolution.

Source: ASCDomain, technical report for DCASE 2024 task 1. Where it leaves a detail open, the choice here
is the one that gives its printed parameters and MACs exactly (the table in tests/models).

Shape letters: B batch, H width, F mel bins, T frames, F' and T' patches along each, K classes.
"""

import itertools
from dataclasses import dataclass
from functools import lru_cache

from torch import Tensor, nn

from models.counts import Counts, InputShapeError, Shape, Tally, require_whole, spectrogram_size


@dataclass(frozen=True, kw_only=True)
class IsotropicConfig:
    """Sizes of the network. The defaults are the published isotropic one; recursiv has columns > 1."""

    num_classes: int = 10
    in_channels: int = 1
    patch: int = 5  # side of the square patches, in mel bins and frames
    width: int = 64  # channels, in every block
    kernel: int = 3  # side of the depthwise kernels, in patches
    depth: int = 9  # blocks in a column
    columns: int = 1

    def __post_init__(self) -> None:
        """Refuse sizes that build no network."""
        require_whole("num_classes", self.num_classes, 2)
        for name in ("in_channels", "patch", "width", "kernel", "depth", "columns"):
            require_whole(name, getattr(self, name), 1)

    def patches(self, input_shape: Shape) -> tuple[int, int]:
        """Return F' and T' for an input of (in_channels, F, T); a remainder that fills no patch is dropped.

        Raises:
            InputShapeError: Not a spectrogram of in_channels, or smaller than one patch.
        """
        bins, frames = spectrogram_size(input_shape, self.in_channels)
        if self.patch > min(bins, frames):
            raise InputShapeError(
                f"patch must be at most the shorter side of the input, {bins} mel bins x {frames} frames, "
                f"got {self.patch}"
            )
        return bins // self.patch, frames // self.patch


class Block(nn.Module):
    """A depthwise convolution added to a skip, then a pointwise one."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        # Like padding="same", which warns for an even kernel: the odd row is padded last.
        before, after = (kernel - 1) // 2, kernel // 2
        self.depthwise = nn.Sequential(
            nn.ZeroPad2d((before, after, before, after)) if after > before else nn.Identity(),
            nn.Conv2d(width, width, kernel, padding=before if after == before else 0, groups=width),
            nn.GELU(),
            nn.BatchNorm2d(width),
        )
        self.pointwise = nn.Sequential(nn.Conv2d(width, width, 1), nn.GELU(), nn.BatchNorm2d(width))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map (B, H, F', T') and a skip of that shape to that shape."""
        y: Tensor = self.pointwise(self.depthwise(x) + skip)
        return y


class Isotropic(nn.Module):
    """Patch embedding, columns of blocks, a mean over all patches, a linear classifier."""

    def __init__(self, config: IsotropicConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Sequential(
            nn.Conv2d(config.in_channels, config.width, config.patch, stride=config.patch),
            nn.GELU(),
            nn.BatchNorm2d(config.width),
        )
        # Column after column.
        self.blocks = nn.ModuleList(Block(config.width, config.kernel) for _ in range(config.columns * config.depth))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(config.width, config.num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Map a log-mel spectrogram (B, in_channels, F, T) to (B, H).

        Raises:
            ValueError: Not in_channels channels, or F or T shorter than a patch.
        """
        self.config.patches(x.shape[1:])
        embedded: Tensor = self.embed(x)
        x = embedded
        outputs: list[Tensor] = []  # of this column's blocks so far
        before: list[Tensor] = []  # of all blocks of the column before
        for index, block in enumerate(self.blocks):
            level = index % self.config.depth
            if level == 0:
                before, outputs = outputs, []
            x = block(x, self._skip(level, x, embedded, before))
            if before:
                x = x + before[level]
            outputs.append(x)
        pooled: Tensor = self.pool(x)
        return pooled.flatten(1)

    @staticmethod
    def _skip(level: int, x: Tensor, embedded: Tensor, before: list[Tensor]) -> Tensor:
        """Return the skip connection of a block, (B, H, F', T'): in column 0 its input."""
        running = embedded if level == 0 else x
        below = level + 1
        return before[below] + running if below < len(before) else running

    def classify(self, z: Tensor) -> Tensor:
        """Map features (B, H) to logits (B, K)."""
        logits: Tensor = self.classifier(z)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Map a log-mel spectrogram (B, in_channels, F, T) to logits (B, K)."""
        return self.classify(self.features(x))


@lru_cache(maxsize=1024)
def _alive(columns: int, depth: int) -> int:
    """Return how many tensors of (H, F', T') are alive at one time while the blocks run."""
    # Steps: tensors read, tensor written, and whether it may be written in place.
    steps: list[tuple[set[object], object, bool]] = []
    x: object = "patches"
    for column, level in itertools.product(range(columns), range(depth)):
        block = column, level
        skip = "patches" if level == 0 else x
        if column and level + 1 < depth:
            steps.append(({(column - 1, level + 1), skip}, ("skip", block), True))
            skip = "skip", block
        steps.append(({x}, ("depthwise", block), False))
        steps.append(({("depthwise", block), skip}, ("sum", block), True))
        steps.append(({("sum", block)}, ("pointwise", block) if column else block, False))
        if column:
            steps.append(({("pointwise", block), (column - 1, level)}, block, True))
        x = block
    last = {each: index for index, (reads, _, _) in enumerate(steps) for each in reads}
    alive: set[object] = {"patches"}
    most = 1
    for index, (reads, written, in_place) in enumerate(steps):
        dying = {each for each in reads if last[each] == index}
        most = max(most, len(alive) + (0 if in_place and dying else 1))
        alive = (alive | {written}) - dying
    return most


def count(config: IsotropicConfig, input_shape: Shape) -> Counts:
    """Count what the network costs on one input of (in_channels, F, T), without building it.

    Raises:
        ValueError: The input is not a spectrogram of in_channels, or is smaller than one patch.

    >>> count(IsotropicConfig(), (1, 256, 65))
    Counts(macs=29747914, params=47946, stored_values=50378, peak_values=84864)
    """
    high, wide = config.patches(input_shape)
    positions = high * wide
    width = config.width

    block = Tally()
    block.conv(weights=width * config.kernel**2, bias=width, positions=positions)
    block.batch_norm(width)
    block.conv(weights=width**2, bias=width, positions=positions)
    block.batch_norm(width)

    total = Tally()
    total.conv(weights=config.in_channels * width * config.patch**2, bias=width, positions=positions)
    total.batch_norm(width)
    total.hold(config.in_channels * input_shape[1] * input_shape[2] + width * positions)
    total.add(block, times=config.columns * config.depth)
    total.hold(_alive(config.columns, config.depth) * width * positions)
    total.linear(width, config.num_classes)
    return total.counts()
