"""What a network costs, added up beside it without building it.

The rule is the DCASE challenge's own: a convolution's weights and biases count once per position of its
output, those of a linear layer or a batch norm once, and everything without parameters is free.
`objectives/measure.py` counts a built network by the same rule, and the tests hold the two equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

# Of one clip, without the batch axis: (1, F, T) for a log-mel spectrogram.
Shape: TypeAlias = Sequence[int]


@dataclass(frozen=True)
class Counts:
    """What one clip costs at inference.

    Attributes:
        macs: Multiply-accumulates, by the rule at the top of this file.
        params: Parameters: a count, not bytes.
        stored_values: Parameters, and the running mean and variance of every batch norm.
    """

    macs: int
    params: int
    stored_values: int


class Tally:
    """A sum that grows layer by layer, in the order of the network."""

    __slots__ = ("macs", "params", "running")

    def __init__(self) -> None:
        self.macs = self.params = self.running = 0

    def conv(self, weights: int, bias: int, positions: int) -> None:
        """Add a convolution of `weights` and `bias` scalars whose output has `positions` in F x T."""
        self.params += weights + bias
        self.macs += (weights + bias) * positions

    def batch_norm(self, channels: int) -> None:
        """Add a batch norm with scale and shift."""
        self.params += 2 * channels
        self.macs += 2 * channels
        self.running += 2 * channels

    def linear(self, inputs: int, outputs: int) -> None:
        """Add a linear layer with bias."""
        self.params += (inputs + 1) * outputs
        self.macs += (inputs + 1) * outputs

    def add(self, other: "Tally", times: int = 1) -> None:
        """Add another sum, `times` over."""
        self.macs += other.macs * times
        self.params += other.params * times
        self.running += other.running * times

    def counts(self) -> Counts:
        """Return the sum so far."""
        return Counts(self.macs, self.params, self.params + self.running)


def spectrogram_size(input_shape: Shape) -> tuple[int, int]:
    """Return F and T of a one-channel spectrogram.

    Raises:
        ValueError: `input_shape` is not (1, F, T) with both at least 1.
    """
    sizes = tuple(input_shape)
    if len(sizes) != 3 or sizes[0] != 1 or min(sizes) < 1:
        raise ValueError(f"input_shape must be (1, mel bins, frames), got {sizes}")
    return sizes[1], sizes[2]


def require_whole(name: str, value: object, least: int) -> None:
    """Refuse a size that is not a whole number of at least `least`.

    Raises:
        ValueError: Says the name, the rule and the value.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
