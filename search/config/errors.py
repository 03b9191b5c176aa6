"""User errors, printed as a sentence; any other exception is a bug, printed with its traceback."""

from data.errors import DataError
from objectives.errors import ObjectiveError
from training.errors import TrainingError


class UserError(ValueError):
    """A request that cannot be carried out; the message says why, with the values, and what to do instead."""


class SettingsError(UserError):
    """Invalid settings; the message lists every violation."""


class ConfigError(UserError):
    """Config values that build no network, or no recipe."""


# The packages below `search` have error classes of their own.
USER_ERRORS = (UserError, DataError, ObjectiveError, TrainingError)
