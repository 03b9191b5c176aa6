"""Jinja2 templates of the HTML pages, with autoescaping."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_ENVIRONMENT = Environment(
    loader=PackageLoader("search.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: Any) -> Markup:
    """Return a rendered template; all values except `Markup` are escaped."""
    return Markup(_ENVIRONMENT.get_template(template).render(**values))  # noqa: S704 - escaped by the template
