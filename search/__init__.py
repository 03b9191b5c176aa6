"""Who decides: ask, price, reject, train, stop early, record."""

import atexit
import gc
import os
import tempfile
from contextlib import suppress

# Before any of them is imported, in every process: each one that runs code of ours imports this package first, and what
# such a process starts inherits it.
os.environ |= {
    # ONNX Runtime (from 1.29) leaves a device identity in ~/.cache and reports to its maker; its Privacy.md names this.
    "ORT_DISABLE_TELEMETRY": "1",
}
with suppress(FileNotFoundError):  # no folder for temporary files: what needs one says so
    # torch makes this folder at an optimizer's first step, though nothing is compiled: one that is there already.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", tempfile.gettempdir())

# Torch, Ray and pandas make some million objects when they are imported, which live as long as the process: looking for
# garbage among them takes a third of these imports' time, and a second at the process's end.
gc.set_threshold(10_000)
atexit.register(gc.freeze)
