"""The defaults of an architecture, asked of `scenefront price`: the modules that know them need torch."""

import json
import subprocess
import threading
from collections.abc import Mapping
from typing import Any

from search.config.subprocess import environment, module_command

MAX_WAIT_S = 120


class Defaults:
    """Defaults by architecture, each asked for once, in a process beside this one."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None], Mapping[str, Any] | None] = {}
        self._lock = threading.Lock()

    def find(self, architecture: str, file: str | None) -> Mapping[str, Any] | None:
        """Give the defaults; None while they are not known yet, nothing where they cannot be had.

        Args:
            architecture: Its name.
            file: Of a user's own architecture.
        """
        with self._lock:
            if (architecture, file) not in self._known:
                self._known[architecture, file] = None
                threading.Thread(target=self._ask, args=(architecture, file), daemon=True).start()
            return self._known[architecture, file]

    @property
    def num_known(self) -> int:
        """Count the architectures whose defaults are known: a page waits for one more."""
        return sum(found is not None for found in self._known.values())

    def _ask(self, architecture: str, file: str | None) -> None:
        own = [] if file is None else ["--architecture-file", file]
        found: Mapping[str, Any] = {}
        try:
            asked = subprocess.run(  # noqa: S603 - this program, and no shell
                module_command("search", "price", "--json", *own, "--", architecture),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=MAX_WAIT_S,
                check=False,
                env=environment(),
            )
            found = json.loads(asked.stdout)["config"]
        except (OSError, subprocess.TimeoutExpired, ValueError, KeyError):
            pass
        self._known[architecture, file] = found
