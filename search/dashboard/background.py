"""Background subprocesses for what needs torch: exports, and default configs of architectures."""

import json
import shlex
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.config.subprocess import environment, module_command
from search.study.study import StudyFolder

FOLDER = "exports"  # in the working directory, the default of `scenefront export`
MAX_WAIT_S = 120


@dataclass(frozen=True)
class Export:
    """State of an export.

    Attributes:
        command: The equivalent command line.
        state: "running", "written" or "failed".
        output: Standard output and error of the command, or why it could not be started.
        target: Folder of the export.
    """

    command: str
    state: str
    output: str
    target: Path


class Exports:
    """Exports started from this dashboard, one at a time, each in a subprocess."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, int], Export] = {}
        self._running: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def start(self, folder: StudyFolder, number: int) -> Export:
        """Start the export of a trial, unless it is running; refuse it while another export is running."""
        with self._lock:
            before = self._known.get((folder.path, number))
            if before is not None and before.state == "running":
                return before
            command = f"scenefront export {folder.cli_arguments} --trial {number}"
            target = Path(FOLDER) / f"{folder.name}-{number}"
            if self._running is not None:
                self._known[folder.path, number] = Export(
                    command, "failed", "another export is being written; try again when it is done", target
                )
            else:
                self._known[folder.path, number] = Export(command, "running", "", target)
                self._begin(folder, number)
            return self._known[folder.path, number]

    def find(self, folder: StudyFolder, number: int) -> Export | None:
        """Return the state of a trial's export; None if none was started."""
        return self._known.get((folder.path, number))

    def state(self, folder: StudyFolder, number: int) -> str:
        """Return the name of an export's state; empty if none was started."""
        found = self.find(folder, number)
        return "" if found is None else found.state

    def close(self) -> None:
        """Terminate the running export."""
        running = self._running
        if running is not None:
            running.terminate()
            running.wait()

    def _begin(self, folder: StudyFolder, number: int) -> None:
        export = self._known[folder.path, number]
        try:
            self._running = subprocess.Popen(  # noqa: S603 - this program, and no shell
                export_command(folder, number),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=environment(),
            )
        except OSError as error:
            self._known[folder.path, number] = Export(export.command, "failed", str(error), export.target)
            return
        threading.Thread(target=self._follow, args=(folder, number, self._running), daemon=True).start()

    def _follow(self, folder: StudyFolder, number: int, process: subprocess.Popen[str]) -> None:
        output, _ = process.communicate()
        export = self._known[folder.path, number]
        state = "written" if process.returncode == 0 else "failed"
        text = output.strip() or f"the command exited with code {process.returncode} and without output"
        with self._lock:
            self._known[folder.path, number] = Export(export.command, state, text, export.target)
            self._running = None


def export_command(folder: StudyFolder, number: int) -> list[str]:
    """Return the command that exports a trial; the study's name cannot be parsed as an option."""
    return module_command(
        "search", "export", "--results", str(folder.path.parent), "--trial", str(number), "--", folder.name
    )


def train_command(folder: StudyFolder, data: str, number: int) -> str:
    """Return the command that retrains a trial's configuration for all epochs."""
    trial = f"{folder.name}:{number}"
    results = folder.cli_arguments.removeprefix(shlex.quote(folder.name))
    return f"scenefront train {shlex.quote(data)} --trial {shlex.quote(trial)}{results}"


class Defaults:
    """Default configs by architecture, each read once, in a subprocess."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None], Mapping[str, Any] | None] = {}
        self._lock = threading.Lock()

    def find(self, architecture: str, file: str | None) -> Mapping[str, Any] | None:
        """Return the default config; None while it is being read, empty if that failed."""
        with self._lock:
            if (architecture, file) not in self._known:
                self._known[architecture, file] = None
                threading.Thread(target=self._read, args=(architecture, file), daemon=True).start()
            return self._known[architecture, file]

    @property
    def num_known(self) -> int:
        """Number of architectures with known defaults; open pages are updated when it grows."""
        return sum(found is not None for found in self._known.values())

    def _read(self, architecture: str, file: str | None) -> None:
        own = [] if file is None else ["--architecture-file", file]
        found: Mapping[str, Any] = {}
        try:
            result = subprocess.run(  # noqa: S603 - this program, and no shell
                module_command("search", "price", "--json", *own, "--", architecture),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=MAX_WAIT_S,
                check=False,
                env=environment(),
            )
            found = json.loads(result.stdout)["config"]
        except (OSError, subprocess.TimeoutExpired, ValueError, KeyError):
            pass
        self._known[architecture, file] = found
