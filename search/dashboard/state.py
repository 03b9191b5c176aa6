"""Application state (studies, exports, defaults) and request context (address, theme, current state of a study)."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from objectives.goals import GOALS, first_cost, first_quality
from search.config.settings import Job, SearchSettings, confirmed_by
from search.dashboard.address import BRUSH, BUDGET, COMPARISON, HOME, TRIAL, Address, link
from search.dashboard.background import Defaults, Exports
from search.dashboard.data import frames
from search.dashboard.data.studies import Confirmations, Studies
from search.dashboard.data.study_reader import StudyData
from search.dashboard.figures.colours import DARK, LIGHT, Theme
from search.dashboard.figures.parallel import brushed
from search.study.scope import num_measured
from search.study.study import OBJECTIVES

STARTED = format(time.time_ns(), "x")  # part of each version: pages left open are updated after a restart of the server


@dataclass(frozen=True)
class Controls:
    """The controls of a view.

    Attributes:
        defaults: The value of each control that the address does not set.
        limits: The upper end of each limit's slider.
    """

    defaults: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """Query parameters that the controls write."""
        return {*self.defaults, *([BUDGET] if self.limits else [])}


@dataclass(frozen=True)
class RequestContext:
    """The view that is requested: its address, and the study's current state.

    Attributes:
        address: The view, the study and the query parameters.
        theme: Colour theme of the page.
        app_state: State of the application.
        loaded: The study; None where there is none of that name, or the view shows all studies.
        zoom: Zoom of the view's figure: its `uirevision` as `revision`, and `ranges` by axis.
    """

    address: Address
    theme: Theme
    app_state: "ApplicationState"
    loaded: StudyData | None
    zoom: Mapping[str, Any] = field(default_factory=dict)

    @property
    def study(self) -> StudyData:
        """The study, in a view of one that can be read."""
        assert self.loaded is not None
        return self.loaded

    @property
    def settings(self) -> Job:
        """Settings of the study."""
        assert self.study.settings is not None
        return self.study.settings

    @cached_property
    def objectives(self) -> list[str]:
        """Objectives of the study, in order."""
        return list(self.study.attributes.get(OBJECTIVES, self.settings.objectives))

    @cached_property
    def progress(self) -> frames.Progress:
        """Progress of the study."""
        return frames.progress(self.study, time.time())

    @property
    def quality(self) -> str:
        """The first quality among the objectives, which ranks networks."""
        return first_quality(self.objectives)

    @property
    def cost(self) -> str:
        """The first cost among the objectives, or MACs."""
        return first_cost(self.objectives) or "macs"

    @cached_property
    def limits(self) -> dict[str, int]:
        """Limits of the study's budget; a training has none."""
        return dict(self.settings.limits().limits()) if isinstance(self.settings, SearchSettings) else {}

    @property
    def num_classes(self) -> int | None:
        """Number of scenes that the study's networks are measured on; None where it is not recorded."""
        return num_measured(self.study.attributes)

    @cached_property
    def brush(self) -> dict[str, list[tuple[float, float]]]:
        """The filter of the trials by column, without columns that this study does not have."""
        return {name: ranges for name, ranges in self.address.brush.items() if name in self.study.table}

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The trials that pass the filter."""
        table = self.study.table
        if not self.brush:
            return table
        kept: pd.DataFrame = table[brushed(table, self.brush, self.parallel_axes)]
        return kept

    @cached_property
    def parallel_axes(self) -> pd.DataFrame:
        """The trained networks by the columns in which they differ: the axes of the parallel coordinates."""
        table = self.study.table
        return frames.parallel(table[table["epoch"] > 0], self.study.varied)

    @cached_property
    def confirmed(self) -> StudyData | None:
        """The confirmation study of this one's front, if there is one in the same folder."""
        return self.app_state.confirmed(self.study)

    @cached_property
    def confirmation(self) -> Mapping[str, Any] | None:
        """The report of a confirmation: of this study, or of the one that confirms its front."""
        confirming = self.study if confirmed_by(self.settings) is not None else self.confirmed
        return None if confirming is None else self.app_state.confirmations.report(confirming)

    @cached_property
    def goals(self) -> list[str]:
        """The goals (objectives and others) for which some trial has a value."""
        return [name for name in GOALS if name in self.study.table and self.study.table[name].notna().any()]

    def link(self, view: str, number: int | None = None, **query: str) -> str:
        """Return the address of a view of this study, with the same filter."""
        return link(self.address.study, view, number, **query, **self.kept)

    @property
    def kept(self) -> Mapping[str, str]:
        """Query parameters that links to other views keep."""
        return {BRUSH: self.address.query[BRUSH]} if BRUSH in self.address.query else {}


class ApplicationState:
    """State that lasts as long as the server: studies, exports, defaults."""

    def __init__(self, studies: Studies) -> None:
        self.studies = studies
        self.exports = Exports()
        self.defaults = Defaults()
        self.confirmations = Confirmations()

    def context(self, address: Address, theme: Theme, zoom: Mapping[str, Any] | None = None) -> RequestContext:
        """Load the study of an address."""
        loaded = self.studies.read(address.study) if address.study else None
        return RequestContext(address, theme, self, loaded, zoom or {})

    def confirmed(self, study: StudyData) -> StudyData | None:
        """Load the study that confirms a study's front; None where there is none that can be read."""
        folder = self.confirmations.find(study.folder)
        found = None if folder is None else self.studies.read_folder(folder)
        return None if found is None or found.problem else found

    @staticmethod
    def theme(name: str) -> Theme:
        """Return the theme of a page."""
        return DARK if name == "dark" else LIGHT

    def version(self, address: Address) -> str:
        """Return a version string that changes whenever the content of a view changes."""
        if address.study:
            study = self.studies.read(address.study)
            version = "none" if study is None else str(study.version)
            if study is not None and address.view in ("front", TRIAL):
                confirmed = self.confirmed(study)
                version += "" if confirmed is None else f" confirmed {confirmed.version}"
            if study is not None and address.number is not None:
                version += f" {self.exports.state(study.folder, address.number)} {self.defaults.num_known}"
            return f"{STARTED} {version}"
        names = address.names if address.view == COMPARISON and address.names else list(self.studies.folders())
        studies = [self.studies.read(name) for name in names] if address.view in (HOME, COMPARISON) else []
        return " ".join([STARTED, *(f"{each.name}:{each.version}" for each in studies if each is not None)])
