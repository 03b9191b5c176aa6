"""How far a figure of quality would move if other clips of the same kind had been drawn: its standard error."""

import math

from objectives.quality import Quality, Score

EXPLAINED = 1.96  # standard errors; the clips alone move a figure by more in one case of twenty


def standard_errors(quality: Quality) -> dict[str, float | None]:
    """Return the standard error of each goal of quality, by name, as the clips alone make it.

    Clips are taken as independent; those of one place are not quite, so the truth is more uncertain, not less. A share
    of right answers is binomial, with one clip more on each side so that none of five is not taken for never. A clip's
    loss is taken as exponential, whose standard deviation is its mean: it is -log p(truth), and its tail is as long.

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
    """Return the variance of a share of right answers."""
    share = (score.accuracy * score.clips + 1) / (score.clips + 2)
    return share * (1 - share) / score.clips
