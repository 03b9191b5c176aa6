"""Import of a user's own Python file as a module."""

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from data.regular_file import open_regular
from search.config.errors import UserError


class UserFileError(UserError):
    """A user's file cannot be imported; the message names the line."""


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_module(path: Path) -> ModuleType:
    """Import a Python file as a module; cached until the file changes.

    Raises:
        UserFileError: It is missing, or raises an exception.
    """
    try:
        digest = file_digest(path)
    except OSError as error:
        raise UserFileError(f"{path} cannot be read: {error.strerror}") from error
    name = f"user_file_{digest[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserFileError(f"{path} is no Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a dataclass looks its module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a stranger's code may raise
        del sys.modules[name]
        raise UserFileError(f"{path} cannot be run: {type(error).__name__}: {error}{_where(error, path)}") from error
    return module


def _where(error: BaseException, path: Path) -> str:
    """Return the last line of the user's file in a traceback, as text; "" for a syntax error, which has its own."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {lines[-1]} of {path}" if lines else ""
