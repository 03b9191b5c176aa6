"""What is varied: ranges over the fields of a config, one architecture a file."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from optuna.distributions import BaseDistribution

from spaces import bc_resnet, cp_mobile, cp_resnet, isotropic, sep_cnn, tf_sepnet, training

__all__ = ["NETWORKS", "SPACES", "TRAINING", "Space"]

# Ranges over the fields of the training recipe; like those of a network, any part of them makes a search.
TRAINING: Mapping[str, BaseDistribution] = training.RANGES
# By architecture: a range for each field of its config that varies.
NETWORKS: Mapping[str, Mapping[str, BaseDistribution]] = {
    "bc_resnet": bc_resnet.RANGES,
    "cp_mobile": cp_mobile.RANGES,
    "cp_resnet": cp_resnet.RANGES,
    "isotropic": isotropic.RANGES,
    "sep_cnn": sep_cnn.RANGES,
    "tf_sepnet": tf_sepnet.RANGES,
}


@dataclass(frozen=True)
class Space:
    """Configurations to choose from: the architecture first, where there are several, then its own sizes.

    Attributes:
        networks: By architecture, a range for each field of its config that varies; the others keep their default.
        front_ends: Names of the front ends to choose from; none: each architecture hears that of its report.
        training: A range for each field of the recipe that varies.
    """

    networks: Mapping[str, Mapping[str, BaseDistribution]]
    front_ends: tuple[str, ...] = ()
    training: Mapping[str, BaseDistribution] = field(default_factory=lambda: TRAINING)


SPACES: dict[str, Space] = {
    **{name: Space({name: ranges}) for name, ranges in NETWORKS.items()},
    "all": Space(NETWORKS),
}
