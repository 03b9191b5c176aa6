"""TF-SepNet: separable convolutions along frequency on half of the channels, along time on the other half.

Source: Cai et al., technical report for DCASE 2023 task 1, section 3, table 1. Unspecified details follow the
authors' https://github.com/yqcai888/DCASE2023: the order of the channel shuffle, by a quarter of the network's width
in every stage; that the first half of the channels is the one filtered along frequency; and that the normalizations
start half way (rho = 0.5). Its printed parameters are reproduced exactly, its MACs up to rounding (tests/models).

Shape letters: B batch, C channels, F mel bins, T frames, D channels of the last stage, K classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.counts import (
    Counts,
    Shape,
    Tally,
    require_odd,
    require_share,
    require_sides,
    require_whole,
    spectrogram_size,
)
from models.norms import AdaResNorm, ResNorm
from models.scores import MeanOfScores

# Of each stage: channels over the network's width, blocks, whether a max-pool of 2 x 2 comes before.
STAGES = ((1.0, 2, False), (1.5, 2, True), (2.0, 2, True), (2.5, 3, False))
SMALLEST_SIDE = 7  # mel bins and frames of an input that the stem and both max-pools reduce to one
NORMS = ("adaptive", "fixed")


@dataclass(frozen=True, kw_only=True)
class TFSepNetConfig:
    """Sizes of the network. The defaults are the largest that was submitted; its dropout is not printed."""

    num_classes: int = 10
    in_channels: int = 1
    width: int = 40  # channels of stage 1
    kernel: int = 3  # length of the depthwise kernels, in mel bins and in frames
    dropout: float = 0.1
    norm: str = "adaptive"  # AdaResNorm, with learned weights, or "fixed": ResNorm, with none

    def __post_init__(self) -> None:
        """Refuse sizes that build no network."""
        require_whole("num_classes", self.num_classes, 2)
        for name in ("in_channels", "width", "kernel"):
            require_whole(name, getattr(self, name), 1)
        for stage, channels in enumerate(self.channels(), start=1):
            if channels % 2:
                raise ValueError(
                    f"width must give every stage an even number of channels, got {self.width}: "
                    f"stage {stage} has {channels}"
                )
        require_odd("kernel", self.kernel)
        require_share("dropout", self.dropout)
        if self.norm not in NORMS:
            raise ValueError(f"norm must be {' or '.join(NORMS)}, got {self.norm!r}")

    def channels(self) -> list[int]:
        """Return the channels of each stage."""
        return [int(times * self.width) for times, _, _ in STAGES]

    def after_stem(self, input_shape: Shape) -> tuple[int, int]:
        """Return the mel bins and frames after the stem, for an input of (in_channels, F, T).

        Raises:
            InputShapeError: Not a spectrogram of in_channels, or so small that a max-pool is left without input.
        """
        bins, frames = spectrogram_size(input_shape, self.in_channels)
        require_sides(bins, frames, SMALLEST_SIDE)
        return (bins + 1) // 2, (frames + 1) // 2


class Half(nn.Module):
    """A depthwise convolution along one axis, the mean over it, a pointwise convolution; added to the input."""

    def __init__(self, channels: int, kernel: tuple[int, int], axis: int, dropout: float) -> None:
        super().__init__()
        self.axis = axis
        self.depthwise = nn.Sequential(
            nn.Conv2d(channels, channels, kernel, padding="same", groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )
        self.pointwise = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to that shape."""
        y: Tensor = self.depthwise(x)
        y = self.pointwise(y.mean(self.axis, keepdim=True))
        return y + x


class Block(nn.Module):
    """Optional 1x1 transition, channel shuffle, then one half filtered along frequency and one along time."""

    def __init__(self, inputs: int, outputs: int, config: TFSepNetConfig) -> None:
        super().__init__()
        self.transition: nn.Module = nn.Identity()
        if inputs != outputs:
            self.transition = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
            )
        # The halves are even only of a width that 4 divides, and a quarter of it divides the channels of every stage.
        self.shuffle = nn.ChannelShuffle(outputs // (config.width // 4))
        self.frequency = Half(outputs // 2, (config.kernel, 1), 2, config.dropout)
        self.time = Half(outputs // 2, (1, config.kernel), 3, config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to (B, C', F, T)."""
        first, second = self.shuffle(self.transition(x)).chunk(2, dim=1)
        return torch.cat((self.frequency(first), self.time(second)), dim=1)


class TFSepNet(MeanOfScores):
    """Stem (F and T each / 2), four stages of blocks, class scores everywhere, then a mean over F and T."""

    def __init__(self, config: TFSepNetConfig) -> None:
        super().__init__()
        self.config = config

        def norm(channels: int) -> nn.Module:
            return AdaResNorm(channels) if config.norm == "adaptive" else ResNorm()

        width = 2 * config.width
        layers = [nn.Conv2d(config.in_channels, width, 5, stride=2, padding=2, bias=False), norm(width)]
        for outputs, (_, depth, pooled) in zip(config.channels(), STAGES, strict=True):
            if pooled:
                layers.append(nn.MaxPool2d(2))
            for _ in range(depth):
                layers.append(Block(width, outputs, config))
                width = outputs
            layers.append(norm(width))
        self.layers = nn.Sequential(*layers)
        self.head = nn.Conv2d(width, config.num_classes, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def _scenes(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, F, T) to the last stage's (B, D, F / 8, T / 8)."""
        self.config.after_stem(x.shape[1:])
        y: Tensor = self.layers(x)
        return y


def count(config: TFSepNetConfig, input_shape: Shape) -> Counts:
    """Count what the network costs on one input of (in_channels, F, T), without building it.

    Raises:
        ValueError: The input is not a spectrogram of in_channels, or has fewer than 7 mel bins or frames.

    >>> count(TFSepNetConfig(), (1, 128, 44))
    Counts(macs=10220340, params=54270, stored_values=57470, peak_values=168960)
    """
    bins, frames = config.after_stem(input_shape)
    positions = bins * frames
    total = Tally()

    def norm(channels: int) -> None:
        learned = channels if config.norm == "adaptive" else 0
        total.params += 3 * learned
        total.hold(channels * positions + (2 + learned) * bins)  # mean and deviation, then the slope of each channel

    width = 2 * config.width
    total.conv(config.in_channels * width * 25, bias=0, positions=positions)
    total.hold(config.in_channels * input_shape[1] * input_shape[2] + width * positions)
    norm(width)
    for outputs, (_, depth, pooled) in zip(config.channels(), STAGES, strict=True):
        if pooled:
            before = width * positions
            bins, frames = bins // 2, frames // 2
            positions = bins * frames
            total.hold(before + width * positions)
        if outputs != width:
            total.conv(width * outputs, bias=0, positions=positions)
            total.batch_norm(outputs)
            total.hold((width + outputs) * positions)
        width, half = outputs, outputs // 2
        block = Tally()
        block.conv(2 * half * config.kernel, bias=0, positions=positions)
        block.batch_norm(2 * half)
        block.conv(half**2, bias=0, positions=frames)
        block.conv(half**2, bias=0, positions=bins)
        block.batch_norm(2 * half)
        # While the time half's mean is taken: what was shuffled, the frequency half's sum and the filtered time half.
        block.hold(2 * width * positions + half * bins)
        total.add(block, times=depth)
        norm(width)
    total.conv(width * config.num_classes, bias=config.num_classes, positions=positions)
    total.hold((width + config.num_classes) * positions)
    total.hold(config.num_classes * (positions + 1))  # scores everywhere and their mean
    return total.counts()
