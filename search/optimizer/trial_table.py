"""Trial table: one row per trial of a search, with its configuration, state, rung and learning curve.

The scheduler alone changes rows. Successive halving, the acquisition function, the candidate generator, the sampler's
history and the progress display read them. Rejected configurations have no row.

The states of a trial:

    PENDING ──────> RUNNING ── last epoch of the last rung ──> COMPLETE
       ^            │ ^ │ │
       │            │ │ │ └─ diverged, or crashed too often ──> FAILED
       └────────────┘ │ │
       crashed, or    │ └─ end of its rung, not among the best ──> PAUSED ── nothing left to train ──> STOPPED
       the search     │                                              │                                    │
       was killed     └──────────── promoted to the next rung ───────┴──── promoted in a larger study ────┘

A trial among the best at the end of its rung is promoted at once and stays RUNNING. One that no longer fits the budget
is STOPPED whatever its state, and PENDING or PAUSED again once it fits.

In the study's database a COMPLETE trial is COMPLETE and a FAILED one FAIL; all others are RUNNING: Optuna allows no
change to a finished trial, and a stopped one may still be promoted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from objectives.cost import Cost
from objectives.pooled_quality import pooled_quality
from objectives.quality import Quality
from search.config.trial_config import TrialConfig
from search.study.study import LATENCY


class State(StrEnum):
    """States of a trial."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(eq=False)
class TrialRow:
    """Row of a trial.

    Attributes:
        number: Number in the study.
        config: Network, front end and training recipe.
        cost: Cost of its network.
        fits: Whether the cost is within the current budget, which may have changed since the trial was started.
        state: State, as in the diagram above.
        rung: Index of its current rung.
        curve: Learning curve: metrics of each epoch, in order.
        costs: Costs by name of the objective; the latency is None until it is measured.
        attempts: Epoch and reason of each crash in training.
        reason: Why it was stopped or failed; "" otherwise.
        values: Final values of the objectives, of a complete trial.
        estimate: Estimated final values of the objectives, from the end of the first rung on; for the sampler.
        completion: Position in the order of completion, from 0.
        fold_qualities: Metrics of its finished folds, as of `Quality.to_dict`, where trials are trained on several.
    """

    number: int
    config: TrialConfig
    cost: Cost
    fits: bool = True
    state: State = State.RUNNING
    rung: int = 0
    curve: list[Mapping[str, Any]] = field(default_factory=list)
    costs: dict[str, Any] = field(init=False)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""
    values: tuple[float, ...] = ()
    estimate: tuple[float, ...] = ()
    completion: int = 0
    fold_qualities: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Set the costs that need no measurement."""
        self.costs = {**self.cost.to_dict(), LATENCY: None}

    @property
    def quality(self) -> Quality:
        """Metrics on the clips of all finished folds, of which there must be one."""
        return pooled_quality([Quality.from_dict(each) for each in self.fold_qualities])

    @property
    def num_epochs(self) -> int:
        """Number of trained epochs."""
        return len(self.curve)

    @property
    def latency_ms(self) -> float | None:
        """Latency in milliseconds; None until it is measured."""
        latency: float | None = self.costs[LATENCY]
        return latency

    @property
    def is_complete(self) -> bool:
        """Whether it was trained to the end."""
        return self.state == State.COMPLETE

    @property
    def runs_alone(self) -> bool:
        """Whether it must be trained alone, because it ran out of memory."""
        return any(attempt.get("is_memory") for attempt in self.attempts)


class TrialTable:
    """Rows by trial number."""

    def __init__(self) -> None:
        self._rows: dict[int, TrialRow] = {}
        self._numbers: dict[TrialConfig, int] = {}

    def add(self, row: TrialRow) -> TrialRow:
        """Add a trial, and return its row."""
        self._rows[row.number] = row
        self._numbers.setdefault(row.config, row.number)
        return row

    def __getitem__(self, number: int) -> TrialRow:
        return self._rows[number]

    def get(self, number: int) -> TrialRow | None:
        """Return the row of a trial, or None."""
        return self._rows.get(number)

    def __iter__(self) -> Iterator[TrialRow]:
        """Iterate in the order of the numbers, over a copy: the progress display reads from a thread of its own."""
        rows = tuple(self._rows.values())
        return iter(sorted(rows, key=lambda row: row.number))

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def numbers(self) -> Mapping[TrialConfig, int]:
        """Trial number by configuration."""
        return self._numbers

    def in_state(self, *states: State) -> list[TrialRow]:
        """Return the trials in any of some states."""
        return [row for row in self if row.state in states]

    def count(self, *states: State) -> int:
        """Count the trials in any of some states."""
        return len(self.in_state(*states))

    @property
    def completed(self) -> list[TrialRow]:
        """The fully trained trials that fit the budget, in the order in which they were completed."""
        return sorted((row for row in self.in_state(State.COMPLETE) if row.fits), key=lambda row: row.completion)

    def complete(self, row: TrialRow, values: tuple[float, ...]) -> None:
        """Mark a trial as complete, with its final values."""
        row.values, row.completion = values, self.count(State.COMPLETE)
        row.state = State.COMPLETE
