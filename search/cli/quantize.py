"""The command that compares ways to int8, and keeps one of them."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from search.artifact.files import FP32, INT8, METHODS, QAT, TUNED_EPOCHS, VARIANTS
from search.cli.console import err, out
from search.cli.options import (
    architecture_file_option,
    cache_option,
    impulse_responses_option,
    json_option,
    path_type,
    split_option,
)
from search.config.messages import counted
from search.report.table import Table

if TYPE_CHECKING:
    from search.export.quantization_variants import Comparison, Variant


@click.command()
@click.argument("folder", type=path_type, metavar="EXPORT")
@click.argument("data", type=path_type)
@split_option
@cache_option
@impulse_responses_option
@click.option("--epochs", type=click.IntRange(1), default=TUNED_EPOCHS, show_default=True, help="Of training for int8.")
@click.option(
    "--method", type=click.Choice(METHODS), default=METHODS[0], show_default=True,
    help="How ranges are calibrated.",
)  # fmt: skip
@click.option(
    "--keep", type=click.Choice(VARIANTS[1:]), help="Make this one the export's model.int8.onnx. [default: none]"
)
@architecture_file_option
@json_option
def quantize(
    folder: Path, data: Path, split: str, cache: Path | None, impulse_responses: Path | None, epochs: int, method: str,
    keep: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Compare ways to int8 for an EXPORT: after training, with layers left in fp32, and trained for it on DATA.

    Calibrated and trained on the training clips of DATA, measured on its evaluation clips, each from its file.
    """
    from data.layout import read_scenes  # noqa: PLC0415  these take seconds
    from search.artifact.evaluation import material_for  # noqa: PLC0415
    from search.artifact.reading import load_export  # noqa: PLC0415
    from search.export.certification import certify, read_own_scenes  # noqa: PLC0415
    from search.export.quantization_variants import compare  # noqa: PLC0415

    export = load_export(folder)
    if keep is not None:
        read_own_scenes(folder, data)  # before anything takes long
    dataset = material_for(export, read_scenes(data, split), impulse_responses, cache)
    with tempfile.TemporaryDirectory(prefix="scenefront-") as place:
        comparison = compare(export, dataset, Path(place), epochs=epochs, method=method, say=err.print)
        if as_json:
            told = {"evaluation_clips": comparison.num_clips, "variants": [v.to_dict() for v in comparison.variants]}
            click.echo(json.dumps(told, indent=2))
        else:
            out.print(comparison_table(comparison, _title(folder, comparison)))
        if keep is not None:
            certify(folder, {INT8: comparison[keep].path}, data, cache=cache, notes=_notes(comparison[keep], epochs))
            err.print(f"{folder / INT8} is now {keep}", soft_wrap=True)


def _notes(kept: "Variant", epochs: int) -> list[str]:
    """Say on the export's card what was done beyond rounding."""
    if kept.float_layers:
        return [f"{INT8} keeps layers in fp32 that rounding costs most: {', '.join(kept.float_layers)}."]
    return [f"{INT8} was trained for int8, {counted(epochs, 'epoch')} more than the rest."] * (kept.name == QAT)


def comparison_table(comparison: "Comparison", title: str) -> Table:
    """Tabulate the variants of a quantization: quality, loss, sizes."""
    head = [
        "variant", "fp32 layers", "macro accuracy", "points lost", "log loss", "other class", "weights",
        "with biases, norms", "scales", "file",
    ]  # fmt: skip
    rows = [
        [
            each.name,
            ", ".join(each.float_layers) or ("all" if each.name == FP32 else "none"),
            f"{each.quality.macro_accuracy:.1%}",
            f"{100 * each.lost:.1f} ± {100 * each.lost_half:.1f}",
            f"{each.quality.log_loss:.3f}",
            f"{each.changed:.1%}",
            f"{each.stored.weight_bytes:,}",
            f"{each.stored.value_bytes:,}",
            f"{each.stored.scale_bytes:,}",
            f"{each.file_bytes:,}",
        ]
        for each in comparison.variants
    ]
    return Table(title, head, rows, texts=("fp32 layers",))


def _title(folder: Path, comparison: "Comparison") -> str:
    clips = f"{comparison.num_clips:,} evaluation clips"
    return f"{folder.name} on {clips}; points lost with their 95 % interval, sizes in bytes"
