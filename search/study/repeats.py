"""Repeated trainings of a configuration: metrics by seed, mean and confidence interval. Needs no torch."""

from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from objectives.interval import CONFIDENCE, mean_interval
from objectives.quality import Quality
from search.study.study import CONFIG, QUALITY

SEED = "seed"  # parameter of a repeated training
CANDIDATE = "candidate"  # parameter of a confirmation, after the architecture: the trial's number in the search
FORMAT_1_CANDIDATE = "member"  # the same in studies of format 1
# Keys of a candidate in the settings of a confirmation: number of its trial in the search; its role; the searched sizes
# of its network; its objectives in the search (quality on the validation clips).
TRIAL, ROLE, NETWORK, CHOSEN_BY = "trial", "role", "network", "chosen_by"
FRONT, NEAR, REQUESTED = "front", "near", "requested"  # roles
GROUPS = "accuracy_"  # prefix of the name of a device group


def seeds_report(study: optuna.Study) -> dict[str, Any]:
    """Summarize a training from several seeds, as plain values.

    Returns:
        `seeds`: metrics of each trained seed; `mean`: mean of each metric over the seeds; `half`: half-width of its
        interval at `confidence`, None for a single seed.
    """
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    by_seed = {int(trial.user_attrs[CONFIG]["seed"]): trial for trial in complete}
    seeds = {
        str(seed): {"trial": by_seed[seed].number, **seed_metrics(Quality.from_dict(by_seed[seed].user_attrs[QUALITY]))}
        for seed in sorted(by_seed)
    }
    names = [name for name in next(iter(seeds.values()), {}) if name != "trial"]
    found = {name: mean_interval([float(each[name]) for each in seeds.values()]) for name in names}
    return {
        "seeds": seeds,
        "mean": {name: each.mean for name, each in found.items()},
        "half": {name: each.half for name, each in found.items()},
        "confidence": CONFIDENCE,
    }


def seed_metrics(quality: Quality) -> dict[str, float]:
    """Return the metrics reported per seed: macro accuracy, log loss, and accuracy by device group."""
    groups = {f"{GROUPS}{name}": score.accuracy for name, score in quality.by_group.items()}
    return {"macro_accuracy": quality.macro_accuracy, "log_loss": quality.log_loss, **groups}


def candidate_number(trial: FrozenTrial) -> int:
    """Return a confirmation trial's candidate, as its trial number in the search."""
    known = (CANDIDATE, FORMAT_1_CANDIDATE)
    return int(next(value for name, value in trial.params.items() if name.rpartition(".")[2] in known))


def metric_title(name: str) -> str:
    """Return the title of a metric.

    >>> metric_title("macro_accuracy"), metric_title("accuracy_unseen")
    ('macro accuracy', 'accuracy, unseen devices')
    """
    group = name.removeprefix(GROUPS)
    return name.replace("_", " ") if group == name else f"accuracy, {group} devices"
