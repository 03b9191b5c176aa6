"""Writing of a package: predictions, meta file, and the ZIP, which is validated before it is renamed."""

import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from data.decoding import Progress
from data.store_writing import NO_SPACE
from search.config.yaml_text import dump_yaml
from search.submission.batch_inference import Probabilities, predict_evaluation_set
from search.submission.edition import Edition, SubmissionError, Violation, clip_name
from search.submission.evaluation_set import EvaluationSet, find_evaluation_set, validate_headers
from search.submission.meta_file import make_meta
from search.submission.meta_rules import check_meta
from search.submission.package_rules import check_package
from search.submission.prediction_store import DTYPE
from search.submission.sheet import Sheet
from search.submission.systems import System, check_systems, read_system

TIME_STAMP = (1980, 1, 1, 0, 0, 0)  # of every ZIP entry: the same input makes the same bytes
UNIX, READABLE = 3, 0o644
MAX_ROW_BYTES = 200  # in an output file
WORK = ".work"

# Opens a progress display for a task.
Counting = Callable[[str], AbstractContextManager[Progress]]


class BrokenRulesError(SubmissionError):
    """A submission that breaks rules; `violations` lists them."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__("\n  ".join(["no package was written:", *map(str, violations)]))


@dataclass(frozen=True)
class Package:
    """A package that was written.

    Attributes:
        path: The ZIP.
        work: Folder of the stored predictions.
        num_files: Distinct sound files.
        systems: System of each split.
    """

    path: Path
    work: Path
    num_files: int
    systems: Mapping[str, System]


def work_folder(target: Path) -> Path:
    """Return the folder of a package's stored predictions."""
    return target.with_name(target.name + WORK)


def make_package(sheet: Sheet, evaluation: Path, target: Path, edition: Edition, counting: Counting) -> Package:
    """Predict an evaluation set, and write the package.

    All other checks come first. Predictions are stored beside the package; another call computes the missing ones.

    Args:
        target: Path of the ZIP; an earlier package there is replaced.

    Raises:
        BrokenRulesError: Rules are broken; nothing is written.
        SubmissionError: Sounds are missing or broken, the disk is full, or `target` is not a package.
        ExportError: A folder is not an export, or it is broken.
    """
    _require_replaceable(target)
    systems = {
        split: read_system(split, sheet.splits[split], edition) for split in edition.splits if split in sheet.splits
    }
    meta, violations = _meta(sheet, systems, edition)
    if violations:
        raise BrokenRulesError(violations)
    clips = find_evaluation_set(evaluation, edition)
    with counting("reading headers") as progress:
        validate_headers(clips, progress)
    target.parent.mkdir(parents=True, exist_ok=True)
    _require_space(target.parent, clips, edition)
    partial, work = target.with_name(target.name + ".partial"), work_folder(target)
    try:
        with counting("predicting") as progress:
            predictions = predict_evaluation_set(systems, clips, work, progress)
        outputs = {
            edition.output_file(sheet.label, split): _output(systems[split], probabilities, clips, edition)
            for split, probabilities in predictions.items()
        }
        _write_zip(partial, {edition.meta_file(sheet.label): meta, **outputs})
        with counting("checking files") as progress:
            violations = check_package(partial, edition, progress)
        if violations:
            raise BrokenRulesError(violations)
        partial.replace(target)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise SubmissionError(f"{_no_space_text(target.parent)}; predictions so far are kept in {work}") from error
    finally:
        partial.unlink(missing_ok=True)
    return Package(target, work, len(clips.names), systems)


def _meta(sheet: Sheet, systems: Mapping[str, System], edition: Edition) -> tuple[bytes, list[Violation]]:
    """Return the meta file, and the rules that it or its systems break."""
    violations = check_systems(systems, sheet.source, edition)
    if not systems:
        return b"", violations
    meta = dump_yaml(make_meta(sheet, systems, edition)).encode()
    name = edition.meta_file(sheet.label)
    of_meta = check_meta(name, meta, sheet.label, edition)
    if violations:  # faults of a system would be repeated in its results and complexity
        of_meta = [each for each in of_meta if not each.place.startswith(("results", "system.complexity"))]
    return meta, violations + of_meta


def _output(system: System, probabilities: Probabilities, clips: EvaluationSet, edition: Edition) -> bytes:
    """Return the content of an output file.

    Args:
        probabilities: (U, K), in the order of the system's classes.
    """
    probabilities = probabilities[:, [system.export.classes.index(name) for name in edition.classes]]
    predicted = probabilities.argmax(axis=1)
    ends = [
        "\t".join([edition.classes[best], *(f"{value:.7g}" for value in row)])
        for best, row in zip(predicted.tolist(), probabilities.tolist(), strict=True)
    ]
    rows = [f"{clip_name(number)}\t{ends[index]}" for number, index in enumerate(clips.file_index.tolist())]
    return ("\n".join(["\t".join(edition.header), *rows]) + "\n").encode()


def _write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, TIME_STAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system, entry.external_attr = UNIX, READABLE << 16
            package.writestr(entry, files[name])


def _require_replaceable(target: Path) -> None:
    if target.exists() and not zipfile.is_zipfile(target):
        raise SubmissionError(f"{target} is something else than a package; name another file: --out")


def _require_space(folder: Path, clips: EvaluationSet, edition: Edition) -> None:
    stored = len(clips.names) * len(edition.splits) * len(edition.classes) * DTYPE.itemsize
    size = stored + edition.num_clips * MAX_ROW_BYTES
    if shutil.disk_usage(folder).free < size:
        raise SubmissionError(f"{_no_space_text(folder)}; a package and its predictions take up to {size / 1e9:.3f} GB")


def _no_space_text(folder: Path) -> str:
    free = shutil.disk_usage(folder).free
    return f"{folder}: not enough disk space, {free / 1e9:.3f} GB are free; free some, or name another disk: --out"
