"""Metrics of each recording, as compact as a study's database needs them: what errors by recording are worked out from.

Shape letters: N clips, R recordings.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives.cluster_sampling import Counts, Floats, Sample
from objectives.errors import ObjectiveError

MAX_RECORDINGS = 2_000  # more are pooled into about as many clusters: a record has some 20 bytes for each
CLASS_BITS = 32  # of the key of a recording below its class


@dataclass(frozen=True)
class RecordingTable:
    """Counts of each recording, a column a field, sorted by class and recording: (R,) each.

    A recording with clips of several classes has a row for each. The rows of two networks that were measured on the
    same clips are of the same recordings.

    Attributes:
        label: Class, as an index.
        clips: Number of clips.
        correct: Those classified correctly.
        loss: Sum of -log p(true class), to four decimals.
        unseen_clips: Clips of unseen devices.
        unseen_correct: Those classified correctly.
        worst_clips: Clips of the device with the lowest accuracy.
        worst_correct: Those classified correctly.
    """

    label: tuple[int, ...]
    clips: tuple[int, ...]
    correct: tuple[int, ...]
    loss: tuple[float, ...]
    unseen_clips: tuple[int, ...]
    unseen_correct: tuple[int, ...]
    worst_clips: tuple[int, ...]
    worst_correct: tuple[int, ...]

    def to_dict(self) -> dict[str, list[float]]:
        """Return the columns as lists, for JSON."""
        return {field.name: list(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "RecordingTable":
        """Return the table that `to_dict` wrote, also from JSON.

        Raises:
            ValueError: A column is missing, unknown, or as long as no other; or a recording has no clips, or more
                correct ones than clips.
        """
        try:
            found = cls(**{name: tuple(values) for name, values in plain.items()})
            table = np.array([getattr(found, field.name) for field in fields(cls)], dtype=np.float64)
        except (AttributeError, TypeError, ValueError) as error:
            raise ObjectiveError(f"not a record of recordings: {error}") from error
        _, clips, correct, _, unseen, unseen_correct, worst, worst_correct = table
        is_counted = np.isfinite(table).all() and (table[[0, 1, 2, 4, 5, 6, 7]] >= 0).all() and (clips > 0).all()
        if (
            not is_counted
            or (correct > clips).any()
            or (unseen_correct > unseen).any()
            or (worst_correct > worst).any()
        ):
            raise ObjectiveError("not a record of recordings: a count does not fit the others")
        return found

    def sample(self, name: str) -> Sample:
        """Return an objective of quality on these recordings.

        Args:
            name: macro_accuracy, log_loss, unseen_accuracy or worst_device_accuracy.
        """
        sums, clips = {
            "macro_accuracy": (self.correct, self.clips),
            "log_loss": (self.loss, self.clips),
            "unseen_accuracy": (self.unseen_correct, self.unseen_clips),
            "worst_device_accuracy": (self.worst_correct, self.worst_clips),
        }[name]
        return Sample(
            np.array(sums, dtype=np.float64),
            np.array(clips, dtype=np.float64),
            np.array(self.label, dtype=np.int64),
            by_class=name == "macro_accuracy",
            is_binary=name != "log_loss",
        )

    def is_of_same_clips(self, other: "RecordingTable") -> bool:
        """Whether both may be of the same clips: as many of the same classes in each recording."""
        return self.label == other.label and self.clips == other.clips


def recording_rows(recordings: NDArray[Any], labels: Counts) -> Counts:
    """Return the row of each clip in a table of recordings: (N,), from 0.

    Args:
        recordings: Names or indices, (N,).
        labels: Classes of the clips, as indices, (N,).
    """
    names, index = np.unique(recordings.astype(str), return_inverse=True)
    if len(names) > MAX_RECORDINGS:
        # A stable hash, so that the clusters of all trials are the same. Recordings that share a cluster count as one:
        # the error can only be overstated in degrees of freedom.
        digests = [hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=4).digest() for name in names]
        size = max(2, MAX_RECORDINGS // (int(labels.max()) + 1))
        index = np.array([int.from_bytes(each, "big") % size for each in digests])[index]
    _, rows = np.unique((labels << CLASS_BITS) + index, return_inverse=True)
    return np.asarray(rows, dtype=np.int64)


def tabulate(
    rows: Counts, labels: Counts, correct: NDArray[np.bool_], losses: Floats, *, unseen: NDArray[np.bool_],
    worst: NDArray[np.bool_],
) -> RecordingTable:  # fmt: skip
    """Return the counts of each recording.

    Args:
        rows: Of `recording_rows`, (N,).
        labels: Classes, as indices, (N,).
        correct: Whether each clip is classified correctly, (N,).
        losses: -log p(true class), (N,).
        unseen: Whether the device of the clip is unseen, (N,).
        worst: Whether it is the device with the lowest accuracy, (N,).
    """
    label = np.zeros(int(rows.max()) + 1, dtype=np.int64)
    label[rows] = labels

    def count(mask: NDArray[np.bool_]) -> tuple[int, ...]:
        return tuple(np.bincount(rows[mask], minlength=len(label)).tolist())

    every = np.ones(len(rows), dtype=bool)
    return RecordingTable(
        label=tuple(label.tolist()),
        clips=count(every),
        correct=count(correct),
        loss=tuple(np.bincount(rows, losses).round(4).tolist()),
        unseen_clips=count(unseen),
        unseen_correct=count(unseen & correct),
        worst_clips=count(worst),
        worst_correct=count(worst & correct),
    )
