"""A whole search of a user's own architecture and space, as a person runs it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from search.study.study import StudyFolder
from search.study.table import trials_table

ROOT = Path(__file__).parents[3]
SPACE = """
networks:
  plain_cnn: {width: {low: 8, high: 16, step: 8}, depth: [2, 3]}
  isotropic: {width: 32, patch: [12, 16], depth: {low: 2, high: 3}}
front_ends: [tfsepnet]
training: {learning_rate: {low: 1e-3, high: 1e-2, log: true}, batch_size: 12}
"""
pytestmark = pytest.mark.slow


def scenefront(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "search", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=240,
        check=False, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def searched(tiny, tmp_path_factory):
    """A search of three networks, the folder that it was run in, and an export of one of the user's own."""
    cwd = tmp_path_factory.mktemp("own")
    shutil.copy(ROOT / "docs" / "plain_cnn.py", cwd)
    (cwd / "space.yaml").write_text(SPACE)
    done = scenefront(
        "search", tiny, "--architecture-file", "plain_cnn.py", "--space", "space.yaml", "--study", "own",
        "--budget", "macs=2M,params=20K", "--trials", 3, "--epochs", 2, "--no-early-stopping", "--cache", cwd / "cache",
        cwd=cwd,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    table = trials_table(StudyFolder(cwd / "results" / "own").open())
    number = table.loc[(table["config.architecture"] == "plain_cnn") & (table["state"] == "complete"), "number"].iloc[0]
    exported = scenefront("export", "own", "--trial", number, "--out", "found", cwd=cwd)
    assert exported.returncode == 0, exported.stderr
    return cwd, table


def test_both_architectures_are_trained_within_the_budget_and_the_space(searched):
    _, table = searched
    trained = table[table["epoch"] > 0]
    assert trained["state"].eq("complete").all()
    assert len(trained) == 3
    assert set(trained["config.architecture"]) == {"plain_cnn", "isotropic"}
    assert trained["macs"].le(2_000_000).all()
    assert trained["params"].le(20_000).all()
    assert trained["config.front_end"].eq("tfsepnet").all()
    assert trained["config.batch_size"].eq(12).all()
    own = trained[trained["config.architecture"] == "plain_cnn"]
    assert set(own["config.width"]) <= {8, 16}
    assert set(own["config.depth"]) <= {2, 3}


def test_an_export_of_ones_own_brings_its_file_and_is_what_it_was(searched, tiny):
    cwd, _ = searched
    report = json.loads((cwd / "found" / "certificate.json").read_text())
    assert yaml.safe_load((cwd / "found" / "config.yaml").read_text())["architecture"] == "plain_cnn"
    told = scenefront(
        "evaluate", "found", tiny, "--architecture-file", "found/plain_cnn.py", "--cache", "cache", "--json", cwd=cwd
    )
    assert told.returncode == 0, told.stderr
    measured = json.loads(told.stdout)
    assert measured["confusion"] == report["quality"]["weights.safetensors"]["confusion"]
    assert measured["log_loss"] == pytest.approx(report["quality"]["weights.safetensors"]["log_loss"], rel=1e-4)
    without = scenefront("evaluate", "found", tiny, "--cache", "cache", cwd=cwd)
    assert without.returncode == 2
    assert "unknown architecture 'plain_cnn'" in without.stderr
    assert "name its file: --architecture-file found/plain_cnn.py" in without.stderr


def test_a_study_whose_files_have_changed_is_left_as_it_is(searched):
    cwd, table = searched
    for name in ("plain_cnn.py", "space.yaml"):
        file = cwd / name
        before = file.read_text()
        file.write_text(before + "\n# changed\n")
        refused = scenefront("resume", "own", cwd=cwd)
        assert refused.returncode == 2
        assert refused.stderr == (
            f"error: {file} is gone or has changed since own was started; bring it back, or start a new study\n"
        )
        if name == "plain_cnn.py":
            refused = scenefront("export", "own", "--trial", 0, "--out", "late", cwd=cwd)
            assert refused.returncode == 2
            assert f"{file} is gone or has changed since own was started; bring it back" in refused.stderr
            assert not (cwd / "late").exists()
        file.write_text(before)
    again = scenefront("resume", "own", cwd=cwd)
    assert "all 3 trials are done" in again.stdout
    assert len(trials_table(StudyFolder(cwd / "results" / "own").open())) == len(table)


def test_a_search_with_a_broken_file_is_refused_before_anything_starts(searched, tiny, tmp_path):
    source = (ROOT / "docs" / "plain_cnn.py").read_text()
    (tmp_path / "plain_cnn.py").write_text(source.replace("frozen=True, ", ""))
    refused = scenefront(
        "search", tiny, "--architecture-file", "plain_cnn.py", "--space", "plain_cnn", cwd=tmp_path
    )  # fmt: skip
    assert refused.returncode == 2
    assert refused.stderr == (
        f"error: {tmp_path}/plain_cnn.py is no architecture that can be searched: its config must be frozen: "
        "@dataclass(frozen=True)\n"
    )
    assert not (tmp_path / "results").exists()
