"""Classification metrics of DCASE task 1, from log probabilities.

Shape letters: N clips, K classes. Logarithms are natural.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from objectives.errors import ObjectiveError

# Tolerance of log(sum of a clip's probabilities), which is 0: enough for bfloat16, too little for logits.
NORMALIZED_WITHIN = 0.05


@dataclass(frozen=True)
class Score:
    """Metrics on a subset of the clips.

    Attributes:
        clips: Their number, at least 1.
        accuracy: Fraction classified correctly.
        log_loss: Mean of -log p(true class).
    """

    clips: int
    accuracy: float
    log_loss: float


@dataclass(frozen=True)
class Quality:
    """Metrics on a set of clips. A class, device or group without clips is not in its table.

    Attributes:
        macro_accuracy: Mean of the per-class accuracies, over the classes that have clips.
        accuracy: Fraction of all clips classified correctly.
        log_loss: Mean over all clips of -log p(true class).
        classes: Names of the K classes, in the order of `confusion`.
        by_class: Metrics by class.
        by_device: Metrics by recording device.
        by_group: Metrics by group of devices, such as unseen ones.
        confusion: Confusion matrix, K x K counts; rows are the true class, columns the predicted one.
    """

    macro_accuracy: float
    accuracy: float
    log_loss: float
    classes: tuple[str, ...]
    by_class: Mapping[str, Score]
    by_device: Mapping[str, Score]
    by_group: Mapping[str, Score]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def scope(self) -> str:
        """Over how many scenes the macro accuracy is, as text that follows it; "" if over all."""
        text = scope_text(len(self.by_class), len(self.classes))
        return f" {text}" if text else ""

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics as lists, dicts and numbers, for JSON."""
        tables = ("by_class", "by_device", "by_group")
        plain: dict[str, Any] = {
            "macro_accuracy": self.macro_accuracy,
            "accuracy": self.accuracy,
            "log_loss": self.log_loss,
            "classes": list(self.classes),
            "confusion": [list(row) for row in self.confusion],
        }
        return plain | {
            table: {name: asdict(score) for name, score in getattr(self, table).items()} for table in tables
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Quality":
        """Return the metrics that `to_dict` wrote, also from JSON.

        Raises:
            ValueError: A field is missing, unknown or not of its shape.
        """
        try:
            values = dict(plain)
            for table in ("by_class", "by_device", "by_group"):
                values[table] = {name: Score(**score) for name, score in values[table].items()}
            values["classes"] = tuple(values["classes"])
            values["confusion"] = tuple(tuple(row) for row in values["confusion"])
            return cls(**values)
        except (AttributeError, KeyError, TypeError) as error:
            raise ObjectiveError(f"not a record of quality: {error}") from error


def scope_text(measured: int, of: int) -> str:
    """Return over how many scenes a mean is; "" if over all.

    >>> scope_text(2, 3), scope_text(3, 3)
    ('over 2 of 3 scenes', '')
    """
    return "" if measured == of else f"over {measured:,} of {of:,} scenes"


def figures(quality: Quality) -> dict[str, float | None]:
    """Return the objectives of quality (`objectives.goals`), by name.

    Returns:
        macro_accuracy, log_loss; unseen_accuracy, on the group "unseen", None where it has no clips; and
        worst_device_accuracy, the lowest of all devices that have clips.
    """
    unseen = quality.by_group.get("unseen")
    return {
        "macro_accuracy": quality.macro_accuracy,
        "log_loss": quality.log_loss,
        "unseen_accuracy": None if unseen is None else unseen.accuracy,
        "worst_device_accuracy": min(score.accuracy for score in quality.by_device.values()),
    }


def measure_quality(
    log_probabilities: ArrayLike,
    labels: ArrayLike,
    devices: ArrayLike,
    *,
    classes: Sequence[str],
    device_names: Sequence[str],
    device_groups: Mapping[str, str],
) -> Quality:
    """Return the metrics of a network's predictions.

    Args:
        log_probabilities: (N, K), natural logarithms; each row's probabilities add up to 1.
        labels: (N,) true classes, as indices into `classes`.
        devices: (N,) recording devices, as indices into `device_names`.
        classes: K names.
        device_names: Names of the devices; some may have no clip.
        device_groups: The group of every device that has clips.

    Raises:
        ValueError: No clips, shapes or indices that do not agree, values that are not finite, or rows that
            are not log probabilities.
    """
    logs, truth, device = _checked(log_probabilities, labels, devices, len(classes), len(device_names))
    ungrouped = sorted({device_names[index] for index in np.unique(device)} - set(device_groups))
    if ungrouped:
        raise ValueError(f"device_groups has no group for {', '.join(ungrouped)}")

    predicted = logs.argmax(axis=1)
    correct = predicted == truth
    losses = -logs[np.arange(len(truth)), truth]
    by_class = _scores(classes, truth, correct, losses)
    groups = list(dict.fromkeys(device_groups[name] for name in device_names if name in device_groups))
    group_of_device = np.array(
        [groups.index(device_groups[name]) if name in device_groups else -1 for name in device_names]
    )
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    return Quality(
        macro_accuracy=float(np.mean([score.accuracy for score in by_class.values()])),
        accuracy=float(correct.mean()),
        log_loss=float(losses.mean()),
        classes=tuple(classes),
        by_class=by_class,
        by_device=_scores(device_names, device, correct, losses),
        by_group=_scores(groups, group_of_device[device], correct, losses),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def _scores(
    names: Sequence[str], of_clip: NDArray[Any], correct: NDArray[np.bool_], losses: NDArray[np.float64]
) -> dict[str, Score]:
    """Return the scores of the clips of each name; a name without clips is omitted."""
    scores = {}
    for index, name in enumerate(names):
        mine = of_clip == index
        if mine.any():
            scores[name] = Score(int(mine.sum()), float(correct[mine].mean()), float(losses[mine].mean()))
    return scores


def _checked(
    log_probabilities: ArrayLike, labels: ArrayLike, devices: ArrayLike, num_classes: int, num_devices: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    logs = np.asarray(log_probabilities, dtype=np.float64)
    if logs.ndim != 2 or logs.shape[1] != num_classes:
        raise ValueError(f"log_probabilities must be (clips, {num_classes} classes), got {logs.shape}")
    if not len(logs):
        raise ValueError("there are no clips to score")
    bad = ~np.isfinite(logs).all(axis=1)
    if bad.any():
        raise ValueError(
            f"log_probabilities must be finite: {int(bad.sum())} of {len(logs)} clips are not, "
            f"the first is clip {int(bad.argmax())}"
        )
    top = logs.max(axis=1)
    off = np.abs(top + np.log(np.exp(logs - top[:, None]).sum(axis=1)))
    if off.max() > NORMALIZED_WITHIN:
        raise ValueError(
            "log_probabilities must be logarithms of probabilities that add up to 1 for each clip: those of "
            f"clip {int(off.argmax())} do not"
        )
    truth = _indices("labels", labels, len(logs), num_classes)
    return logs, truth, _indices("devices", devices, len(logs), num_devices)


def _indices(name: str, values: ArrayLike, num_clips: int, limit: int) -> NDArray[np.int64]:
    indices = np.asarray(values)
    if indices.shape != (num_clips,):
        raise ValueError(f"{name} must be ({num_clips},), one for each clip, got {indices.shape}")
    if not np.issubdtype(indices.dtype, np.integer):
        raise ValueError(f"{name} must be whole numbers, got {indices.dtype}")
    if indices.min() < 0 or indices.max() >= limit:
        raise ValueError(f"{name} must lie in 0 to {limit - 1}, got {indices.min()} to {indices.max()}")
    return indices.astype(np.int64)
