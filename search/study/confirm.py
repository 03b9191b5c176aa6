"""Whether a front is one: its members and near misses, trained again from several seeds and measured on other clips.

A search chooses by validation clips, from one seed. The best of many by such a figure are those that were lucky, too:
what they are worth is known only from trainings and clips that nothing was chosen by. Needs no torch.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from data.layout import read_scenes
from objectives.confidence import front_probability, pooled_intervals
from objectives.front import non_dominated
from objectives.goals import GOALS, directions, first_cost, first_quality, of_kind
from objectives.interval import CONFIDENCE
from objectives.quality import Quality
from objectives.quality import figures as goals_of_quality
from objectives.sampling_error import EXPLAINED, standard_errors
from search.config.rules import settings_of
from search.config.settings import MAX_SEED, ConfirmSettings, JobSettings, SearchSettings
from search.study.data_identity import ARCHITECTURE_FILE, require_unchanged
from search.study.repeats import (
    ASKED,
    CHOSEN_BY,
    FRONT,
    GROUPS,
    MEMBER,
    NEAR,
    NETWORK,
    PLACE,
    SEED,
    TRIAL,
    figures,
    title,
)
from search.study.study import CONFIG, DATA, QUALITY, StudyError, StudyFolder
from search.study.table import study_table

UNSEEN = "unseen_accuracy"
COSTS = ("macs", "params")  # told of every member, beside those that are objectives


@dataclass(frozen=True)
class Candidate:
    """A trial that may be on the front.

    Attributes:
        number: Of the trial.
        place: `FRONT`, `NEAR` or `ASKED`.
        gap: Standard errors that it misses the front by; 0 on it.
    """

    number: int
    place: str
    gap: float


def choose(folder: StudyFolder, *, near: int, asked: Sequence[int] = ()) -> list[Candidate]:
    """Choose the trials to confirm: the front's members, and near misses.

    A near miss is fully trained and fits, but a member of the front is as cheap and better, by no more than the
    validation clips explain. The gap to a member is the least, over the qualities that are objectives, of the
    difference divided by its standard error (`objectives.sampling_error`, of both trials together): so much better by
    luck, and the member would not dominate it. The gap to the front is the largest of these gaps; up to `EXPLAINED` it
    may be luck.

    Args:
        folder: Of a search.
        near: The most near misses; the nearest are taken.
        asked: Numbers of the trials instead of all these.

    Returns:
        The members by number, then the near misses, the nearest first; or what was asked for.

    Raises:
        StudyError: The study is no search, nothing is on its front, or what was asked for cannot be confirmed.
    """
    settings, study = folder.settings(), folder.open()
    if not isinstance(settings, SearchSettings):
        raise StudyError(f"{folder.name} is no search: it trained what it was told, and chose nothing to confirm")
    table = study_table(folder)
    front = table[table["on_front"]]
    if front.empty:
        raise StudyError(f"the front of {folder.name} is empty: no trial that fits is fully trained yet")
    trained = table[(table["state"] == "complete") & table["fits"].astype(bool)]
    trained = trained[trained[list(settings.objectives)].notna().all(axis=1)]
    gaps = _gaps(study, trained, settings.objectives)
    missed = [number for number, gap in sorted(gaps.items(), key=lambda each: (each[1], each[0])) if gap <= EXPLAINED]
    places = {int(number): FRONT for number in front["number"]}
    places |= {number: NEAR for number in missed if number not in places}
    wrong = [number for number in asked if number not in set(trained["number"])]
    if wrong:
        can = ", ".join(str(number) for number in trained["number"])
        raise StudyError(
            f"trial {wrong[0]} of {folder.name} cannot be confirmed: only what is fully trained and within the budget "
            f"can: {can}"
        )
    if asked:
        return [Candidate(number, places.get(number, ASKED), gaps[number]) for number in dict.fromkeys(asked)]
    members = [Candidate(number, FRONT, 0.0) for number in sorted(int(each) for each in front["number"])]
    return members + [Candidate(number, NEAR, gaps[number]) for number in missed if places[number] == NEAR][:near]


def _gaps(study: optuna.Study, trained: pd.DataFrame, objectives: Sequence[str]) -> dict[int, float]:
    """Return for each trial by how many standard errors it misses the front; 0 on it."""
    trials = study.get_trials(deepcopy=False)
    numbers = [int(number) for number in trained["number"]]
    errors = {number: standard_errors(Quality.from_dict(trials[number].user_attrs[QUALITY])) for number in numbers}
    signs = np.where(directions(objectives), 1.0, -1.0)
    values = dict(zip(numbers, trained[list(objectives)].to_numpy(dtype=float) * signs, strict=True))  # more is better
    columns = {name: place for place, name in enumerate(objectives) if GOALS[name].kind == "quality"}
    front = [int(number) for number in trained.loc[trained["on_front"], "number"]]
    found = {}
    for number in numbers:
        better = [each for each in front if _dominates(values[each], values[number])]
        found[number] = max(
            (
                min(
                    (values[each][place] - values[number][place])
                    / math.hypot(errors[each][name] or 0.0, errors[number][name] or 0.0)
                    for name, place in columns.items()
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
    """Make the settings of the study that confirms: every candidate from every seed, on all training clips.

    Seeds are those after the search's own, so that no luck of the search's is used a second time. An objective that the
    evaluation clips cannot measure is left out.

    Args:
        folder: Of the search.
        candidates: Of `choose`.
        seeds: How many.
        data: Folder where the data set is now; None: where it was.

    Raises:
        StudyError: The search's architecture file has changed, or no quality can be measured on the evaluation clips.
        DataError: The data cannot be read.
    """
    settings, study = folder.settings(), folder.open()
    recorded = study.user_attrs[DATA]
    require_unchanged(folder, study, settings, only=ARCHITECTURE_FILE, remedy="bring it back")
    scenes = read_scenes(Path(data or settings.data), recorded["split"])
    heard = {scenes.devices[index] for index in scenes.device_index[scenes.evaluate]}
    is_unseen = any(scenes.device_groups[device] == "unseen" for device in heard)
    objectives = tuple(name for name in settings.objectives if is_unseen or name != UNSEEN)
    if not of_kind("quality", objectives):
        raise StudyError(
            f"{folder.name} looked for {GOALS[UNSEEN].title} alone, and the evaluation clips have none: nothing of it "
            "can be confirmed"
        )
    rows = {row["number"]: row for row in study_table(folder).to_dict("records")}
    trials = study.get_trials(deepcopy=False)
    members = tuple(_member(each, rows[each.number], trials[each.number]) for each in candidates)
    first = settings.seed + 1 if settings.seed + seeds <= MAX_SEED else 0
    shared = {name: getattr(settings, name) for name in settings_of(JobSettings)}
    return ConfirmSettings(
        **{
            **shared, "data": data or settings.data, "split": recorded["split"], "objectives": objectives,
            "trials": len(members) * seeds, "seed": first, "confirms": folder.name, "members": members,
            "teacher": settings.teacher if any(member[CONFIG]["distill_weight"] for member in members) else (),
        }
    )  # fmt: skip


def _member(candidate: Candidate, row: Mapping[Hashable, Any], trial: FrozenTrial) -> dict[str, Any]:
    known = {name: float(row[name]) for name in GOALS if not pd.isna(row[name])}
    return {
        TRIAL: candidate.number,
        PLACE: candidate.place,
        NETWORK: str(row["network"]),
        CHOSEN_BY: known,
        CONFIG: dict(trial.user_attrs[CONFIG]),
    }


def free_name(results: Path, study: str) -> str:
    """Return the name of a study's confirmation: with a number after it from the second on."""
    name, number = f"{study}-confirm", 1
    while (results / name).exists():
        number += 1
        name = f"{study}-confirm-{number}"
    return name


def confirm_report(folder: StudyFolder) -> dict[str, Any]:
    """Describe what a confirmation has found so far, as plain values.

    Returns:
        `members`, the cheapest first, each with the number of its `trial` in the search, its `place` there, the goals
        it was `chosen_by`, its `cost`; of its `seeds` the figures; of each figure the `mean` and what the interval at
        `confidence` reaches to either side (`half`, by the variance of all members together; None where nobody was
        trained twice); whether it is `on_front` by the means; and `p_front`, the probability that it is on the front of
        all members. What is not trained yet has no figures.
    """
    settings = folder.settings()
    if not isinstance(settings, ConfirmSettings):
        raise StudyError(f"{folder.name} confirms nothing: it is a {settings.job}")
    seeds: dict[int, dict[int, FrozenTrial]] = {int(member[TRIAL]): {} for member in settings.members}
    for trial in folder.open().get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        number = next(value for name, value in trial.params.items() if name.rpartition(".")[2] == MEMBER)
        seeds[number][int(trial.params[SEED])] = trial
    told = [_told(member, seeds[int(member[TRIAL])], settings.objectives) for member in settings.members]
    _judge([member for member in told if member["seeds"]], settings.objectives)
    by = first_cost(settings.objectives)
    told.sort(key=lambda member: (member["cost"][by] if by is not None else 0.0, member[TRIAL]))
    return {
        "confirms": settings.confirms,
        "seeds": list(settings.seeds),
        "objectives": list(settings.objectives),
        "confidence": CONFIDENCE,
        "members": told,
    }


def _told(member: Mapping[str, Any], trials: Mapping[int, FrozenTrial], objectives: Sequence[str]) -> dict[str, Any]:
    found = {}
    for seed in sorted(trials):
        quality = Quality.from_dict(trials[seed].user_attrs[QUALITY])
        goals = goals_of_quality(quality)
        groups = {name: value for name, value in figures(quality).items() if name.startswith(GROUPS)}
        if UNSEEN in objectives:
            groups.pop(f"{GROUPS}unseen", None)  # that is the objective itself
        named = {name: goals[name] for name in of_kind("quality", objectives)}
        found[str(seed)] = {"trial": trials[seed].number, **named, **groups}
    chosen_by = dict(member[CHOSEN_BY])
    return {
        TRIAL: int(member[TRIAL]),
        PLACE: member[PLACE],
        "architecture": member[CONFIG]["architecture"],
        NETWORK: member[NETWORK],
        "cost": {name: chosen_by.pop(name) for name in of_kind("cost", list(GOALS)) if name in chosen_by},
        CHOSEN_BY: chosen_by,
        "seeds": found,
        "mean": {},
        "half": {},
        "on_front": None,
        "p_front": None,
        "config": dict(member[CONFIG]),
    }


def _judge(members: Sequence[dict[str, Any]], objectives: Sequence[str]) -> None:
    """Add to each member, trained at least once, what all of them together say."""
    if not members:
        return
    samples = [list(member["seeds"].values()) for member in members]
    names = [name for name in samples[0][0] if name != "trial"]
    for name in names:
        found = pooled_intervals([[seed[name] for seed in each] for each in samples])
        for member, interval in zip(members, found, strict=True):
            member["mean"][name], member["half"][name] = interval.mean, interval.half
    qualities, costs = of_kind("quality", objectives), of_kind("cost", objectives)
    better = directions([*qualities, *costs])
    known = np.array([[member["cost"][name] for name in costs] for member in members]).reshape(len(members), len(costs))
    means = np.array([[member["mean"][name] for name in qualities] for member in members])
    chance = front_probability(
        [[[seed[name] for name in qualities] for seed in each] for each in samples], known, better
    )
    for place, on_front in enumerate(non_dominated(np.hstack([means, known]), better)):
        members[place]["on_front"] = bool(on_front)
        members[place]["p_front"] = None if chance is None else float(chance[place])


def confirm_lines(report: Mapping[str, Any]) -> list[list[str]]:
    """Arrange a report: a row a member."""
    objectives, members = report["objectives"], report["members"]
    costs = [name for name in of_kind("cost", list(GOALS)) if name in objectives or name in COSTS]
    names = next((list(member["mean"]) for member in members if member["mean"]), list(of_kind("quality", objectives)))
    names = [name for name in names if name != f"{GROUPS}real"]  # the table is wide enough
    by = GOALS[first_quality(objectives)]
    lines = [
        [
            "trial", "chosen as", "architecture", "network", *(GOALS[name].title for name in costs),
            f"{by.title}, validation", "seeds",
            *(GOALS[name].title if name in GOALS else title(name) for name in names), "P(front)", "front",
        ]
    ]  # fmt: skip
    for member in members:
        chance = member["p_front"]
        lines.append(
            [
                str(member[TRIAL]), member[PLACE], member["architecture"], member[NETWORK],
                *(GOALS[name].text(member["cost"].get(name, math.nan)) for name in costs),
                by.text(member[CHOSEN_BY].get(by.name, math.nan)), str(len(member["seeds"])),
                *(_mean_text(member["mean"].get(name), member["half"].get(name)) for name in names),
                "" if chance is None else f"{chance:.2f}", "*" if member["on_front"] else "",
            ]
        )  # fmt: skip
    return lines


def confirm_table(report: Mapping[str, Any]) -> pd.DataFrame:
    """Return a report as the table of a study: a row a member, with the means as its figures.

    Columns: those of `search.study.table.trials_table`, the goals of quality as means; `<goal>_half`, what the interval
    reaches to either side; p_front.
    """
    rows = []
    for member in report["members"]:
        known = {**member["cost"], **member["mean"]}
        halves = {f"{name}_half": half for name, half in member["half"].items() if name in GOALS}
        trained, epochs = len(member["seeds"]), member["config"]["epochs"]
        rows.append(
            {
                "number": member[TRIAL],
                "state": "complete" if trained else "interrupted",
                **{name: known.get(name, np.nan) for name in GOALS},
                **{name: np.nan if half is None else half for name, half in halves.items()},
                "fits": True,
                "epoch": epochs if trained else 0,
                "epochs": epochs,
                "reason": "",
                NETWORK: member[NETWORK],
                "origin": member[PLACE],
                "on_front": bool(member["on_front"]),
                "p_front": np.nan if member["p_front"] is None else member["p_front"],
                **{f"config.{name}": value for name, value in member["config"].items()},
            }
        )
    return pd.DataFrame(rows)


def _mean_text(mean: float | None, half: float | None) -> str:
    if mean is None:
        return ""
    return f"{mean:.3f}" if half is None else f"{mean:.3f} ± {half:.3f}"
