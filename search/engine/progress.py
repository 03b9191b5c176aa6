"""Progress display of a running job: a live page in a terminal, plain lines in a pipe."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from objectives.front import non_dominated
from objectives.goals import GOALS, directions, first_cost, first_quality
from objectives.interval import mean_interval
from search.config.messages import counted
from search.config.settings import ConfirmSettings, SearchSettings
from search.config.trial_config import TrialConfig
from search.optimizer.scheduler import TrialScheduler
from search.optimizer.trial_table import State, TrialRow
from search.space.repeats import RepeatSubspace
from search.space.search_space import SearchSpace
from search.study.repeats import SEED

MAX_FRONT_ROWS = 12


@contextmanager
def counting(task_name: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar from the first count on; in a pipe, one line at the start."""
    bar = Progress(
        TextColumn(task_name),
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
                console.print(f"{task_name}: {total:,}")
        bar.update(task, completed=done, total=total)

    try:
        yield count
    finally:
        if console.is_terminal:
            bar.stop()


class Display:
    """Progress display of a job, notified of its events; this one shows nothing."""

    def proposed(self, row: TrialRow) -> None:
        """Show that a trial starts or resumes."""

    def reported(self, row: TrialRow) -> None:
        """Show that a trial finished epochs."""

    def ended(self, row: TrialRow, reason: str = "") -> None:
        """Show that a trial's job on a worker ended; `reason` is why, where that is not the trial's."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def make_display(scheduler: TrialScheduler, console: Console) -> Display:
    """Return a live page for a terminal, plain lines for anything else."""
    return LiveDisplay(scheduler, console) if console.is_terminal else PlainDisplay(scheduler, console)


class Clock:
    """Estimates the remaining time from the finished share of the expected training."""

    def __init__(self, scheduler: TrialScheduler) -> None:
        """Start now; training done before counts for the share only."""
        self.scheduler = scheduler
        self.started = time.monotonic()
        self.share_before = self.share()

    def share(self) -> float:
        """Return the finished share of the expected training, if every rung promotes as many trials as it can."""
        rungs, halving = self.scheduler.rungs, self.scheduler.halving
        starts = [0, *(rung.end for rung in rungs[:-1])]
        several = len({rung.split for rung in rungs}) > 1
        weights = [int(rung.split) / 100 if several else 1.0 for rung in rungs]  # share of the clips in an epoch
        done = expected = 0.0
        num_trials = self.scheduler.space.settings.trials
        for index, (rung, start, weight) in enumerate(zip(rungs, starts, weights, strict=True)):
            done += weight * sum(max(0, min(row.num_epochs, rung.end) - start) for row in self.scheduler.table)
            expected += weight * num_trials * (rung.end - start)
            num_trials = -(-num_trials // halving.reduction_factor(index))
        return min(1.0, done / expected)

    def elapsed_s(self) -> float:
        """Return the time since the search started or was resumed."""
        return time.monotonic() - self.started

    def left_s(self, share: float | None = None) -> float | None:
        """Return the estimated remaining time, at the pace so far; None before anything was trained.

        Args:
            share: The finished share; None: as it is now.
        """
        share = self.share() if share is None else share
        gained = share - self.share_before
        return None if gained <= 0 else self.elapsed_s() / gained * (1 - share)


class PlainDisplay(Display):
    """Prints a line for each event."""

    def __init__(self, scheduler: TrialScheduler, console: Console) -> None:
        self.scheduler, self.console = scheduler, console
        self.clock = Clock(scheduler)
        self._num_rejected = sum(scheduler.rejections.values())

    def _print(self, text: str) -> None:
        self.console.print(
            f"[{clock_text(self.clock.elapsed_s())}] {text}", markup=False, highlight=False, soft_wrap=True
        )

    def proposed(self, row: TrialRow) -> None:
        """Print the configurations rejected since the last line, and the trial that starts or resumes."""
        rejected = sum(self.scheduler.rejections.values())
        if rejected > self._num_rejected:
            self._print(
                f"rejected {rejected - self._num_rejected} untrained ({rejected} so far: "
                f"{rejections_text(self.scheduler)})"
            )
            self._num_rejected = rejected
        begins = f"resumes after epoch {row.num_epochs}" if row.curve else "starts"
        self._print(
            f"trial {row.number} {begins}: {network_text(self.scheduler.space, row.config)}; "
            f"{row.cost.macs:,} MACs, {row.cost.params:,} parameters{', alone' if row.runs_alone else ''}"
        )

    def reported(self, row: TrialRow) -> None:
        """Print the trial's epoch and its quality."""
        self._print(f"trial {row.number} {epoch_text(self.scheduler, row)}: {quality_text(self.scheduler, row)}")

    def ended(self, row: TrialRow, reason: str = "") -> None:
        """Print the trial's state, and the progress of the search."""
        left = self.clock.left_s()
        ended = f"will be resumed ({reason})" if reason else ended_text(self.scheduler, row)
        self._print(
            f"trial {row.number} {ended}; {self.scheduler.num_ended} of "
            f"{self.scheduler.space.settings.trials} trials done"
            f"{f', {clock_text(left)} left' if left is not None else ''}; {self._results()}"
        )

    def _results(self) -> str:
        settings = self.scheduler.space.settings
        if not isinstance(settings, SearchSettings):
            return f"{quality_title(self.scheduler)} {mean_text(self.scheduler)}"
        named = "; ".join(GOALS[name].title for name in settings.objectives)
        between = " at " if len(settings.objectives) == 2 else " / "
        front = [between.join(values_text(settings.objectives, row.values)) for row in current_front(self.scheduler)]
        return f"front ({named}): {'; '.join(front) or 'empty'}"


@dataclass(frozen=True)
class Page:
    """What the live page shows, as of an event: the thread that draws reads nothing that the driver changes."""

    title: str
    share: float
    body: tuple[RenderableType, ...]


class LiveDisplay(Display):
    """A page redrawn in place from a thread of its own, from what the driver's thread kept at the last event."""

    def __init__(self, scheduler: TrialScheduler, console: Console) -> None:
        self.scheduler, self.clock = scheduler, Clock(scheduler)
        self._kept = self._current()
        self.live = Live(get_renderable=self.page, console=console, refresh_per_second=2, transient=False)

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept = self._current()
        self.live.stop()

    def proposed(self, row: TrialRow) -> None:  # noqa: ARG002 - the page shows all trials
        """Keep the page's contents."""
        self._kept = self._current()

    def reported(self, row: TrialRow) -> None:  # noqa: ARG002
        """Keep the page's contents."""
        self._kept = self._current()

    def ended(self, row: TrialRow, reason: str = "") -> None:  # noqa: ARG002
        """Keep the page's contents."""
        self._kept = self._current()

    def page(self) -> RenderableType:
        """Return the page of the last event, with the time as it is now."""
        kept = self._kept
        left = self.clock.left_s(kept.share)
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(kept.title, style="bold"),
            ProgressBar(total=1.0, completed=kept.share, width=30),
            f"{clock_text(self.clock.elapsed_s())} elapsed",
            f"{clock_text(left)} left" if left is not None else "time left: not known yet",
        )
        return Group(head, *kept.body)

    def _current(self) -> Page:
        settings, table = self.scheduler.space.settings, self.scheduler.table
        is_search = isinstance(settings, SearchSettings)
        title = f"{self.scheduler.num_ended}/{settings.trials} {'trials' if is_search else 'seeds'}"
        shown = (State.COMPLETE, State.STOPPED, State.FAILED, State.PAUSED, State.PENDING)
        counts = [f"{table.count(State.RUNNING)} running"]
        counts += [f"{table.count(state)} {state}" for state in shown if table.count(state)]
        if is_search:
            rejected = sum(self.scheduler.rejections.values())
            counts += [f"{rejected} rejected untrained ({rejections_text(self.scheduler)})"]
            last: RenderableType = self._front()
        else:
            last = Text(f"{quality_title(self.scheduler)} of the seeds so far: {mean_text(self.scheduler)}")
        return Page(title, self.clock.share(), (Text(", ".join(counts)), self._running(), last))

    def _running(self) -> Table:
        quality = quality_title(self.scheduler)
        table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
        for column in ("running", "epoch", quality, "MACs", "parameters", "network"):
            table.add_column(
                column, justify="left" if column == "network" else "right", overflow="ellipsis", no_wrap=True
            )
        for row in self.scheduler.table.in_state(State.RUNNING):
            table.add_row(
                str(row.number), epoch_text(self.scheduler, row).removeprefix("epoch "),
                quality_text(self.scheduler, row).removeprefix(f"{quality} "), f"{row.cost.macs:,}",
                f"{row.cost.params:,}", network_text(self.scheduler.space, row.config),
            )  # fmt: skip
        return table

    def _front(self) -> Table:
        front = current_front(self.scheduler)
        objectives = self.scheduler.space.settings.objectives
        quality = GOALS[first_quality(objectives)]
        qualities = [row.values[objectives.index(quality.name)] for row in front]
        best = (max if quality.maximize else min)(qualities, default=0.0)
        table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
        for column in ("front: trial", *(GOALS[name].title for name in objectives)):
            table.add_column(column, justify="right")
        for row, reached in list(zip(front, qualities, strict=True))[-MAX_FRONT_ROWS:]:
            style = "bold" if reached == best else ""
            table.add_row(str(row.number), *values_text(objectives, row.values), style=style)
        if not front:
            table.add_row("none yet", *("" for _ in objectives))
        return table


def epoch_text(scheduler: TrialScheduler, row: TrialRow) -> str:
    """Describe a trial's epoch, and its split of the data where there are several."""
    several = len({rung.split for rung in scheduler.rungs}) > 1
    part = f" on {scheduler.rungs[row.rung].split} % of the clips" if several else ""
    if scheduler.rungs[-1].fold:
        part = f" on fold {scheduler.rungs[row.rung].fold + 1}"
    return f"epoch {row.num_epochs}/{scheduler.rungs[-1].end}{part}"


def quality_text(scheduler: TrialScheduler, row: TrialRow) -> str:
    """Return the first objective of quality after a trial's last epoch, with its name."""
    goal = GOALS[first_quality(scheduler.space.settings.objectives)]
    value = row.curve[-1].get(goal.name) if row.curve else None
    return f"{goal.title} {'-' if value is None else goal.text(value)}"


def ended_text(scheduler: TrialScheduler, row: TrialRow) -> str:
    """Describe the state of a trial whose job ended."""
    if row.state == State.PAUSED:
        return "is paused at its rung"
    if row.state == State.PENDING:
        return f"will be resumed ({row.attempts[-1]['reason']})"
    if row.state == State.COMPLETE:
        objectives = scheduler.space.settings.objectives
        index = objectives.index(first_quality(objectives))
        return f"complete: {quality_title(scheduler)} {GOALS[objectives[index]].text(row.values[index])}"
    return f"{row.state} ({row.reason})"


def current_front(scheduler: TrialScheduler) -> list[TrialRow]:
    """Return the trials on the front, sorted by the first cost, or by quality where no objective is a cost."""
    objectives = scheduler.space.settings.objectives
    completed = scheduler.table.completed
    mask = non_dominated(np.array([row.values for row in completed]), directions(objectives))
    by = first_cost(objectives) or first_quality(objectives)
    sign = -1 if GOALS[by].maximize else 1
    front = [completed[index] for index in np.flatnonzero(mask)]
    return sorted(front, key=lambda row: sign * row.values[objectives.index(by)])


def values_text(objectives: Sequence[str], values: Sequence[float]) -> list[str]:
    """Return the values of the objectives as text."""
    return [GOALS[name].text(value) for name, value in zip(objectives, values, strict=True)]


def mean_text(scheduler: TrialScheduler) -> str:
    """Return the mean over one configuration's finished seeds, with its confidence interval from two seeds on."""
    completed, settings = scheduler.table.completed, scheduler.space.settings
    if not completed:
        return "not known yet"
    if isinstance(settings, ConfirmSettings):
        return candidates_text(scheduler)
    index = settings.objectives.index(first_quality(settings.objectives))
    found = mean_interval([row.values[index] for row in completed])
    seeds = counted(found.count, "seed")
    return f"{found.mean:.3f} ({seeds})" if found.half is None else f"{found.mean:.3f} ± {found.half:.3f} ({seeds})"


def candidates_text(scheduler: TrialScheduler) -> str:
    """Return the mean first quality over the seeds of each confirmed trial."""
    objectives = scheduler.space.settings.objectives
    index, found = objectives.index(first_quality(objectives)), dict[int, list[float]]()
    for row in scheduler.table.completed:
        subspace = scheduler.space.subspaces[row.config.architecture]
        assert isinstance(subspace, RepeatSubspace)
        found.setdefault(subspace.number_of(row.config), []).append(row.values[index])
    return ", ".join(f"trial {number} {sum(each) / len(each):.3f}" for number, each in sorted(found.items()))


def quality_title(scheduler: TrialScheduler) -> str:
    """Return the name of the first objective of quality."""
    return GOALS[first_quality(scheduler.space.settings.objectives)].title


def rejections_text(scheduler: TrialScheduler) -> str:
    """Return the number of rejected configurations by reason."""
    return ", ".join(f"{count} {kind}" for kind, count in scheduler.rejections.most_common()) or "none"


def network_text(space: SearchSpace, config: TrialConfig) -> str:
    """Name the architecture, and what the search varies of the front end and the network."""
    subspace, values = space.subspaces[config.architecture], config.to_dict()
    if isinstance(subspace, RepeatSubspace):
        return f"{config.architecture} trial={subspace.number_of(config)} seed={config.recipe.seed}"
    is_search = isinstance(space.settings, SearchSettings)
    names = [subspace.field(name) for name in subspace.cost_ranges] if is_search else [SEED]
    return " ".join([config.architecture, *(f"{name}={values[name]}" for name in names)])


def clock_text(seconds: float) -> str:
    """Write a duration.

    >>> clock_text(75.4), clock_text(3675)
    ('1:15', '1:01:15')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
