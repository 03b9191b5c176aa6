"""Command `quantize`: compare quantization variants of an export, and keep one of them."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from search.artifact.files import CALIBRATION_METHODS, FP32, INT8, QAT, QAT_EPOCHS, VARIANTS
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
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=QAT_EPOCHS,
    show_default=True,
    help="Epochs of quantization-aware training.",
)
@click.option(
    "--method", type=click.Choice(CALIBRATION_METHODS), default=CALIBRATION_METHODS[0], show_default=True,
    help="Calibration method for the activation ranges.",
)  # fmt: skip
@click.option(
    "--keep", type=click.Choice(VARIANTS[1:]), help="Keep this variant as the export's model.int8.onnx. [default: none]"
)
@architecture_file_option
@json_option
def quantize(
    folder: Path, data: Path, split: str, cache: Path | None, impulse_responses: Path | None, epochs: int, method: str,
    keep: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Compare int8 variants of an EXPORT: post-training, mixed precision, and quantization-aware training on DATA.

    Each is calibrated or fine-tuned on the training clips of DATA, and its file evaluated on the evaluation clips.
    """
    from data.layout import read_scenes  # noqa: PLC0415  these take seconds
    from search.artifact.evaluation import load_dataset_for  # noqa: PLC0415
    from search.artifact.reading import load_export  # noqa: PLC0415
    from search.export.certification import certify, read_evaluated_scenes  # noqa: PLC0415
    from search.export.quantization_variants import compare  # noqa: PLC0415

    export = load_export(folder)
    if keep is not None:
        read_evaluated_scenes(folder, data)  # before anything takes long
    dataset = load_dataset_for(export, read_scenes(data, split), impulse_responses, cache)
    with tempfile.TemporaryDirectory(prefix="scenefront-") as place:
        comparison = compare(export, dataset, Path(place), epochs=epochs, method=method, log=err.print)
        if as_json:
            shown = {"evaluation_clips": comparison.num_clips, "variants": [v.to_dict() for v in comparison.variants]}
            click.echo(json.dumps(shown, indent=2))
        else:
            out.print(comparison_table(comparison, _title(folder, comparison)))
        if keep is not None:
            certify(folder, {INT8: comparison[keep].path}, data, cache=cache, notes=_notes(comparison[keep], epochs))
            err.print(f"{folder / INT8} is now {keep}", soft_wrap=True)


def _notes(kept: "Variant", epochs: int) -> list[str]:
    """Return notes for the export's model card."""
    if kept.float_layers:
        return [f"{INT8} keeps the most sensitive layers in fp32: {', '.join(kept.float_layers)}."]
    return [f"{INT8} is from quantization-aware training, {counted(epochs, 'epoch')} after the rest."] * (
        kept.name == QAT
    )


def comparison_table(comparison: "Comparison", title: str) -> Table:
    """Return the table of quantization variants: quality, log loss, sizes in bytes."""
    head = [
        "variant", "fp32 layers", "macro accuracy", "accuracy drop", "log loss", "disagreement", "weights",
        "with biases, norms", "scales", "file",
    ]  # fmt: skip
    rows = [
        [
            each.name,
            ", ".join(each.float_layers) or ("all" if each.name == FP32 else "none"),
            f"{each.quality.macro_accuracy:.1%}",
            "" if each.name == FP32 else f"{100 * each.accuracy_drop:.1f} ± {100 * each.accuracy_drop_ci:.1f}",
            f"{each.quality.log_loss:.3f}",
            f"{each.disagreement:.1%}",
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
    scope = comparison.variants[0].quality.scope
    clips += f", macro accuracy{scope}" if scope else ""
    drop = "accuracy drop in points with its 95 % interval, paired by recording"
    return f"{folder.name} on {clips}; {drop}; sizes in bytes"
