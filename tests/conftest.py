"""Data that tests share: a real data set where there is one, and a tiny one that is written for each run."""

import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: threads of parallel tests do not spin at barriers

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import settings

settings.register_profile("steady", deadline=None)  # no test is about the time that it takes
settings.load_profile("steady")

RATE_HZ = 44_100
TINY_CLASSES = ("airport", "bus", "park")
TINY_DEVICES = ("a", "b", "s1", "s4")
WITH_SEARCHES = ("test_connections.py", "test_live_browser.py")  # besides those of the engine, and longer than most
TUNE_VARIABLES = {name: value for name, value in os.environ.items() if name.startswith("TUNE_")}
NUM_THREADS = 1 if "PYTEST_XDIST_WORKER" in os.environ else torch.get_num_threads()  # of parallel tests a core each


def pytest_configure():
    """Limit parallel test processes to a core each."""
    torch.set_num_threads(NUM_THREADS)


def pytest_collection_modifyitems(items):
    """Skip what needs a GPU where there is none; spread the files with searches in Ray evenly among the others.

    Two searches at one time would compete for the cores, and at the end one process would be left alone with them.
    Those that take longest begin.
    """
    items.sort(key=lambda item: item.path.name not in WITH_SEARCHES)
    files = {item.path: item.path.parent.name == "engine" or item.path.name in WITH_SEARCHES for item in items}
    rank = {}
    for is_ray, until in ((True, 0.8), (False, 1.0)):
        group = [path for path, has_searches in files.items() if has_searches == is_ray]
        rank |= {path: until * index / len(group) for index, path in enumerate(group)}
    items.sort(key=lambda item: rank[item.path])
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs CUDA"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = os.environ.get("SCENEFRONT_DATA")
    if folder is None:
        pytest.skip("SCENEFRONT_DATA names no folder of real recordings")
    return Path(folder)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """48 training and 24 evaluation clips of three scenes that differ in pitch."""
    return write_tiny(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture(scope="session")
def responses(tmp_path_factory) -> Path:
    """Two impulse responses, at two rates."""
    folder = tmp_path_factory.mktemp("responses")
    rng = np.random.default_rng(0)
    for name, rate in (("one", 44_100), ("two", 48_000)):
        response = rng.normal(size=400) * np.exp(-np.arange(400) / 40)
        soundfile.write(folder / f"{name}.wav", 0.3 * response / np.abs(response).max(), rate, subtype="PCM_24")
    return folder


def write_tiny(root: Path) -> Path:
    rng = np.random.default_rng(0)
    time_s = np.arange(RATE_HZ) / RATE_HZ
    (root / "audio").mkdir(parents=True)
    (root / "evaluation_setup").mkdir()
    meta, lists = ["filename\tscene_label\tidentifier\tsource_label"], {"train": [], "evaluate": []}
    for label, scene in enumerate(TINY_CLASSES):
        for clip in range(24):
            side = "train" if clip < 16 else "evaluate"
            device = TINY_DEVICES[clip % 3 if side == "train" else clip % 4]
            location = f"city{clip % 2}-{label}{side[0]}{clip // 8}"
            name = f"audio/{scene}-{location}-{clip}-0-{device}.wav"
            tone = np.sin(2 * np.pi * 300 * 3**label * rng.uniform(0.9, 1.1) * time_s)
            sound = 0.1 * tone + 0.02 * rng.normal(size=RATE_HZ)
            soundfile.write(root / name, sound, RATE_HZ, subtype="PCM_16")
            meta.append(f"{name}\t{scene}\t{location}\t{device}")
            lists[side].append(f"{name}\t{scene}")
    (root / "meta.csv").write_text("\n".join(meta) + "\n")
    for side, rows in lists.items():
        text = "\n".join(["filename\tscene_label", *rows]) + "\n"
        (root / "evaluation_setup" / f"fold1_{side}.csv").write_text(text)
    return root


@pytest.fixture(autouse=True)
def process_settings():
    """Restore what a command within pytest leaves in the process: Tune's variables and torch's number of threads.

    Before the test, too: fixtures that several tests share have run by then.
    """
    _restore_process_settings()
    yield
    _restore_process_settings()


def _restore_process_settings():
    for name in [each for each in os.environ if each.startswith("TUNE_") and each not in TUNE_VARIABLES]:
        del os.environ[name]
    os.environ.update(TUNE_VARIABLES)
    torch.set_num_threads(NUM_THREADS)
