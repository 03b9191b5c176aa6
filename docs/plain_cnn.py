"""A custom architecture: strided convolutions, then a mean over frequency and time.

Try it: scenefront preflight --architecture-file docs/plain_cnn.py --space plain_cnn
"""

from dataclasses import dataclass

from optuna.distributions import IntDistribution as Int
from torch import Tensor, nn

FRONT_END = "dcase24"
RANGES = {"width": Int(8, 48, step=8), "depth": Int(2, 5)}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes; the first two come from the data and the front end."""

    num_classes: int = 10
    in_channels: int = 1
    width: int = 24
    depth: int = 3

    def __post_init__(self) -> None:
        """Refuse sizes that build no network."""
        if self.width < 1 or self.depth < 1:
            raise ValueError(f"width and depth must be at least 1, got {self.width} and {self.depth}")


class Network(nn.Module):
    """`depth` convolutions of 3 x 3, each halving F and T."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        for index in range(config.depth):
            inputs = config.width if index else config.in_channels
            convolution = nn.Conv2d(inputs, config.width, 3, stride=2, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(config.width), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(config.width, config.num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Map a log-mel spectrogram (B, in_channels, F, T) to (B, width)."""
        if x.shape[1] != self.config.in_channels:
            raise ValueError(f"expected {self.config.in_channels} channels, got {x.shape[1]}")
        maps: Tensor = self.layers(x)
        return maps.mean(dim=(2, 3))

    def classify(self, z: Tensor) -> Tensor:
        """Map features (B, width) to logits (B, num_classes)."""
        logits: Tensor = self.classifier(z)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Map a log-mel spectrogram (B, in_channels, F, T) to logits (B, num_classes)."""
        return self.classify(self.features(x))
