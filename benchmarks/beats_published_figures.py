"""Figures of found networks against published ones on evaluation clips, each a difference with its 95 % interval.

A search's choice for a number of MACs is the network that had the best validation accuracy among those of its front
with at most as many; where there is none, it guesses. With outer folds each fold has its own search and its own choice,
and an accuracy is over the evaluation clips of all folds. Networks of other folds are other networks, so their seeds
are drawn separately.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchmarks.published_networks import DEFAULT, FOUND, REPORT, WAYS
from benchmarks.two_way_bootstrap import Floats, hypervolume, interval, mean_height

MIN_MACS = 10_000  # cheap end of the axis of cost
EITHER = "either"  # each published network in both ways that need no search
OPPONENTS = {
    REPORT: (REPORT,), DEFAULT: (DEFAULT,), FOUND: (FOUND,), EITHER: (REPORT, DEFAULT),
}  # fmt: skip
OPPONENT_NAMES = {**WAYS, EITHER: "recipe of its report or default recipe"}

Measure = Callable[[Sequence[float], Sequence[Floats], float, float, float], Floats]


@dataclass(frozen=True)
class Row:
    """A row of results/beats_published.csv, without its data set; None: not applicable."""

    mode: str
    figure: str
    ours: float
    theirs: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, mode: str, figure: str, ours: Floats, theirs: Floats) -> "Row":
        """Return a difference with its interval, from draws: (D,) each."""
        found = interval(ours - theirs)
        return cls(mode, figure, float(ours[0]), float(theirs[0]), found.estimate, found.low, found.high)


@dataclass(frozen=True, eq=False)
class Network:
    """A network after its trainings.

    Attributes:
        name: Of a published network, its name; of a found one, its trial.
        macs: Multiply-accumulates.
        params: Number of parameters.
        accuracy: What it adds to the macro accuracy, by the recordings of its outer fold: (D,).
        validation: Macro accuracy by which the search chose it; NaN of a published network.
    """

    name: str
    macs: int
    params: int
    accuracy: Floats
    validation: float = float("nan")


@dataclass(frozen=True, eq=False)
class Fold:
    """The networks of one outer fold.

    Attributes:
        published: By way of training, then by name.
        found: By mode of the search, its front.
        guessing: What guessing adds to the macro accuracy: (D,).
    """

    published: Mapping[str, Mapping[str, Network]]
    found: Mapping[str, Sequence[Network]]
    guessing: Floats

    def choice(self, mode: str, max_macs: float) -> Floats:
        """Return what the search's choice for a number of MACs adds to the macro accuracy: (D,)."""
        cheap = [network for network in self.found[mode] if network.macs <= max_macs]
        return max(cheap, key=lambda each: (each.validation, -each.macs)).accuracy if cheap else self.guessing


@dataclass(frozen=True, eq=False)
class Comparison:
    """All networks of all outer folds.

    Attributes:
        folds: One for each outer fold.
        max_macs: Budget.
        num_classes: Number of classes.
    """

    folds: Sequence[Fold]
    max_macs: int
    num_classes: int

    @cached_property
    def published(self) -> dict[str, dict[str, Network]]:
        """The published networks over all folds, by way and name."""
        first = self.folds[0].published
        return {
            way: {
                name: Network(
                    name,
                    network.macs,
                    network.params,
                    sum_of(fold.published[way][name].accuracy for fold in self.folds),
                )
                for name, network in networks.items()
            }
            for way, networks in first.items()
        }

    def opponents(self, opponent: str) -> list[Network]:
        """Return the published networks of an entry of `OPPONENTS`."""
        return [network for way in OPPONENTS[opponent] for network in self.published[way].values()]

    def choice(self, mode: str, max_macs: float) -> Floats:
        """Return the macro accuracy of the search's choice for a number of MACs: (D,)."""
        return sum_of(fold.choice(mode, max_macs) for fold in self.folds)

    def curve(self, mode: str) -> list[tuple[int, Floats]]:
        """Return the search's choice at every cost at which it changes: MACs and macro accuracy (D,)."""
        costs = sorted({network.macs for fold in self.folds for network in fold.found[mode]})
        return [(macs, self.choice(mode, macs)) for macs in costs]

    def height(
        self, points: Sequence[tuple[int, Floats]], low: float = MIN_MACS, measure: Measure = hypervolume
    ) -> Floats:
        """Return the hypervolume of networks, or their mean height in the order of their costs: (D,)."""
        costs, accuracies = [macs for macs, _ in points], [accuracy for _, accuracy in points]
        return measure(costs, accuracies, 1 / self.num_classes, low, self.max_macs)

    def rows(self, mode: str) -> Iterator[Row]:
        """Yield the figures of one mode of the search."""
        curve = self.curve(mode)
        best = self.choice(mode, self.max_macs)
        for opponent, ways in OPPONENTS.items():
            if not {*ways} <= {*self.published}:
                continue  # not trained in that way
            theirs = self.opponents(opponent)
            points = [(network.macs, network.accuracy) for network in theirs]
            cheapest = min(network.macs for network in theirs)
            against = f"against {opponent}"
            for figure, low in (("hypervolume", MIN_MACS), (f"hypervolume from {cheapest} MACs", cheapest)):
                # Ours as validation chose for each budget, theirs the best for each budget, with hindsight.
                own = self.height(curve, low, mean_height)
                yield Row.of(mode, f"{figure} {against}", own, self.height(points, low))
            yield Row.of(mode, f"hindsight hypervolume {against}", self.height(curve), self.height(points))
            # Chosen with hindsight, by what it is compared on: in their favour.
            strongest = max(theirs, key=lambda each: float(each.accuracy[0]))
            yield Row.of(mode, f"best {against}", best, strongest.accuracy)
            yield from self._at_their_macs(mode, opponent, theirs)
        yield Row.of(mode, "regret of the choice", best, self._best_confirmed(mode))

    def _at_their_macs(self, mode: str, opponent: str, theirs: Sequence[Network]) -> Iterator[Row]:
        """Yield the comparisons at each published network's MACs, and their mean."""
        against = f"against {opponent}"
        ours = [self.choice(mode, network.macs) for network in theirs]
        them = [network.accuracy for network in theirs]
        yield Row.of(mode, f"mean at their MACs {against}", mean_of(ours), mean_of(them))
        if len(OPPONENTS[opponent]) == 1:
            for network, own in zip(theirs, ours, strict=True):
                yield Row.of(mode, f"at the MACs of {network.name} {against}", own, network.accuracy)

    def _best_confirmed(self, mode: str) -> Floats:
        """Return the macro accuracy of the network of each fold's front that is best on its evaluation clips: (D,)."""
        return sum_of(
            max(fold.found[mode], key=lambda each: float(each.accuracy[0])).accuracy
            if fold.found[mode] else fold.guessing
            for fold in self.folds
        )  # fmt: skip

    def recipe_rows(self) -> Iterator[Row]:
        """Yield the figures of the recipes, with the same published networks."""
        for ours, theirs in ((FOUND, DEFAULT), (FOUND, REPORT), (DEFAULT, REPORT)):
            if not {ours, theirs} <= {*self.published}:
                continue
            own, other = self.published[ours], self.published[theirs]
            figure = f"recipe: {ours} against {theirs}"
            yield Row.of(
                "", f"{figure}, mean", mean_of([each.accuracy for each in own.values()]),
                mean_of([each.accuracy for each in other.values()]),
            )  # fmt: skip
            for name in own:
                yield Row.of("", f"{figure}, {name}", own[name].accuracy, other[name].accuracy)


def sum_of(parts: Iterable[Floats]) -> Floats:
    """Return the sum of arrays of draws: (D,)."""
    return np.asarray(np.sum(np.stack(list(parts)), axis=0))


def mean_of(parts: Sequence[Floats]) -> Floats:
    """Return the mean of arrays of draws: (D,)."""
    return np.asarray(np.mean(np.stack(list(parts)), axis=0))
