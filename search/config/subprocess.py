"""Command and environment of a subprocess that runs a module of this program, from any working directory."""

import os
import sys
from pathlib import Path

import search


def module_command(module: str, *arguments: str) -> list[str]:
    """Return a command that runs a module of this program, without the working directory in its path."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Return the environment for `module_command`, with this program in PYTHONPATH."""
    root = str(Path(search.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
