"""How long an export takes on this machine, and how much memory: measured in a process of its own, with one thread.

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
from search.artifact.inference import WINDOW_S, Listener
from search.artifact.opening import open_export
from search.config.errors import USER_ERRORS
from search.config.subprocess import environment, module_command
from search.space.custom_architecture import use_architecture_file
from training.latency import time_calls, using_threads

CALLS = 201  # that count of each part, so that the median is one of them
MAX_S = 10.0
SHARES = {"p05": 0.05, "median": 0.5, "p95": 0.95}
THREADS = 1


def bench(path: Path, architecture_file: Path | None = None) -> dict[str, Any]:
    """Measure an export in a process of its own, which runs nothing else.

    Args:
        path: Of the export's folder, or of one of its files.
        architecture_file: Of a user's own architecture, or None.

    Returns:
        As `bench_here`.

    Raises:
        ExportError: It cannot be run; says why.
    """
    own = [] if architecture_file is None else [str(architecture_file)]
    told = subprocess.run(  # noqa: S603 - this program, and no shell
        module_command("search.export.benchmark", str(path), *own),
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env={**environment(), "OMP_NUM_THREADS": str(THREADS)},
    )  # fmt: skip
    if told.returncode:
        raise ExportError(told.stderr.strip().splitlines()[-1] if told.stderr.strip() else f"{path} cannot be run")
    measured: dict[str, Any] = json.loads(told.stdout)
    return measured


def bench_here(path: Path) -> dict[str, Any]:
    """Measure an export in this process.

    Args:
        path: Of its folder, or of one of its files.

    Returns:
        `file`, `threads`; in `latency_ms` of one clip the median with the 5 % and 95 % quantiles and how many `calls`
        they are of, for the `front_end`, the `network` (neither of a pipeline, which is one) and both `together`, as
        often as the recipe hears a clip; and in `memory_bytes` what the process used `before` the export was read, at
        its `peak`, and the `more` that the export took.

    Raises:
        ExportError: As `open_export`.
        CheckpointError: As `open_export`.
    """
    with using_threads(THREADS):
        before = _forget_peak()
        export = open_export(path)
        front_end = export.config.front_end_config
        listener = Listener(export)
        generator = torch.Generator().manual_seed(0)
        sound = 0.1 * torch.randn(1, round(WINDOW_S * front_end.rate_hz), generator=generator)
        parts: dict[str, Callable[[], object]] = {}
        if not export.is_pipeline:
            heard = export.preprocessing.spectrograms(listener.front_end, sound, None)
            parts["front_end"] = lambda: export.preprocessing.spectrograms(listener.front_end, sound, None)
            parts["network"] = lambda: export.network(heard)
        parts["together"] = lambda: listener.probabilities(sound)
        latency = {name: _quantiles(time_calls(call, CALLS, MAX_S)) for name, call in parts.items()}
    peak = _peak_bytes()
    memory = {"before": before, "peak": peak, "more": max(0, peak - before)}
    return {"file": export.file, "threads": THREADS, "latency_ms": latency, "memory_bytes": memory}


def _forget_peak() -> int:
    """Have the peak begin anew, where the system can; give the bytes that the process uses now."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return int(psutil.Process().memory_info().rss)


def _peak_bytes() -> int:
    """Return the most memory that this process has used; elsewhere than in Linux since it was started."""
    status = Path("/proc/self/status")  # what `resource` tells there is the parent's, where that was larger
    if status.exists():
        lines = (line.split() for line in status.read_text(encoding="ascii").splitlines())
        return 1024 * next(int(words[1]) for words in lines if words[0] == "VmHWM:")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _quantiles(taken: Sequence[float]) -> dict[str, float]:
    return {
        **{name: 1000 * float(np.quantile(taken, share)) for name, share in SHARES.items()},
        "calls": len(taken),
    }


def main() -> None:
    """Measure what the arguments name."""
    path, *own = map(Path, sys.argv[1:])
    try:
        if own:
            use_architecture_file(own[0], check=False)
        print(json.dumps(bench_here(path)))  # noqa: T201 - to the process that asks
    except (*USER_ERRORS, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
