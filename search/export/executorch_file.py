"""An export as an ExecuTorch program, for phones and boards: model.pte, computed by XNNPACK.

    model.pte        log-mel (1, C, F, T) to logits (1, K): a device hears a clip at a time

In int8 where there are clips to calibrate on: weights with a scale for each output channel, what is heard and what is
given rounded with one scale a tensor, as XNNPACK's kernels take it, so more is rounded than in model.int8.onnx.

The package is an extra, `scenefront[executorch]`; without it `is_available` is false and the other functions say so.

Shape letters: B batch, C channels, F mel bins, T frames, K classes.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from search.artifact.executorch_runtime import _quietly, _require_available
from search.export.batch_norm_folding import folded_network
from training.atomic_file import write_atomic

if TYPE_CHECKING:
    from search.artifact.reading import Export


def write_program(path: Path, export: "Export", clips: Iterable[Tensor] | None = None) -> None:
    """Write the network as a program.

    Args:
        path: Of the file.
        export: The network.
        clips: Batches of log-mel (B, C, F, T) to calibrate int8 on, training clips alone; None: fp32.

    Raises:
        CheckpointError: The extra is not installed.
    """
    _require_available()
    network: nn.Module = folded_network(export.network, export.config)
    clip = (torch.zeros(1, *export.config.input_shape),)
    with _quietly(), torch.no_grad():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner  # noqa: PLC0415  extra
        from executorch.exir import to_edge_transform_and_lower  # noqa: PLC0415

        if clips is not None:
            network = _rounded(network, clip, clips)
        lowered = to_edge_transform_and_lower(torch.export.export(network, clip), partitioner=[XnnpackPartitioner()])
        program = lowered.to_executorch()
    write_atomic(path, program.buffer)


def _rounded(network: nn.Module, clip: tuple[Tensor], clips: Iterable[Tensor]) -> nn.Module:
    """Return a network that rounds as XNNPACK does, its ranges from `clips`."""
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
    rounded: nn.Module = convert_pt2e(prepared)
    return rounded
