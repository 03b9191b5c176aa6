"""A study as a table: a row for every proposed configuration, and which of them are on the front. Needs no torch."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.trial import TrialState

from objectives.budget import Budget
from objectives.cost import Cost
from objectives.front import non_dominated
from objectives.goals import GOALS, directions, first_cost, first_quality
from objectives.ranking import accuracy_on
from search.config.settings import SearchSettings
from search.study.study import (
    CONFIG,
    COST,
    FAILURE,
    LATENCY,
    OBJECTIVES,
    ORIGIN,
    REJECTED,
    RUNGS,
    STOPPED,
    RecordedTrial,
    StudyFolder,
    learning_curve,
    trial_state,
)

COLUMNS = ("number", "state", *GOALS, "fits", "epoch", "epochs", "reason", "network", "origin")


def study_table(folder: StudyFolder) -> pd.DataFrame:
    """Return the table of a study as it stands, judged by its present budget; see `trials_table`.

    A training or a confirmation has no budget: everything fits.

    Raises:
        UserError: There is none, or it cannot be read.
    """
    settings = folder.settings()
    budget = settings.limits() if isinstance(settings, SearchSettings) else None
    return trials_table(folder.open(), is_locked=folder.is_locked(), budget=budget)


def trials_table(study: optuna.Study, *, is_locked: bool = False, budget: Budget | None = None) -> pd.DataFrame:
    """Return a row for every proposed configuration.

    Columns: number, state, on_front, every name of `GOALS`, fits (the budget), epoch, epochs, reason, network (what was
    varied of it), origin, the config's fields as `config.<name>` and, where trials are trained on one split after the
    other, `accuracy_<split>` at the end of each. What is not known is NaN or empty.

    Args:
        study: The record.
        is_locked: Whether a search runs on it now.
        budget: What may be on the front; None: all that was trained.
    """
    rungs = study.user_attrs.get(RUNGS, [])
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]
    rows = [trial_row(trial, budget, rungs, is_locked=is_locked) for trial in trials]
    return rows_table(rows, study.user_attrs[OBJECTIVES])


def rows_table(rows: Sequence[Mapping[str, Any]], objectives: Sequence[str]) -> pd.DataFrame:
    """Join the rows of trials to the table that `trials_table` describes.

    Args:
        rows: Of `trial_row`, by number.
        objectives: Names of `GOALS`.
    """
    names = dict.fromkeys(chain.from_iterable(rows)) if rows else COLUMNS
    columns: dict[str, list[Any]] = {name: [np.nan] * len(rows) for name in names}
    for place, row in enumerate(rows):
        for name, value in row.items():
            columns[name][place] = value
    table = pd.DataFrame(columns)
    return table.assign(on_front=front_mask(table, objectives))


def trial_row(
    trial: RecordedTrial, budget: Budget | None, rungs: Sequence[Mapping[str, Any]], *, is_locked: bool
) -> dict[str, Any]:
    """Return the row of one trial, which depends on no other."""
    attributes = trial.user_attrs
    curve = learning_curve(trial)
    cost = attributes.get(COST, {})
    known = {**(curve[-1] if curve else {}), **cost, LATENCY: attributes.get(LATENCY)}
    config = attributes.get(CONFIG, trial.params)
    rejected = attributes.get(REJECTED, {}).get("reason")
    return {
        "number": trial.number,
        "state": trial_state(trial, is_locked=is_locked),
        **{name: np.nan if known.get(name) is None else known[name] for name in GOALS},
        "fits": budget is None or not cost or budget.fits(Cost.from_dict(cost)),
        "epoch": len(curve),
        "epochs": rungs[-1]["end"] if rungs else config.get("epochs", 0),
        "reason": str(rejected or attributes.get(STOPPED) or attributes.get(FAILURE) or ""),
        "network": " ".join(f"{_size_name(name)}={value}" for name, value in trial.params.items() if _size_name(name)),
        "origin": _origin_text(attributes.get(ORIGIN)),
        **_split_accuracies(curve, rungs),
        **{_config_column(name): value for name, value in config.items()},
    }


def _split_accuracies(curve: Sequence[Mapping[str, Any]], rungs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the macro accuracy at the end of the training on each split, NaN where it did not get so far."""
    ends = {rung["split"]: int(rung["end"]) for rung in rungs}
    if len(ends) < 2:
        return {}
    return {
        accuracy_on(split): curve[end - 1]["macro_accuracy"] if end <= len(curve) else np.nan
        for split, end in ends.items()
    }


def varied_sizes(study: optuna.Study) -> list[str]:
    """Name what the search varies of the front end and the networks, without the architectures' names before them."""
    names = [_size_name(name) for trial in study.get_trials(deepcopy=False) for name in trial.params]
    return list(dict.fromkeys(name for name in names if name))


@cache  # of many rows
def _config_column(name: str) -> str:
    return f"config.{plain_name(name)}"


def plain_name(name: str) -> str:
    """Return a config field's name without the architecture's before it."""
    return name.rpartition(".")[2]


@cache
def _size_name(name: str) -> str:
    return name if name == "front_end" else name.partition(".")[2]


def _origin_text(origin: Mapping[str, Any] | None) -> str:
    """Return where a configuration came from, if not from the sampler alone."""
    if origin is None:
        return ""
    changes = ", ".join(origin["changes"]) or (f"trial {origin['trial']}" if "trial" in origin else "")
    if "source" in origin:
        changes = f"{origin['source']}{changes and f': {changes}'}"
    return f"{origin['kind']}{changes and f' ({changes})'}"


def rejection_kinds(study: optuna.Study) -> dict[str, int]:
    """Count the rejected configurations by kind of reason, the most frequent first."""
    kinds = Counter(
        trial.user_attrs[REJECTED]["kind"] for trial in study.get_trials(deepcopy=False) if REJECTED in trial.user_attrs
    )
    return dict(kinds.most_common())


def front_mask(table: pd.DataFrame, objectives: Sequence[str]) -> np.ndarray:
    """Mark the rows on the Pareto front: trained to the end, within the budget, and dominated by no such row.

    Args:
        table: Columns state, fits and every name of `objectives`.
        objectives: Names of `GOALS`. A row without a value for one of them is not on the front.
    """
    mask = np.zeros(len(table), dtype=bool)
    values = table[list(objectives)].to_numpy(dtype=float)
    eligible = (table["state"] == "complete").to_numpy() & table["fits"].to_numpy(dtype=bool)
    eligible &= ~np.isnan(values).any(axis=1)
    mask[eligible] = non_dominated(values[eligible], directions(objectives))
    return mask


def front_table(table: pd.DataFrame, objectives: Sequence[str]) -> pd.DataFrame:
    """Return the front's rows: cheapest by the first cost first, or the best first where no cost is an objective."""
    by = first_cost(objectives) or first_quality(objectives)
    return table[table["on_front"]].sort_values(by, kind="stable", ascending=not GOALS[by].maximize)
