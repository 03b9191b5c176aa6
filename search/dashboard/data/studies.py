"""The studies that a dashboard shows, each read once and kept."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from search.config.errors import UserError
from search.config.settings import confirmed_by
from search.dashboard.address import path_of
from search.dashboard.data.study_reader import StudyData, StudyReader
from search.study.confirm import confirm_report
from search.study.study import StudyFolder


def list_studies(results: Path) -> list[StudyFolder]:
    """Return the studies in a folder, broken ones too, the one that was worked on last first.

    Links that lead anywhere else are left out.
    """
    root = results.resolve()
    found: dict[StudyFolder, float] = {}
    with suppress(OSError):  # no such folder: no studies
        for path in results.iterdir():
            folder = StudyFolder(path)
            # it may go away meanwhile, its name may be no text, and links may lead in circles
            with suppress(OSError, ValueError, RuntimeError):
                path.name.encode()
                if (folder.settings_file.exists() or folder.database.exists()) and path.resolve() == root / path.name:
                    found[folder] = folder.modified_at()
    return sorted(found, key=lambda folder: (-found[folder], folder.name))


class Studies:
    """Studies by name: those that were asked for, or all of a folder, with those that come to be while it is shown.

    Nothing that a request says becomes part of a path: a name is looked up among those of the folders that are there.
    """

    def __init__(self, results: Path, chosen: Sequence[StudyFolder] = ()) -> None:
        self.results = results
        self._chosen = {folder.name: folder for folder in chosen}
        self._readers: dict[Path, StudyReader] = {}
        self._lock = threading.Lock()

    def folders(self) -> dict[str, StudyFolder]:
        """Return the studies' folders by name, as they were asked for, or the one that was worked on last first."""
        if self._chosen:
            return dict(self._chosen)
        return {folder.name: folder for folder in list_studies(self.results)}

    def folder(self, name: str) -> StudyFolder | None:
        """Return the folder of a study, if there is one of that name."""
        return self.folders().get(name)

    def read(self, name: str) -> StudyData | None:
        """Return a study as it stands, if there is one of that name."""
        folder = self.folder(name)
        return None if folder is None else self.read_folder(folder)

    def read_folder(self, folder: StudyFolder) -> StudyData:
        """Return the study of a folder as it stands."""
        with self._lock:
            reader = self._readers.setdefault(folder.path, StudyReader(folder))
        return reader.read()

    def first_page(self) -> str:
        """Return the address to begin with: the front of the one study that was asked for, or all of them."""
        return path_of(next(iter(self._chosen)), "front") if len(self._chosen) == 1 else "/"


class Confirmations:
    """Confirmations of the fronts of studies. Several threads may use it."""

    def __init__(self) -> None:
        self._confirms: dict[Path, tuple[int, str | None]] = {}
        self._reports: dict[Path, tuple[int, Mapping[str, Any]]] = {}
        self._lock = threading.Lock()

    def find(self, folder: StudyFolder) -> StudyFolder | None:
        """Return the training that confirms a study: of those beside it, the one that was worked on last."""
        with self._lock:
            others = (other for other in list_studies(folder.path.parent) if other.path != folder.path)
            return next((other for other in others if self._confirmed_by(other) == folder.name), None)

    def report(self, reading: StudyData) -> Mapping[str, Any]:
        """Return what a confirmation has found so far, as of `search.study.confirm.confirm_report`."""
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
                self._confirms[folder.path] = (changed_ns, confirmed_by(folder.settings()))
        except (OSError, UserError):
            return None
        return self._confirms[folder.path][1]
