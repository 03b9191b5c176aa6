"""What is varied: ranges over the fields of a config, one architecture a file."""

from collections.abc import Mapping
from dataclasses import dataclass

from optuna.distributions import BaseDistribution

from spaces import cp_mobile, isotropic, training

__all__ = ["SPACES", "TRAINING", "Space"]


@dataclass(frozen=True)
class Space:
    """Networks to choose from.

    Attributes:
        architecture: The registry's name of the family that is varied.
        ranges: A range for each field of its config that varies; the others keep their default.
    """

    architecture: str
    ranges: Mapping[str, BaseDistribution]


SPACES: dict[str, Space] = {
    "cp_mobile": Space("cp_mobile", cp_mobile.RANGES),
    "isotropic": Space("isotropic", isotropic.RANGES),
}

# Ranges over the fields of the training recipe; like those of a space, any part of them makes a search.
TRAINING: Mapping[str, BaseDistribution] = training.RANGES
