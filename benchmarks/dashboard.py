"""Studies of 10,000 trials to look at, written in seconds: what the dashboard is timed on.

Networks, their prices and why they were rejected are real; what training them gave is made up.
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

COUNTS = (7_000, 2_000, 1_000)
KINDS = (
    ("one", "isotropic", ("macro_accuracy", "macs")),
    ("several", "all", ("macro_accuracy", "macs")),
    ("three", "cp_mobile", ("macro_accuracy", "macs", "params")),
)  # name, space and objectives of each study, in turn
SHARES = {"complete": 0.064, "stopped": 0.035, "failed": 0.002}  # all others are rejected
NUM_OPEN = 3  # trials that are not over when the search was left
EPOCHS = 32
LEVEL_ENDS = (3, 10, EPOCHS)
SCENES = ("airport", "bus", "metro", "metro_station", "park", "public_square", "shopping_mall", "street_pedestrian",
          "street_traffic", "tram")  # fmt: skip
DEVICES = {"a": "real", "b": "real", "c": "real", "s1": "seen", "s2": "seen", "s3": "seen", "s4": "unseen",
           "s5": "unseen", "s6": "unseen"}  # fmt: skip
CLIPS = 330  # of each device
EPOCH_S = 40.0
PROPOSAL_S = 0.02
STARTED = datetime(2026, 1, 5, 9, tzinfo=UTC)


def make_studies(folder: Path, counts: Sequence[int] = COUNTS) -> list[StudyFolder]:
    """Write studies of so many trials into `folder`, each as a search that was left would have left it."""
    return [_make_study(folder, number, count) for number, count in enumerate(counts)]


def _make_study(folder: Path, number: int, count: int) -> StudyFolder:
    name, space, objectives = KINDS[number % len(KINDS)]
    study = StudyFolder(folder / (name if number < len(KINDS) else f"{name}-{number}"))
    settings = SearchSettings(data="nowhere", space=space, objectives=objectives, trials=max(1, count // 10))
    levels = [{"split": settings.split, "start": 0, "end": end} for end in LEVEL_ENDS]
    study.create(
        settings,
        {
            DATA: {"classes": list(SCENES), "devices": list(DEVICES), "split": settings.split},
            DEVICE_GROUPS: DEVICES,
            RUNGS: levels,
            HISTORY: [{"at": STARTED.isoformat(), "trials": 0}],
        },
    )
    write_trials(study, settings.space, _trials(settings, count, np.random.default_rng(number)))
    return study


def write_trials(study: StudyFolder, space: str, trials: Iterable[Mapping[str, Any]]) -> None:
    """Write trials into a study at once, as rows of its database: Optuna would take minutes for thousands.

    Args:
        study: Without trials.
        space: That it searches.
        trials: Number, state, times, values and attributes of each, and its goals where it has any.
    """
    ranges = {name: (each, distribution_to_json(each)) for name, each in widest(SPACES[space]).items()}
    with closing(sqlite3.connect(study.database)) as database, database:
        (study_id,) = database.execute("SELECT study_id FROM studies").fetchone()
        for trial in trials:
            _insert(database, study_id, trial, ranges)


def _trials(settings: SearchSettings, count: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Return the trials in the order of their numbers."""
    states = rng.choice([*SHARES, "rejected"], size=count, p=[*SHARES.values(), 1 - sum(SHARES.values())]).tolist()
    states[-NUM_OPEN:] = ["running", "paused", "running"][: len(states[-NUM_OPEN:])]
    space, clock = SPACES[settings.space], STARTED.replace(tzinfo=None)
    for number, state in enumerate(states):
        clock += timedelta(seconds=PROPOSAL_S)
        if state == "rejected":
            values, attributes = _rejected(settings, space, number, rng)
            took = 0.0
        else:
            values, attributes = _trained(settings, space, state, rng)
            took = EPOCH_S * sum(name.startswith(EPOCH) for name in attributes)
        found: dict[str, Any] = {"number": number, "values": values, "attributes": attributes}
        is_open = state in {"running", "paused", "stopped"}
        found |= {
            "state": _STATES[state],
            "started": clock,
            "ended": None if is_open else clock + timedelta(seconds=took),
        }
        clock += timedelta(seconds=took / 4)  # several are trained side by side
        if state == "complete":
            found["goals"] = values_of(settings.objectives, attributes[f"{EPOCH}{EPOCHS}"], attributes[COST])
        yield found


_STATES = {
    "complete": TrialState.COMPLETE,
    "stopped": TrialState.RUNNING,
    "rejected": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "running": TrialState.RUNNING,
    "paused": TrialState.RUNNING,
}


def _drawn(space: Space, rng: np.random.Generator) -> tuple[dict[str, Any], TrialConfig]:
    """Draw values as a study knows them, and the configuration that they are."""
    architecture = str(rng.choice(list(space.networks)))
    network = {name: draw(each, rng) for name, each in space.networks[architecture].items()}
    training = {name: draw(each, rng) for name, each in space.training.items()}
    named = {ARCHITECTURE: architecture} if len(space.networks) > 1 else {}
    named |= {f"{architecture}.{name}": value for name, value in network.items()}
    config = TrialConfig.from_values(architecture, {**network, **training, "epochs": EPOCHS})
    return {**named, **training}, config


def _rejected(
    settings: SearchSettings, space: Space, number: int, rng: np.random.Generator
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw what does not fit, what was there before, or what builds no network."""
    fate = rng.random()
    values, config = _drawn(space, rng)
    if fate < 0.02:
        return values, {REJECTED: {"kind": "invalid", "reason": "patch 16 is larger than the input 8 x 65"}}
    while not settings.limits().violations(cost := price(config, settings.precision)) and fate > 0.04:
        values, config = _drawn(space, rng)
    excess = settings.limits().excess(cost)
    worst = max(excess, key=lambda name: excess[name])
    if excess[worst] <= 0:
        return values, {
            COST: cost.to_dict(),
            REJECTED: {"kind": "repeated", "reason": f"the same as trial {max(0, number - 1)}"},
        }
    reason = settings.limits().over_budget_message(cost)
    return values, {COST: cost.to_dict(), REJECTED: {"kind": f"over {worst}", "reason": reason}}


def _trained(
    settings: SearchSettings, space: Space, state: str, rng: np.random.Generator
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw what fits, and make up what came of it."""
    values, config = _drawn(space, rng)
    while settings.limits().violations(price(config, settings.precision)):
        values, config = _drawn(space, rng)
    cost = price(config, settings.precision)
    attributes: dict[str, Any] = {COST: cost.to_dict(), CONFIG: config.to_dict(), LAYERS: _layers(cost, rng)}
    epochs = {"complete": EPOCHS, "stopped": LEVEL_ENDS[int(rng.integers(2))], "failed": int(rng.integers(5))}
    curve = _curve(cost, epochs.get(state, LEVEL_ENDS[0]), rng)
    attributes |= {f"{EPOCH}{epoch['epoch']}": epoch for epoch in curve}
    if state == "complete":
        attributes |= {QUALITY: _quality(curve[-1], rng), VERSIONS: {"python": "3.11.7", "scenefront": "0.1.0"}}
    if state == "stopped":
        attributes[STOPPED] = f"epoch {len(curve)}: rank 3 of the 3 trials at this rung, of which 1 was promoted"
    if state == "failed":
        attributes[FAILURE] = f"loss is not finite: nan at epoch {len(curve) + 1}"
    if state in {"paused", "stopped"}:
        attributes[PAUSED] = len(curve)
    if rng.random() < 0.2:
        attributes[ORIGIN] = {"kind": "projected", "changes": ["width 48 -> 32"]}
    return values, attributes


def _curve(cost: Cost, epochs: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Make up a learning curve: large networks end higher, more parameters a little higher."""
    end = 0.25 + 0.03 * math.log(cost.macs / 1e5) + 0.01 * math.log(cost.params / 1e3) + rng.normal(0, 0.02)
    noise = rng.normal(0, 0.01, size=epochs)
    curve = []
    for epoch in range(1, epochs + 1):
        accuracy = min(0.99, max(0.05, 0.1 + (end - 0.1) * (1 - math.exp(-epoch / 6)) + float(noise[epoch - 1])))
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
    """Make up answers of about the accuracy of an epoch."""
    accuracy, clips = epoch["macro_accuracy"], CLIPS * len(DEVICES) // len(SCENES)
    spread = np.full((len(SCENES), len(SCENES)), (1 - accuracy) / (len(SCENES) - 1))
    np.fill_diagonal(spread, accuracy)
    confusion = np.stack([rng.multinomial(clips, row) for row in spread])

    def score(clips: int) -> dict[str, Any]:
        return {
            "clips": clips,
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
        "by_class": {name: score(clips) for name in SCENES},
        "by_device": {name: score(CLIPS) for name in DEVICES},
        "by_group": {name: score(CLIPS * list(DEVICES.values()).count(name)) for name in groups},
    }


def _layers(cost: Cost, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Split a cost into that of layers."""
    count = int(rng.integers(8, 30))
    macs = rng.multinomial(cost.macs, np.full(count, 1 / count)).tolist()
    params = rng.multinomial(cost.params, np.full(count, 1 / count)).tolist()
    return [
        {
            "name": f"blocks.{place // 2}.{'filter' if place % 2 else 'widen'}",
            "kind": "BatchNorm2d" if place % 2 else "Conv2d",
            "output_shape": [64, 51, 13],
            "params": params[place],
            "macs": macs[place],
        }
        for place in range(count)
    ]


def _insert(
    database: sqlite3.Connection,
    study_id: int,
    trial: Mapping[str, Any],
    ranges: Mapping[str, tuple[BaseDistribution, str]],
) -> None:
    """Write a trial as Optuna's storage would."""
    row = (trial["number"], study_id, trial["state"].name, *(_time(trial[name]) for name in ("started", "ended")))
    trial_id = database.execute(
        "INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete) VALUES (?, ?, ?, ?, ?)", row
    ).lastrowid
    database.executemany(
        "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) VALUES (?, ?, ?, ?)",
        [
            (trial_id, name, ranges[name][0].to_internal_repr(value), ranges[name][1])
            for name, value in trial["values"].items()
        ],
    )
    database.executemany(
        "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (?, ?, ?)",
        [(trial_id, name, json.dumps(value)) for name, value in trial["attributes"].items()],
    )
    database.executemany(
        "INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (?, ?, ?, 'FINITE')",
        [(trial_id, place, value) for place, value in enumerate(trial.get("goals", ()))],
    )


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S.%f")
