"""Pooled metrics of a network over the folds of a grouped cross-validation.

Each fold's network is evaluated on clips that it was not trained on; pooled, every clip counts as often as it was
predicted.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields

import numpy as np

from objectives.quality import Quality, Score
from objectives.recordings import RecordingTable


def pooled_quality(folds: Sequence[Quality]) -> Quality:
    """Return the metrics over the clips of all folds, at least one.

    >>> def fold(clips, accuracy):
    ...     score = Score(clips, accuracy, 1.0)
    ...     tables = {"bus": score}, {"a": score}, {"real": score}
    ...     return Quality(accuracy, accuracy, 1.0, ("bus",), *tables, ((clips,),))
    >>> pooled_quality([fold(1, 1.0), fold(3, 0.0)]).macro_accuracy
    0.25
    """
    if len(folds) == 1:
        return folds[0]
    by_class = _pooled([fold.by_class for fold in folds])
    whole = _mean([score for fold in folds for score in fold.by_class.values()])
    return Quality(
        macro_accuracy=float(np.mean([score.accuracy for score in by_class.values()])),
        accuracy=whole.accuracy,
        log_loss=whole.log_loss,
        classes=folds[0].classes,
        by_class={name: by_class[name] for name in folds[0].classes if name in by_class},
        by_device=_pooled([fold.by_device for fold in folds]),
        by_group=_pooled([fold.by_group for fold in folds]),
        recordings=_joined([fold.recordings for fold in folds]),
        confusion=tuple(tuple(row) for row in np.array([fold.confusion for fold in folds]).sum(axis=0).tolist()),
    )


def _pooled(tables: Sequence[Mapping[str, Score]]) -> dict[str, Score]:
    names = dict.fromkeys(name for table in tables for name in table)
    return {name: _mean([table[name] for table in tables if name in table]) for name in names}


def _mean(scores: Sequence[Score]) -> Score:
    """Return the score on the clips of several folds, whose recordings are others in each."""
    clips = sum(score.clips for score in scores)
    recordings = [score.recordings for score in scores if score.recordings is not None]
    errors = [score.clips * score.error / clips for score in scores if score.error is not None]
    freedoms = [score.freedom for score in scores if score.freedom is not None]
    has_error = len(errors) == len(freedoms) == len(scores)
    return Score(
        clips,
        sum(score.clips * score.accuracy for score in scores) / clips,
        sum(score.clips * score.log_loss for score in scores) / clips,
        sum(recordings) if len(recordings) == len(scores) else None,
        math.hypot(*errors) if has_error else None,
        sum(freedoms) if has_error else None,
    )


def _joined(tables: Sequence[RecordingTable | None]) -> RecordingTable | None:
    """Return the recordings of all folds, sorted by class; None where those of one are not known."""
    known = [table for table in tables if table is not None]
    if len(known) < len(tables):
        return None
    order = np.argsort(np.concatenate([table.label for table in known]), kind="stable").tolist()
    columns = {
        field.name: [value for table in known for value in getattr(table, field.name)]
        for field in fields(RecordingTable)
    }
    return RecordingTable(**{name: tuple(values[row] for row in order) for name, values in columns.items()})
