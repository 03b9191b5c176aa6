"""Hover texts of trials, and config values as text."""

import html
import math
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import pandas as pd

from objectives.goals import GOALS
from search.report.drawing import numbers

COUNTS = (("macs", "MACs"), ("params", "parameters"), ("size_bytes", "bytes"))  # in the hover text of every trial


def hover_texts(rows: pd.DataFrame, fields: Iterable[str] | None = None) -> list[str]:
    """Return the hover text of each trial as escaped HTML.

    Args:
        fields: Config fields that are included; None: all that the trial's architecture has.
    """
    states, losses = rows["state"].tolist(), _texts(rows, "log_loss", ", log loss {:.3f}")
    lines = [
        [f"<b>trial {number}</b> ({state})" for number, state in zip(rows["number"].tolist(), states, strict=True)],
        [
            text and text + loss
            for text, loss in zip(_texts(rows, "macro_accuracy", "macro accuracy {:.2%}"), losses, strict=True)
        ],
        *(_texts(rows, name, f"{GOALS[name].title} {{:.2%}}") for name in ("unseen_accuracy", "worst_device_accuracy")),
        *(_texts(rows, name, f"{{:,.0f}} {label}") for name, label in COUNTS),
        _texts(rows, "latency_ms", "{:.2f} ms a clip"),
        [
            "" if state == "rejected" or pd.isna(epoch) else f"epoch {epoch:.0f} of {epochs:.0f}"
            for state, epoch, epochs in zip(states, rows["epoch"].tolist(), rows["epochs"].tolist(), strict=True)
        ],
        [html.escape(reason) if isinstance(reason, str) else "" for reason in rows["reason"].tolist()],
    ]
    for name in config_fields(rows) if fields is None else fields:
        values, label = rows[f"config.{name}"], html.escape(name)
        lines.append(
            [
                "" if is_missing else f"{label}: {html.escape(config_value_text(value))}"
                for value, is_missing in zip(values.tolist(), values.isna().tolist(), strict=True)
            ]
        )
    return ["<br>".join(filter(None, texts)) for texts in zip(*lines, strict=True)]


def _texts(rows: pd.DataFrame, name: str, form: str) -> list[str]:
    return ["" if math.isnan(value) else form.format(value) for value in numbers(rows, name).tolist()]


def config_fields(rows: pd.DataFrame) -> list[str]:
    """Return the config fields of a table."""
    return [str(name).removeprefix("config.") for name in rows.columns if str(name).startswith("config.")]


def config_of(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """Return the config of a row, without fields that the trial's architecture does not have (NaN)."""
    return {
        str(name).removeprefix("config."): value
        for name, value in row.items()
        if str(name).startswith("config.") and not pd.isna(value)
    }


def config_value_text(value: Any) -> str:
    """Return a config value as text."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
