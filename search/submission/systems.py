"""Systems of a submission: one export for each split, with the figures of its certificate."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data.layout import NESTED
from objectives.quality import Quality
from search.artifact.certificate import CONFIG, read_certificate
from search.artifact.files import INFERENCE_STATE
from search.artifact.opening import open_export
from search.artifact.reading import Export
from search.config.messages import unknown
from search.submission.edition import Edition, SubmissionError, Violation

TORCH = "PyTorch"
RUNTIMES = {".safetensors": TORCH, ".onnx": "ONNX Runtime"}  # by a file's suffix


@dataclass(frozen=True, eq=False, kw_only=True)
class System:
    """The system of a split.

    Attributes:
        split: Percentage of the training clips that it may be trained on.
        folder: Folder of the export.
        file: In the folder: the one that is submitted.
        export: The network of that file.
        precision: Number format of the file's weights.
        macs: Multiply-accumulates per clip.
        params: Number of parameters.
        size_bytes: Size of the file's weights, bytes.
        over_budget: Violations of the edition's budget.
        training_split: Split that it was trained on.
        quality: Quality of the file on the test clips of the development set.
        sha256: SHA-256 of each file that its predictions depend on.
    """

    split: str
    folder: Path
    file: str
    export: Export
    precision: str
    macs: int
    params: int
    size_bytes: int
    over_budget: tuple[str, ...]
    training_split: str
    quality: Quality
    sha256: tuple[str, ...]

    @property
    def runtime(self) -> str:
        """The runtime of the file: PyTorch on the default device, others on the CPU."""
        return RUNTIMES[Path(self.file).suffix]


def read_system(split: str, path: Path, edition: Edition) -> System:
    """Read the export of a split.

    Args:
        path: Folder of the export, for the file that its certificate selects for the edition; or a file in it.

    Raises:
        SubmissionError: The certificate does not list the file.
        ExportError: There is no export, or it is broken.
    """
    folder = path if path.is_dir() else path.parent
    certificate = read_certificate(folder)
    if edition.name not in certificate["editions"]:
        raise SubmissionError(f"split {split}: {folder} was not checked against {edition.name}; export it again")
    checked = certificate["editions"][edition.name]
    file = checked["file"] if path.is_dir() else path.name
    if file not in checked["files"] or file not in certificate["quality"]:
        known = [name for name in checked["files"] if name in certificate["quality"]]
        raise SubmissionError(f"split {split}: {unknown(f'evaluated file of {folder}', file, known)}")
    result = checked["files"][file]
    return System(
        split=split,
        folder=folder,
        file=file,
        export=open_export(folder / file),
        precision=result["precision"],
        macs=result["measured"]["macs"],
        params=certificate["cost"]["params"],
        size_bytes=result["measured"]["size_bytes"],
        over_budget=tuple(result["violations"]),
        training_split=certificate["data"]["split"],
        quality=Quality.from_dict(certificate["quality"][file]),
        sha256=tuple(
            certificate["files"][name]["sha256"]
            for name in (CONFIG, file, INFERENCE_STATE)
            if name in certificate["files"]
        ),
    )


def check_systems(systems: Mapping[str, System], source: str, edition: Edition) -> list[Violation]:
    """Return the violations of a submission's systems: missing splits, wrong data, exceeded budgets.

    Args:
        systems: System of each split.
    """
    violations = [
        Violation(source, f"splits.{split}", "is missing: there must be an export for each split "
                  f"({', '.join(edition.splits)})")
        for split in edition.splits
        if split not in systems
    ]  # fmt: skip
    for split, system in systems.items():
        where = f"splits.{split}, {system.folder / system.file}"
        violations += [
            Violation(source, where, f"over budget {edition.budget}: {fault}") for fault in system.over_budget
        ]
        for kind, names, wanted in (
            ("scene", system.export.classes, edition.classes),
            ("device", tuple(system.quality.by_device), edition.devices),
        ):
            missing = [name for name in wanted if name not in names]
            surplus = [name for name in names if name not in wanted]
            faults = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has {', '.join(surplus)}"] * bool(surplus)
            if faults:
                faults.append(f"the challenge's {kind}s are {', '.join(wanted)}")
                what = "has other classes" if kind == "scene" else "was evaluated on other devices"
                violations.append(Violation(source, where, f"{what}: it {'; '.join(faults)}"))
        largest = system.training_split if system.training_split in NESTED else NESTED[-1]
        if NESTED.index(largest) > NESTED.index(split):
            detail = f"was trained on split {system.training_split}, of which split {split} is only a part"
            violations.append(Violation(source, where, detail))
    return violations
