"""Statistics of a confirmation: means, intervals over seeds and recordings, P(front). Needs no torch."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from objectives.cluster_sampling import Sample, SamplingError, accuracy_error, clustered_error, correlations
from objectives.confidence import Measured, RecordingError, front_probability, intervals, measured
from objectives.front import non_dominated
from objectives.goals import directions, of_kind
from objectives.quality import Quality
from objectives.reference import chance_value, is_at_chance
from objectives.sampling_error import sampling_errors, score_error
from objectives.seed_spread import MIN_FREEDOM, needed_seeds, total_freedom
from search.config.messages import counted
from search.study.repeats import GROUPS

NEARLY_INFINITE = 1e6  # degrees of freedom of a normal distribution


def add_statistics(
    candidates: Sequence[dict[str, Any]],
    qualities: Sequence[Sequence[Quality]],
    objectives: Sequence[str],
    num_classes: int | None,
) -> None:
    """Add means, intervals, membership of the front and its probability to the trained candidates.

    Args:
        candidates: Records of N candidates with `seeds`, `cost`, `architecture`, `mean`, `half` and `half_seeds`.
            One is at chance if by its mean and interval it may be no better; it is not on the front.
        qualities: Of each candidate's seeds, in their order.
        objectives: Of the study.
        num_classes: Number of scenes that are measured; None: not known, and nothing is compared to chance.
    """
    if not candidates:
        return
    named = of_kind("quality", objectives)
    groups = [name for name in next(iter(candidates[0]["seeds"].values())) if name.startswith(GROUPS)]
    goals = _measured(candidates, named, _goal_errors(qualities, named))
    parts = [
        (named, goals),
        *([(groups, _measured(candidates, groups, _group_errors(qualities, groups)))] if groups else []),
    ]
    for names, found in parts:
        alone = Measured(found.tables, found.spread, None)  # what the seeds leave uncertain on these recordings
        for candidate, both, seeds in zip(candidates, intervals(found), intervals(alone), strict=True):
            candidate["mean"] |= {name: each.mean for name, each in zip(names, both, strict=True)}
            candidate["half"] |= {name: each.half for name, each in zip(names, both, strict=True)}
            candidate["half_seeds"] |= {name: each.half for name, each in zip(names, seeds, strict=True)}
    costs = of_kind("cost", objectives)
    known = np.array([[candidate["cost"][name] for name in costs] for candidate in candidates])
    known = known.reshape(len(candidates), len(costs))
    means = np.array([[candidate["mean"][name] for name in named] for candidate in candidates])
    better = directions([*named, *costs])
    chance = None if num_classes is None else [chance_value(name, num_classes) for name in named]
    probability = front_probability(goals, known, better, chance=chance)
    at_chance = np.zeros(len(candidates), dtype=bool)
    if num_classes is not None:
        is_few = bool(few_seeds_text([len(candidate["seeds"]) for candidate in candidates]))  # then the means decide
        halves = [[None if is_few else candidate["half"][name] for name in named] for candidate in candidates]
        at_chance = is_at_chance(means, np.array(halves, dtype=np.float64), named, num_classes)
    for index, on_front in enumerate(non_dominated(np.hstack([means, known]), better)):
        candidates[index]["at_chance"] = bool(at_chance[index])
        candidates[index]["on_front"] = bool(on_front) and not at_chance[index]
        candidates[index]["p_front"] = None if probability is None else float(probability[index])


def few_seeds_text(counts: Sequence[int]) -> str:
    """Return that no interval says anything, and how many seeds are needed; "" where there are enough.

    Args:
        counts: Number of seeds of each trained candidate.

    >>> few_seeds_text([2, 2])
    'too few seeds for intervals and P(front): 2 networks with 2 seeds each need 3 each (--seeds 3)'
    >>> few_seeds_text([3, 3])
    ''
    """
    if not counts or total_freedom(counts) >= MIN_FREEDOM:
        return ""
    least, most = min(counts), max(counts)
    each = counted(least, "seed") if least == most else f"{least} to {most} seeds"
    needed = needed_seeds(len(counts))
    return (
        f"too few seeds for intervals and P(front): {counted(len(counts), 'network')} with {each} each need {needed} "
        f"each (--seeds {needed})"
    )


def _measured(candidates: Sequence[Mapping[str, Any]], names: Sequence[str], errors: RecordingError | None) -> Measured:
    samples = [[[seed[name] for name in names] for seed in each["seeds"].values()] for each in candidates]
    architectures = [each["architecture"] for each in candidates]
    sizes = [float(each["cost"].get("params", 1.0)) for each in candidates]
    return measured(samples, architectures, sizes, errors)


def _goal_errors(qualities: Sequence[Sequence[Quality]], names: Sequence[str]) -> RecordingError:
    """Return the errors of objectives, correlated where all candidates were measured on the same recordings."""
    errors = [[_mean_error(seeds, name) for name in names] for seeds in qualities]
    tables = [quality.recordings for seeds in qualities for quality in seeds]
    first = tables[0]
    if first is None or any(table is None or not first.is_of_same_clips(table) for table in tables):
        return _recording_error(errors, np.eye(len(errors) * len(names)))
    samples = [mean_sample(seeds, name) for seeds in qualities for name in names]
    return _recording_error(errors, correlations([each for each in samples if each is not None]))


def _group_errors(qualities: Sequence[Sequence[Quality]], names: Sequence[str]) -> RecordingError:
    """Return the errors of the accuracies on groups of devices; their correlations are not needed."""
    errors = []
    for seeds in qualities:
        found = [[score_error(quality.by_group[name.removeprefix(GROUPS)]) for quality in seeds] for name in names]
        errors.append([_mean_of(each) for each in found])
    return _recording_error(errors, np.eye(len(errors) * len(names)))


def _recording_error(errors: Sequence[Sequence[SamplingError]], correlation: np.ndarray) -> RecordingError:
    freedom = min(each.freedom for row in errors for each in row)
    return RecordingError(
        np.array([[each.error for each in row] for row in errors]), min(freedom, NEARLY_INFINITE), correlation
    )


def _mean_error(seeds: Sequence[Quality], name: str) -> SamplingError:
    """Return the error over recordings of the mean over a candidate's seeds."""
    sample = mean_sample(seeds, name)
    found = None if sample is None else clustered_error(sample) if name == "log_loss" else accuracy_error(sample)
    if found is not None and found.error:
        return found
    return _mean_of([each for each in (sampling_errors(quality)[name] for quality in seeds) if each is not None])


def _mean_of(errors: Sequence[SamplingError]) -> SamplingError:
    return SamplingError(math.fsum(each.error for each in errors) / len(errors), min(each.freedom for each in errors))


def mean_sample(seeds: Sequence[Quality], name: str) -> Sample | None:
    """Return an objective on the recordings, averaged over seeds; None where their recordings are not known.

    Args:
        seeds: Qualities on the same clips.
        name: Of the objective.
    """
    tables = [quality.recordings for quality in seeds]
    first = tables[0]
    samples = [each.sample(name) for each in tables if each is not None]
    if first is None or any(each is None or not first.is_of_same_clips(each) for each in tables):
        return None
    sums = np.mean([each.sums for each in samples], axis=0)
    clips = np.mean([each.clips for each in samples], axis=0)
    return Sample(sums, clips, samples[0].strata, samples[0].by_class, samples[0].is_binary)
