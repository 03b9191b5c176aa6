"""BC-ResNet-Mod: broadcasted residual learning with a 2-D frequency branch and a 1-D time branch.

Sources: Cao et al., technical report for DCASE 2022 task 1, section 3.1: the stem, the pools, the head and ResNorm.
The blocks are those of Kim et al., "Broadcasted residual learning for efficient keyword spotting", Interspeech 2021,
which it names; stages and widths are those of table 1 of Cai et al., DCASE 2023, who took them from BC-ResNet.

The first report's counts are not reproduced by any reading of its text (tests/models compares them with ours).
Assumptions:
    The stem is dense and gives C channels: figure 1 names a map of [40, 64, 22], and a stem of 2C would cost 8.448 of
    the 8.637 M MACs alone. It has neither bias nor batch norm, as no convolution here has a bias.
    The stages have (1, 1.5, 2, 2.5) C channels and (2, 2, 2, 3) blocks, with a pool before the second and the third.
    Four sub-bands, dropout of whole channels by 0.1, and ResNorm behind the stem and every stage with lambda = 0.1.
    The head is normalized and rectified, as in the Interspeech paper: between two linear maps it would add nothing.
The BC-ResNet that Cai et al. compare with has the stem of 2C, no head, and one batch norm more in every block; that
it stands behind the pointwise convolution is a guess.

Shape letters: B batch, C channels, F mel bins, T frames, S sub-bands, D channels before the classifier, K classes.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from models.counts import (
    Counts,
    InputShapeError,
    Shape,
    Tally,
    require_flag,
    require_odd,
    require_share,
    require_sides,
    require_whole,
    spectrogram_size,
)
from models.norms import ResNorm

# Of each stage: channels over the network's width, and whether a max-pool of 2 x 2 comes before.
STAGES = ((1.0, False), (1.5, True), (2.0, True), (2.5, False))
STEM_KERNEL = 5
# Mel bins and frames that the stem and the two max-pools reduce to one.
SMALLEST_SIDE = 7


@dataclass(frozen=True, kw_only=True)
class BCResNetConfig:
    """Sizes of the network. The defaults are our reading of the report."""

    num_classes: int = 10
    in_channels: int = 3
    width: int = 40  # channels of stage 1: C
    stem_ratio: int = 1  # channels of the stem over the width
    depth_1: int = 2  # blocks in stage 1
    depth_2: int = 2
    depth_3: int = 2
    depth_4: int = 3
    kernel: int = 3  # length of the depthwise kernels, in mel bins and in frames
    sub_bands: int = 4  # normalized separately: S
    pointwise_norm: bool = False  # a batch norm behind the pointwise convolution of every block
    res_norm: bool = True  # ResNorm behind the stem and every stage
    head_width: int = 256  # channels before the average; 0: class scores everywhere, and no head
    dropout: float = 0.1  # of whole channels of the time branch

    def __post_init__(self) -> None:
        """Refuse sizes that build no network."""
        require_whole("num_classes", self.num_classes, 2)
        for name in ("in_channels", "width", "stem_ratio", "kernel", "sub_bands"):
            require_whole(name, getattr(self, name), 1)
        for name in ("depth_1", "depth_2", "depth_3", "depth_4"):
            require_whole(name, getattr(self, name), 1)
        require_whole("head_width", self.head_width, 0)
        require_odd("kernel", self.kernel)
        for name in ("pointwise_norm", "res_norm"):
            require_flag(name, getattr(self, name))
        require_share("dropout", self.dropout)

    def stages(self) -> list[tuple[int, int, bool]]:
        """Return each stage's channels and blocks, and whether a max-pool comes before it."""
        depths = (self.depth_1, self.depth_2, self.depth_3, self.depth_4)
        return [(int(times * self.width), depth, pooled) for (times, pooled), depth in zip(STAGES, depths, strict=True)]

    def after_stem(self, input_shape: Shape) -> tuple[int, int]:
        """Return the mel bins and frames after the stem, for an input of (in_channels, F, T).

        Raises:
            InputShapeError: Not a spectrogram of in_channels, so small that a max-pool is left without input, or of mel
                bins that some stage cannot split into sub-bands.
        """
        bins, frames = spectrogram_size(input_shape, self.in_channels)
        require_sides(bins, frames, SMALLEST_SIDE)
        stem_bins = bins = (bins + 1) // 2
        for number, (_, pooled) in enumerate(STAGES, start=1):
            bins = bins // 2 if pooled else bins
            if bins % self.sub_bands:
                raise InputShapeError(
                    f"sub_bands must divide the mel bins of every stage, "
                    f"got sub_bands {self.sub_bands} and {bins} mel bins in stage {number}"
                )
        return stem_bins, (frames + 1) // 2


class SubSpectralNorm(nn.Module):
    """A batch norm for each band of neighbouring mel bins."""

    def __init__(self, channels: int, sub_bands: int) -> None:
        super().__init__()
        self.sub_bands = sub_bands
        self.norm = nn.BatchNorm2d(channels * sub_bands)  # the bands of channel 0, then those of channel 1, ...

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T), S dividing F, to that shape."""
        batch, channels, bins, frames = x.shape
        bands = x.reshape(batch, channels * self.sub_bands, bins // self.sub_bands, frames)
        normed: Tensor = self.norm(bands)
        return normed.reshape(batch, channels, bins, frames)


class Block(nn.Module):
    """Optional 1x1 transition, frequency branch, time branch on the mean over frequency, residual sum."""

    def __init__(self, inputs: int, outputs: int, config: BCResNetConfig) -> None:
        super().__init__()
        self.transition: nn.Module | None = None
        if inputs != outputs:
            self.transition = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
            )
        reach = config.kernel // 2
        self.frequency = nn.Sequential(
            nn.Conv2d(outputs, outputs, (config.kernel, 1), padding=(reach, 0), groups=outputs, bias=False),
            SubSpectralNorm(outputs, config.sub_bands),
        )
        self.time = nn.Sequential(
            nn.Conv2d(outputs, outputs, (1, config.kernel), padding=(0, reach), groups=outputs, bias=False),
            nn.BatchNorm2d(outputs),
            nn.SiLU(),
            nn.Conv2d(outputs, outputs, 1, bias=False),
        )
        if config.pointwise_norm:
            self.time.append(nn.BatchNorm2d(outputs))
        self.time.append(nn.Dropout2d(config.dropout))
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to (B, C', F, T)."""
        if self.transition is not None:
            x = self.transition(x)
        y: Tensor = self.frequency(x)
        y = y + self.time(y.mean(2, keepdim=True))
        if self.transition is None:
            y = y + x
        activated: Tensor = self.activation(y)
        return activated


class BCResNet(nn.Module):
    """Stem (F and T each / 2), four stages of blocks (each / 4), a head, the mean over F and T, a linear classifier.

    Without a head, class scores everywhere, then their mean.
    """

    def __init__(self, config: BCResNetConfig) -> None:
        super().__init__()
        self.config = config
        width = config.stem_ratio * config.width
        layers: list[nn.Module] = [
            nn.Conv2d(config.in_channels, width, STEM_KERNEL, stride=2, padding=STEM_KERNEL // 2, bias=False)
        ]
        if config.res_norm:
            layers.append(ResNorm())
        for outputs, depth, pooled in config.stages():
            if pooled:
                layers.append(nn.MaxPool2d(2))
            for _ in range(depth):
                layers.append(Block(width, outputs, config))
                width = outputs
            if config.res_norm:
                layers.append(ResNorm())
        self.layers = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        if config.head_width:
            self.layers.append(nn.Conv2d(width, config.head_width, 1, bias=False))
            self.layers.append(nn.BatchNorm2d(config.head_width))
            self.layers.append(nn.ReLU())
            self.classifier: nn.Module = nn.Linear(config.head_width, config.num_classes)
        else:
            self.classifier = nn.Conv2d(width, config.num_classes, 1, bias=False)

    def _scenes(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, F, T) to (B, D, F / 8, T / 8)."""
        self.config.after_stem(x.shape[1:])
        y: Tensor = self.layers(x)
        return y

    def features(self, x: Tensor) -> Tensor:
        """Map a log-mel spectrogram (B, in_channels, F, T) to (B, D).

        Raises:
            ValueError: As `BCResNetConfig.after_stem`.
        """
        pooled: Tensor = self.pool(self._scenes(x))
        return pooled.flatten(1)

    def classify(self, z: Tensor) -> Tensor:
        """Map features (B, D) to logits (B, K); without a head the mean goes before the scores, which are linear."""
        logits: Tensor = self.classifier(z if self.config.head_width else z[:, :, None, None])
        return logits.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Map a log-mel spectrogram (B, in_channels, F, T) to logits (B, K)."""
        if self.config.head_width:
            return self.classify(self.features(x))
        logits: Tensor = self.pool(self.classifier(self._scenes(x)))
        return logits.flatten(1)


def count(config: BCResNetConfig, input_shape: Shape) -> Counts:  # long: follows the network layer by layer
    """Count what the network costs on one input of (in_channels, F, T), without building it.

    Raises:
        ValueError: As `BCResNetConfig.after_stem`.

    >>> count(BCResNetConfig(), (3, 128, 44))
    Counts(macs=9105742, params=111122, stored_values=118714, peak_values=114400)
    """
    bins, frames = config.after_stem(input_shape)
    positions = bins * frames
    width = config.stem_ratio * config.width
    total = Tally()
    total.conv(config.in_channels * width * STEM_KERNEL**2, bias=0, positions=positions)
    total.hold(config.in_channels * input_shape[1] * input_shape[2] + width * positions)
    if config.res_norm:
        total.hold(width * positions + 2 * bins)  # mean and deviation of each bin
    for outputs, depth, pooled in config.stages():
        if pooled:
            before = width * positions
            bins, frames = bins // 2, frames // 2
            positions = bins * frames
            total.hold(before + width * positions)
        full, narrow = outputs * positions, outputs * frames
        same = depth
        if outputs != width:
            total.conv(width * outputs, bias=0, positions=positions)
            total.batch_norm(outputs)
            total.hold((width + outputs) * positions)
            total.hold(full + 2 * narrow)
            same -= 1
        # The frequency branch is filtered; then a layer of the time branch runs while it waits, and the input too.
        total.hold(2 * full + 2 * narrow if same else 2 * full)
        block = Tally()
        block.conv(outputs * config.kernel, bias=0, positions=positions)
        block.batch_norm(outputs * config.sub_bands)
        block.conv(outputs * config.kernel, bias=0, positions=frames)
        block.batch_norm(outputs)
        block.conv(outputs**2, bias=0, positions=frames)
        if config.pointwise_norm:
            block.batch_norm(outputs)
        total.add(block, times=depth)
        width = outputs
        if config.res_norm:
            total.hold(full + 2 * bins)
    if config.head_width:
        head = config.head_width
        total.conv(width * head, bias=0, positions=positions)
        total.batch_norm(head)
        total.hold((width + head) * positions)
        total.hold(head * (positions + 1))
        total.linear(head, config.num_classes)
        total.hold(head + config.num_classes)
    else:
        total.conv(width * config.num_classes, bias=0, positions=positions)
        total.hold((width + config.num_classes) * positions)
        total.hold(config.num_classes * (positions + 1))
    return total.counts()
