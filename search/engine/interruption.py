"""Interruption of a job by Ctrl-C, SIGTERM or SIGHUP: once, reliably, and with time to clean up."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal that ends the job; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Interruption:
    """Reliable Ctrl-C: an exception raised inside a destructor or a foreign callback is swallowed by Python.

    The first signal ends the job. Further ones are ignored from then on, to the end of the process: a second Ctrl-C
    would cut the shutdown of Ray short, and leave its folder and a traceback.
    """

    def __init__(self, signals: Sequence[signal.Signals] = SIGNALS) -> None:
        """Make an interruption by any of these signals."""
        self.signals = signals
        self.seen: int | None = None  # the signal's number

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch for the signals for the length of a `with` block of the main thread, unless they are ignored.

        Raises:
            Interrupted: One was seen, whatever became of the exception that it raised.
        """
        before = {number: signal.getsignal(number) for number in self.signals}
        watched = [number for number, handler in before.items() if handler != signal.SIG_IGN]
        for number in watched:
            signal.signal(number, self._interrupt)
        try:
            yield
            self.require_none()
        except KeyboardInterrupt:
            self.require_none()  # Ray raises one of its own in the place of ours
            raise
        finally:
            if self.seen is None:
                for number in watched:
                    signal.signal(number, before[number])

    def _interrupt(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as signal calls it
        self.seen = number
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)

    def require_none(self) -> None:
        """Raise `Interrupted` if a signal was seen."""
        if self.seen is not None:
            raise Interrupted(self.seen)
