"""A search to its end, shared by whoever reads its study."""

import pytest
from network_observer import observe
from scenefront_process import SMALL, command, environment


@pytest.fixture(scope="session")
def searched(tiny, responses, tmp_path_factory):
    """The study `first` of four networks, by the folder it was searched in, and what was seen of the search."""
    cwd = tmp_path_factory.mktemp("searched")
    arguments = command(
        "search", tiny, "--space", "isotropic", "--study", "first", "--trials", 4, "--epochs", 6, "--seed", 1,
        "--budget", "macs=1M,params=30K", "--impulse-responses", responses, "--cache", cwd / "cache", *SMALL,
    )  # fmt: skip
    seen = observe(arguments, cwd=cwd, env=environment(), timeout_s=300)
    assert seen.returncode == 0, seen.output
    return cwd, seen
