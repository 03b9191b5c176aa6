"""What a person sees while a search runs: a live page in a terminal, plain lines in a pipe."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from objectives.front import non_dominated
from objectives.goals import GOALS
from objectives.interval import mean_interval
from search.ledger import Ledger, Proposal
from search.members import MemberBranch
from search.plan import Plan
from search.seeds import SEED
from search.trial_config import TrialConfig

MAX_FRONT_ROWS = 12


@contextmanager
def counting(what: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """Show a bar for work that is counted, from its first count on; in a pipe, a line at its beginning."""
    bar = Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task("", total=None)

    def count(done: int, total: int) -> None:
        if bar.tasks[task].total is None:
            if console.is_terminal:
                bar.start()
            else:
                console.print(f"{what}: {total:,}")
        bar.update(task, completed=done, total=total)

    try:
        yield count
    finally:
        if console.is_terminal:
            bar.stop()


class Display(Protocol):
    """Is told what happens."""

    def proposed(self, proposal: Proposal) -> None:
        """A trial was handed out."""

    def epoch_done(self, number: int) -> None:
        """A trial finished an epoch."""

    def ended(self, number: int, state: str) -> None:
        """A trial was settled."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def make_display(ledger: Ledger, console: Console) -> Display:
    """Choose by where the output goes."""
    return LiveDisplay(ledger, console) if console.is_terminal else PlainDisplay(ledger, console)


class Clock:
    """Estimates the time left from the share of the training that is done."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.started = time.monotonic()
        self.share_before = self._share()

    def _share(self) -> float:
        settings = self.ledger.plan.settings
        done = self.ledger.num_ended + self.ledger.epochs_in_hand / settings.epochs
        return done / settings.trials

    def elapsed_s(self) -> float:
        """Since the search started or was taken up."""
        return time.monotonic() - self.started

    def left_s(self) -> float | None:
        """Until the end, as the trials so far took; None before anything can be said."""
        share = self._share()
        gained = share - self.share_before
        return None if gained <= 0 else self.elapsed_s() / gained * (1 - share)


class PlainDisplay:
    """A line for each thing that happens."""

    def __init__(self, ledger: Ledger, console: Console) -> None:
        self.ledger, self.console = ledger, console
        self.clock = Clock(ledger)
        self._rejected = sum(ledger.rejections.values())
        self._second = ledger.plan.settings.objectives[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def _say(self, text: str) -> None:
        self.console.print(
            f"[{clock_text(self.clock.elapsed_s())}] {text}", markup=False, highlight=False, soft_wrap=True
        )

    def proposed(self, proposal: Proposal) -> None:
        """Say what was rejected on the way, and what starts."""
        rejected = sum(self.ledger.rejections.values())
        if rejected > self._rejected:
            self._say(
                f"rejected {rejected - self._rejected} untrained ({rejected} so far: {rejections_text(self.ledger)})"
            )
            self._rejected = rejected
        again = f", taken up after epoch {proposal.curve[-1]['epoch']}" if proposal.curve else ""
        self._say(
            f"trial {proposal.number} starts: {network_text(self.ledger.plan, proposal.config)}; "
            f"{proposal.cost.macs:,} MACs, {proposal.cost.params:,} parameters{again}"
        )

    def epoch_done(self, number: int) -> None:
        """Say how far the trial is."""
        trial, epochs = self.ledger.running[number], self.ledger.plan.settings.epochs
        self._say(f"trial {number} epoch {trial.epoch}/{epochs}: macro accuracy {trial.accuracy:.3f}")

    def ended(self, number: int, state: str) -> None:
        """Say how the trial ended and how the search stands."""
        left = self.clock.left_s()
        total = self.ledger.plan.settings.trials
        self._say(
            f"trial {number} {state}{why(self.ledger, number)}; {self.ledger.num_ended} of {total} trials done"
            f"{f', {clock_text(left)} left' if left is not None else ''}; {self._standing()}"
        )

    def _standing(self) -> str:
        if self.ledger.plan.settings.train:
            return f"macro accuracy {mean_text(self.ledger)}"
        front = ", ".join(f"{accuracy:.3f} at {cost:,}" for _, accuracy, cost in current_front(self.ledger))
        return f"front ({self._second}): {front or 'empty'}"


class LiveDisplay:
    """One page, redrawn in place."""

    def __init__(self, ledger: Ledger, console: Console) -> None:
        self.ledger, self.clock = ledger, Clock(ledger)
        self.live = Live(get_renderable=self.page, console=console, refresh_per_second=2, transient=False)

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def proposed(self, proposal: Proposal) -> None:
        """The page shows it at its next drawing, as it does all below."""

    def epoch_done(self, number: int) -> None:
        """See `proposed`."""

    def ended(self, number: int, state: str) -> None:
        """See `proposed`."""

    def page(self) -> RenderableType:
        """Draw the search as it stands."""
        settings, states = self.ledger.plan.settings, self.ledger.states
        left = self.clock.left_s()
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(f"{self.ledger.num_ended}/{settings.trials} {'seeds' if settings.train else 'trials'}", style="bold"),
            ProgressBar(total=settings.trials, completed=self.ledger.num_ended, width=30),
            f"{clock_text(self.clock.elapsed_s())} passed",
            f"{clock_text(left)} left" if left is not None else "time left: not known yet",
        )
        counts = [f"{states[state]} {state}" for state in ("complete", "stopped", "failed") if states[state]]
        counts += [f"{len(self.ledger.running)} running"]
        if settings.train:
            mean = Text(f"macro accuracy of the seeds so far: {mean_text(self.ledger)}")
            return Group(head, Text(", ".join(counts)), self._running(), mean)
        counts += [f"{sum(self.ledger.rejections.values())} rejected untrained ({rejections_text(self.ledger)})"]
        return Group(head, Text(", ".join(counts)), self._running(), self._front())

    def _running(self) -> Table:
        table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
        for column in ("running", "epoch", "macro accuracy", "MACs", "parameters", "network"):
            table.add_column(
                column, justify="left" if column == "network" else "right", overflow="ellipsis", no_wrap=True
            )
        for number, trial in sorted(dict(self.ledger.running).items()):
            cost, accuracy = trial.proposal.cost, f"{trial.accuracy:.3f}" if trial.epoch else "-"
            table.add_row(
                str(number), f"{trial.epoch}/{self.ledger.plan.settings.epochs}", accuracy, f"{cost.macs:,}",
                f"{cost.params:,}", network_text(self.ledger.plan, trial.proposal.config),
            )  # fmt: skip
        return table

    def _front(self) -> Table:
        front = current_front(self.ledger)
        table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
        for column in ("front: trial", "macro accuracy", self.ledger.plan.settings.objectives[-1]):
            table.add_column(column, justify="right")
        for number, accuracy, cost in front[-MAX_FRONT_ROWS:]:
            best = accuracy == max(point[1] for point in front)
            table.add_row(str(number), f"{accuracy:.3f}", f"{cost:,}", style="bold" if best else "")
        if not front:
            table.add_row("none yet", "", "")
        return table


def current_front(ledger: Ledger) -> list[tuple[int, float, int]]:
    """Give number, macro accuracy and cost of the front's members, the cheapest first."""
    if not ledger.complete:
        return []
    points = np.array([values for _, values in ledger.complete])
    chosen = [ledger.complete[i] for i in np.flatnonzero(non_dominated(points, [True, False]))]
    return sorted(((number, accuracy, int(cost)) for number, (accuracy, cost) in chosen), key=lambda point: point[2])


def mean_text(ledger: Ledger) -> str:
    """Say what the seeds of one configuration have reached so far: the mean, and its interval from two seeds on."""
    if not ledger.complete:
        return "not known yet"
    if ledger.plan.settings.members:
        return members_text(ledger)
    found = mean_interval([accuracy for _, (accuracy, _) in ledger.complete])
    seeds = f"{found.count} seed{'s' if found.count > 1 else ''}"
    return f"{found.mean:.3f} ({seeds})" if found.half is None else f"{found.mean:.3f} ± {found.half:.3f} ({seeds})"


def members_text(ledger: Ledger) -> str:
    """Say what each member has reached so far: the mean of its seeds by the first quality."""
    place = [GOALS[name].kind for name in ledger.plan.settings.objectives].index("quality")
    configs, found = dict(ledger.proposer.numbers()), dict[int, list[float]]()
    for number, values in ledger.complete:
        branch = ledger.plan.branches[configs[number].architecture]
        assert isinstance(branch, MemberBranch)
        found.setdefault(branch.number_of(configs[number]), []).append(values[place])
    return ", ".join(f"trial {number} {sum(each) / len(each):.3f}" for number, each in sorted(found.items()))


def rejections_text(ledger: Ledger) -> str:
    """Say how many were rejected for each reason."""
    return ", ".join(f"{count} {kind}" for kind, count in ledger.rejections.most_common()) or "none"


def network_text(plan: Plan, config: TrialConfig) -> str:
    """Name the architecture, and what the search varies of the front end and the network."""
    branch, values = plan.branches[config.architecture], config.to_dict()
    if isinstance(branch, MemberBranch):
        return f"{config.architecture} trial={branch.number_of(config)} seed={config.recipe.seed}"
    names = [SEED] if plan.settings.train else [branch.field(name) for name in branch.cost_ranges]
    return " ".join([config.architecture, *(f"{name}={values[name]}" for name in names)])


def why(ledger: Ledger, number: int) -> str:
    """Say why a trial ended before its time, or nothing."""
    reason = ledger.reasons.get(number, "")
    return f" ({reason})" if reason else ""


def clock_text(seconds: float) -> str:
    """Write a duration.

    >>> clock_text(75.4), clock_text(3675)
    ('1:15', '1:01:15')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
