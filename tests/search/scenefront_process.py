"""The command line in a process of its own, as a person starts it."""

import os
import subprocess
import sys
from pathlib import Path

from terminal import listen_to_ctrl_c

from search.study.study import StudyFolder

ROOT = Path(__file__).parents[2]
# Networks that train in a moment: what is tested is the search.
SMALL = ["--range", "patch=12:16", "--range", "width=32:48", "--range", "depth=2:3", "--range", "columns=1:1"]
SMALL += ["--set", "batch_size=12"]


def command(*arguments):
    return [sys.executable, "-m", "search", *map(str, arguments)]


def environment(**values):
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **values}


def start(*arguments, cwd, **values):
    """Start a command whose output, errors too, is read from its `stdout`; `values` are of its environment."""
    return subprocess.Popen(
        command(*arguments), cwd=cwd, env=environment(**values), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
        preexec_fn=listen_to_ctrl_c,  # noqa: PLW1509 - nothing of this process runs in the child
    )  # fmt: skip


def scenefront(*arguments, cwd):
    """Run a command to its end, and return its output, errors too."""
    process = start(*arguments, cwd=cwd)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    return output


def finished(cwd, study="s"):
    """Return the values of the complete trials of a study, by their numbers; none where there is no study yet."""
    folder = StudyFolder(cwd / "results" / study)
    if not folder.exists():
        return {}
    return {trial.number: trial.values for trial in folder.open().get_trials() if trial.state.name == "COMPLETE"}
