"""The history of a study's settings: what it was started with, and what was changed when. Needs no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import optuna

from search.config.settings import SearchSettings
from search.study.study import HISTORY, StudyError, StudyFolder

CHANGEABLE = ("trials", "budget", "ranges", "sampler", "sobol", "start", "retries", "stall_s")
SECRET = ("storage", "checkpoints")  # URLs, which may hold a password
OF_A_RUN = ("workers",)  # not kept with what decides the study
WHY_NOT = {
    "objectives": "every trial is recorded with one value for each",
    "seed": "it decided what was asked for",
    **dict.fromkeys(
        ("data", "split", "validation", "unseen_devices"), "what was measured on other clips cannot be compared"
    ),
    **dict.fromkeys(
        ("epochs", "early_stopping", "fidelity", "recipe", "teacher", "impulse_responses", "fast"),
        "what was trained otherwise cannot be compared",
    ),
    "mode": "it decided which trials went on",
}


def first_entry(settings: SearchSettings) -> list[dict[str, Any]]:
    """Begin a history: what a study was started with."""
    return [{"at": _now(), "trials": 0, "settings": _plain(settings)}]


def num_before(attributes: Mapping[str, Any]) -> int:
    """Return how many trials were recorded when the study was last extended.

    Args:
        attributes: Of the study.
    """
    history = attributes.get(HISTORY, [])
    return int(history[-1]["trials"]) if history else 0


def history_lines(attributes: Mapping[str, Any]) -> list[str]:
    """Describe what was changed when.

    Args:
        attributes: Of the study.
    """
    return [
        f"{entry['at']}, after {entry['trials']:,} proposals: "
        + "; ".join(_change_text(name, *change) for name, change in entry["changes"].items())
        for entry in attributes.get(HISTORY, [])[1:]
    ]


def require_own_settings(study: optuna.Study, folder: StudyFolder) -> None:
    """Refuse a settings file that was edited by hand in what a study cannot change.

    Raises:
        StudyError: Names what was changed, and from what.
    """
    known = _folded(study.user_attrs.get(HISTORY, []))
    found = _plain(folder.settings())
    edited = [name for name in WHY_NOT if name in known and known[name] != found[name] and name != "data"]
    if edited:
        raise StudyError(
            f"{folder.settings_file} was edited: "
            + "; ".join(_why_not(name, known[name], found[name]) for name in edited)
            + "; put it back, or start a new study"
        )


def _why_not(name: str, before: Any, after: Any) -> str:
    why = WHY_NOT.get(name, "the trials that there are were made with it")
    return f"{name} cannot change from {before} to {after}: {why}"


def _plain(settings: SearchSettings) -> dict[str, Any]:
    """Return the settings as JSON holds them, but for what is of a run."""
    plain = asdict(settings)
    plain |= {name: list(value) for name, value in plain.items() if isinstance(value, tuple)}
    return {name: value for name, value in plain.items() if name not in (*OF_A_RUN, *SECRET)}


def _folded(history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the settings that a history comes to."""
    if not history:
        return {}
    return dict(history[0]["settings"]) | {
        name: after for entry in history[1:] for name, (_, after) in entry["changes"].items()
    }


def _carried_out(history: Sequence[Mapping[str, Any]], now: SearchSettings) -> list[Mapping[str, Any]]:
    """Leave out the last change where the driver was killed before the settings had it."""
    last = history[-1].get("changes", {}) if history else {}
    plain = _plain(now)
    missing = last and all(plain[name] == was and was != after for name, (was, after) in last.items())
    return list(history[:-1] if missing else history)


def _change_text(name: str, before: Any, after: Any) -> str:
    if name == "start":
        return f"start: {', '.join(each for each in after if each not in before)} besides"
    return f"{name}: {_text(before)} -> {_text(after)}"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={low}:{high}" for name, (low, high) in value.items()) or "none"
    return "none" if value is None else str(value)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
