"""A small study with a trial of every kind, all that a search records of them, and a confirmation of its front."""

import numpy as np
import optuna
from optuna.distributions import IntDistribution
from optuna.trial import TrialState
from recorded import cost, trial, write_study

from objectives.quality import measure_quality
from search.config.settings import ConfirmSettings
from search.study.creation import create_study
from search.study.study import (
    ATTEMPTS,
    CONFIG,
    COST,
    DATA,
    DEVICE_GROUPS,
    LAYERS,
    ORIGIN,
    QUALITY,
    REJECTED,
    VERSIONS,
    StudyFolder,
)

ODD = "odd <b>name & co 100%"
SCRIPT = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
GROUPS = {"a": "real", "b": "real", "s1": "seen", "s4": "unseen"}  # of the devices
BUDGET = "macs=30M,params=128K"
CLASSES_WITHOUT_METRICS = ["metro", "square", "street", "tram"]  # so that chance is below the accuracies


def quality(seed):
    """Measure a network that is right about half the time, on four devices."""
    rng = np.random.default_rng(seed)
    labels, devices = rng.integers(0, 3, 240), rng.integers(0, 4, 240)
    scores = rng.normal(size=(240, 3)) + 1.2 * np.eye(3)[labels]
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return measure_quality(
        logs, labels, devices, classes=["airport", "bus", "park"], device_names=list(GROUPS), device_groups=GROUPS
    ).to_dict()


def layers(macs, params):
    """Split a cost over three layers."""
    shares = {"stem": 0.2, "blocks.0": 0.5, "classifier": 0.3}
    return [
        {
            "name": name,
            "kind": "Conv2d",
            "output_shape": [8, 16, 16],
            "macs": int(macs * share),
            "params": int(params * share),
        }
        for name, share in shares.items()
    ]


def trained(width, macs, *accuracies, params, state="complete", **config):
    """Describe a trial with all that a search records of it."""
    values = {"width": width, "learning_rate": 0.004 / width, **config}
    state, known = trial(state, macs, *accuracies, params=params, config=values)
    known[LAYERS] = layers(macs, params)
    known[VERSIONS] = {"python": "3.11", "torch": "2.11"}
    if state == "complete":
        known[QUALITY] = quality(width)
    return state, known


def write_small(path, **settings):
    """Write a study with a trial of every kind; three are on the front: 1, 2 and 0, the cheapest first."""
    rejected = trial("rejected", 53_000_000, params=250_000, config={"width": 200})
    rejected[1][REJECTED] = {"kind": "over macs", "reason": f"over budget: macs {SCRIPT}"}
    failed = trained(24, 7_000_000, 0.2, params=16_000, state="failed")
    failed[1][ATTEMPTS] = [{"epoch": 2, "reason": "killed"}]
    origin = trained(32, 29_000_000, 0.30, 0.40, 0.46, params=60_000, optimizer=SCRIPT)
    origin[1][ORIGIN] = {"kind": "published", "changes": ["width 48 -> 32"]}
    return write_study(
        path,
        origin,
        trained(8, 1_200_000, 0.22, 0.30, 0.33, params=8_000, optimizer="adamw"),
        trained(16, 9_900_000, 0.25, 0.36, 0.40, params=21_000, optimizer="adamw"),
        trained(20, 14_000_000, 0.24, 0.33, 0.37, params=30_000, optimizer="adamw"),
        trained(28, 21_000_000, 0.18, params=86_000, state="stopped"),
        failed,
        trained(12, 5_000_000, 0.21, params=18_000, state="running"),
        *[rejected] * 4,
        trained(16, 9_900_000, 0.26, 0.33, 0.38, params=21_000, optimizer="sgd"),
        attributes={
            DATA: {"lists_sha256": "0" * 64, "classes": ["airport", "bus", "park", *CLASSES_WITHOUT_METRICS]},
            DEVICE_GROUPS: GROUPS,
            "objectives": ["macro_accuracy", "macs"],
        },
        budget=BUDGET,
        **settings,
    )


def write_confirmation(path, search, candidates, seeds=(1, 2, 3)):
    """Write a confirmation of a study, a row for each candidate: its number, MACs, and accuracy by seed."""
    config = {"width": 32, "epochs": 3, "architecture": "isotropic"}
    settings = ConfirmSettings(
        data="nowhere", trials=len(candidates) * len(seeds), seed=seeds[0], confirms=search, candidates=tuple(
            {
                "trial": number, "role": "front", "network": "", CONFIG: config,
                "chosen_by": {"macs": float(macs), "params": 9.0, "macro_accuracy": 0.5},
            }
            for number, macs, *_ in candidates
        ),
    )  # fmt: skip
    folder = StudyFolder(path)
    study = create_study(folder, settings, {DEVICE_GROUPS: GROUPS})
    for number, macs, *accuracies in candidates:
        for seed, accuracy in zip(seeds, accuracies, strict=False):
            add_confirmed(study, number, seed, accuracy, macs)
    return folder


def add_confirmed(study, number, seed, accuracy, macs):
    """Add a training of a candidate from a seed."""
    score = {"clips": 30, "accuracy": accuracy, "log_loss": 1.5}
    measured = {
        "macro_accuracy": accuracy, "accuracy": accuracy, "log_loss": 1.5, "classes": ["a"], "by_class": {"a": score},
        "by_device": {"a": score}, "by_group": {"seen": score}, "confusion": [[30]],
    }  # fmt: skip
    ranges = {"candidate": IntDistribution(0, 99), "seed": IntDistribution(0, 9)}
    study.add_trial(
        optuna.create_trial(
            state=TrialState.COMPLETE,
            values=[accuracy, float(macs)],
            distributions=ranges,
            params={"candidate": number, "seed": seed},
            user_attrs={QUALITY: measured, CONFIG: {"width": 32, "epochs": 3, "seed": seed}, COST: cost(macs)},
        )
    )
