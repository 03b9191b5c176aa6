"""Commands `export`, `evaluate`, `predict` and `bench`: export a trained network, and run an export."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from objectives.quality import Quality
from search.artifact.files import AUTO, INT8_CHOICES
from search.cli.console import err, fail, out, run_job
from search.cli.options import (
    architecture_file_option,
    architecture_file_setting,
    cache_option,
    json_option,
    pair,
    path_type,
    read_value,
    results_option,
    set_option,
    split_option,
    study_argument,
)
from search.config.errors import USER_ERRORS
from search.config.messages import text_of
from search.report.format import INTERVAL, macro_text
from search.report.table import Table
from search.report.tables import quality_tables
from search.study.study import StudyFolder, find_study

EXPORTS = Path("exports")
export_argument = click.argument("path", type=path_type, metavar="EXPORT")


@click.command()
@study_argument
@results_option
@click.option("--trial", help="Number of a fully trained trial, or best. [default: best]")
@click.option("--front", "whole_front", is_flag=True, help="Export every trial on the front, each to its own folder.")
@click.option(
    "--out", "target", type=path_type, help="Folder to write; with --front, its parent. [default: in exports]"
)
@click.option("--data", "where", type=path_type, help="Folder of the study's data. [default: the study's]")
@cache_option
@click.option("--retrain", is_flag=True, help="Retrain it first, on all training clips and without early stopping.")
@click.option("--epochs", type=int, help="Epochs of --retrain. [default: the trial's]")
@click.option(
    "--scale",
    type=float,
    help="Factor on the trial's epochs for --retrain; other fields in epochs are scaled too.",
)
@set_option
@click.option(
    "--int8", type=click.Choice(INT8_CHOICES), default=AUTO, show_default=True,
    help="Quantize every layer (ptq), all but the most sensitive (mixed), or none; auto: mixed if ptq drops the "
    "accuracy by more than a point on clips other than the evaluation clips.",
)  # fmt: skip
@click.option("--executorch", is_flag=True, help="Also write a program for ExecuTorch.")
def export(
    study: str | None, results: Path, trial: str | None, whole_front: bool, target: Path | None, where: Path | None,
    cache: Path | None, retrain: bool, epochs: int | None, scale: float | None, overrides: tuple[str, ...], int8: str,
    executorch: bool,
) -> None:  # fmt: skip
    """Write a trained network of STUDY to a folder, as weights, as ONNX and as int8 ONNX.

    Each file is evaluated on the evaluation clips. The folder also has a certificate with checksums and costs, and a
    model card.
    """
    from search.study.selection import best_trial, front_trials  # noqa: PLC0415  takes seconds

    folder = find_study(results, study)
    if whole_front and trial is not None:
        raise click.UsageError("--front and --trial exclude each other")
    if trial not in (None, "best") and not str(trial).isdecimal():
        raise click.UsageError(f"--trial must be a number or best, got {trial!r}")
    if not retrain and (epochs is not None or scale is not None or overrides):
        raise click.UsageError("--epochs, --scale and --set need --retrain")
    if whole_front:
        numbers = front_trials(folder)
    else:
        numbers = [best_trial(folder) if trial in (None, "best") else int(str(trial))]
    given = {"data": where, "cache": cache, "int8": int8, "executorch": executorch}
    fixed = dict(pair(text, "--set", read_value) for text in overrides)
    training = {"epochs": epochs, "scale": scale, "overrides": fixed}
    base = EXPORTS if target is None else target

    def export_one(number: int) -> None:
        name = f"{folder.name}-{number}{'-full' if retrain else ''}"
        place = target if target is not None and not whole_front else base / name
        _export(folder, number, place, given, training if retrain else None)

    if not whole_front:
        export_one(numbers[0])
    elif failed := _export_all(numbers, export_one):
        fail("\n  ".join([f"{len(failed)} of {len(numbers)} trials on the front were not exported:", *failed]), 2)


def _export_all(numbers: list[int], export_one: Callable[[int], None]) -> list[str]:
    """Export the trials one by one; return an error text for each that failed."""
    failed = []
    for number in numbers:
        try:
            export_one(number)
        except (*USER_ERRORS, OSError) as error:
            failed.append(f"trial {number}: {error}")
            err.print(f"trial {number} is skipped: {error}", soft_wrap=True)
    return failed


def _export(
    folder: StudyFolder, number: int, target: Path, given: Mapping[str, Any], training: Mapping[str, Any] | None
) -> None:
    from search.export.atomic_folder import require_replaceable  # noqa: PLC0415  as above
    from search.export.writing import export_trial  # noqa: PLC0415  as above
    from search.study.selection import best_trial  # noqa: PLC0415  takes seconds

    require_replaceable(target)
    source, trial, origin = folder, number, None
    if training is not None:
        from search.export.retraining import full_folder, retrain, retrain_settings  # noqa: PLC0415  takes seconds

        settings = retrain_settings(folder, number, data=given["data"], cache=given["cache"], **training)
        source = full_folder(folder, number)
        run_job(lambda: retrain(settings, source, out), source)
        trial = best_trial(source)
        origin = f"Trial {number} of {folder.name}, retrained on all training clips."
    certificate = export_trial(
        source, trial, target, **given, origin=origin, log=lambda text: out.print(f"{text}", soft_wrap=True)
    )
    for line in summary(certificate):
        out.print(line, soft_wrap=True)
    out.print(f"written: {target}", soft_wrap=True)


def summary(certificate: Mapping[str, Any]) -> list[str]:
    """Return the summary lines of an export: cost, quality of its files, and whether it fits the budget."""
    cost, validation, budget = certificate["cost"], certificate["validation"], certificate["budget"]
    selected = f" ({validation['macro_accuracy']:.3f} on the validation clips it was selected on)" if validation else ""
    counts = f"{cost['macs']:,} MACs ({cost['fvcore_macs']:,} by fvcore), {cost['params']:,} parameters"
    lines = [f"trial {certificate['trial']}: {counts}{selected}"]
    for name, quality in certificate["quality"].items():
        stored = certificate["files"][name]["bytes"]
        lines.append(
            f"  {name}: macro accuracy {macro_text(Quality.from_dict(quality))}, "
            f"log loss {quality['log_loss']:.3f}, "
            f"{stored:,} bytes"
        )
    over = f": {'; '.join(budget['violations'])}" if budget["violations"] else ""
    lines.append(f"{budget['file']} {'fits' if budget['fits'] else 'is over'} the budget {budget['name']}{over}")
    lines.append(INTERVAL)
    lines += [f"note: {note}" for note in certificate["notes"]]
    return lines


@click.command()
@export_argument
@click.argument("data", type=path_type)
@split_option
@cache_option
@architecture_file_option
@json_option
def evaluate(path: Path, data: Path, split: str, cache: Path | None, as_json: bool) -> None:
    """Evaluate an EXPORT on the evaluation clips of DATA.

    EXPORT is its folder, or one of its files: exports/mine-7/model.int8.onnx.
    """
    from search.artifact.evaluation import evaluate_export  # noqa: PLC0415  as above
    from search.artifact.opening import open_export  # noqa: PLC0415  takes seconds

    quality = evaluate_export(open_export(path), data, split, cache)
    if as_json:
        click.echo(json.dumps(quality.to_dict(), indent=2))
        return
    out.print(f"macro accuracy {macro_text(quality)}, log loss {quality.log_loss:.3f}\n{INTERVAL}", soft_wrap=True)
    for table in quality_tables(quality):
        out.print(table)


@click.command()
@export_argument
@click.argument("sounds", type=path_type, nargs=-1, required=True, metavar="SOUND...")
@click.option("--device", help="Recording device, for a network trained with spectrum correction. [default: unknown]")
@architecture_file_option
@json_option
def predict(path: Path, sounds: tuple[Path, ...], device: str | None, as_json: bool) -> None:
    """Predict the scene of each SOUND, a WAV or FLAC file, with an EXPORT: its folder, or one of its files."""
    from data.errors import DataError  # noqa: PLC0415  takes seconds
    from search.artifact.inference import predict as predict_file  # noqa: PLC0415  as above
    from search.artifact.opening import open_export  # noqa: PLC0415  as above
    from search.engine.progress import counting  # noqa: PLC0415  as above

    network = open_export(path)
    broken, found = [], []
    for sound in sounds:
        name = text_of(sound)
        try:
            with counting(f"seconds heard of {name}", err) as progress:
                prediction = predict_file(network, sound, device, progress)
        except DataError as error:
            broken.append(str(error))
            continue
        found.append({"file": name, "scene": prediction.scene, "probabilities": prediction.probabilities})
        if prediction.note:
            err.print(f"note: {name}: {prediction.note}", soft_wrap=True)
        if not as_json:
            ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
            out.print(f"{name}: " + ", ".join(f"{scene} {value:.1%}" for scene, value in ranked[:3]), soft_wrap=True)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    if broken:
        fail("\n  ".join([f"{len(broken)} of {len(sounds)} files cannot be decoded:", *broken]), 2)


@click.command()
@export_argument
@architecture_file_setting
@json_option
def bench(path: Path, architecture_file: Path | None, as_json: bool) -> None:
    """Benchmark an EXPORT on this machine: latency for one second of audio with one thread, and memory.

    EXPORT is its folder, whose weights are run by PyTorch, or one of its files.
    """
    from search.export.benchmark import benchmark_in_subprocess  # noqa: PLC0415  takes seconds

    measured = benchmark_in_subprocess(path, architecture_file)
    if as_json:
        click.echo(json.dumps(measured, indent=2))
        return
    rows = []
    for part, found in measured["latency_ms"].items():
        spread = f"{found['p05']:.2f} to {found['p95']:.2f} ms"
        rows.append([part.replace("_", " "), f"{found['median']:.2f} ms", spread, str(found["calls"])])
    head = ("one second of audio", "median", "5 % to 95 %", "calls")
    out.print(Table(f"{measured['file']}, one thread", head, rows))
    memory = measured["memory_bytes"]
    out.print(
        f"peak memory of a subprocess: {memory['peak'] / 1e6:.1f} MB, {memory['increase'] / 1e6:.1f} MB of it for the "
        "export"
    )
