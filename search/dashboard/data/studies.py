"""Studies shown by the dashboard, with cached readers."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from data.leftovers import is_leftover
from search.config.errors import UserError
from search.config.settings import confirmed_by
from search.dashboard.address import path_of
from search.dashboard.data.study_reader import StudyData, StudyReader
from search.study.confirm import confirm_report
from search.study.study import StudyFolder


def list_studies(results: Path) -> list[StudyFolder]:
    """Return the studies in a folder, broken ones too, the most recently modified first.

    Symbolic links out of the folder are omitted.
    """
    root = results.resolve()
    found: dict[StudyFolder, float] = {}
    with suppress(OSError):  # no such folder: no studies
        for path in results.iterdir():
            if is_leftover(path.name):
                continue
            folder = StudyFolder(path)
            # it may be deleted meanwhile, its name may be invalid UTF-8, and links may form a loop
            with suppress(OSError, ValueError, RuntimeError):
                path.name.encode()
                if (folder.settings_file.exists() or folder.database.exists()) and path.resolve() == root / path.name:
                    found[folder] = folder.modified_at()
    return sorted(found, key=lambda folder: (-found[folder], folder.name))


class Studies:
    """Studies by name: the given ones, or all of a folder, including new ones.

    Names of requests are looked up among the existing folders, never joined to a path.
    """

    def __init__(self, results: Path, chosen: Sequence[StudyFolder] = ()) -> None:
        self.results = results
        self._chosen = {folder.name: folder for folder in chosen}
        self._readers: dict[Path, StudyReader] = {}
        self._lock = threading.Lock()

    def folders(self) -> dict[str, StudyFolder]:
        """Return the studies' folders by name, in the given order, or the most recently modified first."""
        if self._chosen:
            return dict(self._chosen)
        return {folder.name: folder for folder in list_studies(self.results)}

    def folder(self, name: str) -> StudyFolder | None:
        """Return the folder of a study; None if there is none of that name."""
        return self.folders().get(name)

    def read(self, name: str) -> StudyData | None:
        """Return the current state of a study; None if there is none of that name."""
        folder = self.folder(name)
        return None if folder is None else self.read_folder(folder)

    def read_folder(self, folder: StudyFolder) -> StudyData:
        """Return the current state of a folder's study."""
        with self._lock:
            reader = self._readers.setdefault(folder.path, StudyReader(folder))
        return reader.read()

    def first_page(self) -> str:
        """Return the first URL: the front of a single given study, else the list of studies."""
        return path_of(next(iter(self._chosen)), "front") if len(self._chosen) == 1 else "/"


class Confirmations:
    """Thread-safe lookup of the confirmations of studies' fronts."""

    def __init__(self) -> None:
        self._confirmed_names: dict[Path, tuple[int, str | None]] = {}
        self._reports: dict[Path, tuple[int, Mapping[str, Any]]] = {}
        self._lock = threading.Lock()

    def find(self, folder: StudyFolder) -> StudyFolder | None:
        """Return the confirmation study of a study in the same folder, the most recently modified one."""
        with self._lock:
            others = (other for other in list_studies(folder.path.parent) if other.path != folder.path)
            return next((other for other in others if self._confirmed_by(other) == folder.name), None)

    def report(self, reading: StudyData) -> Mapping[str, Any]:
        """Return the report of a confirmation so far, from `search.study.confirm.confirm_report`."""
        with self._lock:
            version, found = self._reports.get(reading.folder.path, (0, {}))
            if version != reading.version:
                found = confirm_report(reading.folder)
                self._reports[reading.folder.path] = (reading.version, found)
            return found

    def _confirmed_by(self, folder: StudyFolder) -> str | None:
        """Return the name of the study that one confirms; None if it confirms none or cannot be read."""
        try:
            changed_ns = folder.settings_file.stat().st_mtime_ns
            if self._confirmed_names.get(folder.path, (0, None))[0] != changed_ns:
                self._confirmed_names[folder.path] = (changed_ns, confirmed_by(folder.settings()))
        except (OSError, UserError):
            return None
        return self._confirmed_names[folder.path][1]
