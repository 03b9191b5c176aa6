"""Search spaces: Optuna's distributions over the fields of a config, one architecture or training method a file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType

from optuna.distributions import BaseDistribution

from spaces import (
    adversarial,
    bc_resnet,
    cp_mobile,
    cp_resnet,
    critic,
    cross_gradient,
    device_simulation,
    distillation,
    ema,
    impulse_responses,
    isotropic,
    losses,
    mix_style,
    mixture_mask,
    mixup,
    optimizers,
    pitch_shift,
    pruning,
    quantization,
    restarts,
    rsc,
    schedule,
    sep_cnn,
    spec_augment,
    spectrum_correction,
    swa,
    test_copies,
    tf_sepnet,
    time_shift,
    training,
)

__all__ = ["METHODS", "METHODS_NETWORK", "NETWORKS", "SPACES", "TRAINING", "Space"]


def _by_name(*modules: ModuleType) -> dict[str, dict[str, BaseDistribution]]:
    """Return the ranges of modules by their file names."""
    return {module.__name__.rpartition(".")[2]: module.RANGES for module in modules}


# Ranges over the fields of the training recipe; like those of a network, any part of them makes a search.
TRAINING: Mapping[str, BaseDistribution] = training.RANGES
# By architecture: a range for each field of its config that varies.
NETWORKS: Mapping[str, Mapping[str, BaseDistribution]] = _by_name(
    bc_resnet, cp_mobile, cp_resnet, isotropic, sep_cnn, tf_sepnet
)
# By training method: a range for each field of the recipe that is its own. Each is off somewhere in its ranges.
METHODS: Mapping[str, Mapping[str, BaseDistribution]] = _by_name(
    adversarial, critic, cross_gradient, device_simulation, distillation, ema, impulse_responses, losses, mix_style,
    mixture_mask, mixup, optimizers, pitch_shift, pruning, quantization, restarts, rsc, schedule, spec_augment,
    spectrum_correction, swa, test_copies, time_shift,
)  # fmt: skip
METHODS_NETWORK = "isotropic"  # the published network that is trained where a search names methods alone


@dataclass(frozen=True)
class Space:
    """A search space: the architecture, where there are several, then conditionally on it its own sizes.

    Attributes:
        networks: By architecture, a range for each field of its config that varies; the others keep their default.
        front_ends: Names of the front ends to choose from; none: each architecture has that of its report.
        training: A range for each field of the recipe that varies.
        explicit: Fields of the recipe that the user named to vary; a named recipe fixes all others.
    """

    networks: Mapping[str, Mapping[str, BaseDistribution]]
    front_ends: tuple[str, ...] = ()
    training: Mapping[str, BaseDistribution] = field(default_factory=lambda: TRAINING)
    explicit: frozenset[str] = frozenset()


SPACES: dict[str, Space] = {
    **{name: Space({name: ranges}) for name, ranges in NETWORKS.items()},
    "all": Space(NETWORKS),
}
