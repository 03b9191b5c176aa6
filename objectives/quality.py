"""Classification metrics of DCASE task 1, from log probabilities.

Shape letters: N clips, K classes. Logarithms are natural.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from objectives.cluster_sampling import Sample, SamplingError, accuracy_error, class_errors
from objectives.errors import ObjectiveError
from objectives.recordings import RecordingTable, recording_rows, tabulate

# Tolerance of log(sum of a clip's probabilities), which is 0: enough for bfloat16, too little for logits.
NORMALIZED_WITHIN = 0.05


@dataclass(frozen=True)
class Score:
    """Metrics on a subset of the clips.

    Attributes:
        clips: Their number, at least 1.
        accuracy: Fraction classified correctly.
        log_loss: Mean of -log p(true class).
        recordings: Number of recordings that the clips are of; None where that is not known.
        error: Standard error of the accuracy over samples of recordings (`objectives.cluster_sampling`); None where it
            is not known: in records of earlier versions, and of a single recording.
        freedom: Degrees of freedom of `error`.
    """

    clips: int
    accuracy: float
    log_loss: float
    recordings: int | None = None
    error: float | None = None
    freedom: float | None = None


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
        recordings: Counts of each recording; None in records of earlier versions.
    """

    macro_accuracy: float
    accuracy: float
    log_loss: float
    classes: tuple[str, ...]
    by_class: Mapping[str, Score]
    by_device: Mapping[str, Score]
    by_group: Mapping[str, Score]
    confusion: tuple[tuple[int, ...], ...]
    recordings: RecordingTable | None = None

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
        if self.recordings is not None:
            plain["recordings"] = self.recordings.to_dict()
        return plain | {
            table: {name: _score_dict(score) for name, score in getattr(self, table).items()} for table in tables
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
            known = values.get("recordings")
            values["recordings"] = None if known is None else RecordingTable.from_dict(known)
            return cls(**values)
        except (AttributeError, KeyError, TypeError) as error:
            raise ObjectiveError(f"not a record of quality: {error}") from error


def _score_dict(score: Score) -> dict[str, Any]:
    return {name: value for name, value in asdict(score).items() if value is not None}


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
    recordings: ArrayLike | None = None,
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
        recordings: (N,) names or indices of the recordings that the clips are of; None: not known, and errors take the
            clips as independent.
        classes: K names.
        device_names: Names of the devices; some may have no clip.
        device_groups: The group of every device that has clips.

    Raises:
        ValueError: No clips, shapes or indices that do not agree, values that are not finite, or rows that
            are not log probabilities.
    """
    logs, truth, device = _checked(log_probabilities, labels, devices, len(classes), len(device_names))
    if ungrouped := sorted({device_names[index] for index in np.unique(device)} - set(device_groups)):
        raise ValueError(f"device_groups has no group for {', '.join(ungrouped)}")
    predicted = logs.argmax(axis=1)
    clips = _Clips(truth, predicted == truth, -logs[np.arange(len(truth)), truth], _rows(recordings, truth))
    by_class, by_device = _scores(classes, truth, clips), _scores(device_names, device, clips)
    groups = list(dict.fromkeys(device_groups[name] for name in device_names if name in device_groups))
    group = np.array([groups.index(device_groups.get(name, groups[0])) for name in device_names])[device]
    unseen = np.array([name == "unseen" for name in groups])[group]
    worst = device == device_names.index(min(by_device, key=lambda name: by_device[name].accuracy))
    table = clips.tabulated(unseen=unseen, worst=worst)
    if table is not None:
        by_class = _with_class_errors(by_class, table, classes)
    return Quality(
        macro_accuracy=float(np.mean([score.accuracy for score in by_class.values()])),
        accuracy=float(clips.correct.mean()),
        log_loss=float(clips.losses.mean()),
        classes=tuple(classes),
        by_class=by_class,
        by_device=by_device,
        by_group=_scores(groups, group, clips),
        confusion=_confusion(truth, predicted, len(classes)),
        recordings=table,
    )


@dataclass(frozen=True)
class _Clips:
    """True class, correctness, loss and row in the table of recordings of each clip; (N,) each."""

    truth: NDArray[np.int64]
    correct: NDArray[np.bool_]
    losses: NDArray[np.float64]
    rows: NDArray[np.int64] | None

    def tabulated(self, *, unseen: NDArray[np.bool_], worst: NDArray[np.bool_]) -> RecordingTable | None:
        """Return the counts of each recording; None where the recordings are not known."""
        if self.rows is None:
            return None
        return tabulate(self.rows, self.truth, self.correct, self.losses, unseen=unseen, worst=worst)

    def sample(self, mask: NDArray[np.bool_]) -> Sample:
        """Return the accuracy on some clips, by recording."""
        assert self.rows is not None
        _, first, row = np.unique(self.rows[mask], return_index=True, return_inverse=True)
        sums = np.bincount(row, self.correct[mask]).astype(np.float64)
        clips = np.bincount(row).astype(np.float64)
        return Sample(sums, clips, self.truth[mask][first], by_class=False, is_binary=True)


def _confusion(truth: NDArray[np.int64], predicted: NDArray[np.int64], num_classes: int) -> tuple[tuple[int, ...], ...]:
    counts = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(counts, (truth, predicted), 1)
    return tuple(tuple(row) for row in counts.tolist())


def _rows(recordings: ArrayLike | None, truth: NDArray[np.int64]) -> NDArray[np.int64] | None:
    if recordings is None:
        return None
    names = np.asarray(recordings)
    if names.shape != truth.shape:
        raise ValueError(f"recordings must be ({len(truth)},), one for each clip, got {names.shape}")
    return recording_rows(names, truth)


def _scores(names: Sequence[str], of_clip: NDArray[Any], clips: _Clips) -> dict[str, Score]:
    """Return the scores of the clips of each name; a name without clips is omitted."""
    scores = {}
    for index, name in enumerate(names):
        mine = of_clip == index
        if mine.any():
            correct = clips.correct[mine]
            found = Score(int(mine.sum()), float(correct.mean()), float(clips.losses[mine].mean()))
            scores[name] = found
            if clips.rows is not None:
                sample = clips.sample(mine)
                scores[name] = _with_error(found, accuracy_error(sample), len(sample.clips))
    return scores


def _with_class_errors(
    by_class: Mapping[str, Score], table: RecordingTable, classes: Sequence[str]
) -> dict[str, Score]:
    """Return the scores of the classes with their errors over recordings."""
    errors = class_errors(table.sample("macro_accuracy"))  # in the order of the classes, of those that have clips
    return {
        name: _with_error(score, error, table.label.count(classes.index(name)))
        for (name, score), error in zip(by_class.items(), errors, strict=True)
    }


def _with_error(score: Score, error: SamplingError | None, recordings: int) -> Score:
    """Return a score with the error of its accuracy over samples of recordings."""
    if error is None:
        return replace(score, recordings=recordings)
    return replace(score, recordings=recordings, error=round(error.error, 5), freedom=round(error.freedom, 1))


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
