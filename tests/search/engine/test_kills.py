"""kill -9 of a driver, of what trains, of Ray's node, and of all at once, at random moments of every operation.

In the end nothing of it is seen: SCENEFRONT_KILLS is the number of kills, by default ten. The table of a hundred:

    SCENEFRONT_KILLS=100 .venv/bin/python -m pytest -s tests/search/engine/test_kills.py | grep '^|'
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import pytest
from killed import (
    CONFIRMED,
    KILLS_A_ROUND,
    MORE_TRIALS,
    NUM_KILLS,
    OPERATIONS,
    STUDY,
    TARGETS,
    TRAINED,
    Round,
    command_of,
    is_alive,
    kill,
    role,
    run_whole,
)

from search.artifact.certificate import CERTIFICATE, WRITTEN
from search.engine.ray_cluster import _PREFIX as FOLDER_PREFIX
from search.engine.temporary import private_folder
from search.study.confirm import confirm_report
from search.study.study import HISTORY, STOPPED, StudyFolder, learning_curve
from search.study.table import trials_table
from training.checkpoint import read_tensors

FIRST_SEED = int(os.environ.get("SCENEFRONT_KILLS_SEED", "0"))
VARYING = ("duration_s", "memory_bytes")  # what no two runs have in common


@pytest.fixture
def temporary():
    """A folder for temporary files whose path is short enough for Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="sfk", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_kills_lose_nothing_repeat_nothing_leave_nothing_and_change_nothing(tiny, tmp_path, temporary):
    whole = tmp_path / "whole"
    whole.mkdir()
    run_whole(tiny, whole, temporary)
    kills, seed, late = [], FIRST_SEED, {}
    while len(kills) < NUM_KILLS:
        cwd = tmp_path / f"killed-{seed}"
        cwd.mkdir()
        each = Round(tiny, cwd, temporary, seed)
        try:
            each.run(targets_of(seed, NUM_KILLS - len(kills), late))
            require_same_studies(cwd, whole)
            require_same_exports(cwd, whole)
            require_nothing_left(each, temporary)
        except BaseException as error:
            error.add_note(f"repeat with SCENEFRONT_KILLS=1 SCENEFRONT_KILLS_SEED={seed}; what was done:")
            error.add_note("\n".join(each.log))
            raise
        kills += each.kills
        late = each.missed
        seed += 1
        shutil.rmtree(cwd)
    sys.stdout.write(f"\n{table(kills)}\n")


def targets_of(seed, limit, late):
    """Return the targets of a round by operation: over five rounds every target of every operation."""
    place, found = 0, {}
    for index, name in enumerate(OPERATIONS):
        number = KILLS_A_ROUND[name]
        found[name] = [TARGETS[(index + number * seed + each) % len(TARGETS)] for each in range(number)]
        found[name] += late.get(name, [])
        if name == "export":  # Ray's processes are there first, then files are written
            found[name].sort(key=lambda target: target in {"driver", "all"})
        found[name] = found[name][: max(0, limit - place)]
        place += len(found[name])
    return found


def told(trial):
    """Everything that a study says of a trial, but for how often it was tried and how long that took."""
    known = {name: value for name, value in trial.user_attrs.items() if name != "attempts"}
    for name, value in known.items():
        if name.startswith("epoch:"):
            known[name] = {key: each for key, each in value.items() if key not in VARYING}
    return (
        trial.number,
        trial.state.name,
        trial.values,
        trial.params,
        trial.constraints,
        json.dumps(known, sort_keys=True),
    )


def require_same_studies(cwd, whole):
    """Require of every study that nothing is lost, trained twice or left running, and that all is as unkilled."""
    for found in sorted((whole / "results").iterdir()):
        folder, expected = StudyFolder(cwd / "results" / found.name), StudyFolder(found)
        study, unkilled = folder.open(), expected.open()
        trials = study.get_trials()
        assert [told(trial) for trial in trials] == [told(trial) for trial in unkilled.get_trials()]
        assert all(trial.state.is_finished() or STOPPED in trial.user_attrs for trial in trials)
        trained = [trial for trial in trials if "config" in trial.user_attrs]
        configs = {json.dumps(trial.user_attrs["config"], sort_keys=True) for trial in trained}
        assert len(configs) == len(trained) == folder.settings().trials
        for trial in trained:
            epochs = [epoch["epoch"] for epoch in learning_curve(trial)]
            assert epochs == list(range(1, len(epochs) + 1))
            name = f"trials/{trial.number}/checkpoint.safetensors"
            weights, others = (read_tensors(each.path / name)[0] for each in (folder, expected))
            assert weights.keys() == others.keys()
            assert all(weights[name].equal(others[name]) for name in weights)
        assert [entry.get("changes") for entry in study.user_attrs[HISTORY]] == [
            entry.get("changes") for entry in unkilled.user_attrs[HISTORY]
        ]
    assert StudyFolder(cwd / "results" / STUDY).settings().trials == MORE_TRIALS
    tables = [trials_table(StudyFolder(each / "results" / STUDY).open()) for each in (cwd, whole)]
    fronts = [table.query("on_front or at_chance") for table in tables]  # on so few clips nothing may be better
    assert fronts[0]["number"].tolist() == fronts[1]["number"].tolist() != []
    assert {each.name for each in (cwd / "results").iterdir()} == {each.name for each in (whole / "results").iterdir()}
    assert {STUDY, CONFIRMED, TRAINED} < {each.name for each in (cwd / "results").iterdir()}
    reports = [confirm_report(StudyFolder(each / "results" / CONFIRMED)) for each in (cwd, whole)]
    assert reports[0] == reports[1]


def require_same_exports(cwd, whole):
    """Require the same exports, with the same bytes in every file, but for when they were written."""
    names = [sorted(each.name for each in (folder / "exports").iterdir()) for folder in (cwd, whole)]
    assert names[0] == names[1] != []
    for name in names[0]:
        found, expected = (
            {path.name: path.read_bytes() for path in (folder / "exports" / name).iterdir()} for folder in (cwd, whole)
        )
        certificates = [json.loads(each.pop(CERTIFICATE)) for each in (found, expected)]
        for each in certificates:
            each.pop(WRITTEN)
        assert certificates[0] == certificates[1]
        assert found == expected


def require_nothing_left(chain, temporary):
    """Require that no process lives on, and that no temporary file is left after the next start's normal end."""
    deadline = time.monotonic() + 10
    while left := [pid for pid in chain.processes if is_alive(pid) and role(pid) != "agent"]:
        assert time.monotonic() < deadline, [command_of(pid) for pid in left]
        time.sleep(0.1)
    kill(pid for pid in chain.processes if role(pid) == "agent")
    # The chain's last command has not started Ray if it was killed after a training, so start it here, or nearly.
    with patch.object(tempfile, "tempdir", str(temporary)), private_folder(FOLDER_PREFIX):
        pass
    assert [path for path in temporary.rglob("*") if not path.is_dir()] == []


def table(kills):
    """Return the kills as a table in Markdown: operation against target, each cell `equal of kills`."""
    counts = Counter(kills)
    lines = [f"| killed in | {' | '.join(TARGETS)} | kills | as unkilled |", "|---" * (len(TARGETS) + 3) + "|"]
    for name in OPERATIONS:
        row = [counts[name, target] for target in TARGETS]
        lines.append(f"| {' | '.join(map(str, [name, *row, sum(row), sum(row)]))} |")
    row = [sum(counts[name, target] for name in OPERATIONS) for target in TARGETS]
    lines.append(f"| {' | '.join(map(str, ['all', *row, len(kills), len(kills)]))} |")
    return "\n".join(lines)
