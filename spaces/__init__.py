"""What is varied: ranges over the fields of a config, one architecture or one training method a file."""

from collections.abc import Mapping
from dataclasses import dataclass, field

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
# By training method: a range for each field of the recipe that is its own. Each is off somewhere in its ranges.
METHODS: Mapping[str, Mapping[str, BaseDistribution]] = {
    "adversarial": adversarial.RANGES,
    "critic": critic.RANGES,
    "cross_gradient": cross_gradient.RANGES,
    "device_simulation": device_simulation.RANGES,
    "distillation": distillation.RANGES,
    "ema": ema.RANGES,
    "impulse_responses": impulse_responses.RANGES,
    "losses": losses.RANGES,
    "mix_style": mix_style.RANGES,
    "mixture_mask": mixture_mask.RANGES,
    "mixup": mixup.RANGES,
    "optimizers": optimizers.RANGES,
    "pitch_shift": pitch_shift.RANGES,
    "pruning": pruning.RANGES,
    "quantization": quantization.RANGES,
    "restarts": restarts.RANGES,
    "rsc": rsc.RANGES,
    "schedule": schedule.RANGES,
    "spec_augment": spec_augment.RANGES,
    "spectrum_correction": spectrum_correction.RANGES,
    "swa": swa.RANGES,
    "test_copies": test_copies.RANGES,
    "time_shift": time_shift.RANGES,
}
METHODS_NETWORK = "isotropic"  # whose published network learns where a search names methods alone


@dataclass(frozen=True)
class Space:
    """Configurations to choose from: the architecture first, where there are several, then its own sizes.

    Attributes:
        networks: By architecture, a range for each field of its config that varies; the others keep their default.
        front_ends: Names of the front ends to choose from; none: each architecture hears that of its report.
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
