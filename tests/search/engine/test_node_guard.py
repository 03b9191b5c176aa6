"""Ray's processes are killed while a search runs: it ends at once, says so, charges no trial, and is resumed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from killed import takes_long
from scenefront_process import SMALL, environment, scenefront, start

from search.engine.node_guard import connection_probe
from search.study.study import StudyFolder, learning_curve

TWO_NODES = Path(__file__).with_name("two_nodes.py")
MAX_SECONDS = 10.0
EPOCHS = 2
NAMES = {"raylet": "Ray's node (raylet)", "gcs_server": "Ray's head (gcs_server)"}


def search_until_complete(tiny, cwd, *options):
    """Start a search of three trials; return it, and its lines, once one of them is complete and another trains."""
    search = start(
        "search", tiny, "--space", "isotropic", "--study", "mine", "--trials", 3, "--epochs", EPOCHS, "--seed", 1,
        "--no-early-stopping", "--no-fast", "--workers", 1, "--retries", 0, "--cache", cwd / "cache", *SMALL,
        *options, cwd=cwd,
    )  # fmt: skip
    lines = []
    for line in search.stdout:
        lines.append(line)
        if "trial " in line and "starts" in line and any("complete: " in each for each in lines):
            break
    return search, lines


def descendant(process, name):
    return next(each for each in psutil.Process(process.pid).children(recursive=True) if each.name() == name)


def seconds_to_end(search, victim):
    """Kill a process; return how long the search lasted then, the rest of what it printed, and its own processes."""
    family = psutil.Process(search.pid).children(recursive=True)
    started = time.monotonic()
    victim.send_signal(signal.SIGKILL)
    rest, _ = search.communicate(timeout=90)
    return time.monotonic() - started, rest.splitlines(), family


def settled(folder):
    trials = [trial for trial in folder.open().get_trials() if trial.state.is_finished()]
    return {trial.number: json.dumps([trial.values, trial.user_attrs], sort_keys=True) for trial in trials}


def require_nothing_lost(folder, before, cwd):
    scenefront("resume", "mine", cwd=cwd)
    after = settled(folder)
    assert before.items() <= after.items()
    trained = [trial for trial in folder.open().get_trials() if "config" in trial.user_attrs]
    assert [trial.state.name for trial in trained] == ["COMPLETE"] * 3
    for trial in trained:
        assert "attempts" not in trial.user_attrs
        assert [epoch["epoch"] for epoch in learning_curve(trial)] == list(range(1, EPOCHS + 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_search_whose_ray_dies_ends_within_seconds_and_charges_no_trial(name, tiny, tmp_path):
    search, _ = search_until_complete(tiny, tmp_path)
    victim = descendant(search, name)
    folder = StudyFolder(tmp_path / "results" / "mine")
    before = settled(folder)
    assert len(before) >= 1
    seconds, rest, family = seconds_to_end(search, victim)
    assert search.returncode == 2
    assert seconds < MAX_SECONDS
    assert rest[-1] == (
        f"error: {NAMES[name]} has died (process {victim.pid}, killed by SIGKILL); no trial is charged for it, and "
        "finished trials are kept. Continue with `scenefront resume mine`"
    )
    assert not [line for line in rest[:-1] if not line.startswith("[")]  # nothing of Ray's own
    _, left = psutil.wait_procs(family, timeout=10)
    assert not left
    assert not [each for each in folder.open().get_trials() if "attempts" in each.user_attrs]
    require_nothing_lost(folder, before, tmp_path)
    sys.stdout.write(f"{name}: {seconds:.1f} s from the kill to the end\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_search_whose_ray_dies_while_it_starts_ends_within_seconds(name, tiny, tmp_path):
    search = start("search", tiny, "--space", "isotropic", "--no-fast", "--study", "mine", *SMALL, cwd=tmp_path)
    while not (victims := [each for each in psutil.Process(search.pid).children() if each.name() == name]):
        assert search.poll() is None
        time.sleep(0.01)
    seconds, rest, family = seconds_to_end(search, victims[0])
    assert (search.returncode, seconds < MAX_SECONDS) == (2, True)
    assert rest[-1].startswith(f"error: {NAMES[name]} has died (process {victims[0].pid}, killed by SIGKILL); ")
    assert rest[-1].endswith("Continue with `scenefront resume mine`")
    _, left = psutil.wait_procs(family, timeout=10)
    assert not left


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param("raylet", marks=takes_long), "gcs_server"])
def test_a_search_whose_cluster_dies_ends_within_seconds_and_charges_no_trial(name, tiny, tmp_path):
    cluster = subprocess.Popen(
        [sys.executable, TWO_NODES, "1"], env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        address = json.loads(cluster.stdout.readline())["address"]
        search, _ = search_until_complete(tiny, tmp_path, "--address", address)
        folder = StudyFolder(tmp_path / "results" / "mine")
        before = settled(folder)
        seconds, rest, _ = seconds_to_end(search, descendant(cluster, name))
    finally:
        for process in (*psutil.Process(cluster.pid).children(recursive=True), cluster):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        cluster.communicate(timeout=60)
    assert search.returncode == 2, rest
    assert seconds < MAX_SECONDS
    assert rest[-1].startswith("error: ")
    assert " has died (" in rest[-1]
    assert rest[-1].endswith("Continue with `scenefront resume mine`")
    require_nothing_lost(folder, before, tmp_path)
    sys.stdout.write(f"{name} of a cluster: {seconds:.1f} s from the kill to the end\n")


def test_a_server_that_listens_no_more_is_told_after_three_refusals(monkeypatch):
    monkeypatch.setattr("search.engine.node_guard._PROBE_INTERVAL_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        probe = connection_probe(address)
        assert [probe() for _ in range(5)] == [""] * 5
    assert [probe() for _ in range(3)] == ["", "", f"nothing answers at {address}"]


def test_a_signal_that_ends_the_head_is_told(tmp_path):
    program = (
        "import subprocess, sys, time\nfrom pathlib import Path\n"
        "from search.engine.node_guard import NodeGuard\n"
        f"with NodeGuard({{}}, Path({str(tmp_path / 'gone')!r}), '; advice') as guard:\n"
        "    child = subprocess.Popen(['sleep', '60'])\n"
        "    guard.own('the head', child)\n"
        "    print(child.pid, flush=True)\n"
        "    while True: time.sleep(60)\n"  # as a call of Ray that does not return
    )
    (tmp_path / "gone").mkdir()
    guarded = subprocess.Popen(
        [sys.executable, "-c", program], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    pid = int(guarded.stdout.readline())
    os.kill(pid, signal.SIGTERM)
    _, told = guarded.communicate(timeout=10)
    assert guarded.returncode == 2
    assert told == (
        f"error: the head has died (process {pid}, killed by SIGTERM); no trial is charged for it, and finished trials "
        "are kept; advice\n"
    )
    assert not (tmp_path / "gone").exists()
