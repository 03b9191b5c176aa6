"""Confirmation of a search's front: candidates retrained from several seeds and evaluated on held-out clips.

A search selects by validation clips and one seed, so that its best metrics are biased upwards (winner's curse): an
unbiased estimate needs other seeds, and clips never used for model selection. Needs no torch.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from data.layout import read_scenes
from objectives.goals import GOALS, directions, first_cost, of_kind
from objectives.interval import CONFIDENCE
from objectives.quality import Quality
from objectives.quality import figures as quality_goals
from objectives.sampling_error import Z_95, difference_error
from search.config.rules import settings_of
from search.config.settings import MAX_SEED, ConfirmSettings, JobSettings, SearchSettings
from search.study.confirm_statistics import add_statistics, few_seeds_text
from search.study.data_identity import ARCHITECTURE_FILE, require_unchanged
from search.study.repeats import (
    CHOSEN_BY,
    FRONT,
    GROUPS,
    NEAR,
    NETWORK,
    REQUESTED,
    ROLE,
    SEED,
    TRIAL,
    candidate_number,
    seed_metrics,
)
from search.study.scope import num_measured
from search.study.study import CONFIG, DATA, QUALITY, StudyError, StudyFolder
from search.study.table import empty_front_text, front_mask, study_table

UNSEEN = "unseen_accuracy"


@dataclass(frozen=True)
class Candidate:
    """A trial to confirm: on the front, a near miss, or requested by number.

    Attributes:
        number: Number of the trial.
        role: `FRONT`, `NEAR` or `REQUESTED`.
        gap: Distance to the front, in standard errors; 0 on it.
    """

    number: int
    role: str
    gap: float


def select_candidates(folder: StudyFolder, *, near: int, requested: Sequence[int] = ()) -> list[Candidate]:
    """Select the trials to confirm: those on the front, and near misses.

    A near miss is fully trained, within the budget, and dominated by no more than the sampling error of the validation
    clips. Its gap to a trial that dominates it is the smallest difference in a quality, in standard errors of that
    difference (`objectives.sampling_error`). Its gap to the front is the largest of these, at most `Z_95`.

    Args:
        folder: Folder of a search.
        near: Maximum number of near misses, those with the smallest gap.
        requested: Numbers of the trials to confirm instead.

    Returns:
        The trials on the front by number, then the near misses by their gap; or the requested ones. Where nothing is
        better than chance, near misses alone: those that would be on the front without chance.

    Raises:
        StudyError: The study is no search, nothing that fits is trained, or a requested trial cannot be confirmed.
    """
    settings, study = folder.settings(), folder.open()
    if not isinstance(settings, SearchSettings):
        raise StudyError(f"{folder.name} is a {settings.job} study: only the front of a search can be confirmed")
    table = study_table(folder)
    front = table[table["on_front"]]
    if front.empty:  # seeds and all training clips may yet show what one training did not
        table = table.assign(on_front=front_mask(table.drop(columns="at_chance"), settings.objectives))
    if not table["on_front"].any():
        raise StudyError(f"the front of {folder.name} is empty: {empty_front_text(table, settings.objectives, study)}")
    trained = table[(table["state"] == "complete") & table["fits"].astype(bool)]
    trained = trained[trained[list(settings.objectives)].notna().all(axis=1)]
    gaps = _gaps(study, trained, settings.objectives)
    missed = [number for number, gap in sorted(gaps.items(), key=lambda each: (each[1], each[0])) if gap <= Z_95]
    roles = {int(number): FRONT for number in front["number"]}
    roles |= {number: NEAR for number in missed if number not in roles}
    wrong = [number for number in requested if number not in set(trained["number"])]
    if wrong:
        can = ", ".join(str(number) for number in trained["number"])
        raise StudyError(
            f"trial {wrong[0]} of {folder.name} cannot be confirmed; fully trained and within the budget are: {can}"
        )
    if requested:
        return [Candidate(number, roles.get(number, REQUESTED), gaps[number]) for number in dict.fromkeys(requested)]
    if front.empty:
        return [Candidate(int(number), NEAR, 0.0) for number in table.loc[table["on_front"], "number"]]
    on_front = [Candidate(number, FRONT, 0.0) for number in sorted(int(each) for each in front["number"])]
    return on_front + [Candidate(number, NEAR, gaps[number]) for number in missed if roles[number] == NEAR][:near]


def _gaps(study: optuna.Study, trained: pd.DataFrame, objectives: Sequence[str]) -> dict[int, float]:
    """Return each trial's gap to the front, in standard errors; 0 on it."""
    trials = study.get_trials(deepcopy=False)
    numbers = [int(number) for number in trained["number"]]
    known = {number: Quality.from_dict(trials[number].user_attrs[QUALITY]) for number in numbers}
    signs = np.where(directions(objectives), 1.0, -1.0)
    values = dict(zip(numbers, trained[list(objectives)].to_numpy(dtype=float) * signs, strict=True))  # more is better
    columns = {name: index for index, name in enumerate(objectives) if GOALS[name].kind == "quality"}
    front = [int(number) for number in trained.loc[trained["on_front"], "number"]]
    found = {}
    for number in numbers:
        better = [each for each in front if _dominates(values[each], values[number])]
        found[number] = max(
            (
                min(
                    (values[each][index] - values[number][index]) / difference_error(known[each], known[number], name)
                    for name, index in columns.items()
                )
                for each in better
            ),
            default=0.0,
        )
    return found


def _dominates(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((one >= other).all() and (one > other).any())


def confirm_settings(
    folder: StudyFolder, candidates: Sequence[Candidate], *, seeds: int, data: str | None = None
) -> ConfirmSettings:
    """Make the settings of a confirmation: every candidate from every seed, on all training clips.

    The seeds follow the search's own, so that none is used twice. An objective that the evaluation clips cannot measure
    is omitted.

    Args:
        folder: Folder of the search.
        candidates: Result of `select_candidates`.
        seeds: Number of seeds.
        data: Folder of the data set; None: the search's.

    Raises:
        StudyError: The search's architecture file has changed, or no quality can be measured on the evaluation clips.
        DataError: The data cannot be read.
    """
    settings, study = folder.settings(), folder.open()
    recorded = study.user_attrs[DATA]
    require_unchanged(folder, study, settings, only=ARCHITECTURE_FILE, remedy="bring it back")
    scenes = read_scenes(Path(data or settings.data), recorded["split"])
    evaluated = {scenes.devices[index] for index in scenes.device_index[scenes.evaluate]}
    is_unseen = any(scenes.device_groups[device] == "unseen" for device in evaluated)
    objectives = tuple(name for name in settings.objectives if is_unseen or name != UNSEEN)
    if not of_kind("quality", objectives):
        raise StudyError(
            f"{folder.name} has {GOALS[UNSEEN].title} as its only quality, and the evaluation clips have no unseen "
            "device: it cannot be confirmed"
        )
    rows = {row["number"]: row for row in study_table(folder).to_dict("records")}
    trials = study.get_trials(deepcopy=False)
    described = tuple(_candidate_record(each, rows[each.number], trials[each.number]) for each in candidates)
    first = settings.seed + 1 if settings.seed + seeds <= MAX_SEED else 0
    shared = {name: getattr(settings, name) for name in settings_of(JobSettings)}
    return ConfirmSettings(
        **{
            **shared, "data": data or settings.data, "split": recorded["split"], "objectives": objectives,
            "trials": len(described) * seeds, "seed": first, "confirms": folder.name, "candidates": described,
            "teacher": settings.teacher if any(each[CONFIG]["distill_weight"] for each in described) else (),
        }
    )  # fmt: skip


def _candidate_record(candidate: Candidate, row: Mapping[Hashable, Any], trial: FrozenTrial) -> dict[str, Any]:
    known = {name: float(row[name]) for name in GOALS if not pd.isna(row[name])}
    return {
        TRIAL: candidate.number,
        ROLE: candidate.role,
        NETWORK: str(row["network"]),
        CHOSEN_BY: known,
        CONFIG: dict(trial.user_attrs[CONFIG]),
    }


def free_name(results: Path, study: str) -> str:
    """Return an unused name for a confirmation of a study; a number is appended from the second on."""
    name, number = f"{study}-confirm", 1
    while (results / name).exists():
        number += 1
        name = f"{study}-confirm-{number}"
    return name


def confirm_report(folder: StudyFolder) -> dict[str, Any]:
    """Return the results of a confirmation so far, as plain values.

    Returns:
        `candidates`, the cheapest first: number of the `trial` in the search, `role`, objectives it was `chosen_by`,
        `cost`, metrics of each of its `seeds`, `mean` of each metric and `half`, the half-width of its interval at
        `confidence` over seeds and recordings (None unless some candidate has two seeds), `half_seeds`, of that over
        seeds alone, whether it is `at_chance` (not better than a constant classifier by its interval), whether it is
        `on_front` by the means, and `p_front`, the probability of that. Untrained candidates have no metrics.
        `too_few_seeds` is a sentence where intervals and probabilities say next to nothing, else empty.
    """
    settings = folder.settings()
    if not isinstance(settings, ConfirmSettings):
        raise StudyError(f"{folder.name} confirms nothing: it is a {settings.job}")
    seeds: dict[int, dict[int, FrozenTrial]] = {int(candidate[TRIAL]): {} for candidate in settings.candidates}
    for trial in folder.open().get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        seeds[candidate_number(trial)][int(trial.params[SEED])] = trial
    results = [
        _result(candidate, seeds[int(candidate[TRIAL])], settings.objectives) for candidate in settings.candidates
    ]
    trained = [candidate for candidate in results if candidate["seeds"]]
    qualities = [_qualities(seeds[int(candidate[TRIAL])]) for candidate in trained]
    num_classes = num_measured(folder.open().user_attrs)
    add_statistics(trained, qualities, settings.objectives, num_classes)
    by = first_cost(settings.objectives)
    results.sort(key=lambda candidate: (candidate["cost"][by] if by is not None else 0.0, candidate[TRIAL]))
    return {
        "confirms": settings.confirms,
        "seeds": list(settings.seeds),
        "objectives": list(settings.objectives),
        "confidence": CONFIDENCE,
        "num_classes": num_classes,
        "too_few_seeds": few_seeds_text([len(candidate["seeds"]) for candidate in trained]),
        "candidates": results,
    }


def _qualities(trials: Mapping[int, FrozenTrial]) -> list[Quality]:
    """Return the qualities of a candidate's seeds, by seed."""
    return [Quality.from_dict(trials[seed].user_attrs[QUALITY]) for seed in sorted(trials)]


def _result(
    candidate: Mapping[str, Any], trials: Mapping[int, FrozenTrial], objectives: Sequence[str]
) -> dict[str, Any]:
    found = {}
    for seed, quality in zip(sorted(trials), _qualities(trials), strict=True):
        goals = quality_goals(quality)
        groups = {name: value for name, value in seed_metrics(quality).items() if name.startswith(GROUPS)}
        if UNSEEN in objectives:
            groups.pop(f"{GROUPS}unseen", None)  # a duplicate of the objective
        named = {name: goals[name] for name in of_kind("quality", objectives)}
        found[str(seed)] = {"trial": trials[seed].number, **named, **groups}
    chosen_by = dict(candidate[CHOSEN_BY])
    return {
        TRIAL: int(candidate[TRIAL]),
        ROLE: candidate[ROLE],
        "architecture": candidate[CONFIG]["architecture"],
        NETWORK: candidate[NETWORK],
        "cost": {name: chosen_by.pop(name) for name in of_kind("cost", list(GOALS)) if name in chosen_by},
        CHOSEN_BY: chosen_by,
        "seeds": found,
        "mean": {},
        "half": {},
        "half_seeds": {},
        "at_chance": False,
        "on_front": None,
        "p_front": None,
        "config": dict(candidate[CONFIG]),
    }


def confirm_table(report: Mapping[str, Any]) -> pd.DataFrame:
    """Return a row per candidate of a report.

    Columns: those of `search.study.table.trials_table`, with qualities as means; `<objective>_half`, the half-width of
    the interval; p_front.
    """
    rows = []
    for candidate in report["candidates"]:
        known = {**candidate["cost"], **candidate["mean"]}
        halves = {f"{name}_half": half for name, half in candidate["half"].items() if name in GOALS}
        trained, epochs = len(candidate["seeds"]), candidate["config"]["epochs"]
        rows.append(
            {
                "number": candidate[TRIAL],
                "state": "complete" if trained else "interrupted",
                **{name: known.get(name, np.nan) for name in GOALS},
                **{name: np.nan if half is None else half for name, half in halves.items()},
                "fits": True,
                "epoch": epochs if trained else 0,
                "epochs": epochs,
                "reason": "",
                NETWORK: candidate[NETWORK],
                "origin": candidate[ROLE],
                "at_chance": candidate["at_chance"],
                "on_front": bool(candidate["on_front"]),
                "p_front": np.nan if candidate["p_front"] is None else candidate["p_front"],
                **{f"config.{name}": value for name, value in candidate["config"].items()},
            }
        )
    return pd.DataFrame(rows)
