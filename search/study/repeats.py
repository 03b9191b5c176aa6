"""What came of training configurations from several seeds: each, and the mean with its interval. Needs no torch."""

from typing import Any

import optuna
from optuna.trial import TrialState

from objectives.interval import CONFIDENCE, mean_interval
from objectives.quality import Quality
from search.study.study import CONFIG, QUALITY

SEED = "seed"  # name of the seed, where configurations are trained rather than searched
MEMBER = "member"  # name of the number that a configuration has as a trial of the study that it is a member of
# A member in the settings: the number of its trial; `FRONT`, `NEAR` or `ASKED`; what was varied of its network; its
# goals as they were when it was chosen, those of quality on the validation clips; and its configuration.
TRIAL, PLACE, NETWORK, CHOSEN_BY = "trial", "place", "network", "chosen_by"
FRONT, NEAR, ASKED = "front", "near", "asked for"
GROUPS = "accuracy_"  # before the name of a group of devices


def seeds_report(study: optuna.Study) -> dict[str, Any]:
    """Describe a study of one configuration, as plain values.

    Returns:
        `seeds`: the figures of each seed that is trained, by seed; `mean`: of each figure its mean over the seeds, and
        in `half` what the interval at `confidence` reaches to either side, None of a single seed.
    """
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    by_seed = {int(trial.user_attrs[CONFIG]["seed"]): trial for trial in complete}
    seeds = {
        str(seed): {"trial": by_seed[seed].number, **figures(Quality.from_dict(by_seed[seed].user_attrs[QUALITY]))}
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


def figures(quality: Quality) -> dict[str, float]:
    """Return what is told of a training: macro accuracy, log loss, and accuracy by group of devices."""
    groups = {f"{GROUPS}{name}": score.accuracy for name, score in quality.by_group.items()}
    return {"macro_accuracy": quality.macro_accuracy, "log_loss": quality.log_loss, **groups}


def measure_title(name: str) -> str:
    """Return the title of a measure of quality.

    >>> measure_title("macro_accuracy"), measure_title("accuracy_unseen")
    ('macro accuracy', 'accuracy, unseen devices')
    """
    group = name.removeprefix(GROUPS)
    return name.replace("_", " ") if group == name else f"accuracy, {group} devices"
