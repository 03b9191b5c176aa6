"""Data frames for the dashboard's figures and views, computed from the table of trials of a study.

A table is `StudyData.table` (`search.dashboard.data.study_reader`), or some of its rows.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from objectives.front import hypervolume, non_dominated
from objectives.goals import GOALS, first_cost, first_quality, of_kind
from objectives.reference import normalized
from search.config.messages import unknown
from search.config.published import TRAINABLE, read_published
from search.dashboard.data.study_reader import StudyData
from search.report.format import si_text
from search.study.confirm import confirm_table
from search.study.study import STATES
from search.study.table import front_mask

CONFIG = "config."  # prefix of the columns of config fields
ARCHITECTURE = "architecture"
NUM_SCENES = 10  # of the challenge
FINISHED = ("complete", "stopped", "failed")  # states
RECENT = 20  # finished trials from which the time left is estimated


def within(table: pd.DataFrame, limits: Mapping[str, float], objectives: Sequence[str]) -> pd.DataFrame:
    """Return a table with `fits` and `on_front` under further limits, in addition to those of its study.

    Trials over the study's own budget stay infeasible, so that only tighter limits have an effect. A fully trained
    network of unknown cost does not fit.

    Raises:
        ValueError: A limit is not on a cost.
    """
    costs = of_kind("cost", list(GOALS))
    fits = table["fits"].to_numpy(dtype=bool).copy()
    is_trained = (table["state"] == "complete").to_numpy()
    for name, limit in limits.items():
        if name not in costs:
            raise ValueError(unknown("cost", name, costs))
        values = table[name].to_numpy(dtype=float)
        fits &= ~(values > limit) & ~(is_trained & np.isnan(values))
    limited = table.assign(fits=fits)
    return limited.assign(on_front=front_mask(limited, objectives))


def best_within(table: pd.DataFrame, objectives: Sequence[str]) -> pd.Series | None:
    """Return the best feasible, fully trained trial by the first quality, ties by the first cost; None without one."""
    quality, cost = first_quality(objectives), first_cost(objectives)
    rows = table[(table["state"] == "complete") & table["fits"].astype(bool) & table[quality].notna()]
    if rows.empty:
        return None
    by = [quality, *([] if cost is None else [cost]), "number"]
    ascending = [not GOALS[quality].maximize, *([] if cost is None else [True]), True]
    return rows.sort_values(by, ascending=ascending).iloc[0]


def hypervolume_over_time(
    table: pd.DataFrame, objectives: Sequence[str], num_classes: int | None, limits: Mapping[str, float]
) -> pd.DataFrame:
    """Return the hypervolume of the feasible, fully trained trials after each completed trial.

    The objectives are scaled by `objectives.reference`: 0 is a constant classifier at the limits of the budget, fixed
    whatever is found, and 1 the ideal. Trials that are not better than chance add nothing.

    Args:
        num_classes: Number of scenes that are measured; None: not recorded, and taken as the challenge's ten.
        limits: Of the budget, the same for all compared studies.

    Returns:
        In the order of completion: `number` of the trial; `seconds` since the start of the study's first trial;
        `hypervolume`, as a fraction of the box between the reference point and the ideal point.
    """
    names = list(objectives)
    better = [True] * len(names)
    rows = table[(table["state"] == "complete") & table["fits"].astype(bool) & table["ended_s"].notna()]
    rows = rows[rows[names].notna().all(axis=1)].sort_values(["ended_s", "number"], kind="stable")
    points = normalized(rows[names].to_numpy(dtype=float), names, num_classes or NUM_SCENES, limits)
    counts = ~rows["at_chance"].to_numpy(dtype=bool) if "at_chance" in rows else np.ones(len(rows), dtype=bool)
    volumes, volume = [], 0.0
    front = np.empty((0, len(names)))
    for point, does_count in zip(points, counts, strict=True):
        if does_count and not (point <= front).all(axis=1).any():
            front = np.vstack([front, point])
            front = front[non_dominated(front, better)]
            volume = hypervolume(front, np.zeros(len(names)), better)
        volumes.append(volume)
    seconds = rows["ended_s"].to_numpy(dtype=float) - table["started_s"].astype(float).min()
    return pd.DataFrame({"number": rows["number"].to_numpy(), "seconds": seconds, "hypervolume": volumes})


def varied_fields(table: pd.DataFrame, fields: Collection[str] | None = None) -> list[str]:
    """Return the config fields with more than one known value.

    Args:
        fields: Candidate fields, such as `StudyData.varied`; None: all.
    """
    columns = [str(name) for name in table if str(name).startswith(CONFIG)]
    names = [name.removeprefix(CONFIG) for name in columns if table[name].nunique() > 1]
    return [name for name in names if fields is None or name in fields]


def architecture_names(rows: pd.DataFrame) -> NDArray[Any]:
    """Return each row's architecture; rejected rows do not record it where only one was searched."""
    column = rows.get(CONFIG + ARCHITECTURE, pd.Series("", index=rows.index)).astype(object)
    known = column.dropna().unique()
    return column.fillna(known[0] if len(known) == 1 else "").to_numpy(dtype=object)


def is_ordered(column: pd.Series) -> bool:
    """Whether a column holds numbers only, not text or booleans."""
    levels = column.dropna().unique().tolist()
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in levels)


def ordered_codes(column: pd.Series) -> tuple[NDArray[np.int64], list[Any]]:
    """Return the rank of each value among the distinct values, -1 where unknown, and these, sorted."""
    levels = sorted(column.dropna().unique().tolist(), key=lambda value: (isinstance(value, str), value))
    indices = {value: index for index, value in enumerate(levels)}
    codes = [indices.get(value, -1) if isinstance(value, str) or not pd.isna(value) else -1 for value in column]
    return np.array(codes, dtype=np.int64), levels


def relatives(table: pd.DataFrame, number: int, fields: Collection[str] | None = None) -> pd.DataFrame:
    """Return the trials of the same architecture that differ from one in a single config field.

    A field that is unknown for either trial counts as equal.

    Args:
        fields: Compared fields, such as `StudyData.varied`, from which the others follow; None: all.

    Returns:
        `number` of each trial, the `field`, and its value in the given trial, `was`, and in this one, `is`.

    Raises:
        ValueError: There is no such trial.
    """
    rows = np.flatnonzero((table["number"] == number).to_numpy())
    if not len(rows):
        raise ValueError(f"there is no trial {number}")
    architectures = architecture_names(table)
    names = [name for name in varied_fields(table, fields) if name != ARCHITECTURE]
    values = table[[CONFIG + name for name in names]].to_numpy(dtype=object)
    own = values[rows[0]]
    differs = (values != own) & ~pd.isna(values) & ~pd.isna(own)
    related = np.flatnonzero((differs.sum(axis=1) == 1) & (architectures == architectures[rows[0]]))
    indices = differs[related].argmax(axis=1) if len(related) else related
    return pd.DataFrame(
        {
            "number": table["number"].to_numpy()[related],
            "field": [names[index] for index in indices],
            "was": pd.Series([own[index] for index in indices], dtype=object),
            "is": pd.Series([values[row, index] for row, index in zip(related, indices, strict=True)], dtype=object),
        }
    )


def config_rows(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> pd.DataFrame:
    """Return a config as rows: `field`, `value`, `default` (None without one), and whether it `differs` from it."""
    return pd.DataFrame(
        {
            "field": list(config),
            "value": pd.Series(list(config.values()), dtype=object),
            "default": pd.Series([defaults.get(name) for name in config], dtype=object),
            "differs": [name in defaults and value != defaults[name] for name, value in config.items()],
        }
    )


def rejections(table: pd.DataFrame, kinds: Mapping[int, str]) -> pd.DataFrame:
    """Count rejected trials by reason: `kind` and `count`, the most frequent first."""
    found = pd.Series([kinds[number] for number in table["number"] if number in kinds], dtype=object)
    counts = sorted(found.value_counts().items(), key=lambda each: (-each[1], str(each[0])))
    return pd.DataFrame({"kind": [kind for kind, _ in counts], "count": [int(count) for _, count in counts]})


@dataclass(frozen=True)
class Progress:
    """Progress of a job.

    Attributes:
        wanted: Number of requested trials.
        done: Number of finished trials: trained to the end, stopped or failed.
        states: Number of trials by state of `search.study.study.STATES`, without zeros.
        share: Share of the requested trials that are finished.
        elapsed_s: Time from the first trial's start to now; of an ended job, to its last trial's end.
        left_s: Estimate from the last trials; None where no job is running, or too few trials are finished.
    """

    wanted: int
    done: int
    states: Mapping[str, int]
    share: float
    elapsed_s: float
    left_s: float | None


def progress(reading: StudyData, now_s: float) -> Progress:
    """Return the progress of a job."""
    table = reading.table
    wanted = 0 if reading.settings is None else reading.settings.trials
    counts = table["state"].value_counts()
    states = {state: int(counts[state]) for state in STATES if state in counts}
    done = sum(states.get(state, 0) for state in FINISHED)
    share = min(1.0, done / wanted) if wanted else 0.0
    times = table[["started_s", "ended_s"]].to_numpy(dtype=float)
    known = times[~np.isnan(times)]
    end_s = now_s if reading.is_locked else float(known.max(initial=-math.inf))
    elapsed_s = max(0.0, end_s - float(known.min())) if len(known) else 0.0
    left_s = None
    ends = np.sort(table.loc[table["state"].isin(FINISHED), "ended_s"].dropna().to_numpy(dtype=float))[-RECENT:]
    if reading.is_locked and len(ends) > 1:
        left_s = max(0.0, (wanted - done) * float(now_s - ends[0]) / (len(ends) - 1)) if done < wanted else 0.0
    return Progress(wanted, done, states, share, elapsed_s, left_s)


def parallel(table: pd.DataFrame, fields: Collection[str] | None = None) -> pd.DataFrame:
    """Return the columns of parallel coordinates: the config fields and the objectives that vary."""
    configs = [CONFIG + name for name in varied_fields(table, fields)]
    return table[[*configs, *(name for name in GOALS if table[name].nunique() > 1)]]


def number_text(value: float) -> str:
    """Format a number with four significant digits, or an SI prefix."""
    return si_text(value) if abs(value) >= 1000 else f"{value:.4g}"


def published_points(objectives: Sequence[str]) -> pd.DataFrame:
    """Return the published networks that have a value of some of these objectives.

    Returns:
        `name`, `report`, `accuracy` as a share, the `data` that it was measured on, and a column for each objective,
        NaN where the report has none; parameters only where they are counted by the same rule.
    """
    rows = []
    for entry in read_published():
        accuracy = math.nan if entry.accuracy is None else entry.accuracy / 100
        known = {
            "macro_accuracy": accuracy,
            "log_loss": entry.log_loss,
            "macs": entry.claimed_macs,
            "params": entry.claimed_params if entry.params_rule == TRAINABLE else None,
        }
        goals = {name: math.nan if known.get(name) is None else float(known[name] or 0) for name in objectives}
        if any(not math.isnan(value) for value in goals.values()):
            text = {"name": entry.name, "report": entry.source, "accuracy": accuracy, "data": entry.data}
            rows.append({**text, **goals})
    return pd.DataFrame(rows, columns=["name", "report", "accuracy", "data", *objectives])


def intervals(report: Mapping[str, Any]) -> pd.DataFrame:
    """Return the mean quality of confirmed trials, with the half-widths of the confidence intervals.

    Returns:
        `number` of the trial in the search and, for each evaluated quality, `<quality>_mean` and
        `<quality>_half`: NaN where there are too few seeds to show an interval.
    """
    table = confirm_table(report)
    if report["too_few_seeds"]:
        table = table.assign(**{str(name): np.nan for name in table if str(name).endswith("_half")})
    table = table[table["state"] == "complete"]
    names = [name for name in of_kind("quality", list(GOALS)) if f"{name}_half" in table]
    found = {"number": table["number"]}
    for name in names:
        found |= {f"{name}_mean": table[name].astype(float), f"{name}_half": table[f"{name}_half"].astype(float)}
    return pd.DataFrame(found).reset_index(drop=True)
