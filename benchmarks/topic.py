"""Runs one topic in this process: `python -m benchmarks.topic benchmarks.log_mel` prints a line of JSON a figure."""

import importlib
import json
import os
import sys
from dataclasses import asdict


def main(module: str) -> None:
    """Print each figure of a module as soon as it is known; whatever else prints goes with the errors."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as figures:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        for figure in importlib.import_module(module).figures():
            print(json.dumps(asdict(figure), default=float), file=figures, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
