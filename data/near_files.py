"""Near files: the file on disk whose name nearly matches one in a list."""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

from data.leftovers import is_leftover
from data.look_alikes import appearance


class NearFiles:
    """The files of a folder by what their names look like; the folder is walked once, at the first question."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, name: str) -> str | None:
        """Return the one file that a name in a list may mean; None if there is none, or several.

        That is the file of a path that looks alike, else that of a file name that does (in another folder), else that
        of the same name with another extension.
        """
        for key in _keys(name):
            found = self._files.get(key, set())
            if len(found) == 1:
                return next(iter(found))
        return None

    def text(self, name: str) -> str:
        """Return the nearest file as the end of a sentence; "" if there is none."""
        near = self.find(name)
        if near is None:
            return ""
        # Composed and decomposed letters look the same: they are told apart by their numbers.
        spelled = near if near.isascii() else ascii(near)
        return f"; there is {spelled}: write its name into the lists, or rename it"

    @cached_property
    def _files(self) -> dict[tuple[str, str], set[str]]:
        found: dict[tuple[str, str], set[str]] = {}
        for name in _walk(self._root):
            for key in _keys(name):
                found.setdefault(key, set()).add(name)
        return found


def _keys(name: str) -> tuple[tuple[str, str], ...]:
    """Return what a name is compared by, the most specific first."""
    path = PurePosixPath(name.replace("\\", "/"))
    return ("path", appearance(str(path))), ("name", appearance(path.name)), ("stem", appearance(path.stem))


def _walk(root: Path) -> Iterator[str]:
    """Yield the paths of all files below a folder, relative to it; leftovers are passed over."""
    for folder, folders, files in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if not is_leftover(name)]
        for name in files:
            if not is_leftover(name):
                yield os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")  # noqa: PTH118  as os.walk
