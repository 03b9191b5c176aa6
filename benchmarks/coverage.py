"""Coverage of the confidence intervals, by simulation: `python -m benchmarks.coverage` writes results/coverage.md.

Recordings are drawn anew, with the sizes of the data set `scenes` and about the noise that two isotropic networks had
there: a recording's accuracy is beta distributed about its class's with an intraclass correlation of 0.3 (measured 0.33
and 0.26), and the surprise of a recording is gamma distributed with the same correlation. An interval covers if it
holds the value that many more recordings of these classes would have.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from objectives.cluster_sampling import (
    Counts,
    Floats,
    Sample,
    accuracy_error,
    clustered_error,
    correlations,
    effective_clips,
)
from objectives.confidence import RecordingError, front_probability, intervals, measured
from objectives.quality import Quality, Score, measure_quality
from objectives.sampling_error import CHANGE_CORRELATION, Z_95, sampling_errors, score_error
from search.report.table import Table

CORRELATION = 0.3
REPEATS = 2_000
CLASSES, DEVICES = tuple(f"class {number}" for number in range(10)), tuple(f"device {number}" for number in range(9))
GROUPS = {name: "unseen" if index >= 6 else "seen" for index, name in enumerate(DEVICES)}
# Accuracy of each class, as of a small network there; and the clips of each recording, by class.
ACCURACIES = np.array([0.85, 0.65, 0.60, 0.15, 0.40, 0.15, 0.15, 0.28, 0.20, 0.26])
LAYOUTS: Mapping[str, Sequence[Sequence[int]]] = {
    "evaluation: 33 recordings": (
        (16, 38), (21, 22, 11), (14, 13, 14, 13), (54,), (9,) * 6, (14, 13, 14, 13), (14, 13, 14, 13), (10, 22, 22),
        (54,), (11, 11, 11, 11, 10),
    ),
    "validation: 16 recordings": (
        (48,), (12, 12), (10, 10), (30,), (9, 10), (16, 16), (13, 13), (15,), (32,), (12, 12),
    ),
    "two recordings a class": ((27, 27),) * 10,
    "one recording a class": ((54,),) * 10,
    "twelve recordings a class": ((25,) * 12,) * 10,
}  # fmt: skip


@dataclass(frozen=True)
class Coverage:
    """How often intervals hold the truth.

    Attributes:
        held: Share of the intervals that do.
        half: Mean half of their width.
        by_clip: Share of those that take the clips as independent.
    """

    held: float
    half: float
    by_clip: float

    def cells(self) -> tuple[str, str, str]:
        """Return the numbers as text."""
        return f"{self.held:.3f}", f"{self.half:.3f}", f"{self.by_clip:.3f}"


@dataclass(frozen=True)
class Layout:
    """Clips of each recording, and its class: (R,) each."""

    clips: Counts
    strata: Counts

    @classmethod
    def of(cls, sizes: Sequence[Sequence[int]]) -> "Layout":
        """Return the layout of the clips of each recording, by class."""
        strata = [index for index, each in enumerate(sizes) for _ in each]
        return cls(np.array([clips for each in sizes for clips in each]), np.array(strata))


def draw_accuracies(rng: np.random.Generator, means: Floats, correlation: float) -> Floats:
    """Return the accuracy of each recording, beta distributed about a mean with an intraclass correlation."""
    scale = (1 - correlation) / correlation
    return rng.beta(np.maximum(means * scale, 1e-9), np.maximum((1 - means) * scale, 1e-9))


def draw_quality(rng: np.random.Generator, layout: Layout, correlation: float = CORRELATION) -> Quality:
    """Return the metrics of a network on clips of recordings that are drawn anew, on all devices in turn."""
    shares = draw_accuracies(rng, ACCURACIES[layout.strata], correlation)
    recordings = np.repeat(np.arange(len(layout.clips)), layout.clips)
    labels = layout.strata[recordings]
    right = rng.random(len(labels)) < shares[recordings]
    shape = (1 - correlation) / correlation
    surprise = rng.gamma(shape, 1 / shape, len(layout.clips))[recordings] * rng.gamma(shape, 1 / shape, len(labels))
    sure = np.where(right, 0.51 + 0.49 * np.exp(-surprise), 0.3 * np.exp(-surprise)).clip(1e-6, 1 - 1e-6)
    probabilities = np.repeat(((1 - sure) * 0.4 / 8)[:, None], 10, axis=1)
    rows = np.arange(len(labels))
    probabilities[rows, labels] = sure
    probabilities[rows, (labels + 1) % 10] = (1 - sure) * 0.6  # more than of the true class where the clip is wrong
    return measure_quality(
        np.log(probabilities), labels, rows % len(DEVICES), recordings,
        classes=CLASSES, device_names=DEVICES, device_groups=GROUPS,
    )  # fmt: skip


def value(quality: Quality, name: str) -> float:
    """Return an objective; of the worst device, the accuracy of the first one: no other was named before."""
    if name == "worst_device_accuracy":
        return quality.by_device[DEVICES[0]].accuracy
    return quality.by_group["unseen"].accuracy if name == "unseen_accuracy" else float(getattr(quality, name))


def single_network(sizes: Sequence[Sequence[int]], repeats: int, correlation: float, seed: int) -> dict[str, Coverage]:
    """Return the coverage of the intervals of one network, by objective; the truth is the mean over all draws."""
    rng, layout = np.random.default_rng(seed), Layout.of(sizes)
    drawn = [draw_quality(rng, layout, correlation) for _ in range(repeats)]
    found = {}
    for name in ("macro_accuracy", "log_loss", "unseen_accuracy", "worst_device_accuracy"):
        truth = float(np.mean([value(quality, name) for quality in drawn]))
        errors = [(value(quality, name), *_halves(quality, name)) for quality in drawn]
        held = [abs(each - truth) <= half for each, half, _ in errors]
        by_clip = [abs(each - truth) <= half for each, _, half in errors]
        half = float(np.mean([half for _, half, _ in errors]))
        found[name] = Coverage(float(np.mean(held)), half, float(np.mean(by_clip)))
    return found


def _halves(quality: Quality, name: str) -> tuple[float, float]:
    """Return half the width of an interval by recording, and by clip."""
    if name == "worst_device_accuracy":
        score = quality.by_device[DEVICES[0]]
        return score_error(score).half, score_error(Score(score.clips, score.accuracy, score.log_loss)).half
    old = Quality(**{**vars(quality), "recordings": None})
    by_recording, by_clip = sampling_errors(quality)[name], sampling_errors(old)[name]
    assert by_recording is not None
    assert by_clip is not None
    return by_recording.half, by_clip.half


def paired(sizes: Sequence[Sequence[int]], changed: float, repeats: int, seed: int) -> Coverage:
    """Return the coverage of the difference of two networks, of which the second answers some clips otherwise.

    Args:
        sizes: Clips of each recording, by class.
        changed: Share of the clips whose correctness changes, half of them to the better.
    """
    rng, layout = np.random.default_rng(seed), Layout.of(sizes)
    held: list[bool] = []
    by_clip: list[bool] = []
    halves: list[float] = []
    for _ in range(repeats):
        lost, gained = (
            _draw_changes(rng, layout, changed / 2) for _ in range(2)
        )  # as many in the mean: the truth is 0
        sums = (lost - gained).astype(np.float64)
        changes = Sample(sums, layout.clips.astype(np.float64), layout.strata, by_class=True, is_binary=False)
        error = clustered_error(changes)
        assert error is not None
        clips = effective_clips(changes, CHANGE_CORRELATION)
        half = max(error.half, Z_95**2 / (clips + Z_95**2))
        totals = np.bincount(layout.strata, layout.clips)
        mean = float((np.bincount(layout.strata, sums) / totals).mean())
        counts = np.bincount(layout.strata, lost + gained)
        plain = Z_95 * math.sqrt(float((counts / totals**2).sum())) / len(totals)
        held.append(abs(mean) <= half)
        by_clip.append(abs(mean) <= plain)
        halves.append(half)
    return Coverage(float(np.mean(held)), float(np.mean(halves)), float(np.mean(by_clip)))


def _draw_changes(rng: np.random.Generator, layout: Layout, share: float) -> Counts:
    """Return how many clips of each recording change in one direction, correlated as `CHANGE_CORRELATION` says."""
    if not share:
        return np.zeros_like(layout.clips)
    return rng.binomial(layout.clips, draw_accuracies(rng, np.full(len(layout.clips), share), CHANGE_CORRELATION))


@dataclass(frozen=True)
class Confirmed:
    """How well a confirmation knows its candidates.

    Attributes:
        held: Share of the intervals of the means that hold the truth.
        by_seeds: The same of intervals over seeds alone.
        called: Mean P(front) of those called 60 to 95 % likely.
        was: Share of these that were on the true front.
    """

    held: float
    by_seeds: float
    called: float
    was: float


def confirmation(num_candidates: int, num_seeds: int, repeats: int, seed: int) -> Confirmed:
    """Return the coverage of a confirmation on the evaluation clips, with 33 recordings shared by all candidates.

    A costlier candidate is better in the mean; the spread over seeds falls with the size, and differs by a third.
    """
    rng, layout = np.random.default_rng(seed), Layout.of(LAYOUTS["evaluation: 33 recordings"])
    held: list[bool] = []
    by_seeds: list[bool] = []
    called: list[float] = []
    was: list[bool] = []
    costs = np.arange(1.0, num_candidates + 1)[:, None]
    for number in range(repeats):
        truths = np.cumsum(np.concatenate([[0.0], rng.normal(0.01, 0.03, num_candidates - 1)]))
        spreads = 0.02 * np.exp(rng.normal(0, 0.3, num_candidates)) * costs[:, 0] ** -0.2
        shared = draw_accuracies(rng, ACCURACIES[layout.strata], CORRELATION) - ACCURACIES[layout.strata]
        tables, samples = [], []
        for truth, spread in zip(truths, spreads, strict=True):
            own = draw_accuracies(rng, ACCURACIES[layout.strata], CORRELATION) - ACCURACIES[layout.strata]
            difficulty = math.sqrt(0.8) * shared + math.sqrt(0.2) * own  # of the recordings, for this candidate
            counts = []
            for _ in range(num_seeds):
                shares = ACCURACIES[layout.strata] + truth + rng.normal(0, spread) + difficulty
                counts.append(rng.binomial(layout.clips, np.clip(shares, 0, 1)))
            totals = np.bincount(layout.strata, layout.clips)
            tables.append([[float((np.bincount(layout.strata, each) / totals).mean())] for each in counts])
            sums = np.mean(counts, axis=0)
            samples.append(Sample(sums, layout.clips.astype(np.float64), layout.strata, by_class=True, is_binary=True))
        errors = [accuracy_error(sample) for sample in samples]
        freedom = min(each.freedom for each in errors if each is not None)
        clips = RecordingError(
            np.array([[each.error] for each in errors if each is not None]), freedom, correlations(samples)
        )
        sizes = (1_000 * costs[:, 0]).tolist()
        both = measured(tables, ["one"] * num_candidates, sizes, clips)
        true = ACCURACIES.mean() + truths
        for found, values in ((intervals(both), held), (intervals(measured(tables, None, sizes)), by_seeds)):
            values += [abs(each.mean - truth) <= (each.half or 0.0) for [each], truth in zip(found, true, strict=True)]
        chances = front_probability(both, costs, [True, False], draws=400, seed=number)
        assert chances is not None
        on_front = [truth > max(true[:index], default=-1.0) for index, truth in enumerate(true)]
        some = (chances >= 0.6) & (chances < 0.95)
        called += chances[some].tolist()
        was += np.array(on_front)[some].tolist()
    return Confirmed(*(float(np.mean(each)) for each in (held, by_seeds, called, was)))


def page(repeats: int, say: Callable[[str], None]) -> str:
    """Return the results page."""
    singles = []
    for layout, sizes in LAYOUTS.items():
        say(layout)
        for name, found in single_network(sizes, repeats, CORRELATION, 1).items():
            singles.append((layout, name.replace("_", " "), *found.cells()))
    others = []
    for correlation in (0.05, 0.1, 0.2, 0.5):
        for layout in list(LAYOUTS)[:2]:
            found = single_network(LAYOUTS[layout], repeats, correlation, 2)["macro_accuracy"]
            others.append((layout, f"{correlation:g}", *found.cells()))
    say("differences")
    pairs = []
    for layout in list(LAYOUTS)[:2]:
        for changed in (0.0, 0.01, 0.04, 0.12):
            found = paired(LAYOUTS[layout], changed, repeats, 3)
            pairs.append((layout, f"{changed:.0%}", *found.cells()))
    say("confirmations")
    confirmed = []
    for candidates, seeds in ((4, 2), (4, 3), (8, 3), (8, 5)):
        each = confirmation(candidates, seeds, max(2, repeats // 4), 4)
        confirmed.append(
            (
                str(candidates),
                str(seeds),
                f"{each.held:.3f}",
                f"{each.by_seeds:.3f}",
                f"{each.called:.2f}",
                f"{each.was:.2f}",
            )
        )
    head = ("held", "half width", "held, by clip")
    tables = (
        ("One network, correlation 0.3", Table("", ("recordings", "objective", *head), singles, texts=("objective",))),
        ("Macro accuracy, other correlations", Table("", ("recordings", "correlation", *head), others)),
        ("Difference of two networks on the same clips", Table("", ("recordings", "changed", *head), pairs)),
        (
            "Confirmation, 33 recordings",
            Table("", ("candidates", "seeds", "held", "by seeds alone", "P(front) of 0.6 to 0.95", "was"), confirmed),
        ),
    )
    text = "\n\n".join(f"## {title}\n\n{table.to_markdown()}" for title, table in tables)
    return f"# Coverage of the 95 % intervals\n\n{description(repeats)}\n\n{text}\n"


def description(repeats: int) -> str:
    """Return what the tables hold, and where the intervals fall short."""
    return (
        f"Share of the nominal 95 % intervals that hold the truth, over {repeats:,} draws of the recordings (an "
        f"uncertainty of {1.96 * math.sqrt(0.95 * 0.05 / repeats):.3f}; a fourth as many confirmations), with the "
        "sizes of the recordings of `scenes` and an intraclass correlation of 0.3. On its evaluation clips two "
        "isotropic networks had 0.33 and 0.26, and of the clips whose correctness int8 changes 0.09 to 0.11. By clip: "
        "the interval that takes the clips as independent. The worst device is one that was named before; the lowest "
        "of nine is lower than its own truth, too. With one recording a class the differences of the classes count as "
        "noise, so that the interval is wider than need be: nothing else is known.\n\n"
        "Made by `python -m benchmarks.coverage`."
    )


@click.command()
@click.option("--repeats", default=REPEATS, show_default=True, help="Draws of each table.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/coverage.md"), show_default=True)
def main(repeats: int, out: Path) -> None:
    """Simulate the coverage and write the results page."""
    text = page(repeats, lambda line: click.echo(line, err=True))
    out.write_text(text, encoding="utf-8")
    click.echo(text)


if __name__ == "__main__":
    main()
