"""The base of this package's errors that are the user's to mend."""


class DataError(ValueError):
    """Data that cannot be used; the text names the file, the line or clip, and what to do."""
