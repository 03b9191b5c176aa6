"""Consoles for standard output and error, exit codes, and running a job to its exit code."""

import codecs
import io
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
    "129, 130, 143": "interrupted by SIGHUP, by Ctrl-C, or by SIGTERM; finished trials are kept",
}

out = Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False)
err = Console(stderr=True, width=None if sys.stderr.isatty() else 200, highlight=False, markup=False)


def escape_bytes() -> None:
    """Make standard output and error write names of files that are no UTF-8, their bytes escaped."""
    codecs.register_error("escape_bytes", _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="escape_bytes")


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    texts = [
        f"\\x{ord(each) - 0xDC00:02x}" if 0xDC80 <= ord(each) <= 0xDCFF else each.encode("unicode_escape").decode()
        for each in error.object[error.start : error.end]
    ]
    return "".join(texts), error.end


def fail(message: str, code: int) -> NoReturn:
    """Print an error on standard error, and exit with one of `EXIT_CODES`."""
    message = as_plain_text(without_passwords(message))
    err.print(f"error: {message}" if code <= 2 else f"\n{message}", soft_wrap=True)
    sys.exit(code)


def run_job(run: Callable[[], object], folder: StudyFolder) -> None:
    """Run the job of a study; exit if it is interrupted or fails."""
    from search.engine.interruption import Interrupted, Interruption  # noqa: PLC0415  these take seconds
    from search.study.study import SearchFailedError  # noqa: PLC0415

    try:
        with Interruption().watched():
            run()
    except (Interrupted, SystemExit) as stop:  # Ray turns a SIGTERM while it starts into SystemExit
        code = 128 + (stop.number if isinstance(stop, Interrupted) else signal.SIGTERM)
        if folder.settings_file.exists():
            resume = f"`scenefront resume {folder.cli_arguments}`"
            fail(f"interrupted; finished trials are kept. Continue with {resume}", code)
        if isinstance(stop, Interrupted):
            fail("interrupted", code)
        raise
    except SearchFailedError as error:
        fail(str(error), 1)
