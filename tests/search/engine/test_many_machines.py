"""A search over two Ray nodes, in PostgreSQL, with its checkpoints at a URI; one node loses its power in the middle."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scenefront_process import SMALL, environment, start
from sqlalchemy import NullPool, create_engine, text

from search.engine import ray_cluster as cluster_module
from search.engine.ray_cluster import ClusterError, joined_cluster
from search.study.storage import Postgres, StorageError
from search.study.study import StudyFolder, learning_curve

TWO_NODES = Path(__file__).with_name("two_nodes.py")
EPOCHS = 50  # so that a machine is lost before the trial there is trained


@pytest.fixture
def two_nodes():
    cluster = subprocess.Popen(
        [sys.executable, TWO_NODES], env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield cluster, json.loads(cluster.stdout.readline())["address"]
    finally:
        cluster.communicate(timeout=60)


@pytest.mark.slow
def test_a_search_goes_on_when_one_of_its_machines_is_lost(two_nodes, run, tiny, tmp_path, postgres_url):
    cluster, address = two_nodes
    places = tmp_path / "check points"
    search = start(
        "search", tiny, "--space", "isotropic", "--study", "wide", "--trials", 3, "--epochs", EPOCHS,
        "--no-early-stopping", "--no-fast", "--address", "auto", "--storage", postgres_url,
        "--checkpoints", places.as_uri(), "--cache", tmp_path / "cache", *SMALL, cwd=tmp_path, RAY_ADDRESS=address,
    )  # fmt: skip
    folder = StudyFolder(tmp_path / "results" / "wide")
    elsewhere = StudyFolder(tmp_path / "elsewhere" / "wide")
    told, trained = [], set()
    for line in search.stdout:
        told.append(line)
        if "epoch" in line and "macro accuracy" in line:
            trained.add(line.partition("trial ")[2].split()[0])
            if len(trained) == 2 and not elsewhere.path.exists():  # so both nodes train
                cluster.stdin.write("kill\n")
                cluster.stdin.flush()
                elsewhere.path.mkdir(parents=True)
                shutil.copy(folder.settings_file, elsewhere.settings_file)  # as on another machine
                assert elsewhere.is_locked()
                with pytest.raises(StorageError, match="is in use by another search"), elsewhere.lock():
                    pass
    search.communicate()
    assert search.returncode == 0, "".join(told)
    assert "2 parallel trials" in "".join(told)

    trials = [trial for trial in elsewhere.open().get_trials() if "config" in trial.user_attrs]
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 3
    for trial in trials:
        assert [epoch["epoch"] for epoch in learning_curve(trial)] == list(range(1, EPOCHS + 1))
    assert "will be resumed (node lost: " in "".join(told)
    assert [trial.user_attrs.get("attempts") for trial in trials] == [None] * 3  # no trial is to blame
    kept = sorted(path.relative_to(places).as_posix() for path in places.rglob("*") if path.is_file())
    assert kept == [f"wide/trials/{trial.number}/checkpoint.safetensors" for trial in trials]
    assert sorted(path.name for path in folder.path.iterdir()) == [".lock", "search.yaml", "space.npz"]
    assert not elsewhere.is_locked()

    exported = run("export", "wide", "--results", elsewhere.path.parent, "--out", tmp_path / "best")
    assert exported.code == 0, exported.err
    assert (tmp_path / "best" / "weights.safetensors").exists()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("ray://somewhere:10001", "address must be auto or HOST:PORT of a running Ray, got 'ray://somewhere:10001'"),
        ("somewhere", "address must be auto or HOST:PORT of a running Ray, got 'somewhere'"),
        ("127.0.0.1:1", "no Ray can be joined at 127.0.0.1:1: "),
        ("auto", "no Ray was started on this machine; start one with `ray start --head`"),
    ],
)
def test_a_cluster_that_is_not_there_is_named(address, told, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(cluster_module, "started_address", lambda: "")  # whatever runs on this machine
    with pytest.raises(ClusterError) as error, joined_cluster(address):
        pass
    assert str(error.value).startswith(told)


@pytest.mark.slow
def test_a_search_whose_study_the_server_let_go_of_ends_and_says_so(tiny, tmp_path, postgres_url):
    search = start(
        "search", tiny, "--space", "isotropic", "--study", "lost", "--trials", 3, "--epochs", 100, "--no-fast",
        "--storage", postgres_url, "--cache", tmp_path / "cache", *SMALL, cwd=tmp_path,
    )  # fmt: skip
    told, engine = [], create_engine(Postgres.parse(postgres_url).url, poolclass=NullPool)
    for line in search.stdout:
        told.append(line)
        if "epoch 1/" in line:
            with engine.connect() as other:
                other.execute(text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"))
    search.communicate()
    assert search.returncode == 2, "".join(told)
    assert "has released the lock on the study lost, and another search may hold it now" in told[-1]
    assert "continue with `scenefront resume lost`" in told[-1]
