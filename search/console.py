"""Where the commands print."""

import sys

from rich.console import Console

out = Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False)
err = Console(stderr=True, width=None if sys.stderr.isatty() else 200, highlight=False, markup=False)
