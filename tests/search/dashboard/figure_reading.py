"""Traces and annotations read back from a figure, limits to draw, and a text as an attacker would choose it."""

NAN = float("nan")
LIMITS = {"macs": 30_000_000, "params": 128_000}
EVIL = "<b>evil</b><script>alert(1)</script>"


def traces(figure):
    """Return the traces of points by their group."""
    return {trace.meta: trace for trace in figure.data if trace.mode != "lines"}


def notes(figure):
    return [note.text for note in figure.layout.annotations]
