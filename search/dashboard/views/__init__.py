"""The dashboard's views: one module each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import dash

from search.dashboard.address import COMPARISON, HOME, MISSING, TRIAL
from search.dashboard.state import ApplicationState, Controls, RequestContext
from search.dashboard.views import (
    front,
    home,
    missing,
    progress,
    space,
    study_comparison,
    trial,
    trial_comparison,
    trials,
)


@dataclass(frozen=True)
class View:
    """One view: its updated components, layout, controls and callbacks.

    Attributes:
        outputs: Updated property of each component, by id.
        parts: Returns the values of the outputs.
        layout: Puts the page together from these values.
        controls: Returns the defaults of the view's controls.
        register: Registers callbacks of the view's own.
    """

    outputs: Mapping[str, str]
    parts: Callable[[RequestContext], dict[str, Any]]
    layout: Callable[[RequestContext, Mapping[str, Any]], list[Any]]
    controls: Callable[[RequestContext], Controls] = lambda _: Controls()
    register: Callable[[dash.Dash, ApplicationState], None] = lambda _, __: None


VIEWS: Mapping[str, View] = {
    HOME: View(home.PARTS, home.parts, home.layout),
    COMPARISON: View(study_comparison.PARTS, study_comparison.parts, study_comparison.layout),
    MISSING: View(missing.PARTS, missing.parts, missing.layout),
    "front": View(front.PARTS, front.parts, front.layout, front.controls, front.register),
    TRIAL: View(trial.PARTS, trial.parts, trial.layout, register=trial.register),
    "search": View(progress.PARTS, progress.parts, progress.layout, register=progress.register),
    "trials": View(trials.PARTS, trials.parts, trials.layout, register=trials.register),
    "compare": View(trial_comparison.PARTS, trial_comparison.parts, trial_comparison.layout),
    "space": View({}, lambda _: {}, space.layout),
}
