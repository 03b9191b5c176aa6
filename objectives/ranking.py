"""Ranking scores of the editions of DCASE task 1: one number a network, beside the front.

Sources:
    2022: https://dcase.community/challenge2022/task-low-complexity-acoustic-scene-classification: by the multi-class
        cross-entropy (log loss), lowest first.
    2023: https://dcase.community/challenge2023/task-low-complexity-acoustic-scene-classification: by the weighted
        average of the ranks in classification accuracy, memory and MACs. Accuracy weighs as much as the two costs
        together. Memory is the bytes of the parameters.
    2024: https://dcase.community/challenge2024/task-data-efficient-low-complexity-acoustic-scene-classification: by the
        accuracy, macro-averaged over the scenes, averaged over trainings on 5, 10, 25, 50 and 100 % of the clips.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

SPLITS = ("5", "10", "25", "50", "100")  # of the training clips, in percent
RANK_WEIGHTS = {"macro_accuracy": 0.5, "size_bytes": 0.25, "macs": 0.25}


@dataclass(frozen=True)
class Ranking:
    """How an edition ranks.

    Attributes:
        name: Of the edition, as budgets are named.
        title: Of the score.
        needs: Metrics of each network that the score is made of.
        maximize: Whether a higher score is better.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    maximize: bool


def accuracy_on(split: str) -> str:
    """Return the name of the macro accuracy after training on a split."""
    return f"accuracy_{split}"


RANKINGS = {
    ranking.name: ranking
    for ranking in (
        Ranking("dcase2022", "log loss", ("log_loss",), False),
        Ranking("dcase2023", "mean rank", tuple(RANK_WEIGHTS), False),
        Ranking("dcase2024", "mean accuracy", tuple(accuracy_on(split) for split in SPLITS), True),
    )
}


def scores(name: str, figures: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
    """Return the score that an edition ranks by, of each of N networks.

    Args:
        name: Of `RANKINGS`.
        figures: Metrics by name, at least those that the edition needs, (N,) each; accuracies from 0 to 1.

    Returns:
        (N,). Those of 2023 are relative: another network in the comparison may change them.

    >>> scores("dcase2023", {"macro_accuracy": [0.6, 0.5], "size_bytes": [9, 5], "macs": [8, 7]}).tolist()
    [1.5, 1.5]
    """
    columns = {key: np.asarray(figures[key], dtype=np.float64) for key in RANKINGS[name].needs}
    if name == "dcase2022":
        return columns["log_loss"]
    if name == "dcase2023":
        weighted = [
            weight * ranks(columns[key], maximize=key == "macro_accuracy") for key, weight in RANK_WEIGHTS.items()
        ]
        return np.asarray(np.sum(weighted, axis=0), dtype=np.float64)
    return np.asarray(np.mean(list(columns.values()), axis=0), dtype=np.float64)


def ranks(values: ArrayLike, *, maximize: bool) -> NDArray[np.int64]:
    """Return competition ranks from 1, the best: equal values share a rank, and the next ranks are skipped.

    Args:
        values: (N,), all of them numbers.
        maximize: Whether more is better.

    >>> ranks([0.5, 0.7, 0.5, 0.4], maximize=True).tolist()
    [2, 1, 2, 4]
    """
    signed = np.asarray(values, dtype=np.float64) * (-1 if maximize else 1)
    return 1 + np.searchsorted(np.sort(signed), signed, side="left").astype(np.int64)
