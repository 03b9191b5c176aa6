"""Too little memory: a trial that takes it all is killed, retried alone and failed; a small container is told."""

import os
import re
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from scenefront_process import ROOT, SMALL, command, environment, start

from search.study.study import StudyFolder

GROUPS = Path("/sys/fs/cgroup/memory")
SPACE = """
networks:
  plain_cnn: {width: {low: 8, high: 16, step: 8}, depth: [2, 3]}
front_ends: [tfsepnet]
training: {learning_rate: 0.003, batch_size: 12}
"""
MARGIN_BYTES, GREED_BYTES = 5 * 10**9, 7 * 10**9  # what is free below Ray's threshold, and what a greedy network takes
# In an actor alone: the driver builds and prices every network.
GREEDY = f"""

def features(self, x, usual=Network.features):
    import pathlib, time, torch
    in_actor = pathlib.Path("/proc/self/cmdline").read_bytes().startswith(b"ray::")
    if in_actor and self.training and self.config.width == 16:
        held = []
        for _ in range({GREED_BYTES // 10**8}):
            held.append(torch.ones(10**8 // 4))
            time.sleep(0.05)
        time.sleep(20)
    return usual(self, x)


Network.features = features
"""


@pytest.mark.slow
def test_a_trial_that_is_killed_for_memory_is_retried_alone_then_failed_and_the_others_are_trained(tiny, tmp_path):
    shutil.copy(ROOT / "docs" / "plain_cnn.py", tmp_path)
    with (tmp_path / "plain_cnn.py").open("a") as file:
        file.write(GREEDY)
    (tmp_path / "space.yaml").write_text(SPACE)
    memory = psutil.virtual_memory()
    if memory.available < MARGIN_BYTES + GREED_BYTES:
        pytest.skip(f"needs {MARGIN_BYTES + GREED_BYTES:,} bytes of free memory, {memory.available:,} are there")
    threshold = (memory.total - memory.available + MARGIN_BYTES) / memory.total
    search = start(
        "search", tiny, "--architecture-file", "plain_cnn.py", "--space", "space.yaml", "--study", "mine",
        "--budget", "macs=9M,params=20K", "--trials", 4, "--epochs", 2, "--no-early-stopping", "--no-fast",
        "--workers", 2, "--retries", 0, "--cache", tmp_path / "cache", cwd=tmp_path,
        RAY_memory_usage_threshold=f"{threshold:.4f}", RAY_memory_monitor_refresh_ms="50",
    )  # fmt: skip
    told, _ = search.communicate(timeout=300)
    assert search.returncode == 0, told
    assert "Traceback" not in told
    trials = [
        each for each in StudyFolder(tmp_path / "results" / "mine").open().get_trials() if "config" in each.user_attrs
    ]
    greedy = [each for each in trials if each.user_attrs["config"]["width"] == 16]
    others = [each for each in trials if each.user_attrs["config"]["width"] == 8]
    assert len(greedy) == len(others) == 2
    assert [each.state.name for each in others] == ["COMPLETE"] * 2
    for trial in greedy:
        assert trial.state.name == "FAIL"
        assert re.fullmatch(
            r"out of memory: killed when \S+GB of \S+GB of its machine's memory were used \(tried 2 times\)",
            trial.user_attrs["failure"],
        )
        # while it is tried alone, nothing else trains
        lines = told[re.search(rf"trial {trial.number} starts: .*, alone", told).start() :].splitlines()
        nexts = [line for line in lines[1:] if re.search(r"trial \d+ ", line)]
        assert f"trial {trial.number} failed (out of memory: " in nexts[0]


@pytest.mark.slow
def test_in_a_container_without_the_memory_of_one_trial_the_search_ends_with_a_sentence(tiny, tmp_path):
    group = GROUPS / f"scenefront-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text("734003200")
    except OSError:
        pytest.skip("this user can make no control group of version 1")
    arguments = command(
        "search", tiny, "--space", "isotropic", "--study", "mine", "--trials", 2, "--epochs", 2, "--workers", 1,
        "--cache", tmp_path / "cache", *SMALL,
    )  # fmt: skip
    inside = f'echo $$ > {group}/cgroup.procs; exec "$@"'
    try:
        ended = subprocess.run(
            ["sh", "-c", inside, "sh", *arguments], cwd=tmp_path, env=environment(), capture_output=True, text=True,
            check=False, timeout=240,
        )  # fmt: skip
    finally:
        for _ in range(100):
            with suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.1)
    assert ended.returncode == 2, ended.stderr
    assert re.fullmatch(
        r"error: too little memory: Ray needs 0\.20 GB of memory, and each parallel trial at least 0\.55 GB, "
        r"and 0\.\d\d GB are available of the 0\.73 GB that this container may use; "
        r"raise the limit, or end other programs\n",
        ended.stderr,
    )
    assert not (tmp_path / "results").exists()
