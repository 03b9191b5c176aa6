"""Trials of a study as a data frame, with the mask of the Pareto front. Needs no torch."""

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
from objectives.goals import GOALS, directions, first_cost, first_quality, of_kind
from objectives.ranking import accuracy_on
from objectives.reference import chance_text, is_at_chance
from search.config.settings import SearchSettings
from search.study.scope import num_measured
from search.study.study import (
    CONFIG,
    COST,
    FAILURE,
    HALVES,
    LATENCY,
    MEMORY,
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

COLUMNS = ("number", "state", *GOALS, "fits", "epoch", "epochs", MEMORY, "reason", "network", "origin")


def study_table(folder: StudyFolder) -> pd.DataFrame:
    """Return the `trials_table` of a study under its current budget; a training or a confirmation has none."""
    settings = folder.settings()
    budget = settings.limits() if isinstance(settings, SearchSettings) else None
    return trials_table(folder.open(), is_locked=folder.is_locked(), budget=budget)


def trials_table(study: optuna.Study, *, is_locked: bool = False, budget: Budget | None = None) -> pd.DataFrame:
    """Return a row for every proposed configuration; unknown values are NaN or empty.

    Columns: number, state, on_front, at_chance (fully trained and not better than chance), every name of `GOALS`,
    `<quality>_half` of fully trained ones (half the width of its 95 % interval over recordings), fits (the budget),
    epoch, epochs, memory_bytes (the peak of the process that trained it), reason, network (its searched sizes), origin,
    the config's fields as `config.<name>` and, where the split is the fidelity, `accuracy_<split>` at the end of each.

    Args:
        study: The study.
        is_locked: Whether a search runs on it now.
        budget: Limits for the front; None: no limits.
    """
    rungs = study.user_attrs.get(RUNGS, [])
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]
    rows = [trial_row(trial, budget, rungs, is_locked=is_locked) for trial in trials]
    return rows_table(rows, study.user_attrs[OBJECTIVES], num_measured(study.user_attrs))


def rows_table(rows: Sequence[Mapping[str, Any]], objectives: Sequence[str], num_classes: int | None) -> pd.DataFrame:
    """Join rows of `trial_row`, sorted by number, to the table that `trials_table` describes.

    Args:
        rows: Of the trials.
        objectives: Of the study.
        num_classes: Number of scenes that are measured; None: not known, and nothing is compared to chance.
    """
    names = dict.fromkeys(chain.from_iterable(rows)) if rows else COLUMNS
    columns: dict[str, list[Any]] = {name: [np.nan] * len(rows) for name in names}
    for place, row in enumerate(rows):
        for name, value in row.items():
            columns[name][place] = value
    table = pd.DataFrame(columns)
    table = table.assign(at_chance=chance_mask(table, objectives, num_classes))
    return table.assign(on_front=front_mask(table, objectives))


def chance_mask(table: pd.DataFrame, objectives: Sequence[str], num_classes: int | None) -> np.ndarray:
    """Return the mask of fully trained rows that are not better than chance, by the intervals of `<quality>_half`."""
    names = of_kind("quality", objectives)
    trained = (table["state"] == "complete").to_numpy()
    if num_classes is None or not trained.any():
        return np.zeros(len(table), dtype=bool)
    nothing = np.full(len(table), np.nan)
    values = np.column_stack([table[name].to_numpy(dtype=float) for name in names])
    halves = np.column_stack([table.get(f"{name}_half", nothing) for name in names]).astype(float)
    return np.asarray(trained & is_at_chance(values, halves, names, num_classes))


def trial_row(
    trial: RecordedTrial, budget: Budget | None, rungs: Sequence[Mapping[str, Any]], *, is_locked: bool
) -> dict[str, Any]:
    """Return the row of one trial, without `at_chance` and `on_front`, which depend on the study."""
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
        **{f"{name}_half": half for name, half in attributes.get(HALVES, {}).items()},
        "fits": budget is None or not cost or budget.fits(Cost.from_dict(cost)),
        "epoch": len(curve),
        "epochs": rungs[-1]["end"] if rungs else config.get("epochs", 0),
        MEMORY: peak_bytes(curve, MEMORY),
        "reason": str(rejected or attributes.get(STOPPED) or attributes.get(FAILURE) or ""),
        "network": " ".join(f"{_size_name(name)}={value}" for name, value in trial.params.items() if _size_name(name)),
        "origin": _origin_text(attributes.get(ORIGIN)),
        **_split_accuracies(curve, rungs),
        **{_config_column(name): value for name, value in config.items()},
    }


def peak_bytes(curve: Sequence[Mapping[str, Any]], name: str) -> float:
    """Return the peak memory over a learning curve, MEMORY or DEVICE_MEMORY; NaN where none was measured."""
    return max((float(epoch[name]) for epoch in curve if name in epoch), default=np.nan)


def _split_accuracies(curve: Sequence[Mapping[str, Any]], rungs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the macro accuracy at the end of training on each split; NaN if a trial has not reached it."""
    ends = {rung["split"]: int(rung["end"]) for rung in rungs}
    if len(ends) < 2:
        return {}
    return {
        accuracy_on(split): curve[end - 1]["macro_accuracy"] if end <= len(curve) else np.nan
        for split, end in ends.items()
    }


def varied_sizes(study: optuna.Study) -> list[str]:
    """Return the names of the searched sizes of front end and networks, without the prefix of the architecture."""
    names = [_size_name(name) for trial in study.get_trials(deepcopy=False) for name in trial.params]
    return list(dict.fromkeys(name for name in names if name))


@cache
def _config_column(name: str) -> str:
    return f"config.{plain_name(name)}"


def plain_name(name: str) -> str:
    """Return the name of a config field without the prefix of the architecture."""
    return name.rpartition(".")[2]


@cache
def _size_name(name: str) -> str:
    return name if name == "front_end" else name.partition(".")[2]


def _origin_text(origin: Mapping[str, Any] | None) -> str:
    """Describe the origin of a configuration; "" for the sampler's."""
    if origin is None:
        return ""
    changes = ", ".join(origin["changes"]) or (f"trial {origin['trial']}" if "trial" in origin else "")
    if "source" in origin:
        changes = f"{origin['source']}{changes and f': {changes}'}"
    return f"{origin['kind']}{changes and f' ({changes})'}"


def rejection_kinds(study: optuna.Study) -> dict[str, int]:
    """Count the rejected configurations by kind, the most frequent first."""
    kinds = Counter(
        trial.user_attrs[REJECTED]["kind"] for trial in study.get_trials(deepcopy=False) if REJECTED in trial.user_attrs
    )
    return dict(kinds.most_common())


def front_mask(table: pd.DataFrame, objectives: Sequence[str]) -> np.ndarray:
    """Return the mask of the Pareto front: rows fully trained, within the budget, and dominated by no such row.

    What is not better than chance is not on the front: a constant classifier is as good, and free.

    Args:
        table: Columns state, fits, every objective and perhaps at_chance.
        objectives: Names of `GOALS`; a row without a value for one of them is not on the front.
    """
    mask = np.zeros(len(table), dtype=bool)
    values = table[list(objectives)].to_numpy(dtype=float)
    eligible = (table["state"] == "complete").to_numpy() & table["fits"].to_numpy(dtype=bool)
    eligible &= ~np.isnan(values).any(axis=1)
    mask[eligible] = non_dominated(values[eligible], directions(objectives))
    return mask & ~table["at_chance"].to_numpy(dtype=bool) if "at_chance" in table else mask


def empty_front_text(table: pd.DataFrame, objectives: Sequence[str], study: optuna.Study) -> str:
    """Return why a front is empty, and what to do where everything on it is at chance."""
    num_classes = num_measured(study.user_attrs)
    if num_classes is not None and (table["at_chance"] & table["fits"].astype(bool)).any():
        return chance_text(objectives, num_classes)
    return "no trial that fits is fully trained yet"


def front_table(table: pd.DataFrame, objectives: Sequence[str]) -> pd.DataFrame:
    """Return the rows on the front, sorted by the first cost among the objectives, else by the first quality."""
    by = first_cost(objectives) or first_quality(objectives)
    return table[table["on_front"]].sort_values(by, kind="stable", ascending=not GOALS[by].maximize)
