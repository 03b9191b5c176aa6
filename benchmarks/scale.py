"""Data set of TAU's size, 230,350 clips: time to index it and to start a trial, memory, decoding throughput.

The lists are those of 2024 if $SCENEFRONT_DATA has them, with further clips named in the same way; else all clip names
are made up. Two data sets of these lists are written to a temporary folder:

- For the start of a trial: all clips are used, so that the store has 230,350. Audio files and store are sparse files of
  the right size: a start calls stat on each audio file and maps the store, but reads no samples. They are in the page
  cache, as for every trial but the first.
- For decoding: the 5 % split. Its 36,660 names are hard links to 500 distinct clips (real ones if there are any), which
  costs as much as distinct files in the page cache.
"""

import hashlib
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.measurement import Measurement
from benchmarks.trial_start import RATE_HZ
from data.file_hashes import HASH_DIGITS, YOUNG_NS, FileHashes
from data.layout import read_scenes
from data.store import folders
from data.store_file import Manifest, manifest_path, store_name
from data.store_writing import ClipFiles

ROOT = Path(__file__).parents[1]
NUM_CLIPS = 230_350
SIZES = (10_000, 50_000, NUM_CLIPS)
ROUNDS = 3
SPLIT_SIZES = {"split5.csv": 6_980, "split10.csv": 13_960, "test.csv": 29_680}
SCENES = ("airport", "bus", "metro", "metro_station", "park", "public_square", "shopping_mall", "street_pedestrian",
          "street_traffic", "tram")  # fmt: skip
DEVICES = ("a", "b", "c", "s1", "s2", "s3")
NUM_DISTINCT = 500
FILE_RATE_HZ = 44_100
NUM_ONE_CORE = 5_000  # clips decoded on one core
MIN_FREE_BYTES = 4_000_000_000  # of disk space


def measure() -> Iterator[Measurement]:
    """Write the data sets, and measure the start of a trial on them in new processes."""
    with tempfile.TemporaryDirectory(prefix="scenefront-scale-") as name:
        folder = Path(name)
        free = shutil.disk_usage(folder).free
        if free < MIN_FREE_BYTES:
            raise RuntimeError(f"{folder} has {free / 1e9:.1f} GB free, not {MIN_FREE_BYTES / 1e9:g} GB; set TMPDIR")
        data = Path(os.environ["SCENEFRONT_DATA"]) if "SCENEFRONT_DATA" in os.environ else None
        lists = _lists(data)
        yield from _start(folder / "start", lists)
        shutil.rmtree(folder / "start")
        yield from _decoding(folder / "decoding", lists, data)


def _start(folder: Path, lists: dict[str, list[str]]) -> Iterator[Measurement]:
    """Measure the start of a trial at several numbers of clips."""
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
    full = medians[NUM_CLIPS]
    by_size = {f"{size}_clips": result for size, result in medians.items() if size != NUM_CLIPS}
    yield Measurement(
        f"index of {NUM_CLIPS:,} clips", full["index_s"], "s", 2, False,
        {f"{name}_s": result["index_s"] for name, result in by_size.items()},
    )  # fmt: skip
    yield Measurement(
        "start of a trial, all clips decoded", full["index_s"] + full["store_s"], "s", 2, False,
        {
            "imports_s": full["imports_s"],
            "index_s": full["index_s"],
            "store_s": full["store_s"],
            **{f"{name}_s": result["index_s"] + result["store_s"] for name, result in by_size.items()},
        },
    )  # fmt: skip
    yield Measurement(
        "peak memory of this process", full["peak_gb"], "GB", 1, False,
        {"after_imports_gb": full["imports_gb"], **{f"{name}_gb": each["peak_gb"] for name, each in by_size.items()}},
    )  # fmt: skip


def _decoding(folder: Path, lists: dict[str, list[str]], data: Path | None) -> Iterator[Measurement]:
    """Measure the decoding of the 5 % split, then the start of a trial on it."""
    used = lists["split5.csv"] + lists["test.csv"]
    (folder / "audio").mkdir(parents=True)
    distinct = _distinct_clips(folder / "distinct", data)
    for index, name in enumerate(used):
        os.link(distinct[index % len(distinct)], folder / name)
    _write_lists(folder, lists["meta.csv"], {file: lists[file] for file in SPLIT_SIZES})
    part = folder / "part"
    part.mkdir()
    (part / "audio").symlink_to(folder / "audio")
    names, half = used[:NUM_ONE_CORE], NUM_ONE_CORE // 2
    _write_lists(part, names, {"split5.csv": names[:half], "test.csv": names[half:]})
    one_core = _run(part, "5", folder / "cache-one", 1) if hasattr(os, "sched_setaffinity") else None
    all_cores = _run(folder, "5", folder / "cache")
    assert (all_cores["clips"], all_cores["used"], all_cores["stored"]) == (NUM_CLIPS, len(used), len(used))
    clips_per_s = all_cores["used"] / all_cores["store_s"]
    decoded = _medians(folder, "5", folder / "cache")
    yield Measurement(
        f"decoding from {FILE_RATE_HZ / 1000:g} to {RATE_HZ / 1000:g} kHz, on all cores", clips_per_s, "clips/s", None,
        True,
        {
            **({"one_core_clips_per_s": one_core["used"] / one_core["store_s"]} if one_core else {}),
            f"{len(used)}_clips_s": all_cores["store_s"],
            f"{NUM_CLIPS}_clips_estimated_s": NUM_CLIPS / clips_per_s,
            **({f"peak_of_{NUM_ONE_CORE}_clips_gb": one_core["peak_gb"]} if one_core else {}),
            f"peak_of_{len(used)}_clips_gb": all_cores["peak_gb"],
        },
    )  # fmt: skip
    yield Measurement(
        "start of a trial on the 5 % split, decoded", decoded["index_s"] + decoded["store_s"], "s", 2, False,
        {"index_s": decoded["index_s"], "store_s": decoded["store_s"], "memory_gb": decoded["peak_gb"]},
    )  # fmt: skip


def _lists(data: Path | None) -> dict[str, list[str]]:
    """Return the clip names of each list; those of `meta.csv` are all, shuffled."""
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
    meta += [next(made_up) for _ in range(NUM_CLIPS - len(meta))]
    order = np.random.default_rng(0).permutation(NUM_CLIPS)
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
    """Write a sparse store with the name, manifest, index and size that `open_store` expects."""
    scenes = read_scenes(root, "100")
    names = scenes.clips["filename"].iloc[scenes.used].tolist()
    clips = ClipFiles.stat(root, names, RATE_HZ)
    made_up = [hashlib.sha256(name.encode()).hexdigest()[:HASH_DIGITS] for name in names]
    manifest = Manifest(RATE_HZ, made_up, np.full(len(names), -15, np.int8), names)
    path = next(folders(root, cache)) / store_name(manifest.text, RATE_HZ)
    path.parent.mkdir(parents=True)
    np.lib.format.open_memmap(path, "w+", np.int16, (len(names), RATE_HZ))
    manifest_path(path).write_bytes(manifest.text)
    hashes = FileHashes([])
    hashes.add(clips.states, dict(zip(clips.states, made_up, strict=True)), time.time_ns() + 2 * YOUNG_NS)
    hashes.save([path.parent])


def _distinct_clips(folder: Path, data: Path | None) -> list[Path]:
    """Write `NUM_DISTINCT` clips to `folder`: real ones if there are enough, else noise."""
    folder.mkdir()
    paths = [folder / f"{i}.wav" for i in range(NUM_DISTINCT)]
    real = sorted((data / "scenes" / "audio").glob("*.wav"))[::3] if data is not None else []
    if len(real) >= NUM_DISTINCT:
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
