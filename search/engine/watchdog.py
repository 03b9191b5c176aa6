"""Watchdog of trials: kills actors that hang, and classifies failures, each with its reason as one sentence."""

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
    has_died,
    trial_actors,
)

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController

Kind = Literal["out of memory", "hung", "node lost", "storage", "crash", "error"]
MIN_TIMEOUT_S = 600.0
TIMEOUT_EPOCHS = 10  # the timeout as a multiple of the longest epoch
FIRST_TIMEOUT_S = 3600.0  # of an actor that has not finished an epoch yet: it may have audio to decode
BACKOFF = 4  # the timeout grows by this factor each time that the same trial hung
POLL_INTERVAL_S = 1.0


@dataclass(frozen=True)
class Failure:
    """Why a trial's actor failed.

    Attributes:
        kind: Decides what happens to the trial; "error" is an exception raised by the training code.
        reason: One sentence for the user.
        traceback: Of an "error".
    """

    kind: Kind
    reason: str
    traceback: str = ""

    @property
    def is_memory(self) -> bool:
        """Whether the trial may succeed with more memory."""
        return self.kind == "out of memory"

    @property
    def is_bug(self) -> bool:
        """Whether it is an error in the code, which another attempt would repeat."""
        return self.kind == "error"

    @property
    def is_node(self) -> bool:
        """Whether its machine was lost, for which no trial is to blame."""
        return self.kind == "node lost"

    @property
    def is_storage(self) -> bool:
        """Whether no trial can write its checkpoint, so that none is to blame."""
        return self.kind == "storage"


CRASH = Failure("crash", "crash: its process died without an error message")


class Watchdog:
    """Kills the actors of trials that hang.

    A trial hangs if its actor has finished no epoch within the timeout: since the actor was requested, was given the
    trial, or finished the epoch before. Unless a timeout is given, it follows from the longest epoch so far, scaled by
    `work` in the trial's config: the compute of one of its epochs.
    """

    def __init__(
        self,
        timeout_s: float | None = None,
        first_timeout_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a watchdog.

        Args:
            timeout_s: Timeout of an epoch; None: ten times the longest epoch, at least ten minutes.
            first_timeout_s: Timeout of an actor's first epoch; None: an hour, or `timeout_s`, at least ten minutes.
            clock: Returns the time in seconds.
        """
        self._timeout_s, self._clock = timeout_s, clock
        self._first_timeout_s = FIRST_TIMEOUT_S if timeout_s is None else max(timeout_s, MIN_TIMEOUT_S)
        if first_timeout_s is not None:
            self._first_timeout_s = first_timeout_s
        self._max_gap_s = (MIN_TIMEOUT_S if timeout_s is None else timeout_s) / 2  # between two polls
        self._longest: dict[float, float] = {}  # seconds of the longest epoch, by its work
        self._last_event: dict[str, tuple[Any, float]] = {}  # actor, and time of its last progress, by the trial's id
        self._warm: set[Any] = set()  # actors that have finished an epoch
        self._killed: dict[str, str] = {}  # reason, by the trial's id
        self._num_hangs: dict[Any, int] = {}  # by the trial's number in the study
        self._polled_at = clock() - POLL_INTERVAL_S

    def epoch_done(self, trial: Trial) -> None:
        """Record that an epoch of `trial` has ended."""
        if trial.trial_id not in self._last_event:
            return
        actor, started = self._last_event[trial.trial_id]
        now = self._clock()
        if actor in self._warm:  # an actor's first epoch is not training alone
            work = _work(trial)
            self._longest[work] = max(self._longest.get(work, 0.0), now - started)
        self._warm.add(actor)
        self._last_event[trial.trial_id] = actor, now

    def timeout_s(self, trial: Trial) -> float:
        """Return the timeout of the current epoch of `trial`."""
        backoff = float(BACKOFF ** self._num_hangs.get(_number(trial), 0))
        actor, _ = self._last_event.get(trial.trial_id, (None, 0.0))
        if actor not in self._warm:
            return self._first_timeout_s * backoff
        if self._timeout_s is not None:
            return self._timeout_s * backoff
        if not self._longest:
            return max(MIN_TIMEOUT_S, self._first_timeout_s) * backoff
        work = _work(trial)
        longest = max(duration * max(1.0, work / of_it) for of_it, duration in self._longest.items())
        return max(MIN_TIMEOUT_S, TIMEOUT_EPOCHS * longest) * backoff

    def poll(self, tune_controller: "TuneController") -> list[Trial]:
        """Kill the actors of trials that hang, and return these trials; Ray then reports their actors as dead.

        Args:
            tune_controller: As Ray passes it to `choose_trial_to_run` of a scheduler, at least ten times a second.
        """
        now = self._clock()
        if now - self._polled_at < POLL_INTERVAL_S:
            return []
        if now - self._polled_at > self._max_gap_s:  # this process was suspended, and has results still to read
            gap_s = now - self._polled_at
            self._last_event = {name: (actor, at + gap_s) for name, (actor, at) in self._last_event.items()}
        self._polled_at = now
        actors = trial_actors(tune_controller)
        by_id = {trial.trial_id: actor for trial, actor in actors.items()}
        self._last_event = {name: each for name, each in self._last_event.items() if each[0] == by_id.get(name)}
        self._warm &= set(by_id.values()) | set(cached_actors(tune_controller))
        hung = []
        for trial, actor in actors.items():
            _, started = self._last_event.setdefault(trial.trial_id, (actor, now))
            timeout_s = self.timeout_s(trial)
            if now - started > timeout_s and trial.trial_id not in self._killed:
                self._killed[trial.trial_id] = f"hung: no epoch ended within {timeout_s:,.0f} s"
                self._num_hangs[_number(trial)] = self._num_hangs.get(_number(trial), 0) + 1
                ray.kill(actor, no_restart=True)
                hung.append(trial)
        return hung

    def failure(self, trial: Trial) -> Failure:
        """Return why the actor of a trial failed, once Ray has reported that."""
        killed = self._killed.get(trial.trial_id)
        if killed is not None:
            return Failure("hung", killed)
        text = error_text(trial)
        failure = failure_kind(text)
        unreachable = ACTOR_UNREACHABLE.search(text) if failure.is_node else None
        return CRASH if unreachable is not None and has_died(unreachable[1]) else failure


def _number(trial: Trial) -> Any:
    return trial.config.get("number", trial.trial_id)


def _work(trial: Trial) -> float:
    """Return the compute of one epoch, in any unit that all trials share."""
    return float(trial.config.get("work", 1.0))


def error_text(trial: Trial) -> str:
    """Return Ray's record of a trial's last error, empty if there is none."""
    with suppress(OSError):
        return Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    return ""


# Out-of-memory errors of PyTorch (CUDA and CPU), the CUDA libraries, Python, C++ and Ray.
_MEMORY = re.compile(
    r"OutOfMemoryError|out of memory|MemoryError|bad_alloc|can't allocate memory|Cannot allocate memory|ALLOC_FAILED"
    r"|running low on memory"
)
# Of Ray's memory monitor, which appends dozens of lines.
_KILLED_FOR_MEMORY = re.compile(
    r"killed due to the node running low on memory\b.*? was (\S+) used / (\S+) limit", re.DOTALL
)
# Errors of a GPU, after which its process is of no more use.
_DEVICE = re.compile(r"CUDA error|CUDNN_STATUS|CUBLAS_STATUS|cuFFT error|device-side assert")
# Errors of the disk, or of the storage of checkpoints.
_STORAGE = re.compile(r"CheckpointsError|No space left on device|Disk quota exceeded|Read-only file system")


def failure_kind(error: str) -> Failure:
    """Classify an error by Ray's text of it.

    Args:
        error: Mostly a traceback; empty if nothing is known.
    """
    text = POSSIBLE_CAUSES.sub("", error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    raised = [line for line in text.splitlines() if line and not line[0].isspace()]  # not the code of a traceback
    memory = next((line for line in reversed(raised) if _MEMORY.search(line)), None)
    if memory is not None:
        monitor = _KILLED_FOR_MEMORY.search(text)
        used = monitor and f"killed when {monitor[1]} of {monitor[2]} of its machine's memory were used"
        return Failure("out of memory", f"out of memory: {used or memory}")
    storage = next((line for line in reversed(raised) if _STORAGE.search(line)), None)
    if storage is not None:
        return Failure("storage", f"checkpoints cannot be written: {storage}")
    if NODE_DIED.search(text):
        return Failure("node lost", "node lost: the machine of its actor has died")
    if ACTOR_UNREACHABLE.search(text):
        return Failure("node lost", "node lost: its actor, or the machine of that, is unreachable")
    if ACTOR_DIED.search(text) or not lines:
        return CRASH
    is_device = _DEVICE.search(last)
    return Failure("crash", f"crash: {last}") if is_device else Failure("error", last, error)
