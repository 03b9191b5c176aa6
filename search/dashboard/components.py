"""Custom Dash components: lazily drawn content, and static HTML without callbacks."""

from collections.abc import Mapping
from typing import Any

from dash.development.base_component import Component

HTML = "dash_html_components"


class LazyComponent(Component):
    """A placeholder that assets/page.js fills when it comes near the viewport, or when the browser is idle."""

    _namespace = "scenefront"
    _type = "LazyComponent"
    _prop_names = ["children", "name", "style", "isHeavy"]  # noqa: RUF012 - as in Dash
    _children_props = []  # noqa: RUF012 - as in Dash
    _base_nodes = ["children"]  # noqa: RUF012 - as in Dash
    _valid_wildcard_attributes = []  # noqa: RUF012 - as in Dash

    def __init__(self, children: Component, name: str, style: Mapping[str, str], *, is_heavy: bool = False) -> None:
        """Create a placeholder.

        Args:
            name: Key of the placeholder; its content is kept while the page has a placeholder of this name.
            style: CSS of the placeholder, with the size of its content.
            is_heavy: Whether rendering is slow, and therefore deferred until the placeholder is near the viewport.
        """
        super().__init__(children=children, name=name, style=dict(style), isHeavy=is_heavy)  # type: ignore[no-untyped-call]


class StaticComponent(Component):
    """An element of `dash.html` with its descendants, rendered by assets/page.js; its parts have no callbacks."""

    _namespace = "scenefront"
    _type = "StaticComponent"
    _prop_names = ["element"]  # noqa: RUF012 - as in Dash
    _valid_wildcard_attributes = []  # noqa: RUF012 - as in Dash

    def __init__(self, element: Component) -> None:
        """Convert an element.

        Raises:
            TypeError: A descendant is not a plain element of `dash.html`.
        """
        super().__init__(element=serialize(element))  # type: ignore[no-untyped-call]


def serialize(part: Any) -> Any:
    """Return an element as its name, its attributes and its children; text as a string.

    Raises:
        TypeError: It is another component, such as a figure, or has an id.

    >>> from dash import html
    >>> serialize(html.P(["see ", html.A("this", href="/a")], className="note"))
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
    return [described["type"].lower(), attributes, [serialize(child) for child in inside]]
