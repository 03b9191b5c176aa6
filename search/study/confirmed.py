"""What training a network from several seeds has said of it, for its certificate."""

import glob
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from objectives.interval import mean_interval
from objectives.quality import Quality
from search.study.confirm import confirm_report
from search.study.repeats import MEMBER, TRIAL, seeds_report
from search.study.study import QUALITY, StudyFolder

TABLES = ("by_class", "by_device", "by_group")


def confirmation(folder: StudyFolder, number: int) -> dict[str, Any] | None:
    """Give what several seeds say of a trial's network, measured on the evaluation clips.

    They are those of the study's latest confirmation, or of the study itself where that trains from several seeds.

    Args:
        folder: Of the trial's study.
        number: Of the trial.

    Returns:
        `study`; the `seeds`; of each figure the `mean`, and what its interval at `confidence` reaches to either side in
        `half`; `p_front`, the probability that the network is on the front, and whether it is `on_front` by the means,
        None where it was compared with no other; and by class, device and group of devices the mean accuracy with its
        own interval. None where nobody has trained it from two seeds.
    """
    settings = folder.settings()
    if not settings.train:
        return _latest(folder, number)
    if not settings.members:
        report = seeds_report(folder.open())
        return _told(folder, report, {"p_front": None, "on_front": None}, _complete(folder))
    trial = folder.open().get_trials(deepcopy=False)[number]
    return _of_member(folder, _member_of(trial))


def _latest(folder: StudyFolder, number: int) -> dict[str, Any] | None:
    """Look for the latest confirmation of a search in which a trial of it was trained from two seeds."""
    names = f"{glob.escape(folder.name)}-confirm*/search.yaml"  # as `free_name` gives them
    beside = [StudyFolder(path.parent) for path in folder.path.parent.glob(names)]
    found = [each for each in beside if each.exists() and each.settings().confirms == folder.name]
    for confirm in sorted(found, key=StudyFolder.worked_on_at, reverse=True):
        told = _of_member(confirm, number)
        if told is not None:
            return told
    return None


def _of_member(folder: StudyFolder, number: int) -> dict[str, Any] | None:
    report = confirm_report(folder)
    member = next((each for each in report["members"] if each[TRIAL] == number), None)
    if member is None:
        return None
    trials = [trial for trial in _complete(folder) if _member_of(trial) == number]
    return _told(folder, {**member, "confidence": report["confidence"]}, member, trials)


def _member_of(trial: FrozenTrial) -> int:
    return int(next(value for name, value in trial.params.items() if name.rpartition(".")[2] == MEMBER))


def _complete(folder: StudyFolder) -> list[FrozenTrial]:
    return folder.open().get_trials(deepcopy=False, states=[TrialState.COMPLETE])


def _told(
    folder: StudyFolder, report: Mapping[str, Any], place: Mapping[str, Any], trials: Sequence[FrozenTrial]
) -> dict[str, Any] | None:
    if len(report["seeds"]) < 2:
        return None
    qualities = [Quality.from_dict(trial.user_attrs[QUALITY]).to_dict() for trial in trials]
    return {
        "study": folder.name,
        "seeds": sorted(int(seed) for seed in report["seeds"]),
        "confidence": report["confidence"],
        "mean": report["mean"],
        "half": report["half"],
        "p_front": place["p_front"],
        "on_front": place["on_front"],
        **{table: _accuracies(qualities, table) for table in TABLES},
    }


def _accuracies(qualities: Sequence[Mapping[str, Any]], table: str) -> dict[str, dict[str, float | None]]:
    told = {}
    for name in qualities[0][table]:
        found = mean_interval([quality[table][name]["accuracy"] for quality in qualities])
        told[name] = {"mean": found.mean, "half": found.half}
    return told
