"""Complete record of one trial, read from the study's database."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from search.config.settings import SearchSettings
from search.dashboard.data.database import (
    BROKEN,
    TRIALS,
    add_values,
    begun,
    connected,
    sentence,
    study_attributes,
    trials_of,
)
from search.study.storage import Postgres
from search.study.study import (
    ATTEMPTS,
    CONFIG,
    COST,
    LATENCY,
    LAYERS,
    QUALITY,
    RUNGS,
    VERSIONS,
    StudyError,
    StudyFolder,
    learning_curve,
)
from search.study.table import plain_name, trial_row

MAX_NUMBER = 2**31 - 1  # of PostgreSQL's integer column


@dataclass(frozen=True)
class TrialRecord:
    """Complete record of one trial.

    Attributes:
        number: Number of the trial.
        state: One of `search.study.study.STATES`.
        config: Config fields; of a rejected trial the sampled ones.
        cost: Cost of its network, with the latency if it was measured; empty where no network can be built.
        quality: As of `objectives.quality.Quality.to_dict`; None before it is fully trained.
        layers: Name, kind, output_shape, params and macs of each layer; empty where they are not recorded.
        curve: Learning curve: a record for each epoch.
        attempts: Epoch and reason of each failed training process.
        reason: Reason of rejection, early stopping or failure.
        origin: Origin of its configuration, if not the sampler alone.
        versions: Versions of the packages that trained it.
    """

    number: int
    state: str
    config: Mapping[str, Any]
    cost: Mapping[str, Any]
    quality: Mapping[str, Any] | None
    layers: Sequence[Mapping[str, Any]]
    curve: Sequence[Mapping[str, Any]]
    attempts: Sequence[Mapping[str, Any]]
    reason: str
    origin: str
    versions: Mapping[str, Any]


def read_trial(folder: StudyFolder, number: int) -> TrialRecord:
    """Read the complete record of one trial.

    Raises:
        StudyError: There is no such trial, or the study cannot be read.
        ValueError: The settings cannot be read, or the database cannot be reached.
    """
    settings = folder.settings()
    budget = settings.limits() if isinstance(settings, SearchSettings) else None
    postgres = None if settings.storage is None else Postgres.parse(settings.storage)
    is_locked = folder.is_locked()
    try:
        with connected(folder, postgres) as (connection, study_id):
            texts = study_attributes(connection, study_id)
            condition = (TRIALS.c.number == min(number, MAX_NUMBER)) & (begun())
            found = trials_of(connection, study_id, condition)
            if not found:
                numbers = select(func.min(TRIALS.c.number), func.max(TRIALS.c.number))
                low, high = connection.execute(numbers.where(TRIALS.c.study_id == study_id)).one()
                what = "none yet" if low is None else f"{low} to {high}"
                raise StudyError(f"{folder.name} has no trial {number}; there are: {what}")
            add_values(connection, study_id, condition, found, excluded=())
        (trial,) = found.values()
        rungs = json.loads(texts.get(RUNGS, "[]"))
        row = trial_row(trial, budget, rungs, is_locked=is_locked)
    except StudyError:
        raise
    except BROKEN as error:
        raise StudyError(sentence(error)) from error
    attributes = trial.user_attrs
    config = attributes.get(CONFIG) or {plain_name(name): value for name, value in trial.params.items()}
    latency = {} if attributes.get(LATENCY) is None else {LATENCY: attributes[LATENCY]}
    return TrialRecord(
        number=number, state=row["state"], config=config,
        cost={**attributes.get(COST, {}), **latency}, quality=attributes.get(QUALITY),
        layers=attributes.get(LAYERS, []), curve=learning_curve(trial), attempts=attributes.get(ATTEMPTS, []),
        reason=row["reason"], origin=row["origin"], versions=attributes.get(VERSIONS, {}),
    )  # fmt: skip
