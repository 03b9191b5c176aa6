"""Which study confirms which, and what it found: a file is read again only when it has changed."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.dashboard.data.reading import Reading
from search.dashboard.data.studies import list_studies
from search.study.confirm import confirm_report
from search.study.study import StudyFolder


class Confirmations:
    """Confirmations of the fronts of studies. Several threads may use it."""

    def __init__(self) -> None:
        self._confirms: dict[Path, tuple[int, str | None]] = {}
        self._reports: dict[Path, tuple[int, Mapping[str, Any]]] = {}
        self._lock = threading.Lock()

    def find(self, folder: StudyFolder) -> StudyFolder | None:
        """Give the training that confirms a study: of those beside it, the one that was worked on last."""
        with self._lock:
            others = (other for other in list_studies(folder.path.parent) if other.path != folder.path)
            return next((other for other in others if self._confirmed_by(other) == folder.name), None)

    def report(self, reading: Reading) -> Mapping[str, Any]:
        """Give what a confirmation has found so far, as of `search.study.confirm.confirm_report`."""
        with self._lock:
            version, found = self._reports.get(reading.folder.path, (0, {}))
            if version != reading.version:
                found = confirm_report(reading.folder)
                self._reports[reading.folder.path] = (reading.version, found)
            return found

    def _confirmed_by(self, folder: StudyFolder) -> str | None:
        """Name the study that one confirms; None where it confirms none, or cannot be read."""
        try:
            changed_ns = folder.settings_file.stat().st_mtime_ns
            if self._confirms.get(folder.path, (0, None))[0] != changed_ns:
                self._confirms[folder.path] = (changed_ns, folder.settings().confirms)
        except (OSError, ValueError):
            return None
        return self._confirms[folder.path][1]
