"""One thing about a package that breaks a rule. Needs no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    """What breaks a rule.

    Attributes:
        file: In the package, or what the package was to be made from.
        place: Row and column, or key; the header is row 1. Empty: the file as a whole.
        detail: What must be, and what is.
    """

    file: str
    place: str
    detail: str

    def __str__(self) -> str:
        return f"{self.file}{', ' if self.place else ''}{self.place}: {self.detail}"
