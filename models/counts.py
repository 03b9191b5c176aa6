"""What a network costs, added up beside it without building it.

The rule of the MACs is the DCASE challenge's own: a convolution's weights and biases count once per position of
its output, those of a linear layer or a batch norm once, and everything without parameters is free. The rule of
the peak is that of `objectives/memory.py`: what is alive while one layer runs, on a device that runs layer by layer.
`objectives/measure.py` counts a built network by the same rules, and the tests hold the two equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

# Of one clip, without the batch axis: (channels, F, T).
Shape: TypeAlias = Sequence[int]


@dataclass(frozen=True)
class Counts:
    """What one clip costs at inference.

    Attributes:
        macs: Multiply-accumulates, by the rule at the top of this file.
        params: Parameters: a count, not bytes.
        stored_values: Parameters, and the running mean and variance of every batch norm.
        peak_values: The most activations that are alive at one time: bytes of memory where each is an int8.
    """

    macs: int
    params: int
    stored_values: int
    peak_values: int


class Tally:
    """A sum that grows layer by layer, in the order of the network."""

    __slots__ = ("macs", "params", "peak", "running")

    def __init__(self) -> None:
        self.macs = self.params = self.running = self.peak = 0

    def hold(self, values: int) -> None:
        """Note that this many activations are alive at one time."""
        self.peak = max(self.peak, values)

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
        """Add another sum, `times` over; its peak counts as it is."""
        self.hold(other.peak)
        self.macs += other.macs * times
        self.params += other.params * times
        self.running += other.running * times

    def counts(self) -> Counts:
        """Return the sum so far."""
        return Counts(self.macs, self.params, self.params + self.running, self.peak)


class InputShapeError(ValueError):
    """A network cannot take an input of this shape; the rule is named."""


def spectrogram_size(input_shape: Shape, in_channels: int) -> tuple[int, int]:
    """Return F and T of a spectrogram of `in_channels` channels.

    Raises:
        InputShapeError: `input_shape` is not (in_channels, F, T) with both at least 1.
    """
    if len(input_shape) != 3 or input_shape[0] != in_channels or input_shape[1] < 1 or input_shape[2] < 1:
        raise InputShapeError(f"input_shape must be ({in_channels}, mel bins, frames), got {tuple(input_shape)}")
    return input_shape[1], input_shape[2]


def require_whole(name: str, value: object, least: int) -> None:
    """Refuse a size that is not a whole number of at least `least`.

    Raises:
        ValueError: Says the name, the rule and the value.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")


def require_sides(bins: int, frames: int, least: int) -> None:
    """Refuse an input with fewer mel bins or frames than `least`.

    Raises:
        InputShapeError: Says the rule and both.
    """
    if min(bins, frames) < least:
        raise InputShapeError(
            f"input_shape must have at least {least} mel bins and {least} frames, got {bins} and {frames}"
        )


def require_odd(name: str, value: int) -> None:
    """Refuse an even size.

    Raises:
        ValueError: Says the name, the rule and the value.
    """
    if value % 2 == 0:
        raise ValueError(f"{name} must be odd, got {value}")


def require_share(name: str, value: object) -> None:
    """Refuse what is no share below all.

    Raises:
        ValueError: Says the name, the rule and the value.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"{name} must be a number of at least 0 and below 1, got {value!r}")


def require_flag(name: str, value: object) -> None:
    """Refuse what is neither true nor false.

    Raises:
        ValueError: Says the name, the rule and the value.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, got {value!r}")
