"""What a person sees while a search runs: a live page in a terminal, plain lines in a pipe."""

import time
from collections.abc import Callable, Iterator, Sequence
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
from objectives.goals import GOALS, directions, first_cost, first_quality
from objectives.interval import mean_interval
from search.config.messages import counted
from search.config.settings import ConfirmSettings, SearchSettings
from search.config.trial_config import TrialConfig
from search.optimizer.scheduler import Proposal, TrialScheduler
from search.optimizer.successive_halving import Rung
from search.space.repeats import RepeatSubspace
from search.space.search_space import SearchSpace
from search.study.repeats import SEED
from search.study.study import CONFIG, num_epochs

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


def make_display(ledger: TrialScheduler, console: Console) -> Display:
    """Choose by where the output goes."""
    return LiveDisplay(ledger, console) if console.is_terminal else PlainDisplay(ledger, console)


class Clock:
    """Estimates the time left from the share of the expected training that is done."""

    def __init__(self, ledger: TrialScheduler) -> None:
        self.ledger = ledger
        self.started = time.monotonic()
        trials = [trial for trial in ledger.study.get_trials(deepcopy=False) if CONFIG in trial.user_attrs]
        self._epochs = {trial.number: num_epochs(trial) for trial in trials}
        self.share_before = self.share()

    def note(self, number: int) -> None:
        """Record that a running trial finished epochs."""
        running = self.ledger.running[number]
        self._epochs[number] = running.epoch

    def settle(self, number: int, state: str) -> None:
        """Record what became of a trial; the last epoch of one that is complete is told by nothing else."""
        if state == "complete":
            self._epochs[number] = self.ledger.levels[-1].end

    def share(self) -> float:
        """Return the work that is done as a share of what is expected, should as many go on as can."""
        steps = _steps(self.ledger.levels)
        done = sum(_work(steps, epochs) for epochs in self._epochs.values())
        expected, num_trials = 0.0, self.ledger.space.settings.trials
        for rung, (epochs, weight) in enumerate(steps):
            expected += num_trials * epochs * weight
            num_trials = -(-num_trials // self.ledger.halving.one_in(rung))
        return min(1.0, done / expected)

    def elapsed_s(self) -> float:
        """Since the search started or was taken up."""
        return time.monotonic() - self.started

    def left_s(self) -> float | None:
        """Until the end, as the epochs so far took; None before anything can be said."""
        share = self.share()
        gained = share - self.share_before
        return None if gained <= 0 else self.elapsed_s() / gained * (1 - share)


def _steps(levels: Sequence[Rung]) -> list[tuple[int, float]]:
    """Return for each level the epochs from the level before, and the work of one: clips, as a share of the data."""
    starts = [0, *(level.end for level in levels[:-1])]
    several = len({level.split for level in levels}) > 1
    return [
        (level.end - start, int(level.split) / 100 if several else 1.0)
        for level, start in zip(levels, starts, strict=True)
    ]


def _work(steps: Sequence[tuple[int, float]], epochs: int) -> float:
    work = 0.0
    for most, weight in steps:
        work += min(epochs, most) * weight
        epochs = max(0, epochs - most)
    return work


class PlainDisplay:
    """A line for each thing that happens."""

    def __init__(self, ledger: TrialScheduler, console: Console) -> None:
        self.ledger, self.console = ledger, console
        self.clock = Clock(ledger)
        self._rejected = sum(ledger.rejections.values())

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
        """Describe what was rejected on the way, and what starts."""
        rejected = sum(self.ledger.rejections.values())
        if rejected > self._rejected:
            self._say(
                f"rejected {rejected - self._rejected} untrained ({rejected} so far: {rejections_text(self.ledger)})"
            )
            self._rejected = rejected
        begins = f"goes on after epoch {proposal.curve[-1]['epoch']}" if proposal.curve else "starts"
        self._say(
            f"trial {proposal.number} {begins}: {network_text(self.ledger.space, proposal.config)}; "
            f"{proposal.cost.macs:,} MACs, {proposal.cost.params:,} parameters"
            f"{', alone' if proposal.is_alone else ''}"
        )

    def epoch_done(self, number: int) -> None:
        """Describe how far the trial is."""
        self.clock.note(number)
        self._say(f"trial {number} {epoch_text(self.ledger, number)}: {quality_text(self.ledger, number)}")

    def ended(self, number: int, state: str) -> None:
        """Describe how the trial ended, waits or broke, and how the search stands."""
        self.clock.settle(number, state)
        left = self.clock.left_s()
        total = self.ledger.space.settings.trials
        self._say(
            f"trial {number} {ended_text(self.ledger, number, state)}; {self.ledger.num_ended} of {total} trials done"
            f"{f', {clock_text(left)} left' if left is not None else ''}; {self._standing()}"
        )

    def _standing(self) -> str:
        if not isinstance(self.ledger.space.settings, SearchSettings):
            return f"{quality_title(self.ledger)} {mean_text(self.ledger)}"
        objectives = self.ledger.space.settings.objectives
        named = "; ".join(GOALS[name].title for name in objectives)
        between = " at " if len(objectives) == 2 else " / "
        front = "; ".join(between.join(values_text(objectives, values)) for _, values in current_front(self.ledger))
        return f"front ({named}): {front or 'empty'}"


class LiveDisplay:
    """One page, redrawn in place."""

    def __init__(self, ledger: TrialScheduler, console: Console) -> None:
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
        """The time left follows from it."""
        self.clock.note(number)

    def ended(self, number: int, state: str) -> None:
        """The time left follows from it, too."""
        self.clock.settle(number, state)

    def page(self) -> RenderableType:
        """Draw the search as it stands."""
        settings, states = self.ledger.space.settings, self.ledger.states
        is_search = isinstance(settings, SearchSettings)
        left = self.clock.left_s()
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(f"{self.ledger.num_ended}/{settings.trials} {'trials' if is_search else 'seeds'}", style="bold"),
            ProgressBar(total=1.0, completed=self.clock.share(), width=30),
            f"{clock_text(self.clock.elapsed_s())} passed",
            f"{clock_text(left)} left" if left is not None else "time left: not known yet",
        )
        num_stopped = self.ledger.num_ended - states["complete"] - states["failed"]
        num_paused = self.ledger.num_started - self.ledger.num_ended - len(self.ledger.running)
        found = {"complete": states["complete"], "stopped": num_stopped, "failed": states["failed"]}
        counts = [f"{count} {state}" for state, count in found.items() if count]
        counts += [f"{len(self.ledger.running)} running", *([f"{num_paused} paused"] if num_paused else [])]
        if not is_search:
            mean = Text(f"{quality_title(self.ledger)} of the seeds so far: {mean_text(self.ledger)}")
            return Group(head, Text(", ".join(counts)), self._running(), mean)
        counts += [f"{sum(self.ledger.rejections.values())} rejected untrained ({rejections_text(self.ledger)})"]
        return Group(head, Text(", ".join(counts)), self._running(), self._front())

    def _running(self) -> Table:
        quality = quality_title(self.ledger)
        table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
        for column in ("running", "epoch", quality, "MACs", "parameters", "network"):
            table.add_column(
                column, justify="left" if column == "network" else "right", overflow="ellipsis", no_wrap=True
            )
        for number, trial in sorted(dict(self.ledger.running).items()):
            cost = trial.proposal.cost
            table.add_row(
                str(number), epoch_text(self.ledger, number).removeprefix("epoch "),
                quality_text(self.ledger, number).removeprefix(f"{quality} "), f"{cost.macs:,}",
                f"{cost.params:,}", network_text(self.ledger.space, trial.proposal.config),
            )  # fmt: skip
        return table

    def _front(self) -> Table:
        front = current_front(self.ledger)
        objectives = self.ledger.space.settings.objectives
        quality = GOALS[first_quality(objectives)]
        qualities = [values[objectives.index(quality.name)] for _, values in front]
        best = (max if quality.maximize else min)(qualities, default=0.0)
        table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
        for column in ("front: trial", *(GOALS[name].title for name in objectives)):
            table.add_column(column, justify="right")
        rows = list(zip(front, qualities, strict=True))[-MAX_FRONT_ROWS:]
        for (number, values), reached in rows:
            table.add_row(str(number), *values_text(objectives, values), style="bold" if reached == best else "")
        if not front:
            table.add_row("none yet", *("" for _ in objectives))
        return table


def epoch_text(ledger: TrialScheduler, number: int) -> str:
    """Describe how far a running trial is, and on which part of the data where there are several."""
    running = ledger.running[number]
    several = len({level.split for level in ledger.levels}) > 1
    part = f" on {running.proposal.level.split} % of the clips" if several else ""
    return f"epoch {running.epoch}/{ledger.levels[-1].end}{part}"


def quality_text(ledger: TrialScheduler, number: int) -> str:
    """Describe how good a running trial is by the first objective of quality."""
    goal = GOALS[first_quality(ledger.space.settings.objectives)]
    value = ledger.running[number].last.get(goal.name)
    return f"{goal.title} {'-' if value is None else goal.text(value)}"


def ended_text(ledger: TrialScheduler, number: int, state: str) -> str:
    """Describe what became of a trial whose job is over."""
    if state == "paused":
        return "waits for a place on the next level"
    if state == "retried":
        return f"is tried again ({ledger.why_retried(number)})"
    if state == "complete":
        objectives = ledger.space.settings.objectives
        place = objectives.index(first_quality(objectives))
        return (
            f"complete: {quality_title(ledger)} {GOALS[objectives[place]].text(dict(ledger.complete)[number][place])}"
        )
    return f"{state}{why(ledger, number)}"


def current_front(ledger: TrialScheduler) -> list[tuple[int, tuple[float, ...]]]:
    """Return number and values of the front's members: the cheapest by the first cost first, or the best first."""
    objectives = ledger.space.settings.objectives
    points = np.array([values for _, values in ledger.complete])
    chosen = [ledger.complete[index] for index in np.flatnonzero(non_dominated(points, directions(objectives)))]
    by = first_cost(objectives) or first_quality(objectives)
    sign = -1 if GOALS[by].maximize else 1
    return sorted(chosen, key=lambda member: sign * member[1][objectives.index(by)])


def values_text(objectives: Sequence[str], values: Sequence[float]) -> list[str]:
    """Write the values of the objectives."""
    return [GOALS[name].text(value) for name, value in zip(objectives, values, strict=True)]


def mean_text(ledger: TrialScheduler) -> str:
    """Describe what one configuration's seeds have reached so far: the mean, and its interval from two seeds on."""
    if not ledger.complete:
        return "not known yet"
    if isinstance(ledger.space.settings, ConfirmSettings):
        return candidates_text(ledger)
    objectives = ledger.space.settings.objectives
    place = objectives.index(first_quality(objectives))
    found = mean_interval([values[place] for _, values in ledger.complete])
    seeds = counted(found.count, "seed")
    return f"{found.mean:.3f} ({seeds})" if found.half is None else f"{found.mean:.3f} ± {found.half:.3f} ({seeds})"


def candidates_text(ledger: TrialScheduler) -> str:
    """Describe what each candidate has reached so far: the mean of its seeds by the first quality."""
    place = ledger.space.settings.objectives.index(first_quality(ledger.space.settings.objectives))
    configs, found = dict(ledger.proposer.numbers()), dict[int, list[float]]()
    for number, values in ledger.complete:
        subspace = ledger.space.subspaces[configs[number].architecture]
        assert isinstance(subspace, RepeatSubspace)
        found.setdefault(subspace.number_of(configs[number]), []).append(values[place])
    return ", ".join(f"trial {number} {sum(each) / len(each):.3f}" for number, each in sorted(found.items()))


def quality_title(ledger: TrialScheduler) -> str:
    """Name the first objective of quality."""
    return GOALS[first_quality(ledger.space.settings.objectives)].title


def rejections_text(ledger: TrialScheduler) -> str:
    """Return how many were rejected for each reason."""
    return ", ".join(f"{count} {kind}" for kind, count in ledger.rejections.most_common()) or "none"


def network_text(space: SearchSpace, config: TrialConfig) -> str:
    """Name the architecture, and what the search varies of the front end and the network."""
    subspace, values = space.subspaces[config.architecture], config.to_dict()
    if isinstance(subspace, RepeatSubspace):
        return f"{config.architecture} trial={subspace.number_of(config)} seed={config.recipe.seed}"
    is_search = isinstance(space.settings, SearchSettings)
    names = [subspace.field(name) for name in subspace.cost_ranges] if is_search else [SEED]
    return " ".join([config.architecture, *(f"{name}={values[name]}" for name in names)])


def why(ledger: TrialScheduler, number: int) -> str:
    """Return why a trial ended before its time, or nothing."""
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
