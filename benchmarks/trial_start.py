"""Start of one trial in this process, up to its audio: `python -m benchmarks.trial_start ROOT SPLIT CACHE [CORES]`."""

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path

RATE_HZ = 32_000


def main(root: str, split: str, cache: str, cores: str = "") -> None:
    """Print as JSON the seconds of the imports, the index and the audio store, and the peak memory.

    A store that does not exist yet is written, which is included in `store_s`.
    """
    if cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cores)])
    started = time.perf_counter()
    layout, store = importlib.import_module("data.layout"), importlib.import_module("data.store")
    importlib.import_module("search.engine.trainable")  # all imports of a trial's process: torch, Ray, pandas
    imported, imports_gb = time.perf_counter(), _peak_gb()
    scenes = layout.read_scenes(Path(root), split)
    indexed = time.perf_counter()
    opened = store.open_store(scenes, RATE_HZ, Path(cache))
    stored = time.perf_counter()
    measured = {
        "imports_s": imported - started,
        "index_s": indexed - imported,
        "store_s": stored - indexed,
        "imports_gb": imports_gb,
        "peak_gb": _peak_gb(),
        "clips": len(scenes.clips),
        "used": len(scenes.used),
        "stored": len(opened.samples),
    }
    print(json.dumps(measured))


def _peak_gb() -> float:
    """Return the peak resident memory of this process; pages of a mapped file count once they are read."""
    status = Path("/proc/self/status")
    if status.exists():  # only Linux has it; `getrusage` below may return the parent's there
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9


if __name__ == "__main__":
    main(*sys.argv[1:])
