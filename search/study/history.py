"""History of a study's settings: the initial ones, and every later change with its time. Needs no torch."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import optuna

from search.config.rules import FIXED, settings_of
from search.config.settings import JobSettings
from search.study.settings_record import SECRET, replay
from search.study.study import HISTORY, StudyError, StudyFolder

PER_RUN = ("workers",)  # not kept with what decides the study


def changeable(job: type[JobSettings]) -> list[str]:
    """Return the names of the settings of a job that `extend` can change."""
    return [name for name, meta in settings_of(job).items() if meta.extend]


def movable(job: type[JobSettings]) -> list[str]:
    """Return the names of the settings of a job that name a folder which may move."""
    return [name for name, meta in settings_of(job).items() if meta.moves]


def fixed_reasons(job: type[JobSettings]) -> dict[str, str]:
    """Return why a setting cannot change, by name, for settings with a reason of their own."""
    return {name: meta.fixed for name, meta in settings_of(job).items() if meta.fixed and not meta.moves}


def initial_history(settings: JobSettings) -> list[dict[str, Any]]:
    """Return a new history, with the initial settings as its only entry."""
    return [{"at": timestamp(), "trials": 0, "settings": history_settings(settings)}]


def num_trials_before_extension(attributes: Mapping[str, Any]) -> int:
    """Return the number of trials before the last extension, from the user attributes of a study."""
    history = attributes.get(HISTORY, [])
    return int(history[-1]["trials"]) if history else 0


def history_lines(attributes: Mapping[str, Any]) -> list[str]:
    """Return a line for every change of settings, from the user attributes of a study."""
    return [
        f"{entry['at']}, after {entry['trials']:,} proposals: "
        + "; ".join(change_text(name, *change) for name, change in entry["changes"].items())
        for entry in attributes.get(HISTORY, [])[1:]
    ]


def require_unedited_settings(study: optuna.Study, folder: StudyFolder) -> None:
    """Refuse a settings file in which a fixed setting was edited by hand."""
    known, settings = replay(study.user_attrs.get(HISTORY, [])), folder.settings()
    found, why = history_settings(settings), fixed_reasons(type(settings))
    edited = [name for name in why if name in known and known[name] != found[name]]
    if edited:
        raise StudyError(
            f"{folder.settings_file} was edited: "
            + "; ".join(refusal_text(settings, name, known[name], found[name]) for name in edited)
            + "; put it back, or start a new study"
        )


def refusal_text(settings: JobSettings, name: str, before: Any, after: Any) -> str:
    """Return an error text: why a setting cannot change."""
    why = settings_of(type(settings))[name].fixed or FIXED
    return f"{name} cannot change from {before} to {after}: {why}"


def history_settings(settings: JobSettings) -> dict[str, Any]:
    """Return the settings that a history records: all but URLs and those of a single run."""
    return {name: value for name, value in settings.to_dict().items() if name not in (*PER_RUN, *SECRET)}


def change_text(name: str, before: Any, after: Any) -> str:
    """Return the text of a change of a setting."""
    if name == "start":
        return f"start: {', '.join(each for each in after if each not in before)} added"
    return f"{name}: {_text(before)} -> {_text(after)}"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={low}:{high}" for name, (low, high) in value.items()) or "none"
    return "none" if value is None else str(value)


def timestamp() -> str:
    """Return the current time in UTC, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
