"""Base class of this package's user errors."""


class DataError(ValueError):
    """Data that cannot be used; the text names the file, the line or clip, and what to do."""
