"""A search to its end, shared by whoever reads its study; a short temporary folder."""

import os
import pickle
import shutil
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock
from network_observer import observe
from scenefront_process import SMALL, command, environment


@pytest.fixture(scope="session")
def searched(tiny, responses, tmp_path_factory):
    """The study `first` of four networks, by the folder it was searched in, and what was observed of the search.

    One search serves all of pytest's parallel processes.
    """
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    cwd, observed = base / "searched", base / "searched.pickle"
    arguments = command(
        "search", tiny, "--space", "isotropic", "--study", "first", "--trials", 4, "--epochs", 6, "--seed", 1,
        "--budget", "macs=1M,params=30K", "--impulse-responses", responses, "--cache", cwd / "cache", *SMALL,
    )  # fmt: skip
    with FileLock(base / "searched.lock"):
        if not observed.exists():
            cwd.mkdir()
            seen = observe(arguments, cwd=cwd, env=environment(), timeout_s=300)
            assert seen.returncode == 0, seen.output
            observed.write_bytes(pickle.dumps(seen))
    return cwd, pickle.loads(observed.read_bytes())


@pytest.fixture
def temporary():
    """A folder for temporary files whose path is short enough for Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="sft", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
