"""Sampling error of a metric: its standard error over sets of clips drawn from the same distribution."""

import math

from objectives.quality import Quality, Score

Z_95 = 1.96  # standard errors to either side: a 95% confidence interval


def standard_errors(quality: Quality) -> dict[str, float | None]:
    """Return the standard error of each objective of quality, by name.

    Assumes independent clips; those of one location are correlated, so the true error is larger, not smaller. Accuracy
    is binomial, with one pseudo-count of each outcome so that 0 of 5 has an error too. The loss of a clip is taken as
    exponential, whose standard deviation is its mean.

    Returns:
        macro_accuracy, log_loss, unseen_accuracy (None where no device is unseen) and worst_device_accuracy.
    """
    classes = list(quality.by_class.values())
    clips = sum(score.clips for score in classes)
    unseen = quality.by_group.get("unseen")
    worst = min(quality.by_device.values(), key=lambda score: score.accuracy)
    return {
        "macro_accuracy": math.sqrt(sum(_variance(score) for score in classes)) / len(classes),
        "log_loss": quality.log_loss / math.sqrt(clips),
        "unseen_accuracy": None if unseen is None else math.sqrt(_variance(unseen)),
        "worst_device_accuracy": math.sqrt(_variance(worst)),
    }


def accuracy_error(score: Score) -> float:
    """Return the standard error of the accuracy on some clips, as `standard_errors` takes it.

    >>> accuracy_error(Score(clips=100, accuracy=0.5, log_loss=1.0))
    0.05
    """
    return math.sqrt(_variance(score))


def _variance(score: Score) -> float:
    """Return the variance of an accuracy, with a pseudo-count of each outcome."""
    accuracy = (score.accuracy * score.clips + 1) / (score.clips + 2)
    return accuracy * (1 - accuracy) / score.clips
