"""A page of what a search is in for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.pricing import Survey


def write_page(path: Path, surveys: Mapping[str, Survey], report: Mapping[str, Any]) -> None:
    """Write the page."""
    raise NotImplementedError
