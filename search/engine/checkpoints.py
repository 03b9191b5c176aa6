"""Checkpoint storage of trials: a folder, or a URI of any filesystem that pyarrow or fsspec supports.

    <location>/trials/<number>/checkpoint.safetensors          of a study in its own folder
    <location>/<study>/trials/<number>/checkpoint.safetensors  in a location that several studies share

In a folder, which must be mounted on all machines of a search, a trial writes its checkpoint directly. To a URI it is
uploaded, and replaces the one before only once it is complete.
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

OBJECT_STORES = ("s3", "gcs", "abfs")  # an upload is atomic, a rename is a copy


class CheckpointsError(OSError):
    """A location of checkpoints that cannot be used; says which and why."""


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a study's trials.

    Attributes:
        location: A folder, or a URI such as s3://bucket/folder.
        study: Subfolder of this study; empty if the location is this study's alone.
    """

    location: str
    study: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serializable record."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """Return the checkpoints of a record of `to_dict`."""
        return cls(**record)

    @property
    def is_folder(self) -> bool:
        """Whether checkpoints are written directly, not uploaded."""
        return not is_uri(self.location)

    def path(self, number: int, start: int = 0) -> Path:
        """Return the local file that a trial writes its checkpoint to, before `push`.

        Args:
            start: Epochs that the trial was trained before this checkpoint's training: each rung on a larger split
                trains anew, with a checkpoint of its own.
        """
        name = self._name(number, start)
        if self.is_folder:
            return Path(self.location) / self.study / name
        return _temporary_folder() / sha256(f"{self.location}\n{self.study}".encode()).hexdigest()[:16] / name

    def fetch(self, number: int, start: int = 0) -> Path | None:
        """Download the checkpoint that was pushed last; return its local file, to be read, or None if there is none.

        Raises:
            CheckpointsError: The location cannot be read.
        """
        local = self.path(number, start)
        if self.is_folder:
            for leftover in local.parent.glob(f".{local.name}.*"):  # of a process that was killed
                leftover.unlink(missing_ok=True)
            return local if local.exists() else None
        remote = self._remote(number, start)
        parent, _, name = remote.rpartition("/")
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
            with self._filesystem.open_input_stream(remote) as source, local.open("wb") as target:
                shutil.copyfileobj(source, target)
        return local

    def push(self, number: int, start: int = 0) -> None:
        """Upload what was written to `path`, and remove it there; in a folder, do nothing.

        Raises:
            CheckpointsError: The location cannot be written.
        """
        if self.is_folder:
            return
        local = self.path(number, start)
        with self._using():
            self._upload(local, self._remote(number, start))
        local.unlink()

    def discard(self, number: int, start: int = 0) -> None:
        """Remove a checkpoint, if there is one.

        Raises:
            CheckpointsError: The location cannot be written.
        """
        self.path(number, start).unlink(missing_ok=True)
        if not self.is_folder:
            with self._using(), suppress(FileNotFoundError):
                self._filesystem.delete_file(self._remote(number, start))

    def require_usable(self, *, is_new: bool) -> None:
        """Write a probe and read it back, before the first trial starts.

        Args:
            is_new: Whether the study is new, so that there must be no checkpoints yet.

        Raises:
            CheckpointsError: The location cannot be used, or holds the checkpoints of another study of this name.
        """
        if is_new and self.study and self._is_used():
            raise CheckpointsError(
                f"{self} already holds checkpoints of another study; give this one a name of its own with --study, or "
                "another location"
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
                    self._filesystem.delete_dir(self._remote(probe, 0).rpartition("/")[0])
        except CheckpointsError:
            raise
        except OSError as error:
            raise CheckpointsError(f"checkpoints cannot be kept in {self}: {error}") from error
        if read != b"probe":
            raise CheckpointsError(f"checkpoints cannot be kept in {self}: read back other bytes than written")

    def __str__(self) -> str:
        """Describe the location without keys and passwords."""
        below = f"/{self.study}" if self.study else ""
        if self.is_folder:
            return f"{self.location}{below}"
        parts = urlsplit(self.location)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}{below}"

    def _name(self, number: int, start: int) -> str:
        return f"trials/{number}/checkpoint{f'-{start}' if start else ''}.safetensors"

    def _remote(self, number: int, start: int) -> str:
        return f"{self._root}/{self._name(number, start)}"

    def _is_used(self) -> bool:
        if self.is_folder:
            folder = Path(self.location) / self.study
            return any(path.is_file() for path in folder.rglob("*"))
        with self._using():
            found = self._filesystem.get_file_info(FileSelector(self._root, allow_not_found=True, recursive=True))
            return any(each.type == FileType.File for each in found)

    def _upload(self, local: Path, remote: str) -> None:
        parent, _, name = remote.rpartition("/")
        is_atomic = self._filesystem.type_name in OBJECT_STORES
        target = remote if is_atomic else f"{parent}/.{name}.{socket.gethostname()}-{os.getpid()}"
        if not is_atomic:
            self._filesystem.create_dir(parent, recursive=True)
        with local.open("rb") as source, self._filesystem.open_output_stream(target) as sink:
            shutil.copyfileobj(source, sink)
        if not is_atomic:
            self._filesystem.move(target, remote)

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
            return _open(self.location)
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
    """Return the checkpoints of a study: in its folder, unless its settings name another location."""
    if settings.checkpoints is None:
        return Checkpoints(str(folder.path.absolute()))
    return Checkpoints(settings.checkpoints, folder.name)


def is_uri(location: str) -> bool:
    """Whether a location is a URI, not a folder."""
    return "://" in location


def _open(uri: str) -> tuple[FileSystem, str]:
    """Return the filesystem of a URI, pyarrow's or else fsspec's, and the path in it."""
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
def _temporary_folder() -> Path:
    """Return this process's own folder for downloads and uploads."""
    stack = ExitStack()
    folder = stack.enter_context(private_folder("sf-checkpoints-"))
    atexit.register(stack.close)
    return folder
