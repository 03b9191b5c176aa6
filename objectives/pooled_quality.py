"""Pooled metrics of a network over the folds of a grouped cross-validation.

Each fold's network is evaluated on clips that it was not trained on; pooled, every clip counts as often as it was
predicted.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from objectives.quality import Quality, Score


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
        confusion=tuple(tuple(row) for row in np.array([fold.confusion for fold in folds]).sum(axis=0).tolist()),
    )


def _pooled(tables: Sequence[Mapping[str, Score]]) -> dict[str, Score]:
    names = dict.fromkeys(name for table in tables for name in table)
    return {name: _mean([table[name] for table in tables if name in table]) for name in names}


def _mean(scores: Sequence[Score]) -> Score:
    clips = sum(score.clips for score in scores)
    return Score(
        clips,
        sum(score.clips * score.accuracy for score in scores) / clips,
        sum(score.clips * score.log_loss for score in scores) / clips,
    )
