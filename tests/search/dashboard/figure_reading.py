"""Limits and a text as an attacker would choose it, and what a figure says, read back from it."""

NAN = float("nan")
LIMITS = {"macs": 30_000_000, "params": 128_000}
EVIL = "<b>evil</b><script>alert(1)</script>"


def traces(figure):
    """Return the traces of points by what they are."""
    return {trace.meta: trace for trace in figure.data if trace.mode != "lines"}


def notes(figure):
    return [note.text for note in figure.layout.annotations]
