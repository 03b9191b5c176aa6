"""Conversion of an export to an ExecuTorch program, for phones and boards: model.pte, run by XNNPACK.

    model.pte        log-mel (1, C, F, T) to logits (1, K): one clip at a time

With clips to calibrate on it is quantized to int8: weights with a scale for each output channel, inputs and outputs of
layers with a scale for each tensor, as XNNPACK's kernels need it; model.int8.onnx quantizes the inputs of layers only.

The package is an extra, `scenefront[executorch]`; without it `write_program` raises an error that says so.

Shape letters: B batch, C channels, F mel bins, T frames, K classes.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from data.atomic_file import write_atomic
from search.artifact.executorch_runtime import require_available, suppress_warnings
from search.export.batch_norm_folding import fold_batch_norms

if TYPE_CHECKING:
    from search.artifact.reading import Export


def write_program(path: Path, export: "Export", clips: Iterable[Tensor] | None = None) -> None:
    """Write the network as an ExecuTorch program.

    Args:
        clips: Batches of log-mel (B, C, F, T) of training clips, to calibrate int8 on; None: fp32.

    Raises:
        CheckpointError: The extra is not installed.
    """
    require_available()
    network: nn.Module = fold_batch_norms(export.network, export.config)
    clip = (torch.zeros(1, *export.config.input_shape),)
    with suppress_warnings(), torch.no_grad():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner  # noqa: PLC0415  extra
        from executorch.exir import to_edge_transform_and_lower  # noqa: PLC0415

        if clips is not None:
            network = _quantized(network, clip, clips)
        lowered = to_edge_transform_and_lower(torch.export.export(network, clip), partitioner=[XnnpackPartitioner()])
        program = lowered.to_executorch()
    write_atomic(path, program.buffer)


def _quantized(network: nn.Module, clip: tuple[Tensor], clips: Iterable[Tensor]) -> nn.Module:
    """Return the network quantized for XNNPACK, its ranges calibrated on `clips`."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (  # noqa: PLC0415  an extra
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e  # noqa: PLC0415

    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(torch.export.export(network, clip).module(), quantizer)
    for batch in clips:
        for each in torch.split(batch, 1):
            prepared(each)
    quantized: nn.Module = convert_pt2e(prepared)
    return quantized
