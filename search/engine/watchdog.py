"""Trials that hang or break: noticed, ended for good, and told why in one sentence."""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import ray
from ray.tune.experiment import Trial

from search.engine.ray_private import (
    ACTOR_DIED,
    ACTOR_UNREACHABLE,
    NODE_DIED,
    POSSIBLE_CAUSES,
    cached_actors,
    trial_actors,
)

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController

Kind = Literal["out of memory", "hung", "node lost", "no place", "crash", "error"]
MIN_STALL_S = 600.0
STALL_EPOCHS = 10  # as long as so many of the longest epoch
FIRST_STALL_S = 3600.0  # of a process that has not finished an epoch yet: it may have sound to decode
PATIENCE_GROWTH = 4  # with each time that the same trial was taken for hung
LOOK_EVERY_S = 1.0


@dataclass(frozen=True)
class Failure:
    """Why a trial's process broke.

    Attributes:
        kind: What is to be done about it; "error" is an exception of our own code.
        reason: As one sentence.
    """

    kind: Kind
    reason: str

    @property
    def is_memory(self) -> bool:
        """Whether it may work with more memory to itself."""
        return self.kind == "out of memory"

    @property
    def is_place(self) -> bool:
        """Whether no trial can keep its checkpoint, whichever it is."""
        return self.kind == "no place"


class Watchdog:
    """Ends processes in which nothing ends.

    A trial has hung when no epoch of it has ended for `limit_s`, since its process was asked for, was given the trial,
    or ended the last epoch. What an epoch took is compared with what there is to compute: `work` in its config.
    """

    def __init__(
        self,
        stall_s: float | None = None,
        first_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to watch.

        Args:
            stall_s: Seconds after which a trial has hung; None: ten of the longest epoch, and at least ten minutes.
            first_s: The same of a process that has not ended an epoch yet; None: at least ten minutes, and an hour
                where `stall_s` says nothing.
            clock: Gives seconds.
        """
        self._stall_s, self._clock = stall_s, clock
        self._first_s = FIRST_STALL_S if stall_s is None else max(stall_s, MIN_STALL_S)
        if first_s is not None:
            self._first_s = first_s
        self._absent_s = (MIN_STALL_S if stall_s is None else stall_s) / 2
        self._longest: dict[float, float] = {}  # seconds of the longest epoch, by its work
        self._since: dict[str, tuple[Any, float]] = {}  # actor and time of what was seen of a trial last, by its id
        self._worked: set[Any] = set()  # actors that have finished an epoch
        self._killed: dict[str, str] = {}  # why, by the trial's id
        self._hangs: dict[Any, int] = {}  # how often, by what `number` says
        self._looked_at = clock() - LOOK_EVERY_S

    def epoch_done(self, trial: Trial) -> None:
        """Note that an epoch of `trial` has ended."""
        if trial.trial_id not in self._since:
            return
        actor, since = self._since[trial.trial_id]
        now = self._clock()
        if actor in self._worked:  # of a process's first, much is not training
            work = _work(trial)
            self._longest[work] = max(self._longest.get(work, 0.0), now - since)
        self._worked.add(actor)
        self._since[trial.trial_id] = actor, now

    def limit_s(self, trial: Trial) -> float:
        """Return the seconds after which `trial` has hung."""
        growth = float(PATIENCE_GROWTH ** self._hangs.get(_number(trial), 0))
        actor, _ = self._since.get(trial.trial_id, (None, 0.0))
        if actor not in self._worked:
            return self._first_s * growth
        if self._stall_s is not None:
            return self._stall_s * growth
        if not self._longest:
            return max(MIN_STALL_S, self._first_s) * growth
        work = _work(trial)
        longest = max(took * max(1.0, work / its) for its, took in self._longest.items())
        return max(MIN_STALL_S, STALL_EPOCHS * longest) * growth

    def look(self, tune_controller: "TuneController") -> list[Trial]:
        """Kill what has hung, and give it; Ray then tells of it as of any broken process.

        Args:
            tune_controller: As Ray gives it to a scheduler, in `choose_trial_to_run`, ten times a second and more.
        """
        now = self._clock()
        if now - self._looked_at < LOOK_EVERY_S:
            return []
        if now - self._looked_at > self._absent_s:  # this process itself stood still: what ended is not read yet
            gone_s = now - self._looked_at
            self._since = {name: (actor, since + gone_s) for name, (actor, since) in self._since.items()}
        self._looked_at = now
        actors = trial_actors(tune_controller)
        seen = {trial.trial_id: actor for trial, actor in actors.items()}
        self._since = {name: each for name, each in self._since.items() if each[0] == seen.get(name)}
        self._worked &= set(seen.values()) | set(cached_actors(tune_controller))
        hung = []
        for trial, actor in actors.items():
            _, since = self._since.setdefault(trial.trial_id, (actor, now))
            limit = self.limit_s(trial)
            if now - since > limit and trial.trial_id not in self._killed:
                self._killed[trial.trial_id] = f"hung: no epoch ended within {limit:,.0f} s"
                self._hangs[_number(trial)] = self._hangs.get(_number(trial), 0) + 1
                ray.kill(actor, no_restart=True)
                hung.append(trial)
        return hung

    def failure(self, trial: Trial) -> Failure:
        """Return why the process of a trial broke, of which Ray has just told."""
        killed = self._killed.get(trial.trial_id)
        return Failure("hung", killed) if killed is not None else failure_kind(error_text(trial))


def _number(trial: Trial) -> Any:
    return trial.config.get("number", trial.trial_id)


def _work(trial: Trial) -> float:
    """Return how much there is to compute in an epoch, in the unit of whoever made the config."""
    return float(trial.config.get("work", 1.0))


def error_text(trial: Trial) -> str:
    """Return what Ray wrote down of a trial's last error; it would copy that to its storage only now and then."""
    with suppress(OSError):
        return Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    return ""


# What says that memory was short: PyTorch on a GPU and on a processor, CUDA's libraries, Python, C++, Ray.
_MEMORY = re.compile(
    r"OutOfMemoryError|out of memory|MemoryError|bad_alloc|can't allocate memory|Cannot allocate memory|ALLOC_FAILED"
    r"|running low on memory"
)
# What says that nothing can be written, here or where checkpoints are kept.
_PLACE = re.compile(r"CheckpointsError|No space left on device|Disk quota exceeded|Read-only file system")


def failure_kind(error: str) -> Failure:
    """Tell from what Ray says of an error what it was.

    Args:
        error: Its text, a traceback mostly; empty where nothing is known.
    """
    said = POSSIBLE_CAUSES.sub("", error)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    raised = [line for line in said.splitlines() if line and not line[0].isspace()]  # not the code of a traceback
    memory = next((line for line in reversed(raised) if _MEMORY.search(line)), None)
    if memory is not None:
        return Failure("out of memory", f"out of memory: {memory}")
    place = next((line for line in reversed(raised) if _PLACE.search(line)), None)
    if place is not None:
        return Failure("no place", f"checkpoints cannot be kept: {place}")
    if NODE_DIED.search(said):
        return Failure("node lost", "node lost: the machine that trained it is gone")
    if ACTOR_UNREACHABLE.search(said):
        return Failure("node lost", "node lost: its process, or its machine, cannot be reached any more")
    if ACTOR_DIED.search(said) or not lines:
        return Failure("crash", "crash: its process ended without saying why")
    return Failure("error", last)
