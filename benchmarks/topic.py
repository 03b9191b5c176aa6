"""Runs one topic in this process: `python -m benchmarks.topic benchmarks.log_mel` prints a line of JSON per result."""

import importlib
import json
import os
import sys
from dataclasses import asdict


def main(module: str) -> None:
    """Print each measurement of a topic's module as soon as it is there; all other output is redirected to stderr."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as output:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        for measurement in importlib.import_module(module).measure():
            print(json.dumps(asdict(measurement), default=float), file=output, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
