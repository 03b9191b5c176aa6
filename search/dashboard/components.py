"""What is drawn when it is about to be seen: a page with ten figures shows the two on the screen first."""

from collections.abc import Mapping

from dash.development.base_component import Component


class Later(Component):
    """A place that assets/page.js fills when it comes near the screen, or when there is nothing else to do."""

    _namespace = "scenefront"
    _type = "Later"
    _prop_names = ["children", "name", "style", "isHeavy"]  # noqa: RUF012 - as Dash has it
    _children_props = []  # noqa: RUF012 - as Dash has it
    _base_nodes = ["children"]  # noqa: RUF012 - as Dash has it
    _valid_wildcard_attributes = []  # noqa: RUF012 - as Dash has it

    def __init__(self, children: Component, name: str, style: Mapping[str, str], *, is_heavy: bool = False) -> None:
        """Hold a place.

        Args:
            children: What comes there.
            name: Of the place; what is drawn there stays drawn while the page has a place of this name.
            style: Of the place: its size is that of what comes there.
            is_heavy: It stops the page for so long that it is never drawn unless it comes near the screen.
        """
        super().__init__(children=children, name=name, style=dict(style), isHeavy=is_heavy)  # type: ignore[no-untyped-call]
