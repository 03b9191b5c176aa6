"""Searches as a user runs them, in a subprocess each; what they chose, and on which networks they spent their time."""

import math
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pandas as pd

from benchmarks.beats_published_figures import MIN_MACS, Row
from benchmarks.final_trainings import Clips
from objectives.sampling_error import Z_95
from search.config.settings import MODES, SearchSettings
from search.config.subprocess import environment, module_command
from search.config.trial_config import TrialConfig
from search.study.selection import best_trial
from search.study.study import ALLOCATION, CONFIG, DATA, StudyFolder, learning_curve
from search.study.table import front_table, study_table

SPACE = "all"
NUM_BINS = 6


@dataclass(frozen=True)
class FoundNetwork:
    """A network on the front of a search.

    Attributes:
        trial: Number of the trial.
        config: Its configuration.
        macs: Multiply-accumulates.
        params: Number of parameters.
        validation: Macro accuracy on the validation clips, by which it was chosen.
        is_best: Whether it is the one with the best validation accuracy.
    """

    trial: int
    config: TrialConfig
    macs: int
    params: int
    validation: float
    is_best: bool


def settings_of_search(clips: Clips, mode: str, trials: int, epochs: int) -> SearchSettings:
    """Return the settings of a search, all others at their defaults."""
    assert mode in MODES
    responses = None if clips.responses is None else str(clips.responses)
    return SearchSettings(
        data=str(clips.root), space=SPACE, mode=mode, trials=trials, epochs=epochs, impulse_responses=responses,
        cache=str(clips.cache),
    )  # fmt: skip


def run_search(settings: SearchSettings, studies: Path) -> StudyFolder:
    """Run a search, or continue it where it was stopped; one that has ended is not run again.

    Raises:
        ClickException: It failed.
    """
    name = f"{settings.mode}-{settings.trials}x{settings.epochs}"
    folder, ended = StudyFolder(studies / name), studies / f"{name}.ended"
    if ended.exists():
        return folder
    studies.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        command = module_command("search", "resume", name, "--results", str(studies))
    else:
        flags = {
            "space": settings.space, "mode": settings.mode, "trials": settings.trials, "epochs": settings.epochs,
            "impulse-responses": settings.impulse_responses, "cache": settings.cache, "study": name,
            "results": studies,
        }  # fmt: skip
        given = [text for key, value in flags.items() if value is not None for text in (f"--{key}", str(value))]
        command = module_command("search", "search", settings.data, *given)
    with subprocess.Popen(command, env=environment()) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:  # the search has got it as well, and writes what it has
            process.wait()
            raise
    if status:
        raise click.ClickException(f"the search {folder.path} ended with exit code {status}; run this again to go on")
    ended.touch()
    return folder


def found_networks(folder: StudyFolder) -> list[FoundNetwork]:
    """Return the front of a search, which has its best network on it, the cheapest first."""
    trials, best = folder.open().get_trials(deepcopy=False), best_trial(folder)
    front = front_table(study_table(folder), folder.settings().objectives)
    return [
        FoundNetwork(
            trial=int(row["number"]),
            config=TrialConfig.from_dict(trials[int(row["number"])].user_attrs[CONFIG]),
            macs=int(row["macs"]),
            params=int(row["params"]),
            validation=float(row["macro_accuracy"]),
            is_best=int(row["number"]) == best,
        )
        for row in front.to_dict("records")
    ]


def trial_costs(folder: StudyFolder) -> pd.DataFrame:
    """Return a row for each trial that was trained for an epoch or more: macs, seconds, is_at_chance.

    The seconds are of processor cores: those of its epochs times the cores that it was given. A trial is at chance if
    its last macro accuracy, stopped early or not, exceeds 1 / K by no more than its binomial 95 % interval on the
    validation clips.
    """
    study = folder.open()
    data, cores = study.user_attrs[DATA], int(study.user_attrs.get(ALLOCATION, {}).get("cores", 1))
    num_clips, chance = data["evaluation_clips"], 1 / len(data["classes"])
    rows = []
    for trial in study.get_trials(deepcopy=False):
        curve = learning_curve(trial)
        if curve:
            accuracy = float(curve[-1]["macro_accuracy"])
            half = Z_95 * math.sqrt(accuracy * (1 - accuracy) / num_clips)
            seconds = cores * sum(float(epoch["duration_s"]) for epoch in curve)
            macs = float(trial.user_attrs["cost"]["macs"])
            rows.append({"macs": macs, "seconds": seconds, "is_at_chance": accuracy - half <= chance})
    return pd.DataFrame(rows, columns=["macs", "seconds", "is_at_chance"])


def cost_rows(mode: str, costs: Sequence[pd.DataFrame], max_macs: int) -> Iterator[Row]:
    """Yield the number of trials and the share of the seconds in each bin of log MACs, and that of trials at chance.

    Args:
        mode: Mode of the searches.
        costs: A table of `trial_costs` for each outer fold.
        max_macs: Budget.
    """
    table = pd.concat(costs, ignore_index=True)
    edges = np.geomspace(MIN_MACS, max_macs, NUM_BINS + 1)
    place = np.clip(np.searchsorted(edges, table["macs"], side="left") - 1, 0, NUM_BINS - 1)
    total = float(table["seconds"].sum())
    for number in range(NUM_BINS):
        where = f"from {edges[number]:.0f} to {edges[number + 1]:.0f} MACs"
        yield Row(mode, f"trials {where}", float((place == number).sum()))
        yield Row(mode, f"share of seconds {where}", _share(table["seconds"][place == number], total))
    yield Row(mode, "trials", float(len(table)))
    yield Row(mode, "processor seconds", total)
    yield Row(mode, "share of seconds at chance", _share(table["seconds"][table["is_at_chance"].astype(bool)], total))


def _share(seconds: "pd.Series[float]", total: float) -> float:
    return float(seconds.sum()) / total if total else 0.0
