"""Body of a callback request, checked before Dash sees it: what no page of this dashboard sends is named.

Dash trusts the body, and answers a malformed one with an error of its own and a traceback in the terminal.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

MAX_TEXT = 200_000  # characters of one text
AXES = ("xaxis", "yaxis")


def problem_of(body: Any, callbacks: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return what is wrong with the body of a callback request; None: it is as a page sends it.

    Args:
        callbacks: Dash's `callback_map`: the inputs and the state of each callback by its outputs.
    """
    if not isinstance(body, dict):
        return "it is no JSON object"
    callback = callbacks.get(body["output"]) if isinstance(body.get("output"), str) else None
    if callback is None or "callback" not in callback:
        return f"no callback has the output {shown(body.get('output'))}"
    outputs = body.get("outputs")
    for name, found, expected in (
        ("outputs", outputs if isinstance(outputs, list) else [outputs], list(_outputs(body["output"]))),
        ("inputs", body.get("inputs"), callback["inputs"]),
        ("state", body.get("state", []), callback["state"]),
    ):
        if not isinstance(found, list) or [_name_of(each) for each in found] != [_name_of(each) for each in expected]:
            return f"its {name} are not those of {shown(body['output'])}"
    changed = body.get("changedPropIds", [])
    if not isinstance(changed, list) or not all(isinstance(each, str) for each in changed):
        return "its changedPropIds are no list of names"
    for each in (*body["inputs"], *body.get("state", [])):
        kind = next((kind for end, kind in KINDS.items() if each["id"].endswith(end)), None)
        if kind is None or not kind(each.get("value")):
            return f"{each['id']}.{each['property']} cannot be {shown(each.get('value'))}"
    return None


def shown(value: Any) -> str:
    """Return a value as one short line without control characters."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _outputs(output: str) -> Iterator[dict[str, str]]:
    """Return the outputs of a callback by their text: id.property, or ..id.property...id.property.."""
    for part in output.removeprefix("..").removesuffix("..").split("..."):
        identity, _, name = part.partition("@")[0].rpartition(".")
        yield {"id": identity, "property": name}


def _name_of(each: Any) -> tuple[str, str] | None:
    if not isinstance(each, dict) or not isinstance(each.get("id"), str) or not isinstance(each.get("property"), str):
        return None
    return each["id"], each["property"].partition("@")[0]  # behind it, Dash numbers outputs of several callbacks


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT


def _is_page(value: Any) -> bool:
    """Whether it is the address of a page, with its theme."""
    return isinstance(value, dict) and all(_is_text(value.get(name)) for name in ("path", "search", "theme"))


def _is_digests(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_text(each) for each in value.values())


def _is_zoom(value: Any) -> bool:
    """Whether it is the zoom of a figure: its revision where it has one, and the two ends of axes."""
    if value == {}:
        return True
    if not isinstance(value, dict) or not isinstance(value.get("ranges"), dict):
        return False
    return _is_text(value.get("revision", "")) and all(
        axis in AXES and isinstance(ends, list) and len(ends) == 2 and all(_is_number(end) for end in ends)
        for axis, ends in value["ranges"].items()
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


# What a page sends of each element, by the end of its id.
KINDS: dict[str, Callable[[Any], bool]] = {
    "opened": _is_page,
    "query": _is_page,
    "version": _is_text,
    "-digests": _is_digests,
    "zoom": _is_zoom,
    "-export": _is_count,
    "-weighed": _is_text,
}
