"""The five systems of a submission: an export a split, with what its certificate says of it."""

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
    """What answers for a split.

    Attributes:
        split: Percent of the training clips that it may learn from.
        place: Folder of the export.
        file: In it: what ships, is measured, and answers.
        export: Ready to listen.
        precision: Of the file's weights.
        macs: Of one clip.
        params: Number of them.
        size_bytes: Of the file's weights.
        over: What of this is over the edition's budget.
        trained_on: Split of the training clips.
        quality: Of the file, on the test clips of the development set.
        sha256: Of the files that decide its answers.
    """

    split: str
    place: Path
    file: str
    export: Export
    precision: str
    macs: int
    params: int
    size_bytes: int
    over: tuple[str, ...]
    trained_on: str
    quality: Quality
    sha256: tuple[str, ...]

    @property
    def runtime(self) -> str:
        """What the file runs in: PyTorch on whatever device there is, all else on the processor."""
        return RUNTIMES[Path(self.file).suffix]


def read_system(split: str, place: Path, edition: Edition) -> System:
    """Read the export of a split.

    Args:
        split: Of the edition.
        place: Folder of the export, of which the file answers that its certificate judges by; or a file in it.
        edition: Whose budget it is held against.

    Raises:
        SubmissionError: The certificate says nothing of the file.
        ExportError: There is no export, or it is broken.
    """
    folder = place if place.is_dir() else place.parent
    certificate = read_certificate(folder)
    judged = certificate["editions"][edition.name]
    file = judged["file"] if place.is_dir() else place.name
    if file not in judged["files"] or file not in certificate["quality"]:
        known = [name for name in judged["files"] if name in certificate["quality"]]
        raise SubmissionError(f"split {split}: {unknown(f'measured file of {folder}', file, known)}")
    found = judged["files"][file]
    return System(
        split=split,
        place=folder,
        file=file,
        export=open_export(folder / file),
        precision=found["precision"],
        macs=found["measured"]["macs"],
        params=certificate["cost"]["params"],
        size_bytes=found["measured"]["size_bytes"],
        over=tuple(found["violations"]),
        trained_on=certificate["data"]["split"],
        quality=Quality.from_dict(certificate["quality"][file]),
        sha256=tuple(
            certificate["files"][name]["sha256"]
            for name in (CONFIG, file, INFERENCE_STATE)
            if name in certificate["files"]
        ),
    )


def check_systems(systems: Mapping[str, System], source: str, edition: Edition) -> list[Violation]:
    """Describe what keeps exports from being the systems of a submission.

    Args:
        systems: By split.
        source: Whoever named them, for the messages.
        edition: That they are to be submitted to.
    """
    found = [
        Violation(source, f"splits.{split}", "is missing: there must be an export for each split "
                  f"({', '.join(edition.splits)})")
        for split in edition.splits
        if split not in systems
    ]  # fmt: skip
    for split, system in systems.items():
        where = f"splits.{split}, {system.place / system.file}"
        found += [Violation(source, where, f"over budget {edition.budget}: {fault}") for fault in system.over]
        for kind, names, wanted in (
            ("scene", system.export.classes, edition.classes),
            ("device", tuple(system.quality.by_device), edition.devices),
        ):
            missing = [name for name in wanted if name not in names]
            strange = [name for name in names if name not in wanted]
            told = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has {', '.join(strange)}"] * bool(strange)
            if told:
                told.append(f"the challenge's {kind}s are {', '.join(wanted)}")
                whose = "tells other scenes apart" if kind == "scene" else "was measured on other devices"
                found.append(Violation(source, where, f"{whose}: it {'; '.join(told)}"))
        learned = system.trained_on if system.trained_on in NESTED else NESTED[-1]
        if NESTED.index(learned) > NESTED.index(split):
            detail = f"was trained on split {system.trained_on}, of which split {split} has a part only"
            found.append(Violation(source, where, detail))
    return found
