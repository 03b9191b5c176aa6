"""Model selection: the best trial of a study, the trials on its front, and confirmed metrics of a trial."""

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
from search.study.table import empty_front_text, front_table, study_table, trials_table


def best_trial(folder: StudyFolder) -> int:
    """Return the number of the best fully trained trial, by the first quality among the study's objectives.

    Ties go to the cheapest. A search's trial must fit its current budget. In a confirmation it is the first seed of the
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
    table, objectives = study_table(folder), folder.settings().objectives
    numbers = [int(number) for number in front_table(table, objectives)["number"]]
    if not numbers:
        raise StudyError(f"the front of {folder.name} is empty: {empty_front_text(table, objectives, folder.open())}")
    return numbers


def trained_trial(folder: StudyFolder, study: optuna.Study, number: int) -> FrozenTrial:
    """Return a fully trained trial.

    Raises:
        StudyError: No such trial, or it is not fully trained; names those that are.
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

    They are from the latest confirmation of a search, or from the study itself if it trains from several seeds.

    Returns:
        `study`; `seeds`; `mean` of each metric and `half`, the half-width of its interval at `confidence`; `p_front`,
        the probability of being on the front, and `on_front`, whether it is by the means (None without other
        networks); mean accuracies by class, device and device group, with intervals. None for fewer than two seeds.
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
    """Return the summary of a trial in the latest confirmation that trained it from at least two seeds, or None."""
    names = f"{glob.escape(folder.name)}-confirm*/search.yaml"  # the names of `free_name`
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
    if report["too_few_seeds"]:
        candidate = {**candidate, "half": dict.fromkeys(candidate["half"]), "p_front": None}
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
