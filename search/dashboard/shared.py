"""What all views of a dashboard share, and what a view is given to show."""

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
from search.dashboard.data.reading import Reading
from search.dashboard.data.studies import Confirmations, Studies
from search.dashboard.figures.colours import DARK, LIGHT, Theme
from search.dashboard.figures.parallel import brushed
from search.study.study import OBJECTIVES

STARTED = format(time.time_ns(), "x")  # a page outlives the server: its versions are not those of the next


@dataclass(frozen=True)
class Choices:
    """What can be chosen in a view.

    Attributes:
        defaults: What each control says where the address says nothing.
        limits: How far each limit's slider goes.
    """

    defaults: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """Of the parts of an address that the controls write."""
        return {*self.defaults, *([BUDGET] if self.limits else [])}


@dataclass(frozen=True)
class Shown:
    """A view at one moment.

    Attributes:
        address: What was asked for.
        theme: In which.
        shared: Of all views.
        reading: The study as it stands; None where there is none of that name, or the view is of all.
        zoom: The part of its figure that is looked at: `revision` of the figure, and `ranges` by axis.
    """

    address: Address
    theme: Theme
    shared: "Shared"
    reading: Reading | None
    zoom: Mapping[str, Any] = field(default_factory=dict)

    @property
    def study(self) -> Reading:
        """The study, in a view of one that can be shown."""
        assert self.reading is not None
        return self.reading

    @property
    def settings(self) -> Job:
        """What the study was asked for."""
        assert self.study.settings is not None
        return self.study.settings

    @cached_property
    def objectives(self) -> list[str]:
        """By which the front is the front."""
        return list(self.study.attributes.get(OBJECTIVES, self.settings.objectives))

    @cached_property
    def progress(self) -> frames.Progress:
        """How far it is."""
        return frames.progress(self.study, time.time())

    @property
    def quality(self) -> str:
        """What one best network is chosen by."""
        return first_quality(self.objectives)

    @property
    def cost(self) -> str:
        """What it is held against."""
        return first_cost(self.objectives) or "macs"

    @cached_property
    def limits(self) -> dict[str, int]:
        """Of the study's budget; a training has none."""
        return dict(self.settings.limits().limits()) if isinstance(self.settings, SearchSettings) else {}

    @cached_property
    def brush(self) -> dict[str, list[tuple[float, float]]]:
        """The filter of the trials, but for columns that this study has not."""
        return {name: ranges for name, ranges in self.address.brush.items() if name in self.study.table}

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The trials that the filter keeps."""
        table = self.study.table
        if not self.brush:
            return table
        kept: pd.DataFrame = table[brushed(table, self.brush, self.side_by_side)]
        return kept

    @cached_property
    def side_by_side(self) -> pd.DataFrame:
        """The trained networks by the columns in which they differ: the axes that a filter is drawn on."""
        table = self.study.table
        return frames.parallel(table[table["epoch"] > 0], self.study.varied)

    @cached_property
    def confirmed(self) -> Reading | None:
        """The training that confirms this study's front, if there is one beside it."""
        return self.shared.confirmed(self.study)

    @cached_property
    def confirmation(self) -> Mapping[str, Any] | None:
        """What was found of the members of a front: of this study's, or of the front that this study confirms."""
        asked = self.study if confirmed_by(self.settings) is not None else self.confirmed
        return None if asked is None else self.shared.confirmations.report(asked)

    @cached_property
    def goals(self) -> list[str]:
        """The goals that some trial has a value of."""
        return [name for name in GOALS if name in self.study.table and self.study.table[name].notna().any()]

    def link(self, view: str, number: int | None = None, **query: str) -> str:
        """Write the address of a view of this study; the filter goes along."""
        return link(self.address.study, view, number, **query, **self.kept)

    @property
    def kept(self) -> Mapping[str, str]:
        """What of the address goes along to other views."""
        return {BRUSH: self.address.query[BRUSH]} if BRUSH in self.address.query else {}


class Shared:
    """The studies, the exports and the defaults: what lives as long as the dashboard."""

    def __init__(self, studies: Studies) -> None:
        self.studies = studies
        self.exports = Exports()
        self.defaults = Defaults()
        self.confirmations = Confirmations()

    def show(self, address: Address, theme: Theme, zoom: Mapping[str, Any] | None = None) -> Shown:
        """Read what an address asks for."""
        reading = self.studies.read(address.study) if address.study else None
        return Shown(address, theme, self, reading, zoom or {})

    def confirmed(self, reading: Reading) -> Reading | None:
        """Read the training that confirms a study's front, if there is one that can be read."""
        folder = self.confirmations.find(reading.folder)
        found = None if folder is None else self.studies.read_folder(folder)
        return None if found is None or found.problem else found

    @staticmethod
    def theme(name: str) -> Theme:
        """Return the theme of a page."""
        return DARK if name == "dark" else LIGHT

    def version(self, address: Address) -> str:
        """Return a text that is another whenever what an address shows has changed."""
        if address.study:
            reading = self.studies.read(address.study)
            told = "none" if reading is None else str(reading.version)
            if reading is not None and address.view in ("front", TRIAL):
                confirmed = self.confirmed(reading)
                told += "" if confirmed is None else f" confirmed {confirmed.version}"
            if reading is not None and address.number is not None:
                told += f" {self.exports.state(reading.folder, address.number)} {self.defaults.num_known}"
            return f"{STARTED} {told}"
        names = address.names if address.view == COMPARISON and address.names else list(self.studies.folders())
        readings = [self.studies.read(name) for name in names] if address.view in (HOME, COMPARISON) else []
        return " ".join([STARTED, *(f"{each.name}:{each.version}" for each in readings if each is not None)])
