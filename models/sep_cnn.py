"""Separable CNN6 with coordinate attention: four layers of 1x1, then 3x1 beside 1x3 convolutions.

Source: Xin et al., technical report for DCASE 2022 task 1, section 2; the separable layer is that of its reference
[7], https://github.com/valeoai/SP4ASC at a3bf3d9, sp4asc/models/cnns.py, the attention that of its reference [10].
The report prints 75.562 KB at a byte a parameter, which is what the defaults have. It names two norms between a
layer's convolution and its ReLU, not where they are; [7] has one, behind the sum. Here one is behind each of the two
summed convolutions: in a row, or one behind the 1x1 convolution, the second would undo what the first learns. Nor
does the report give MACs, or the front end, on whose hop they depend.

Shape letters: B batch, C channels of a layer, R channels inside its attention, F mel bins, T frames, D channels of
the last layer, K classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.counts import (
    Counts,
    InputShapeError,
    Shape,
    Tally,
    require_odd,
    require_share,
    require_sides,
    require_whole,
    spectrogram_size,
)

# Mel bins and frames that the four layers, each of which halves them, reduce to one.
SMALLEST_SIDE = 16
# Minimum number of channels inside the attention.
MIN_INNER = 8


@dataclass(frozen=True, kw_only=True)
class SepCNNConfig:
    """Sizes of the network. The defaults are the published one."""

    num_classes: int = 10
    in_channels: int = 1
    mel_bins: int = 256  # each has a norm of its own
    channels_1: int = 64  # of the first layer
    channels_2: int = 128
    channels_3: int = 128
    channels_4: int = 128
    kernel: int = 3  # length of the depthwise kernels, along F or T
    dilation: int = 2  # of the depthwise kernels
    reduction: int = 32  # channels of a layer over those inside its attention
    hidden: int = 128  # width of the classifier's hidden layer
    dropout: float = 0.1  # before each linear layer

    def __post_init__(self) -> None:
        """Refuse sizes that build no network."""
        require_whole("num_classes", self.num_classes, 2)
        for name in ("in_channels", "mel_bins", "channels_1", "channels_2", "channels_3", "channels_4"):
            require_whole(name, getattr(self, name), 1)
        for name in ("kernel", "dilation", "reduction", "hidden"):
            require_whole(name, getattr(self, name), 1)
        require_odd("kernel", self.kernel)
        require_share("dropout", self.dropout)

    def channels(self) -> tuple[int, int, int, int]:
        """Return C of each layer."""
        return self.channels_1, self.channels_2, self.channels_3, self.channels_4

    def inner(self, channels: int) -> int:
        """Return R of a layer of C channels."""
        return max(MIN_INNER, channels // self.reduction)

    def size(self, input_shape: Shape) -> tuple[int, int]:
        """Return F and T of an input of (in_channels, F, T).

        Raises:
            InputShapeError: Not a spectrogram of in_channels and mel_bins, or so small that a pool has no input.
        """
        bins, frames = spectrogram_size(input_shape, self.in_channels)
        if bins != self.mel_bins:
            raise InputShapeError(f"mel_bins must be those of the input, got {self.mel_bins} and an input of {bins}")
        require_sides(bins, frames, SMALLEST_SIDE)
        return bins, frames


class CoordinateAttention(nn.Module):
    """A gate for each channel and bin, times a gate for each channel and frame."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.BatchNorm2d(inner), nn.Hardswish())
        self.of_bins = nn.Conv2d(inner, channels, 1)
        self.of_frames = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to that shape."""
        bins, frames = x.shape[2:]
        # Side by side, because they share a batch norm.
        means = torch.cat([x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)], dim=2)
        by_bin, by_frame = self.squeeze(means).split([bins, frames], dim=2)  # (B, R, F, 1), (B, R, T, 1)
        y: Tensor = x * self.of_bins(by_bin).sigmoid() * self.of_frames(by_frame).transpose(2, 3).sigmoid()
        return y


class Layer(nn.Module):
    """A separable convolution, which reaches as far as CNN6's 5x5 did, attention, and a mean over 2x2."""

    def __init__(self, inputs: int, outputs: int, inner: int, kernel: int, dilation: int) -> None:
        super().__init__()
        reach = dilation * (kernel // 2)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.over_bins = nn.Sequential(
            nn.Conv2d(outputs, outputs, (kernel, 1), padding=(reach, 0), dilation=dilation, groups=outputs, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.over_frames = nn.Sequential(
            nn.Conv2d(outputs, outputs, (1, kernel), padding=(0, reach), dilation=dilation, groups=outputs, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.activation = nn.ReLU()
        self.attention = CoordinateAttention(outputs, inner)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to (B, C', F / 2, T / 2), rounded down."""
        x = self.pointwise(x)
        x = self.activation(self.over_bins(x) + self.over_frames(x))
        y: Tensor = self.pool(self.attention(x))
        return y


class SepCNN(nn.Module):
    """A norm for each mel bin, four layers, a mean over F, mean plus maximum over T, two linear layers."""

    def __init__(self, config: SepCNNConfig) -> None:
        super().__init__()
        self.config = config
        self.norm = nn.BatchNorm2d(config.mel_bins)
        layers, inputs = [], config.in_channels
        for outputs in config.channels():
            layers.append(Layer(inputs, outputs, config.inner(outputs), config.kernel, config.dilation))
            inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(inputs, config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.num_classes),
        )

    def features(self, x: Tensor) -> Tensor:
        """Map a log-mel spectrogram (B, in_channels, F, T) to (B, D).

        Raises:
            ValueError: Not in_channels channels of mel_bins, or F or T too small for the last pool.
        """
        self.config.size(x.shape[1:])
        x = self.norm(x.transpose(1, 2)).transpose(1, 2)  # to the norm, a bin is a channel
        by_frame: Tensor = self.layers(x).mean(2)
        return by_frame.mean(2) + by_frame.amax(2)

    def classify(self, z: Tensor) -> Tensor:
        """Map features (B, D) to logits (B, K)."""
        logits: Tensor = self.classifier(z)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Map a log-mel spectrogram (B, in_channels, F, T) to logits (B, K)."""
        return self.classify(self.features(x))


def count(config: SepCNNConfig, input_shape: Shape) -> Counts:
    """Count what the network costs on one input of (in_channels, F, T), without building it.

    Raises:
        ValueError: The input is not a spectrogram of in_channels and mel_bins, or is too small.

    >>> count(SepCNNConfig(), (1, 256, 26))
    Counts(macs=26990794, params=75562, stored_values=77930, peak_values=1277952)
    """
    bins, frames = config.size(input_shape)
    total = Tally()
    total.batch_norm(bins)
    inputs = config.in_channels
    for channels in config.channels():
        positions, edges = bins * frames, bins + frames
        inner = config.inner(channels)
        total.conv((inputs + 2 * config.kernel) * channels, bias=0, positions=positions)
        total.batch_norm(2 * channels)
        total.conv(channels * inner, bias=inner, positions=edges)
        total.batch_norm(inner)
        total.conv(inner * channels, bias=channels, positions=bins)
        total.conv(inner * channels, bias=channels, positions=frames)
        # The 1x1 convolution; then over_frames, which reads what over_bins has read. The attention never holds more,
        # as F + T is at most F x T in every layer, and an eighth of it in the first.
        total.hold((channels + max(inputs, 2 * channels)) * positions)
        inputs, bins, frames = channels, bins // 2, frames // 2
    total.linear(inputs, config.hidden)
    total.linear(config.hidden, config.num_classes)
    total.hold(config.hidden + max(inputs, config.num_classes))
    return total.counts()
