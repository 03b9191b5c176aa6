"""Model selection: the best trial of a study, those on its front, and what a confirmation says of one."""

import glob
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from objectives.goals import GOALS, first_cost, first_quality
from objectives.interval import mean_interval
from objectives.quality import Quality
from search.config.settings import ConfirmSettings, SearchSettings, TrainSettings, confirmed_by
from search.study.confirm import confirm_report
from search.study.repeats import TRIAL, candidate_number, seeds_report
from search.study.study import QUALITY, StudyError, StudyFolder, trial_state
from search.study.table import front_table, study_table, trials_table


def best_trial(folder: StudyFolder) -> int:
    """Return the number of the fully trained network that is best by the first quality among the study's objectives.

    Ties go to the cheapest. A search's must fit its current budget. Of a confirmation it is the first seed of the
    network with the best mean: taking the best seed would be selection by the evaluation clips.

    Raises:
        StudyError: None is fully trained yet, or none of them fits.
    """
    settings = folder.settings()
    table = study_table(folder)
    complete = table[table["state"] == "complete"]
    if complete.empty:
        raise StudyError("no trial is fully trained yet")
    fitting = complete if not isinstance(settings, SearchSettings) else complete[complete["fits"].astype(bool)]
    if fitting.empty:
        raise StudyError(f"no fully trained trial fits the budget {settings.budget}; select one by its number: --trial")
    quality, cost = GOALS[first_quality(settings.objectives)], first_cost(settings.objectives)
    figure = fitting[quality.name].astype(float)
    if isinstance(settings, ConfirmSettings):
        figure = figure.groupby(fitting["network"]).transform("mean")
    ranked = fitting.assign(
        figure=-figure if quality.maximize else figure, price=0.0 if cost is None else fitting[cost].astype(float)
    )
    return int(ranked.sort_values(["figure", "price", "number"], kind="stable")["number"].iloc[0])


def front_trials(folder: StudyFolder) -> list[int]:
    """Return the numbers of the trials on the front, the cheapest first.

    Raises:
        StudyError: There are none.
    """
    numbers = [int(number) for number in front_table(study_table(folder), folder.settings().objectives)["number"]]
    if not numbers:
        raise StudyError(f"the front of {folder.name} is empty: no trial that fits is fully trained yet")
    return numbers


def trained_trial(folder: StudyFolder, study: optuna.Study, number: int) -> FrozenTrial:
    """Return a fully trained trial.

    Raises:
        StudyError: There is none of that number, or it is not fully trained; those that are are named.
    """
    trials = study.get_trials(deepcopy=False)
    if not 0 <= number < len(trials):
        raise StudyError(f"{folder.name} has no trial {number}; its trials are 0 to {len(trials) - 1}")
    trial = trials[number]
    if trial.state != TrialState.COMPLETE:
        state = trial_state(trial, is_locked=folder.is_locked())
        table = trials_table(study)
        trained = ", ".join(str(n) for n in table.loc[table["state"] == "complete", "number"]) or "none yet"
        raise StudyError(f"trial {number} is {state}; only fully trained ones can be exported: {trained}")
    return trial


TABLES = ("by_class", "by_device", "by_group")


def confirmation(folder: StudyFolder, number: int) -> dict[str, Any] | None:
    """Return the metrics of a trial's network over several seeds, on the evaluation clips.

    They are from the study's latest confirmation, or from the study itself where that trains from several seeds.

    Args:
        folder: Of the trial's study.
        number: Of the trial.

    Returns:
        `study`; the `seeds`; of each metric the `mean`, and `half`, the half-width of its interval at `confidence`;
        `p_front`, the probability that the network is on the front, and whether it is `on_front` by the means,
        None where it was compared with no other; and by class, device and group of devices the mean accuracy with its
        own interval. None unless it was trained from at least two seeds.
    """
    settings = folder.settings()
    if isinstance(settings, SearchSettings):
        return _latest_confirmation(folder, number)
    if isinstance(settings, TrainSettings):
        report = seeds_report(folder.open())
        return _summary(folder, report, {"p_front": None, "on_front": None}, _complete(folder))
    trial = folder.open().get_trials(deepcopy=False)[number]
    return _candidate_summary(folder, candidate_number(trial))


def _latest_confirmation(folder: StudyFolder, number: int) -> dict[str, Any] | None:
    """Look for the latest confirmation of a search in which a trial of it was trained from two seeds."""
    names = f"{glob.escape(folder.name)}-confirm*/search.yaml"  # as `free_name` gives them
    beside = [StudyFolder(path.parent) for path in folder.path.parent.glob(names)]
    found = [each for each in beside if each.exists() and confirmed_by(each.settings()) == folder.name]
    for confirm in sorted(found, key=StudyFolder.modified_at, reverse=True):
        summary = _candidate_summary(confirm, number)
        if summary is not None:
            return summary
    return None


def _candidate_summary(folder: StudyFolder, number: int) -> dict[str, Any] | None:
    report = confirm_report(folder)
    candidate = next((each for each in report["candidates"] if each[TRIAL] == number), None)
    if candidate is None:
        return None
    trials = [trial for trial in _complete(folder) if candidate_number(trial) == number]
    return _summary(folder, {**candidate, "confidence": report["confidence"]}, candidate, trials)


def _complete(folder: StudyFolder) -> list[FrozenTrial]:
    return folder.open().get_trials(deepcopy=False, states=[TrialState.COMPLETE])


def _summary(
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
    accuracies = {}
    for name in qualities[0][table]:
        found = mean_interval([quality[table][name]["accuracy"] for quality in qualities])
        accuracies[name] = {"mean": found.mean, "half": found.half}
    return accuracies
