"""Sampling error of a metric: its standard error over sets of recordings drawn from the same distribution.

By recording wherever the record has them (`objectives.cluster_sampling`); records of earlier versions fall back on
independent clips, whose error is too small: 1.6 times and more on clips of which 16 are of one recording.
"""

import math
from dataclasses import dataclass

import numpy as np

from objectives.cluster_sampling import (
    Sample,
    SamplingError,
    accuracy_error,
    binomial_variance,
    clustered_error,
    effective_clips,
)
from objectives.quality import Quality, Score

Z_95 = 1.96  # standard errors to either side: a 95% confidence interval
# Intraclass correlation of the clips that quantization changes: where it changes none it cannot be measured.
# Measured 0.09 on the evaluation clips of a data set with 33 recordings (results/coverage.md).
CHANGE_CORRELATION = 0.1


def sampling_errors(quality: Quality) -> dict[str, SamplingError | None]:
    """Return the sampling error of each objective of quality, by name.

    The worst device is taken as if it had been named before: that it was selected is not in its error.

    Returns:
        macro_accuracy, log_loss, unseen_accuracy (None where no device is unseen) and worst_device_accuracy. Their
        freedom is infinite where the recordings are not known, or there is one.
    """
    by_clip = _errors_by_clip(quality)
    if quality.recordings is None:
        return by_clip
    found = {}
    for name, known in by_clip.items():
        sample = quality.recordings.sample(name)
        error = None if known is None else clustered_error(sample) if name == "log_loss" else accuracy_error(sample)
        found[name] = known if error is None or not error.error else error
    return found


def standard_errors(quality: Quality) -> dict[str, float | None]:
    """Return the standard error of each objective of quality, by name, as `sampling_errors` does."""
    return {name: None if found is None else found.error for name, found in sampling_errors(quality).items()}


def half_widths(quality: Quality) -> dict[str, float]:
    """Return half the width of the 95 % interval of each objective that was measured."""
    return {name: round(error.half, 5) for name, error in sampling_errors(quality).items() if error is not None}


def score_error(score: Score) -> SamplingError:
    """Return the sampling error of the accuracy on some clips: by recording where it is known, else by clip.

    >>> score_error(Score(clips=100, accuracy=0.5, log_loss=1.0))
    SamplingError(error=0.05, freedom=inf)
    """
    if score.error is not None and score.freedom is not None:
        return SamplingError(score.error, score.freedom)
    return SamplingError(math.sqrt(binomial_variance(score.accuracy, score.clips)), math.inf)


@dataclass(frozen=True)
class Difference:
    """Difference of two networks' macro accuracy on the same clips.

    Attributes:
        value: The first's less the second's.
        half: Half the width of its 95 % interval; None where the recordings of the clips are not known.
    """

    value: float
    half: float | None


def paired_difference(first: Quality, second: Quality) -> Difference:
    """Return the difference of the macro accuracies of two networks on the same clips, paired by recording.

    The interval is the jackknife's over recordings, and never narrower than the score interval of no change among as
    many independent clips: Tango, Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design, Statistics in Medicine 17, 1998, which is z^2 / (n + z^2) to either side.
    """
    value = first.macro_accuracy - second.macro_accuracy
    one, other = first.recordings, second.recordings
    if one is None or other is None or not one.is_of_same_clips(other):
        return Difference(value, None)
    before, after = one.sample("macro_accuracy"), other.sample("macro_accuracy")
    changes = Sample(before.sums - after.sums, before.clips, before.strata, by_class=True, is_binary=False)
    error = clustered_error(changes)
    clips = effective_clips(changes, CHANGE_CORRELATION)
    least = Z_95**2 / (clips + Z_95**2)
    return Difference(value, least if error is None else max(least, error.half))


def difference_error(first: Quality, second: Quality, name: str) -> float:
    """Return the standard error of the difference of an objective between two networks.

    Paired by recording where both were measured on the same ones, else of two independent sets of clips.

    Args:
        first: Of one network.
        second: Of the other.
        name: Of an objective that both have.
    """
    one, other = first.recordings, second.recordings
    if one is not None and other is not None and one.is_of_same_clips(other):
        before, after = one.sample(name), other.sample(name)
        changes = Sample(
            before.sums - after.sums, before.clips, before.strata, by_class=before.by_class, is_binary=False
        )
        error = clustered_error(changes) if np.array_equal(before.clips, after.clips) else None
        if error is not None:
            clips = effective_clips(changes, CHANGE_CORRELATION)
            return max(error.error, Z_95 / (clips + Z_95**2))
    return math.hypot(*(standard_errors(each)[name] or 0.0 for each in (first, second)))


def _errors_by_clip(quality: Quality) -> dict[str, SamplingError | None]:
    """Return the errors of independent clips: binomial, and the loss of a clip as exponential (deviation = mean)."""
    classes = list(quality.by_class.values())
    clips = sum(score.clips for score in classes)
    unseen = quality.by_group.get("unseen")
    worst = min(quality.by_device.values(), key=lambda score: score.accuracy)

    def error(score: Score) -> float:
        return math.sqrt(binomial_variance(score.accuracy, score.clips))

    found = {
        "macro_accuracy": math.hypot(*(error(score) for score in classes)) / len(classes),
        "log_loss": quality.log_loss / math.sqrt(clips),
        "unseen_accuracy": None if unseen is None else error(unseen),
        "worst_device_accuracy": error(worst),
    }
    return {name: None if each is None else SamplingError(each, math.inf) for name, each in found.items()}
