"""Settings of a job as the study's database keeps them, so that a lost search.yaml can be restored. Needs no torch."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from search.config.settings import FORMAT, ConfirmSettings, Job, JobSettings, SearchSettings, TrainSettings
from search.config.settings_file import job_from

SECRET = ("storage", "checkpoints")  # URLs that may contain a password


def settings_record(settings: JobSettings) -> dict[str, Any]:
    """Return a job's settings as JSON values, without a password: without the database, which has the record."""
    plain = settings.to_dict()
    checkpoints = plain["checkpoints"] and _without_user(plain["checkpoints"])
    return {"job": settings.job, "format": FORMAT, **plain, "storage": None, "checkpoints": checkpoints}


def recorded_settings(
    record: Mapping[str, Any] | None, history: Sequence[Mapping[str, Any]], source: str
) -> Job | None:
    """Return the settings that a database has of its study; None if it has none.

    Args:
        record: Result of `settings_record`; None in studies of earlier versions.
        history: Initial settings of the study and their changes, which those have.
        source: The database, for error messages.

    Raises:
        SettingsError: They are invalid.
    """
    if record is not None:
        return job_from(record, source)
    replayed = replay(history)
    if not replayed:
        return None
    kinds = {"candidates": ConfirmSettings.job, "architecture": TrainSettings.job}
    job = next((kinds[name] for name in kinds if name in replayed), SearchSettings.job)
    is_current = "members" not in replayed  # format 1 had this setting, and no `job`
    return job_from({**({"job": job} if is_current else {}), **replayed}, source)


def replay(history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the settings after all changes of a history."""
    if not history:
        return {}
    return dict(history[0]["settings"]) | {
        name: after for entry in history[1:] for name, (_, after) in entry["changes"].items()
    }


def _without_user(url: str) -> str:
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
