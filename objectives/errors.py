"""The base of this package's errors that are the user's to mend."""


class ObjectiveError(ValueError):
    """A budget, an objective or a network's operator that cannot be used; the message says which and why."""
