"""Compute modes of a training step: memory format, precision and CUDA graphs; results differ by rounding alone.

Which mode is fastest depends on the architecture and on the machine: a search times them (`training/throughput.py`).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

Step = Callable[..., Tensor]  # from a batch's tensors to the loss

WARM_UP_STEPS = 3  # before a CUDA graph is captured, as torch requires: cuDNN and cuBLAS select their kernels


@dataclass(frozen=True)
class ComputeMode:
    """Memory format, precision and launch mode of a training step. The defaults are torch's own.

    Attributes:
        channels_last: Use `torch.channels_last` (NHWC) in place of the contiguous format (NCHW).
        bf16: Autocast to bfloat16; weights, batch norm statistics, the loss and the evaluation stay in fp32.
        graphed: Capture the whole step in a CUDA graph and replay it.
    """

    channels_last: bool = False
    bf16: bool = False
    graphed: bool = False

    @property
    def memory_format(self) -> torch.memory_format:
        """The memory format as torch names it."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def __str__(self) -> str:
        """Return a label such as "bf16, channels last, CUDA graph"."""
        parts = ["bf16" if self.bf16 else "fp32", "channels last" if self.channels_last else "channels first"]
        return ", ".join([*parts, "CUDA graph"] if self.graphed else parts)

    def to_dict(self) -> dict[str, bool]:
        """Return the fields for JSON."""
        return asdict(self)


DEFAULT_MODE = ComputeMode()


def candidates(device: torch.device) -> list[ComputeMode]:
    """Return the modes that are worth timing on a device, the default one first."""
    on_gpu = device.type == "cuda"
    precisions = [False, True] if supports_bf16(device) else [False]
    modes = [
        ComputeMode(channels_last=last, bf16=bf16, graphed=on_gpu) for bf16 in precisions for last in (False, True)
    ]
    # Also without a CUDA graph: some networks cannot be captured.
    return [DEFAULT_MODE, ComputeMode(channels_last=True, bf16=precisions[-1]), *modes] if on_gpu else modes


def supports_bf16(device: torch.device) -> bool:
    """Return whether the device computes in bfloat16; a CPU may support it without fast instructions for it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call] # torch leaves it untyped
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # torch has no public name for it


class CudaGraphStep:
    """A training step captured in one CUDA graph for each batch size: one launch in place of hundreds.

    The step must not synchronize with the GPU. The first `WARM_UP_STEPS` batches of a size run without a graph.
    Source: torch's notes on CUDA graphs, "Whole-network capture".
    """

    def __init__(self, step: Step, optimizer: torch.optim.Optimizer) -> None:
        """Wrap a step, which trains on a batch's tensors (first axis: the batch) and returns the loss."""
        self.step, self.optimizer = step, optimizer
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call] # torch leaves it untyped
        self.warm_ups: dict[int, int] = {}
        self.graphs: dict[int, tuple[torch.cuda.CUDAGraph, list[Tensor | None], Tensor]] = {}

    def __call__(self, x: Tensor, *others: Tensor | None) -> Tensor:
        """Train on one batch; return its loss."""
        size = len(x)
        if size not in self.graphs:
            if self.warm_ups.get(size, 0) < WARM_UP_STEPS:
                self.warm_ups[size] = self.warm_ups.get(size, 0) + 1
                return self._warm_up(x, *others)
            self.graphs[size] = self._capture(x, *others)
        graph, static, loss = self.graphs[size]
        for buffer, value in zip(static, (x, *others), strict=True):
            if buffer is not None and value is not None:
                buffer.copy_(value)
        graph.replay()
        return loss.clone()

    def _warm_up(self, *batch: Tensor | None) -> Tensor:
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            loss = self.step(*batch)
        torch.cuda.current_stream().wait_stream(self.stream)
        return loss

    def _capture(self, *batch: Tensor | None) -> tuple[torch.cuda.CUDAGraph, list[Tensor | None], Tensor]:
        graph = torch.cuda.CUDAGraph()
        static = [None if part is None else part.clone() for part in batch]
        # So that gradients are allocated in the graph's memory pool, and written rather than added to.
        self.optimizer.zero_grad(set_to_none=True)
        # Graphs never run at the same time, so they share one pool.
        pool = next((each[0].pool() for each in self.graphs.values()), None)
        with torch.cuda.graph(graph, pool=pool):
            loss = self.step(*static)
        return graph, static, loss
