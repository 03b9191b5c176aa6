"""A part of this program as a process of its own, which finds its modules wherever it is started."""

import os
import sys
from pathlib import Path

import search


def module_command(module: str, *arguments: str) -> list[str]:
    """Return a command that runs a module of this program, and looks for modules nowhere else."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Return the environment in which `module_command` finds this program."""
    root = str(Path(search.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
