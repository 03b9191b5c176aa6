"""Synthetic studies with 10,000 trials, written in seconds, to time the dashboard on.

Configurations, costs and reasons of rejection are real; metrics are synthetic.
"""

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import TrialState

from objectives.cost import Cost
from objectives.goals import values_of
from search.config.settings import SearchSettings
from search.config.trial_config import ARCHITECTURE, TrialConfig
from search.optimizer.trial_store import widest
from search.space.pricing import price
from search.space.ranges import draw
from search.study.creation import create_study
from search.study.study import (
    CONFIG,
    COST,
    DATA,
    DEVICE_GROUPS,
    EPOCH,
    FAILURE,
    HISTORY,
    LAYERS,
    ORIGIN,
    PAUSED,
    QUALITY,
    REJECTED,
    RUNGS,
    STOPPED,
    VERSIONS,
    StudyFolder,
)
from spaces import SPACES, Space

NUM_TRIALS = (7_000, 2_000, 1_000)
KINDS = (
    ("one", "isotropic", ("macro_accuracy", "macs")),
    ("several", "all", ("macro_accuracy", "macs")),
    ("three", "cp_mobile", ("macro_accuracy", "macs", "params")),
)  # name, space and objectives of the studies
STATES = {  # of Optuna, by the state of a trial; a stopped one stays unfinished there
    "complete": TrialState.COMPLETE,
    "stopped": TrialState.RUNNING,
    "rejected": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "running": TrialState.RUNNING,
    "paused": TrialState.RUNNING,
}
FRACTIONS = {"complete": 0.064, "stopped": 0.035, "failed": 0.002}  # all others are rejected
NUM_UNFINISHED = 3  # trials that are running or paused when the search was interrupted
EPOCHS = 32
RUNG_ENDS = (3, 10, EPOCHS)
SCENES = ("airport", "bus", "metro", "metro_station", "park", "public_square", "shopping_mall", "street_pedestrian",
          "street_traffic", "tram")  # fmt: skip
DEVICES = {"a": "real", "b": "real", "c": "real", "s1": "seen", "s2": "seen", "s3": "seen", "s4": "unseen",
           "s5": "unseen", "s6": "unseen"}  # fmt: skip
NUM_CLIPS = 330  # per device
EPOCH_S = 40.0
PROPOSAL_S = 0.02
STARTED = datetime(2026, 1, 5, 9, tzinfo=UTC)


def make_studies(folder: Path, num_trials: Sequence[int] = NUM_TRIALS) -> list[StudyFolder]:
    """Write a study per number of trials into `folder`, as interrupted searches would have left them."""
    return [_make_study(folder, number, count) for number, count in enumerate(num_trials)]


def _make_study(folder: Path, number: int, count: int) -> StudyFolder:
    name, space, objectives = KINDS[number % len(KINDS)]
    study = StudyFolder(folder / (name if number < len(KINDS) else f"{name}-{number}"))
    settings = SearchSettings(data="nowhere", space=space, objectives=objectives, trials=max(1, count // 10))
    rungs = [{"split": settings.split, "start": 0, "end": end} for end in RUNG_ENDS]
    create_study(
        study,
        settings,
        {
            DATA: {"classes": list(SCENES), "devices": list(DEVICES), "split": settings.split},
            DEVICE_GROUPS: DEVICES,
            RUNGS: rungs,
            HISTORY: [{"at": STARTED.isoformat(), "trials": 0}],
        },
    )
    write_trials(study, settings.space, _trials(settings, count, np.random.default_rng(number)))
    return study


def write_trials(study: StudyFolder, space: str, trials: Iterable[Mapping[str, Any]]) -> None:
    """Write trials directly as rows of a study's database: Optuna would take minutes for thousands.

    Args:
        study: The study, without trials.
        space: Name of its search space.
        trials: "number", "state", "started", "ended", "params" and "user_attrs" of each; of a complete one "values".
    """
    distributions = {name: (each, distribution_to_json(each)) for name, each in widest(SPACES[space]).items()}
    with closing(sqlite3.connect(study.database)) as database, database:
        (study_id,) = database.execute("SELECT study_id FROM studies").fetchone()
        for trial in trials:
            _insert(database, study_id, trial, distributions)


def _trials(settings: SearchSettings, count: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Yield the trials, by number, as for `write_trials`."""
    probabilities = [*FRACTIONS.values(), 1 - sum(FRACTIONS.values())]
    states = rng.choice([*FRACTIONS, "rejected"], size=count, p=probabilities).tolist()
    states[-NUM_UNFINISHED:] = ["running", "paused", "running"][: len(states[-NUM_UNFINISHED:])]
    space, clock = SPACES[settings.space], STARTED.replace(tzinfo=None)
    for number, state in enumerate(states):
        clock += timedelta(seconds=PROPOSAL_S)
        if state == "rejected":
            params, user_attrs = _rejected(settings, space, number, rng)
            duration_s = 0.0
        else:
            params, user_attrs = _trained(settings, space, state, rng)
            duration_s = EPOCH_S * sum(name.startswith(EPOCH) for name in user_attrs)
        trial: dict[str, Any] = {"number": number, "params": params, "user_attrs": user_attrs}
        is_running = STATES[state] == TrialState.RUNNING
        trial |= {
            "state": STATES[state],
            "started": clock,
            "ended": None if is_running else clock + timedelta(seconds=duration_s),
        }
        clock += timedelta(seconds=duration_s / 4)  # four parallel trials
        if state == "complete":
            trial["values"] = values_of(settings.objectives, user_attrs[f"{EPOCH}{EPOCHS}"], user_attrs[COST])
        yield trial


def _sample(space: Space, rng: np.random.Generator) -> tuple[dict[str, Any], TrialConfig]:
    """Sample parameters, by their names in a study; return them with their configuration."""
    architecture = str(rng.choice(list(space.networks)))
    network = {name: draw(each, rng) for name, each in space.networks[architecture].items()}
    training = {name: draw(each, rng) for name, each in space.training.items()}
    params = {ARCHITECTURE: architecture} if len(space.networks) > 1 else {}
    params |= {f"{architecture}.{name}": value for name, value in network.items()}
    config = TrialConfig.from_values(architecture, {**network, **training, "epochs": EPOCHS})
    return {**params, **training}, config


def _rejected(
    settings: SearchSettings, space: Space, number: int, rng: np.random.Generator
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return params and user attributes of a rejected trial: over budget, a duplicate, or an invalid network."""
    kind = rng.random()
    params, config = _sample(space, rng)
    if kind < 0.02:
        return params, {REJECTED: {"kind": "invalid", "reason": "patch 16 is larger than the input 8 x 65"}}
    while not settings.limits().violations(cost := price(config, settings.precision)) and kind > 0.04:
        params, config = _sample(space, rng)
    excess = settings.limits().excess(cost)
    worst = max(excess, key=lambda name: excess[name])
    if excess[worst] <= 0:
        return params, {
            COST: cost.to_dict(),
            REJECTED: {"kind": "repeated", "reason": f"the same as trial {max(0, number - 1)}"},
        }
    reason = settings.limits().over_budget_message(cost)
    return params, {COST: cost.to_dict(), REJECTED: {"kind": f"over {worst}", "reason": reason}}


def _trained(
    settings: SearchSettings, space: Space, state: str, rng: np.random.Generator
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return params and user attributes of a trained trial, with synthetic metrics."""
    params, config = _sample(space, rng)
    while settings.limits().violations(price(config, settings.precision)):
        params, config = _sample(space, rng)
    cost = price(config, settings.precision)
    user_attrs: dict[str, Any] = {COST: cost.to_dict(), CONFIG: config.to_dict(), LAYERS: _layers(cost, rng)}
    epochs = {"complete": EPOCHS, "stopped": RUNG_ENDS[int(rng.integers(2))], "failed": int(rng.integers(5))}
    curve = _curve(cost, epochs.get(state, RUNG_ENDS[0]), rng)
    user_attrs |= {f"{EPOCH}{epoch['epoch']}": epoch for epoch in curve}
    if state == "complete":
        user_attrs |= {QUALITY: _quality(curve[-1], rng), VERSIONS: {"python": "3.11.7", "scenefront": "0.1.0"}}
    if state == "stopped":
        user_attrs[STOPPED] = f"epoch {len(curve)}: rank 3 of the 3 trials at this rung, of which 1 was promoted"
    if state == "failed":
        user_attrs[FAILURE] = f"loss is not finite: nan at epoch {len(curve) + 1}"
    if state in {"paused", "stopped"}:
        user_attrs[PAUSED] = len(curve)
    if rng.random() < 0.2:
        user_attrs[ORIGIN] = {"kind": "projected", "changes": ["width 48 -> 32"]}
    return params, user_attrs


def _curve(cost: Cost, epochs: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return a synthetic learning curve; final accuracy rises with MACs, and slightly with parameters."""
    final = 0.25 + 0.03 * math.log(cost.macs / 1e5) + 0.01 * math.log(cost.params / 1e3) + rng.normal(0, 0.02)
    noise = rng.normal(0, 0.01, size=epochs)
    curve = []
    for epoch in range(1, epochs + 1):
        accuracy = min(0.99, max(0.05, 0.1 + (final - 0.1) * (1 - math.exp(-epoch / 6)) + float(noise[epoch - 1])))
        curve.append(
            {
                "epoch": epoch,
                "split": "fold1",
                "train_loss": 2.2 - accuracy * epoch / EPOCHS,
                "macro_accuracy": accuracy,
                "log_loss": 2.4 * (1 - accuracy),
                "unseen_accuracy": accuracy - 0.06,
                "worst_device_accuracy": accuracy - 0.11,
                "duration_s": EPOCH_S,
            }
        )
    return curve


def _quality(epoch: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Return synthetic evaluation metrics with about the accuracy of an epoch."""
    accuracy, num_clips = epoch["macro_accuracy"], NUM_CLIPS * len(DEVICES) // len(SCENES)
    probabilities = np.full((len(SCENES), len(SCENES)), (1 - accuracy) / (len(SCENES) - 1))
    np.fill_diagonal(probabilities, accuracy)
    confusion = np.stack([rng.multinomial(num_clips, row) for row in probabilities])

    def score(num_clips: int) -> dict[str, Any]:
        return {
            "clips": num_clips,
            "accuracy": float(np.clip(accuracy + rng.normal(0, 0.05), 0, 1)),
            "log_loss": epoch["log_loss"],
        }

    groups = list(dict.fromkeys(DEVICES.values()))
    return {
        "macro_accuracy": accuracy,
        "accuracy": float(confusion.trace() / confusion.sum()),
        "log_loss": epoch["log_loss"],
        "classes": list(SCENES),
        "confusion": confusion.tolist(),
        "by_class": {name: score(num_clips) for name in SCENES},
        "by_device": {name: score(NUM_CLIPS) for name in DEVICES},
        "by_group": {name: score(NUM_CLIPS * list(DEVICES.values()).count(name)) for name in groups},
    }


def _layers(cost: Cost, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return synthetic layers whose MACs and parameters add up to a cost."""
    count = int(rng.integers(8, 30))
    macs = rng.multinomial(cost.macs, np.full(count, 1 / count)).tolist()
    params = rng.multinomial(cost.params, np.full(count, 1 / count)).tolist()
    return [
        {
            "name": f"blocks.{index // 2}.{'filter' if index % 2 else 'widen'}",
            "kind": "BatchNorm2d" if index % 2 else "Conv2d",
            "output_shape": [64, 51, 13],
            "params": params[index],
            "macs": macs[index],
        }
        for index in range(count)
    ]


def _insert(
    database: sqlite3.Connection,
    study_id: int,
    trial: Mapping[str, Any],
    distributions: Mapping[str, tuple[BaseDistribution, str]],
) -> None:
    """Insert a trial as Optuna's storage does."""
    row = (trial["number"], study_id, trial["state"].name, *(_time(trial[name]) for name in ("started", "ended")))
    trial_id = database.execute(
        "INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete) VALUES (?, ?, ?, ?, ?)", row
    ).lastrowid
    database.executemany(
        "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) VALUES (?, ?, ?, ?)",
        [
            (trial_id, name, distributions[name][0].to_internal_repr(value), distributions[name][1])
            for name, value in trial["params"].items()
        ],
    )
    database.executemany(
        "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (?, ?, ?)",
        [(trial_id, name, json.dumps(value)) for name, value in trial["user_attrs"].items()],
    )
    database.executemany(
        "INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (?, ?, ?, 'FINITE')",
        [(trial_id, index, value) for index, value in enumerate(trial.get("values", ()))],
    )


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S.%f")
