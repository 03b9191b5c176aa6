"""The dashboard's views: one file each."""

from collections.abc import Mapping
from typing import Any, Protocol

import dash

from search.dashboard.address import COMPARISON, HOME, MISSING, TRIAL
from search.dashboard.shared import Choices, Shared, Shown
from search.dashboard.views import compare, comparison, front, home, missing, progress, space, trial, trials


class View(Protocol):
    """What every view has: it is a module."""

    @property
    def PARTS(self) -> Mapping[str, str]:  # noqa: N802 - a constant of the module
        """What changes with the study and the choices: the property of each element, by id."""

    def parts(self, shown: Shown, /) -> dict[str, Any]:
        """Return the values of the parts."""

    def choices(self, shown: Shown, /) -> Choices:
        """Return what can be chosen."""

    def layout(self, shown: Shown, parts: Mapping[str, Any], /) -> list[Any]:
        """Put the view together from its parts."""

    def register(self, app: dash.Dash, shared: Shared, /) -> None:
        """Register what else happens in it."""


VIEWS: Mapping[str, View] = {
    HOME: home,
    COMPARISON: comparison,
    MISSING: missing,
    "front": front,
    TRIAL: trial,
    "search": progress,
    "trials": trials,
    "compare": compare,
    "space": space,
}
