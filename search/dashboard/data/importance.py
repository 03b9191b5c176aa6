"""Hyperparameter importance by PED-ANOVA (Watanabe et al., "PED-ANOVA", IJCAI 2023), as Optuna computes it."""

import math
from collections.abc import Collection, Container, Iterable, Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from objectives.goals import GOALS
from search.dashboard.data.frames import CONFIG, architecture_names, is_ordered, ordered_codes, varied_fields

MIN_TRIALS = 20  # so that the best quantile has two trials
MAX_TRIALS = 3_000  # sample size; larger ones hardly change the result
BEST = 0.1  # quantile of the trials that count as good
MAX_LEVELS = 50  # distinct values of a field, above which its ranks are used


def estimate_importances(table: pd.DataFrame, target: str, fields: Collection[str] | None = None) -> pd.DataFrame:
    """Return the importance of each config field for being among the best tenth of the trials by one objective.

    Of Optuna's evaluators PED-ANOVA alone needs no scikit-learn, supports conditional fields and is fast. Numeric
    fields are replaced by ranks, so that the scale of a range does not matter. A quality is evaluated on fully trained
    trials, a cost on all priced ones; above `MAX_TRIALS`, on a fixed random sample.

    Args:
        fields: Candidate fields, such as `StudyData.varied`; None: all that vary.

    Returns:
        `architecture` and its `field`s, the most important first, with their `importance`, which sums to 1. With
        several architectures, `architecture` is "" for the fields that all share, including the architecture itself.
        Empty with fewer than `MIN_TRIALS` trials.
    """
    rows = table[table[target].notna()]
    if GOALS[target].kind == "quality":
        rows = rows[rows["state"] == "complete"]
    if len(rows) > MAX_TRIALS:
        rows = rows.sample(MAX_TRIALS, random_state=0).sort_index()
    names = architecture_names(rows)
    architectures = list(dict.fromkeys(names))
    frames = []
    if len(architectures) > 1:
        shared = [name for name in varied_fields(rows, fields) if rows[CONFIG + name].notna().all()]
        frames.append(_importances(rows, target, shared).assign(architecture=""))
    for architecture in architectures:
        own = rows[names == architecture]
        found = _importances(own, target, varied_fields(own, fields))
        frames.append(found.assign(architecture=architecture))
    columns = ["architecture", "field", "importance"]
    frames = [frame for frame in frames if len(frame)]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def _importances(rows: pd.DataFrame, target: str, fields: Sequence[str]) -> pd.DataFrame:
    values = rows[target].to_numpy(dtype=float)
    losses = -values if GOALS[target].maximize else values
    if len(rows) < MIN_TRIALS or np.sort(losses)[math.ceil(BEST * len(rows)) - 1] == losses.max():
        return pd.DataFrame({"field": [], "importance": []})
    encoded: dict[str, tuple[list[Any], BaseDistribution]] = {}
    for name in fields:
        if rows[CONFIG + name].notna().all():
            encoded[name] = _encode(rows[CONFIG + name])
    ranges = {name: distribution for name, (_, distribution) in encoded.items()}
    columns = [column for column, _ in encoded.values()]
    study = _FixedStudy(
        FrozenTrial(
            number=number, state=TrialState.COMPLETE, value=value, datetime_start=None, datetime_complete=None,
            params=dict(zip(encoded, params, strict=True)), distributions=ranges, user_attrs={}, system_attrs={},
            intermediate_values={}, trial_id=number,
        )
        for number, (value, *params) in enumerate(zip(losses.tolist(), *columns, strict=True))
    )  # fmt: skip
    found = optuna.importance.get_param_importances(
        study, evaluator=PedAnovaImportanceEvaluator(target_quantile=BEST), params=list(encoded)
    )
    shares = sorted(found.items(), key=lambda each: (-each[1], fields.index(each[0])))
    return pd.DataFrame({"field": [name for name, _ in shares], "importance": [share for _, share in shares]})


class _FixedStudy(optuna.Study):
    """A minimization study of given trials; Optuna's in-memory study would copy each of them, which is slow."""

    def __init__(self, trials: Iterable[FrozenTrial]) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = optuna.storages.InMemoryStorage()
        super().__init__(optuna.create_study(storage=storage).study_name, storage)
        self._fixed_trials = list(trials)

    def get_trials(
        self,
        deepcopy: bool = True,  # noqa: ARG002 - Optuna's
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the trials in any of the states."""
        return [trial for trial in self._fixed_trials if states is None or trial.state in states]


def _encode(column: pd.Series) -> tuple[list[Any], BaseDistribution]:
    """Return the values encoded as codes or ranks, and their Optuna distribution; text and booleans as categorical."""
    codes, levels = ordered_codes(column)
    if not is_ordered(column):
        return codes.tolist(), CategoricalDistribution(range(len(levels)))
    if len(levels) <= MAX_LEVELS:
        return codes.tolist(), IntDistribution(0, len(levels) - 1)
    ranks = column.astype(float).rank()
    return ((ranks - ranks.min()) / (ranks.max() - ranks.min())).tolist(), FloatDistribution(0.0, 1.0)
