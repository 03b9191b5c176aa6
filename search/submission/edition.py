"""What a package of a challenge's edition must hold, as plain values. Needs no torch.

Source: DCASE 2024 task 1, the form of its submissions. Its template of the meta file was not at hand: that sizes are
told in bytes, accuracies in percent, and the overall accuracy as the mean of the classes' is how its results are told.
"""

from dataclasses import dataclass

from objectives.budget import BUDGETS, Budget
from search.config.errors import UserError


class SubmissionError(UserError):
    """A package that cannot be made; the message says why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Edition:
    """The form of a package.

    Attributes:
        name: What a certificate calls it, and its budget.
        task: Folder of the package, and part of the label.
        splits: Percent of the training clips, an output file each; each holds the clips of the one before.
        classes: The scenes, in the order of the columns.
        devices: Of the development set's test clips.
        num_clips: Of the evaluation set, which are named `0.wav` and so on.
        max_number: Of a label: one team's submissions are numbered from 1.
        max_abbreviation: Letters of a system's short name.
        description: Keys of the block of that name.
    """

    name: str
    task: str
    splits: tuple[str, ...]
    classes: tuple[str, ...]
    devices: tuple[str, ...]
    num_clips: int
    max_number: int
    max_abbreviation: int
    description: tuple[str, ...]

    @property
    def budget(self) -> Budget:
        """What each system may cost."""
        return BUDGETS[self.name]

    @property
    def header(self) -> tuple[str, ...]:
        """Columns of an output file."""
        return "filename", "scene_label", *self.classes

    def output_file(self, label: str, split: str) -> str:
        """Name a split's output in the package."""
        return f"{self.task}/{label}/{label}.output.split_{split}.csv"

    def meta_file(self, label: str) -> str:
        """Name the meta file in the package."""
        return f"{self.task}/{label}/{label}.meta.yaml"

    def files(self, label: str) -> tuple[str, ...]:
        """Name every file of the package of a label."""
        return *(self.output_file(label, split) for split in self.splits), self.meta_file(label)

    def label_faults(self, label: str) -> list[str]:
        """Describe what is wrong with a label.

        >>> DCASE2024.label_faults("Doe_ACME_task1_5")
        ['its number must be 1 to 4, got 5']
        """
        form = f"must be lastname_institute_{self.task}_N, of letters, digits and hyphens, got {label!r}"
        parts = label.split("_")
        if len(parts) != 4 or parts[2] != self.task:
            return [form]
        if not all(part.replace("-", "").isalnum() for part in parts):
            return [form]
        numbers = [str(number) for number in range(1, self.max_number + 1)]
        return [] if parts[3] in numbers else [f"its number must be 1 to {self.max_number}, got {parts[3]}"]


DCASE2024 = Edition(
    name="dcase2024",
    task="task1",
    splits=("5", "10", "25", "50", "100"),
    classes=(
        "airport", "bus", "metro", "metro_station", "park", "public_square", "shopping_mall", "street_pedestrian",
        "street_traffic", "tram",
    ),
    devices=("a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6"),
    num_clips=135_730,
    max_number=4,
    max_abbreviation=10,
    description=(
        "input_sampling_rate", "acoustic_features", "data_augmentation", "machine_learning_method",
        "external_data_usage", "complexity_management", "pipeline", "framework", "split_adaptations",
        "system_adaptations",
    ),
)  # fmt: skip


def clip_name(number: int) -> str:
    """Name a clip of the evaluation set."""
    return f"{number}.wav"


def runs(numbers: list[int]) -> list[str]:
    """Name clips by their rising numbers, neighbours together.

    >>> runs([3, 7, 8, 9])
    ['3.wav', '7.wav to 9.wav']
    """
    named: list[str] = []
    start = 0
    for end in range(1, len(numbers) + 1):
        if end == len(numbers) or numbers[end] != numbers[end - 1] + 1:
            first, last = clip_name(numbers[start]), clip_name(numbers[end - 1])
            named.append(first if first == last else f"{first} to {last}")
            start = end
    return named


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
