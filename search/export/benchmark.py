"""Benchmark of an export on this machine: latency and memory, in a subprocess, on one thread.

python -m search.export.benchmark EXPORT [ARCHITECTURE_FILE]      prints JSON
"""

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from search.artifact.certificate import ExportError
from search.artifact.inference import WINDOW_S, Predictor
from search.artifact.opening import open_export
from search.config.errors import USER_ERRORS
from search.config.subprocess import environment, module_command
from search.space.custom_architecture import register_architecture_file
from training.latency import time_calls, using_threads

NUM_CALLS = 201  # odd, so that the median is one of them
MAX_S = 10.0
QUANTILES = {"p05": 0.05, "median": 0.5, "p95": 0.95}
THREADS = 1


def benchmark_in_subprocess(path: Path, architecture_file: Path | None = None) -> dict[str, Any]:
    """Benchmark an export in a subprocess that runs nothing else.

    Args:
        path: The export's folder, or one of its files.
        architecture_file: Python file of a custom architecture, or None.

    Returns:
        As `benchmark`.

    Raises:
        ExportError: It cannot be run; the message says why.
    """
    own = [] if architecture_file is None else [str(architecture_file)]
    process = subprocess.run(  # noqa: S603 - this program, and no shell
        module_command("search.export.benchmark", str(path), *own),
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env={**environment(), "OMP_NUM_THREADS": str(THREADS)},
    )  # fmt: skip
    if process.returncode:
        lines = process.stderr.strip().splitlines()
        raise ExportError(lines[-1] if lines else f"{path} cannot be run")
    measured: dict[str, Any] = json.loads(process.stdout)
    return measured


def benchmark(path: Path) -> dict[str, Any]:
    """Benchmark an export in this process.

    Args:
        path: The export's folder, or one of its files.

    Returns:
        `file`, `threads`; in `latency_ms` of one clip the median with the 5 % and 95 % quantiles and the number of
        `calls`, for the `front_end`, the `network` (neither of a pipeline, which includes both) and `end_to_end` with
        test-time augmentation; and in `memory_bytes` the resident memory `before` the export is loaded, the `peak`,
        and the `increase`.

    Raises:
        ExportError: As `open_export`.
        CheckpointError: As `open_export`.
    """
    with using_threads(THREADS):
        before = _reset_peak()
        export = open_export(path)
        front_end = export.config.front_end_config
        predictor = Predictor(export)
        generator = torch.Generator().manual_seed(0)
        sound = 0.1 * torch.randn(1, round(WINDOW_S * front_end.rate_hz), generator=generator)
        parts: dict[str, Callable[[], object]] = {}
        if not export.is_pipeline:
            spectrograms = export.preprocessing.spectrograms(predictor.front_end, sound, None)
            parts["front_end"] = lambda: export.preprocessing.spectrograms(predictor.front_end, sound, None)
            parts["network"] = lambda: export.network(spectrograms)
        parts["end_to_end"] = lambda: predictor.probabilities(sound)
        latency = {name: _quantiles(time_calls(call, NUM_CALLS, MAX_S)) for name, call in parts.items()}
    peak = _peak_bytes()
    memory = {"before": before, "peak": peak, "increase": max(0, peak - before)}
    return {"file": export.file, "threads": THREADS, "latency_ms": latency, "memory_bytes": memory}


def _reset_peak() -> int:
    """Reset the peak where the system supports it; return this process's resident memory, bytes."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return int(psutil.Process().memory_info().rss)


def _peak_bytes() -> int:
    """Return this process's peak resident memory, bytes; outside Linux, since its start."""
    status = Path("/proc/self/status")  # `resource` reports the parent's there, if that was larger
    if status.exists():
        lines = (line.split() for line in status.read_text(encoding="ascii").splitlines())
        return 1024 * next(int(words[1]) for words in lines if words[0] == "VmHWM:")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _quantiles(durations_s: Sequence[float]) -> dict[str, float]:
    return {
        **{name: 1000 * float(np.quantile(durations_s, share)) for name, share in QUANTILES.items()},
        "calls": len(durations_s),
    }


def main() -> None:
    """Benchmark the export that the arguments name."""
    path, *own = map(Path, sys.argv[1:])
    try:
        if own:
            register_architecture_file(own[0], check=False)
        print(json.dumps(benchmark(path)))  # noqa: T201 - read by the parent process
    except (*USER_ERRORS, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
