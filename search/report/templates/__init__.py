"""Templates of the HTML pages: Jinja2 with autoescaping, so that no text is ever taken for HTML."""

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
    """Return a template filled in; every value is escaped, but for one that is `Markup` already."""
    return Markup(_ENVIRONMENT.get_template(template).render(**values))  # noqa: S704 - what the template escaped
