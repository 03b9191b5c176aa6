"""Format of a challenge package, as plain values of each edition. Needs no torch.

Source: DCASE 2024 task 1, the format of its submissions. Its template of the meta file was not available: sizes in
bytes, accuracies in percent and the overall accuracy as the mean over classes follow the published results.
"""

from dataclasses import dataclass

from objectives.budget import BUDGETS, Budget
from search.config.errors import UserError


class SubmissionError(UserError):
    """A package that cannot be made; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Edition:
    """Format of a package.

    Attributes:
        name: Name in certificates, and of the budget.
        task: Folder in the package, and part of the label.
        splits: Percentages of the training clips, nested; one output file each.
        classes: Scenes, in the order of the columns.
        devices: Recording devices of the development set's test clips.
        num_clips: Number of clips of the evaluation set: `0.wav`, `1.wav` and so on.
        max_number: Largest number of a label; the submissions of a team are numbered from 1.
        max_abbreviation: Largest number of letters of a system's abbreviation.
        description: Keys of the meta file's block of that name.
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
        """Limits on the cost of each system."""
        return BUDGETS[self.name]

    @property
    def header(self) -> tuple[str, ...]:
        """Columns of an output file."""
        return "filename", "scene_label", *self.classes

    def output_file(self, label: str, split: str) -> str:
        """Return the path of a split's output file in the package."""
        return f"{self.task}/{label}/{label}.output.split_{split}.csv"

    def meta_file(self, label: str) -> str:
        """Return the path of the meta file in the package."""
        return f"{self.task}/{label}/{label}.meta.yaml"

    def files(self, label: str) -> tuple[str, ...]:
        """Return the paths of all files of a package."""
        return *(self.output_file(label, split) for split in self.splits), self.meta_file(label)

    def label_faults(self, label: str) -> list[str]:
        """Return the faults of a label; none if it is valid.

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
    """Return the file name of a clip of the evaluation set."""
    return f"{number}.wav"


def compact_ranges(numbers: list[int]) -> list[str]:
    """Return the names of clips by their ascending numbers, consecutive ones as a range.

    >>> compact_ranges([3, 7, 8, 9])
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
    """A broken rule.

    Attributes:
        file: In the package, or the sheet that it is made from.
        place: Row and column, or key; the header is row 1. Empty: the whole file.
        detail: Expected and actual content.
    """

    file: str
    place: str
    detail: str

    def __str__(self) -> str:
        return f"{self.file}{', ' if self.place else ''}{self.place}: {self.detail}"
