"""What is drawn when it is about to be seen: a page with ten figures shows the two on the screen first."""

from collections.abc import Mapping
from typing import Any

from dash.development.base_component import Component

HTML = "dash_html_components"


class LazyComponent(Component):
    """A place that assets/page.js fills when it comes near the screen, or when there is nothing else to do."""

    _namespace = "scenefront"
    _type = "LazyComponent"
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


class StaticComponent(Component):
    """An element of `dash.html` with all that is in it, drawn by assets/page.js; no callback can name a part of it."""

    _namespace = "scenefront"
    _type = "StaticComponent"
    _prop_names = ["element"]  # noqa: RUF012 - as Dash has it
    _valid_wildcard_attributes = []  # noqa: RUF012 - as Dash has it

    def __init__(self, element: Component) -> None:
        """Take an element over.

        Raises:
            TypeError: Something in it is more than an element.
        """
        super().__init__(element=written(element))  # type: ignore[no-untyped-call]


def written(part: Any) -> Any:
    """Write an element as its name, its attributes and its children; a text is a text.

    Raises:
        TypeError: It is a component that is more than an element, such as a figure, or one that has an id.

    >>> from dash import html
    >>> written(html.P(["see ", html.A("this", href="/a")], className="note"))
    ['p', {'className': 'note'}, ['see ', ['a', {'href': '/a'}, ['this']]]]
    """
    if not isinstance(part, Component):
        return str(part)
    described = part.to_plotly_json()  # type: ignore[no-untyped-call]
    attributes = dict(described["props"])
    if described["namespace"] != HTML or "id" in attributes:
        raise TypeError(f"only elements of dash.html without an id can be static, got {part!r}")
    children = attributes.pop("children", None)
    inside = [] if children is None else children if isinstance(children, list | tuple) else [children]
    return [described["type"].lower(), attributes, [written(child) for child in inside]]
