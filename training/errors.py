"""Base class of this package's user errors."""


class TrainingError(ValueError):
    """A recipe or a checkpoint that cannot be used with this network or these data; the message says why."""
