"""User errors: the command line prints these as a sentence, and any other exception as a bug with its traceback."""

from data.errors import DataError
from objectives.errors import ObjectiveError
from training.errors import TrainingError


class UserError(ValueError):
    """What was asked for cannot be done; the message says why, with the values, and what to do instead."""


class SettingsError(UserError):
    """Settings that nothing can be run with; every violation is named."""


class ConfigError(UserError):
    """Values that build no network, or no recipe."""


# The packages below know nothing of each other nor of `search`: each has an error class of its own.
USER_ERRORS = (UserError, DataError, ObjectiveError, TrainingError)
