"""The base of this package's errors that are the user's to mend."""


class TrainingError(ValueError):
    """A recipe or a checkpoint that cannot be used with this network or these data; the message says why."""
