"""What a search leaves in /tmp and /dev/shm, and in the driver's memory: nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from killed import Driver, commands, kill, takes_long
from scenefront_process import ROOT, command, environment

pytestmark = [pytest.mark.slow, takes_long]

HERE = Path(__file__).parent
MAX_GROWTH_MB = 20  # of the driver, over 150 trivial trials
# Runs a command in a /dev/shm of its own, and lists what that holds in the end.
OWN_SHM = 'mount -t tmpfs tmpfs /dev/shm || exit 77; "$@" > said 2>&1; code=$?; sleep 1; ls -A /dev/shm; exit $code'


def files(folder):
    return [path for path in folder.rglob("*") if not path.is_dir()]


def test_what_a_killed_search_left_is_removed_by_the_next_start_and_that_leaves_nothing(tiny, tmp_path, temporary):
    start = commands(tiny, tmp_path)["search"]
    start[start.index("--trials") + 1], start[start.index("--epochs") + 1] = 2, 2
    driver = Driver(start, tmp_path, TMPDIR=str(temporary))
    assert driver.wait_for(lambda lines: any(" epoch 1/" in line for line in lines)), driver.text
    driver.look()
    kill(driver.processes)
    driver.wait()
    assert files(temporary)
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", OWN_SHM, "sh", *command("resume", "s")], cwd=tmp_path,
        env=environment(TMPDIR=str(temporary)), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    if ended.returncode in {1, 77} and not (tmp_path / "said").exists():
        pytest.skip(f"no mount of its own is possible: {ended.stderr}")
    assert ended.returncode == 0, (tmp_path / "said").read_text()
    assert ended.stdout == ""
    assert files(temporary) == []


def test_the_drivers_memory_is_flat_over_200_trivial_trials(tmp_path, temporary):
    ended = subprocess.run(
        [sys.executable, HERE / "trivial_search.py", tmp_path / "trivial"], cwd=ROOT,
        env=environment(TMPDIR=str(temporary)), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    resident_mb = json.loads(ended.stdout.splitlines()[-1])
    sys.stdout.write(f"the driver's resident memory after 50, 100, 150 and 200 trials: {resident_mb} MB\n")
    assert len(resident_mb) == 4
    assert resident_mb[-1] - resident_mb[0] < MAX_GROWTH_MB, resident_mb
