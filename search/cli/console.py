"""Consoles for standard output and error, exit codes, and running a job to its exit code."""

import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from rich.console import Console

from search.config.messages import as_plain_text, without_passwords
from search.study.study import StudyFolder

BUG = 70  # as sysexits.h has it: an internal error
EXIT_CODES = {
    "0": "done",
    "1": "done with a negative result: over budget, nothing fits, problems found, rules broken, or every trial failed",
    "2": "user error; a sentence on standard error says why, and what to do instead",
    str(BUG): "a bug of scenefront, with its traceback on standard error: please report it",
    "130, 143": "interrupted by Ctrl-C, or by SIGTERM; finished trials are kept",
}

out = Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False)
err = Console(stderr=True, width=None if sys.stderr.isatty() else 200, highlight=False, markup=False)


def fail(message: str, code: int) -> NoReturn:
    """Print an error on standard error, and exit with one of `EXIT_CODES`."""
    message = as_plain_text(without_passwords(message))
    err.print(f"error: {message}" if code <= 2 else f"\n{message}", soft_wrap=True)
    sys.exit(code)


def run_job(run: Callable[[], object], folder: StudyFolder) -> None:
    """Run the job of a study; exit if it is interrupted or fails."""
    from search.study.study import SearchFailedError  # noqa: PLC0415  takes seconds

    try:
        run()
    except (KeyboardInterrupt, SystemExit) as stop:  # Ray turns SIGTERM into SystemExit
        if folder.settings_file.exists():
            code = 130 if isinstance(stop, KeyboardInterrupt) else 128 + signal.SIGTERM
            resume = f"`scenefront resume {folder.cli_arguments}`"
            fail(f"interrupted; finished trials are kept. Continue with {resume}", code)
        raise
    except SearchFailedError as error:
        fail(str(error), 1)
