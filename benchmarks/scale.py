"""Benchmark of a data set of TAU's size, 230,350 clips: reading the lists, start of a trial, memory, decoding.

The lists are the real ones of 2024 where SCENEFRONT_DATA has them, with further clips named in the same way; else all
are made up. Two data sets of these lists are put into a temporary folder:

- For the start of a trial: all clips are used, so the store has 230,350. Files and store have the right size and no
  sound, as sparse files: a start looks at each file, maps the store and reads no sample of either. The files lie in the
  system's memory, as they do for every trial but the first.
- For decoding: the 5 % split. Its 36,660 names are links to 500 distinct clips (real ones where there are any), which
  costs what as many files would cost once the disk has read them.
"""

import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.figure import Figure
from benchmarks.trial_start import RATE_HZ
from data.layout import read_scenes
from data.store import ClipFiles, folders, manifest_path

ROOT = Path(__file__).parents[1]
CLIPS = 230_350
SIZES = (10_000, 50_000, CLIPS)
ROUNDS = 3
SPLIT_SIZES = {"split5.csv": 6_980, "split10.csv": 13_960, "test.csv": 29_680}
SCENES = ("airport", "bus", "metro", "metro_station", "park", "public_square", "shopping_mall", "street_pedestrian",
          "street_traffic", "tram")  # fmt: skip
DEVICES = ("a", "b", "c", "s1", "s2", "s3")
DISTINCT = 500
FILE_RATE_HZ = 44_100
FEW = 5_000  # clips that one core decodes
ROOM = 4_000_000_000  # bytes of free disk space


def figures() -> Iterator[Figure]:
    """Build the data sets, and measure fresh processes that start a trial on them."""
    with tempfile.TemporaryDirectory(prefix="scenefront-scale-") as name:
        folder = Path(name)
        free = shutil.disk_usage(folder).free
        if free < ROOM:
            raise RuntimeError(f"{folder}: {ROOM / 1e9:g} GB are needed, {free / 1e9:.1f} GB are free; set TMPDIR")
        data = Path(os.environ["SCENEFRONT_DATA"]) if "SCENEFRONT_DATA" in os.environ else None
        lists = _lists(data)
        yield from _start(folder / "start", lists)
        shutil.rmtree(folder / "start")
        yield from _decoding(folder / "decoding", lists, data)


def _start(folder: Path, lists: dict[str, list[str]]) -> Iterator[Figure]:
    audio = folder / "audio"
    audio.mkdir(parents=True)
    for name in lists["meta.csv"]:
        with (folder / name).open("wb") as file:
            file.truncate(44 + 2 * FILE_RATE_HZ)
    medians = {}
    for size in SIZES:
        root = folder / str(size)
        root.mkdir()
        (root / "audio").symlink_to(audio)
        names = lists["meta.csv"][:size]
        held_out = size // 8  # about as in TAU
        _write_lists(root, names, {"split100.csv": names[held_out:], "test.csv": names[:held_out]})
        _write_sparse_store(root, folder / "cache")
        medians[size] = _medians(root, "100", folder / "cache")
    whole = medians[CLIPS]
    by_size = {f"{size}_clips": result for size, result in medians.items() if size != CLIPS}
    yield Figure(
        f"index of {CLIPS:,} clips", whole["index_s"], "s", 2, False,
        {f"{name}_s": result["index_s"] for name, result in by_size.items()},
    )  # fmt: skip
    yield Figure(
        "start of a trial, all of them stored", whole["index_s"] + whole["store_s"], "s", 2, False,
        {
            "imports_before_s": whole["imports_s"],
            "index_s": whole["index_s"],
            "store_s": whole["store_s"],
            **{f"{name}_s": result["index_s"] + result["store_s"] for name, result in by_size.items()},
        },
    )  # fmt: skip
    yield Figure(
        "memory of that process", whole["peak_gb"], "GB", 1, False,
        {"after_imports_gb": whole["imports_gb"], **{f"{name}_gb": each["peak_gb"] for name, each in by_size.items()}},
    )  # fmt: skip


def _decoding(folder: Path, lists: dict[str, list[str]], data: Path | None) -> Iterator[Figure]:
    used = lists["split5.csv"] + lists["test.csv"]
    (folder / "audio").mkdir(parents=True)
    sounds = _sounds(folder / "sounds", data)
    for place, name in enumerate(used):
        os.link(sounds[place % len(sounds)], folder / name)
    _write_lists(folder, lists["meta.csv"], {file: lists[file] for file in SPLIT_SIZES})
    few = folder / "few"
    few.mkdir()
    (few / "audio").symlink_to(folder / "audio")
    _write_lists(few, used[:FEW], {"split5.csv": used[: FEW // 2], "test.csv": used[FEW // 2 : FEW]})
    one = _run(few, "5", folder / "cache-one", 1) if hasattr(os, "sched_setaffinity") else None
    every = _run(folder, "5", folder / "cache")
    assert (every["clips"], every["used"], every["stored"]) == (CLIPS, len(used), len(used))
    speed = every["used"] / every["store_s"]
    again = _medians(folder, "5", folder / "cache")
    yield Figure(
        f"decoding from {FILE_RATE_HZ / 1000:g} to {RATE_HZ / 1000:g} kHz, on every core", speed, "clips/s", None, True,
        {
            **({"one_core_clips_per_s": one["used"] / one["store_s"]} if one else {}),
            f"{len(used)}_clips_s": every["store_s"],
            f"{CLIPS}_clips_would_take_s": CLIPS / speed,
            **({f"peak_of_{FEW}_clips_gb": one["peak_gb"]} if one else {}),
            f"peak_of_{len(used)}_clips_gb": every["peak_gb"],
        },
    )  # fmt: skip
    yield Figure(
        "start of a trial, 5 % split of them stored", again["index_s"] + again["store_s"], "s", 2, False,
        {"index_s": again["index_s"], "store_s": again["store_s"], "memory_gb": again["peak_gb"]},
    )  # fmt: skip


def _lists(data: Path | None) -> dict[str, list[str]]:
    """Return the clip names by list; `meta.csv` has all of them, shuffled."""
    made_up = (
        f"audio/{SCENES[i % 10]}-lisbon-{5000 + i // 3000}-{900_000 + i // 10}-{i // 10 % 10}-{DEVICES[i % 6]}.wav"
        for i in itertools.count()
    )
    splits = None if data is None else data / "tau2022_splits"
    if splits is not None and splits.is_dir():
        lists = {
            file: [line.split("\t")[0] for line in (splits / file).read_text().splitlines()[1:]] for file in SPLIT_SIZES
        }
    else:
        lists = {file: [next(made_up) for _ in range(size)] for file, size in SPLIT_SIZES.items()}
        lists["split10.csv"][: len(lists["split5.csv"])] = lists["split5.csv"]
    assert {file: len(names) for file, names in lists.items()} == SPLIT_SIZES
    meta = list(dict.fromkeys(name for names in lists.values() for name in names))
    meta += [next(made_up) for _ in range(CLIPS - len(meta))]
    order = np.random.default_rng(0).permutation(CLIPS)
    lists["meta.csv"] = [meta[i] for i in order]
    return lists


def _write_lists(root: Path, meta: Sequence[str], splits: dict[str, list[str]]) -> None:
    parts = {name: name.removeprefix("audio/").removesuffix(".wav").split("-") for name in meta}
    with (root / "meta.csv").open("w") as file:
        file.write("filename\tscene_label\tidentifier\tsource_label\n")
        file.writelines(f"{name}\t{p[0]}\t{p[1]}-{p[2]}\t{p[5]}\n" for name, p in parts.items())
    for split, names in splits.items():
        with (root / split).open("w") as file:
            file.write("filename\tscene_label\n")
            file.writelines(f"{name}\t{parts[name][0]}\n" for name in names)


def _write_sparse_store(root: Path, cache: Path) -> None:
    """Write a sparse store of the right name, manifest and size, where `open_store` looks for it."""
    scenes = read_scenes(root, "100")
    names = scenes.clips["filename"].iloc[scenes.used].tolist()
    clips = ClipFiles.stat(root, names, RATE_HZ)
    path = next(folders(root, cache)) / clips.name
    path.parent.mkdir(parents=True)
    np.lib.format.open_memmap(path, "w+", np.int16, (len(names), RATE_HZ))
    manifest_path(path).write_bytes(clips.text)


def _sounds(folder: Path, data: Path | None) -> list[Path]:
    """Put `DISTINCT` clips into `folder`: real ones where there are any, else noise."""
    folder.mkdir()
    paths = [folder / f"{i}.wav" for i in range(DISTINCT)]
    real = sorted((data / "scenes" / "audio").glob("*.wav"))[::3] if data is not None else []
    if len(real) >= DISTINCT:
        for path, source in zip(paths, real, strict=False):
            shutil.copyfile(source, path)
        return paths
    rng = np.random.default_rng(0)
    for path in paths:
        soundfile.write(path, rng.integers(-9000, 9000, FILE_RATE_HZ, dtype=np.int16), FILE_RATE_HZ, subtype="PCM_16")
    return paths


def _medians(root: Path, split: str, cache: Path) -> dict[str, float]:
    rounds = [_run(root, split, cache) for _ in range(ROUNDS)]
    return {name: statistics.median(result[name] for result in rounds) for name in rounds[0]}


def _run(root: Path, split: str, cache: Path, cores: int | None = None) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.trial_start", str(root), split, str(cache)]
    command += [] if cores is None else [str(cores)]
    result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, float] = json.loads(result.stdout)
    return measured
