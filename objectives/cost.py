"""Cost of a network as plain numbers: MACs, parameters, bytes, peak memory. Read without torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

# Bytes of one stored value.
BYTES = {"int8": 1, "fp16": 2, "bf16": 2, "fp32": 4}


@dataclass(frozen=True)
class Cost:
    """Cost of one clip (batch size 1) in eval mode.

    Attributes:
        macs: Multiply-accumulates, by the challenge's rule (`objectives/measure.py`).
        params: Parameters, frozen ones and zeros too: a count, not bytes.
        stored_values: Parameters, and the running mean and variance of every batch norm.
        peak_bytes: Peak activation memory of int8 inference, layer by layer, beside the weights
            (`objectives/memory.py`).
        precision: Of the stored values: a key of `BYTES`.
        nonzero_values: Stored values that are not zero; all of them, unless a number is given.

    >>> dense = Cost(macs=4608, params=72, stored_values=72, peak_bytes=612)
    >>> dense.size_bytes, dense.nonzero_bytes
    (144, 144)
    >>> pruned = Cost(macs=4608, params=72, stored_values=72, peak_bytes=612, nonzero_values=30)
    >>> pruned.size_bytes, pruned.nonzero_bytes
    (144, 60)
    """

    macs: int
    params: int
    stored_values: int
    peak_bytes: int
    precision: str = "fp16"
    nonzero_values: int = None  # type: ignore[assignment]  # a whole number from `__post_init__` on

    def __post_init__(self) -> None:
        """Check the precision, and that no count is negative and no more values are non-zero than are stored."""
        if self.nonzero_values is None:
            object.__setattr__(self, "nonzero_values", self.stored_values)
        if self.precision not in BYTES:
            raise ValueError(f"precision must be one of {', '.join(BYTES)}, got {self.precision!r}")
        for name in ("macs", "params", "stored_values", "peak_bytes", "nonzero_values"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.nonzero_values > self.stored_values:
            raise ValueError(
                f"nonzero_values must be at most the {self.stored_values} stored values, got {self.nonzero_values}"
            )

    @property
    def size_bytes(self) -> int:
        """Bytes of all parameters: what the editions from 2023 on limit."""
        return self.params * BYTES[self.precision]

    @property
    def nonzero_bytes(self) -> int:
        """Bytes of the stored values that are not zero: what the 2021 edition limits."""
        return self.nonzero_values * BYTES[self.precision]

    def to_dict(self) -> dict[str, Any]:
        """Return the counts and the bytes that follow from them, for JSON."""
        return {**asdict(self), "size_bytes": self.size_bytes, "nonzero_bytes": self.nonzero_bytes}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Cost":
        """Return the cost that `to_dict` wrote, also from JSON."""
        return cls(**{field.name: record[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class StoredCost:
    """Cost of one clip by an exported file: values and bytes as stored in it, whatever precision the search assumed.

    Attributes:
        macs: Multiply-accumulates of the network in the file.
        params: Its parameters.
        size_bytes: Bytes of its parameters.
        nonzero_bytes: Bytes of its stored values that are not zero.
        peak_bytes: Peak activation memory, as int8.
        precision: Data type of most of its weights, such as "int8".
    """

    macs: int
    params: int
    size_bytes: int
    nonzero_bytes: int
    peak_bytes: int
    precision: str
