"""Which trials of a study can be exported, and which of them is the best."""

import optuna
from optuna.trial import FrozenTrial, TrialState

from objectives.goals import GOALS, first_cost, first_quality
from search.artifact.certificate import ExportError
from search.study.study import StudyFolder, trial_state
from search.study.table import front_table, study_table, trials_table


def best_trial(folder: StudyFolder) -> int:
    """Give the number of the fully trained network that is best by the first quality among the study's objectives.

    Of equals it is the cheapest, and of a search one that fits its budget as it is now. Of confirmed networks it is the
    first seed of the one with the best mean: to take the best seed would be to choose by the evaluation clips.

    Raises:
        ExportError: None is fully trained yet, or none of them fits.
    """
    settings = folder.settings()
    table = study_table(folder)
    complete = table[table["state"] == "complete"]
    if complete.empty:
        raise ExportError("no trial is fully trained yet")
    fitting = complete if settings.train else complete[complete["fits"].astype(bool)]
    if fitting.empty:
        raise ExportError(
            f"no fully trained trial fits the budget {settings.budget}; export one by its number: --trial"
        )
    quality, cost = GOALS[first_quality(settings.objectives)], first_cost(settings.objectives)
    figure = fitting[quality.name].astype(float)
    if settings.members:
        figure = figure.groupby(fitting["network"]).transform("mean")
    ranked = fitting.assign(
        figure=-figure if quality.maximize else figure, price=0.0 if cost is None else fitting[cost].astype(float)
    )
    return int(ranked.sort_values(["figure", "price", "number"], kind="stable")["number"].iloc[0])


def front_trials(folder: StudyFolder) -> list[int]:
    """Give the numbers of the trials on the front, the cheapest first.

    Raises:
        ExportError: There are none.
    """
    numbers = [int(number) for number in front_table(study_table(folder), folder.settings().objectives)["number"]]
    if not numbers:
        raise ExportError(f"the front of {folder.name} is empty: no trial that fits is fully trained yet")
    return numbers


def trained_trial(folder: StudyFolder, study: optuna.Study, number: int) -> FrozenTrial:
    """Give a fully trained trial.

    Raises:
        ExportError: There is none of that number, or it is not fully trained; those that are are named.
    """
    trials = study.get_trials(deepcopy=False)
    if not 0 <= number < len(trials):
        raise ExportError(f"{folder.name} has no trial {number}; its trials are 0 to {len(trials) - 1}")
    trial = trials[number]
    if trial.state != TrialState.COMPLETE:
        state = trial_state(trial, is_locked=folder.is_locked())
        table = trials_table(study)
        trained = ", ".join(str(n) for n in table.loc[table["state"] == "complete", "number"]) or "none yet"
        raise ExportError(f"trial {number} is {state}; only fully trained ones can be exported: {trained}")
    return trial
