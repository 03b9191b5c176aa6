"""Who is told, while an export is written, what is being done."""

from collections.abc import Callable

Say = Callable[[str], None]


def silently(_: str) -> None:
    """Tell nobody."""
