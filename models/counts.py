"""Closed-form cost of a network, summed layer by layer without building it: MACs, parameters, peak activations.

MACs by the DCASE challenge's rule: a convolution's weights and biases count once per output position, those of a linear
layer or a batch norm once, operators without parameters are free. Peak activations by the rule of
`objectives/memory.py`: the live tensors while one layer runs, on a device that runs layer by layer.
`objectives/measure.py` counts a built network by the same rules; tests hold the two equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

# Shape of one clip's input, without the batch axis: (channels, F, T).
Shape: TypeAlias = Sequence[int]


@dataclass(frozen=True)
class Counts:
    """Cost of the inference of one clip.

    Attributes:
        macs: Multiply-accumulates, by the rule at the top of this file.
        params: Parameters: a count, not bytes.
        stored_values: Parameters, and the running mean and variance of every batch norm.
        peak_values: Maximum number of activations alive at one time; their bytes where each is an int8.
    """

    macs: int
    params: int
    stored_values: int
    peak_values: int


class Tally:
    """Running sum of costs, layer by layer in the order of the network."""

    __slots__ = ("macs", "params", "peak", "running")

    def __init__(self) -> None:
        self.macs = self.params = self.running = self.peak = 0

    def hold(self, values: int) -> None:
        """Record a number of activations alive at one time; the peak is the maximum."""
        self.peak = max(self.peak, values)

    def conv(self, weights: int, bias: int, positions: int) -> None:
        """Add a convolution of `weights` and `bias` scalars with `positions` output positions, F x T."""
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
        """Add another sum `times` times; its peak is taken once."""
        self.hold(other.peak)
        self.macs += other.macs * times
        self.params += other.params * times
        self.running += other.running * times

    def counts(self) -> Counts:
        """Return the sum so far."""
        return Counts(self.macs, self.params, self.params + self.running, self.peak)


class InputShapeError(ValueError):
    """An input shape that the network cannot take; the message states the rule."""


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
        ValueError: States the name, the rule and the value.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")


def require_sides(bins: int, frames: int, least: int) -> None:
    """Refuse an input with fewer mel bins or frames than `least`.

    Raises:
        InputShapeError: States the rule and both values.
    """
    if min(bins, frames) < least:
        raise InputShapeError(
            f"input_shape must have at least {least} mel bins and {least} frames, got {bins} and {frames}"
        )


def require_odd(name: str, value: int) -> None:
    """Refuse an even size.

    Raises:
        ValueError: States the name, the rule and the value.
    """
    if value % 2 == 0:
        raise ValueError(f"{name} must be odd, got {value}")


def require_share(name: str, value: object) -> None:
    """Refuse a value that is not a fraction in [0, 1).

    Raises:
        ValueError: States the name, the rule and the value.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"{name} must be a number of at least 0 and below 1, got {value!r}")


def require_flag(name: str, value: object) -> None:
    """Refuse a value that is not a bool.

    Raises:
        ValueError: States the name, the rule and the value.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, got {value!r}")
