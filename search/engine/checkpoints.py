"""Where trials keep their checkpoints: a folder, or any filesystem that pyarrow or fsspec knows by a URI.

    <place>/trials/<number>/checkpoint.safetensors          of a study in its own folder
    <place>/<study>/trials/<number>/checkpoint.safetensors  of one that shares the place with others

In a folder, which all machines of a search must see, a trial writes its checkpoint where it stays. From and to a URI it
is copied whole: what was there before stays until the new one is there.
"""

import atexit
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pyarrow import ArrowException
from pyarrow.fs import FileSelector, FileSystem, FileType, FSSpecHandler, PyFileSystem

from search.config.settings import JobSettings
from search.engine.temporary import private_folder
from search.study.study import StudyFolder

OBJECT_STORES = ("s3", "gcs", "abfs")  # an object is there when it is whole; renaming one is copying it


class CheckpointsError(OSError):
    """A place of checkpoints that cannot be used; says which and why."""


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a study's trials.

    Attributes:
        place: A folder, or a URI such as s3://bucket/folder.
        study: The folder of this study in it; empty where the place is this study's alone.
    """

    place: str
    study: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """Read back what `to_dict` gave."""
        return cls(**record)

    @property
    def is_folder(self) -> bool:
        """Whether checkpoints are written where they stay."""
        return not is_uri(self.place)

    def path(self, number: int, start: int = 0) -> Path:
        """Return the file that a trial's process writes, before `push`.

        Args:
            number: Of the trial.
            start: Epoch of the trial after which the training began that the checkpoint is of.
        """
        name = self._name(number, start)
        if self.is_folder:
            return Path(self.place) / self.study / name
        return _scratch() / sha256(f"{self.place}\n{self.study}".encode()).hexdigest()[:16] / name

    def fetch(self, number: int, start: int = 0) -> Path | None:
        """Return a file that holds what was pushed last, to be read; None where nothing was.

        Raises:
            CheckpointsError: The place cannot be read.
        """
        local = self.path(number, start)
        if self.is_folder:
            for leftover in local.parent.glob(f".{local.name}.*"):  # of a process that was killed
                leftover.unlink(missing_ok=True)
            return local if local.exists() else None
        there = self._there(number, start)
        parent, _, name = there.rpartition("/")
        with self._using():
            found = None
            for file in self._filesystem.get_file_info(FileSelector(parent, allow_not_found=True)):
                if file.base_name == name and file.type == FileType.File:
                    found = file
                elif file.base_name.startswith(f".{name}."):  # of a process that was killed
                    with suppress(FileNotFoundError):
                        self._filesystem.delete_file(file.path)
            if found is None:
                local.unlink(missing_ok=True)
                return None
            local.parent.mkdir(parents=True, exist_ok=True)
            with self._filesystem.open_input_stream(there) as source, local.open("wb") as target:
                shutil.copyfileobj(source, target)
        return local

    def push(self, number: int, start: int = 0) -> None:
        """Take what was written to `path`; it is gone from there, unless that is where it stays.

        Raises:
            CheckpointsError: The place cannot be written.
        """
        if self.is_folder:
            return
        local, there = self.path(number, start), self._there(number, start)
        with self._using():
            self._write(local, there)
        local.unlink()

    def copy(self, number: int, other: int, start: int = 0) -> None:
        """Begin a trial with another's checkpoint, if that has one and this one has none.

        Args:
            number: Of the trial that begins.
            other: Of the one whose training it goes on with.
            start: As for `path`.

        Raises:
            CheckpointsError: The place cannot be read or written.
        """
        if self.fetch(number, start) is not None:
            return
        theirs, mine = self.fetch(other, start), self.path(number, start)
        if theirs is None:
            return
        mine.parent.mkdir(parents=True, exist_ok=True)
        temporary = mine.with_name(f".{mine.name}.{os.getpid()}")
        shutil.copyfile(theirs, temporary)
        temporary.replace(mine)
        self.push(number, start)

    def discard(self, number: int, start: int = 0) -> None:
        """Remove a checkpoint, if there is one.

        Raises:
            CheckpointsError: The place cannot be written.
        """
        self.path(number, start).unlink(missing_ok=True)
        if not self.is_folder:
            with self._using(), suppress(FileNotFoundError):
                self._filesystem.delete_file(self._there(number, start))

    def require_usable(self, *, is_new: bool) -> None:
        """Write something and read it back, before the first trial wants to.

        Args:
            is_new: Whether this is for a study that has no checkpoints yet.

        Raises:
            CheckpointsError: The place cannot be used, or holds the checkpoints of another study of this name.
        """
        if is_new and self.study and self._is_used():
            raise CheckpointsError(
                f"{self} already holds checkpoints of another study; give this one a name of its own with --study, or "
                "another place"
            )
        probe = -1
        local = self.path(probe)
        try:
            local.parent.mkdir(parents=True, exist_ok=True)
            local.write_bytes(b"probe")
            self.push(probe)
            back = self.fetch(probe)
            read = b"" if back is None else back.read_bytes()
            self.discard(probe)
            if self.is_folder:
                local.parent.rmdir()
            else:
                with self._using():
                    self._filesystem.delete_dir(self._there(probe, 0).rpartition("/")[0])
        except CheckpointsError:
            raise
        except OSError as error:
            raise CheckpointsError(f"checkpoints cannot be kept in {self}: {error}") from error
        if read != b"probe":
            raise CheckpointsError(f"checkpoints cannot be kept in {self}: what was written is not what is there")

    def __str__(self) -> str:
        """Name the place for a person, without keys and passwords."""
        below = f"/{self.study}" if self.study else ""
        if self.is_folder:
            return f"{self.place}{below}"
        parts = urlsplit(self.place)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}{below}"

    def _name(self, number: int, start: int) -> str:
        return f"trials/{number}/checkpoint{f'-{start}' if start else ''}.safetensors"

    def _there(self, number: int, start: int) -> str:
        return f"{self._root}/{self._name(number, start)}"

    def _is_used(self) -> bool:
        if self.is_folder:
            folder = Path(self.place) / self.study
            return any(path.is_file() for path in folder.rglob("*"))
        with self._using():
            there = self._filesystem.get_file_info(FileSelector(self._root, allow_not_found=True, recursive=True))
            return any(each.type == FileType.File for each in there)

    def _write(self, local: Path, there: str) -> None:
        parent, _, name = there.rpartition("/")
        at_once = self._filesystem.type_name in OBJECT_STORES
        target = there if at_once else f"{parent}/.{name}.{socket.gethostname()}-{os.getpid()}"
        if not at_once:
            self._filesystem.create_dir(parent, recursive=True)
        with local.open("rb") as source, self._filesystem.open_output_stream(target) as sink:
            shutil.copyfileobj(source, sink)
        if not at_once:
            self._filesystem.move(target, there)

    @property
    def _filesystem(self) -> FileSystem:
        return self._opened[0]

    @property
    def _root(self) -> str:
        path = self._opened[1].rstrip("/")
        return f"{path}/{self.study}" if self.study else path

    @cached_property
    def _opened(self) -> tuple[FileSystem, str]:
        try:
            return _open(self.place)
        except (ValueError, OSError, ImportError, ArrowException) as error:
            raise CheckpointsError(f"checkpoints cannot be kept in {self}: {error}") from error

    @contextmanager
    def _using(self) -> Iterator[None]:
        try:
            yield
        except CheckpointsError:
            raise
        except (OSError, ArrowException) as error:
            raise CheckpointsError(f"{self} cannot be used: {error}") from error


def study_checkpoints(folder: StudyFolder, settings: JobSettings) -> Checkpoints:
    """Return the checkpoints of a study: in its folder, unless its settings name another place."""
    if settings.checkpoints is None:
        return Checkpoints(str(folder.path.absolute()))
    return Checkpoints(settings.checkpoints, folder.name)


def is_uri(place: str) -> bool:
    """Whether a place is a URI, not a folder."""
    return "://" in place


def _open(uri: str) -> tuple[FileSystem, str]:
    """Return a URI's filesystem, and the path in it: pyarrow's own, or else fsspec's."""
    try:
        filesystem, path = FileSystem.from_uri(uri)
    except ValueError as error:
        if "Unrecognized filesystem type" not in str(error):
            raise
        from fsspec.core import url_to_fs  # noqa: PLC0415 - only where pyarrow has none

        found, path = url_to_fs(uri)
        return PyFileSystem(FSSpecHandler(found)), str(path)
    return filesystem, path


@lru_cache(maxsize=1)
def _scratch() -> Path:
    """Return this process's own folder for checkpoints on their way."""
    stack = ExitStack()
    folder = stack.enter_context(private_folder("sf-checkpoints-"))
    atexit.register(stack.close)
    return folder
