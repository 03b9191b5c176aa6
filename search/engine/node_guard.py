"""Guard of the Ray node that a driver works with: the death of the node ends the driver, and is no trial's failure.

Once the raylet or the GCS is gone, Ray's calls block for minutes, those of its shutdown included. So a thread of its
own watches them, and ends the process: the study is left as by a kill of the driver, and resumes from there.
"""

import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from typing import Any, Self

import psutil

POLL_INTERVAL_S = 0.25
# A raylet that is told to end stops its workers first; what dies together dies within this time.
SETTLE_S = 1.5
_POLLS_A_FAMILY = 8  # between two looks at the processes that Ray's have started
_PROBE_INTERVAL_S = 1.0  # between two connections to a GCS elsewhere
_MAX_REFUSALS = 3  # nothing listens any more
_MAX_SILENCE_S = 6.0  # its machine does not answer
_CONNECT_TIMEOUT_S = 2.0
EXIT_CODE = 2  # an error with a sentence: `search.cli.console.EXIT_CODES`

# Returns how a part of Ray has died; "" while it lives.
Probe = Callable[[], str]


def child_probe(child: "Popen[Any]") -> Probe:
    """Return the probe of a process that this one has started."""

    def probe() -> str:
        code = child.poll()
        if code is None:
            return ""
        return f"process {child.pid}, {f'killed by {signal.Signals(-code).name}' if code < 0 else f'exit code {code}'}"

    return probe


def process_probe(process: psutil.Process) -> Probe:
    """Return the probe of a process that another one has started."""

    def probe() -> str:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                return ""
        return f"process {process.pid}"

    return probe


def connection_probe(address: str) -> Probe:
    """Return the probe of a server at HOST:PORT, which connects once a second at most."""
    host, _, port = address.rpartition(":")
    lock, refusals, checked_at = threading.Lock(), 0, 0.0
    answered_at = time.monotonic()

    def probe() -> str:
        nonlocal refusals, checked_at, answered_at
        with lock:
            if time.monotonic() - checked_at < _PROBE_INTERVAL_S:
                return ""
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_TIMEOUT_S).close()
                refusals, answered_at = 0, time.monotonic()
            except ConnectionRefusedError:
                refusals += 1
            except OSError:
                pass
            checked_at = time.monotonic()
            if refusals < _MAX_REFUSALS and checked_at - answered_at < _MAX_SILENCE_S:
                return ""
            return f"nothing answers at {address}"

    return probe


class NodeGuard:
    """Thread that ends this process once a part of Ray has died: one a process, as Ray itself."""

    current: "NodeGuard | None" = None

    def __init__(self, probes: Mapping[str, Probe], folder: Path, advice: str) -> None:
        """Make a guard, which watches for the length of a `with` block.

        Args:
            probes: By the name of a part of Ray.
            folder: Temporary folder, to be removed.
            advice: What to do after a death.
        """
        self._probes, self._folder, self._advice = probes, folder, advice
        self._roots: list[psutil.Process] = []
        self._family: set[psutil.Process] = set()
        self._stopped, self._ending = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="node guard", daemon=True)

    def own(self, name: str, child: "Popen[Any]") -> None:
        """Kill a child of this process, and its descendants, once a part of Ray has died; watch it if it has a name."""
        with suppress(psutil.NoSuchProcess):
            self._roots.append(psutil.Process(child.pid))
        if name:
            self._probes = {**self._probes, name: child_probe(child)}

    def __enter__(self) -> Self:
        NodeGuard.current = self
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """Stop watching, before Ray is shut down; an error that follows from the node's death is not passed on."""
        if kind is not None and issubclass(kind, Exception):
            self.require_alive(SETTLE_S)
        self._stopped.set()
        self._thread.join()
        NodeGuard.current = None

    def require_alive(self, settle_s: float) -> None:
        """End the process if the node has died, or dies within `settle_s` seconds."""
        deadline = time.monotonic() + settle_s
        self._check()
        while time.monotonic() < deadline:
            time.sleep(POLL_INTERVAL_S)
            self._check()

    def _watch(self) -> None:
        num_polls = 0
        while not self._stopped.is_set():
            if num_polls % _POLLS_A_FAMILY == 0:
                self._look()
            num_polls += 1
            self._check()
            self._stopped.wait(POLL_INTERVAL_S)

    def _look(self) -> None:
        self._family = {each for root in self._roots for each in (root, *_descendants(root))}

    def _check(self) -> None:
        for name, probe in self._probes.items():
            how = probe()
            if how:
                self._end(f"{name} has died ({how})")

    def _end(self, what: str) -> None:
        """End the process, whatever its other threads wait for."""
        self._ending.acquire()  # never released: the first thread here ends the process
        known = self._family
        self._look()
        for process in known | self._family:
            with suppress(psutil.Error):
                process.kill()
        if sys.stdout.isatty():  # a live page has hidden the cursor
            sys.stdout.write("\x1b[?25h\n")
            sys.stdout.flush()
        sys.stderr.write(f"error: {what}; no trial is charged for it, and finished trials are kept{self._advice}\n")
        sys.stderr.flush()
        shutil.rmtree(self._folder, ignore_errors=True)
        os._exit(EXIT_CODE)


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return process.children(recursive=True)
    return []


def require_node() -> None:
    """End the process if the Ray node that it works with has died, or is about to."""
    if NodeGuard.current is not None:
        NodeGuard.current.require_alive(SETTLE_S)
