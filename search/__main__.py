"""Entry point: runs the command line, and turns errors into sentences and exit codes."""

import os
import signal
import sys
import traceback
from collections.abc import Sequence

import click

from search.cli.app import cli
from search.cli.console import BUG, escape_bytes, fail
from search.config.errors import USER_ERRORS
from search.config.messages import without_passwords
from search.engine.interruption import Interruption

REPORT = "please report it, with the command and the lines above"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: user errors end in a sentence, bugs in a traceback.

    Args:
        arguments: Without the program's name; None for the process's own.

    Raises:
        SystemExit: With the exit code, if it is not 0.
    """
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    escape_bytes()
    # Ctrl-C is Python's own KeyboardInterrupt: a dashboard ends well by it.
    interruption = Interruption((signal.SIGTERM, signal.SIGHUP))
    try:
        with interruption.watched():
            cli.main(arguments, standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        fail("interrupted", 128 + (interruption.seen or signal.SIGINT))
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (*USER_ERRORS, OSError, OptunaError, SQLAlchemyError) as error:
        if os.environ.get("SCENEFRONT_TRACEBACK"):
            raise
        fail(_sentence(error), 2)
    except Exception as error:
        if os.environ.get("SCENEFRONT_TRACEBACK"):
            raise
        sys.stderr.write(without_passwords(traceback.format_exc()))
        fail(f"this is a bug of scenefront, not a mistake of yours ({type(error).__name__}): {REPORT}", BUG)


def _sentence(error: Exception) -> str:
    text = f"{error}: {error.__cause__}" if error.__cause__ and not isinstance(error, USER_ERRORS) else str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if "disk is full" in text or (isinstance(error, OSError) and error.errno == 28):
        text += "; free some space, then `scenefront resume`"
    return text


if __name__ == "__main__":
    main()
