"""Base class of the errors in this package that a user can fix."""


class ObjectiveError(ValueError):
    """A budget, an objective or a network's operator that cannot be used; the message says which and why."""
