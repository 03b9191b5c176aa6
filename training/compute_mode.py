"""How a training step is computed: memory format, precision, CUDA graphs. What is learned is the same but for rounding.

Which way is fastest depends on the architecture and on the machine, so a search times them and assumes nothing.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

Step = Callable[..., Tensor]  # of a batch's tensors; gives the loss

# Before a graph is captured, as torch asks for: libraries choose their kernels in the first steps.
WARM_UP_STEPS = 3


@dataclass(frozen=True)
class ComputeMode:
    """One way to compute a step. The defaults are torch's own: the plain way.

    Attributes:
        channels_last: Whether the channels of a position lie beside each other in memory.
        bf16: Whether matrix products and what is between them are computed in bfloat16; weights, batch norms'
            statistics, the loss and the evaluation stay in fp32.
        graphed: Whether a GPU replays the whole step as one recording.
    """

    channels_last: bool = False
    bf16: bool = False
    graphed: bool = False

    @property
    def memory_format(self) -> torch.memory_format:
        """Torch's name of the format."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def __str__(self) -> str:
        """Name it for people."""
        parts = ["bf16" if self.bf16 else "fp32", "channels last" if self.channels_last else "channels first"]
        return ", ".join([*parts, "CUDA graph"] if self.graphed else parts)

    def to_dict(self) -> dict[str, bool]:
        """Return it as JSON can hold it."""
        return asdict(self)


DEFAULT_MODE = ComputeMode()


def candidates(device: torch.device) -> list[ComputeMode]:
    """Return the ways that are worth timing on a device, the plain one first."""
    on_gpu = device.type == "cuda"
    precisions = [False, True] if supports_bf16(device) else [False]
    ways = [ComputeMode(channels_last=last, bf16=bf16, graphed=on_gpu) for bf16 in precisions for last in (False, True)]
    # A network that cannot be recorded has a way with bf16, too.
    return [DEFAULT_MODE, ComputeMode(channels_last=True, bf16=precisions[-1]), *ways] if on_gpu else ways


def supports_bf16(device: torch.device) -> bool:
    """Whether the device has bfloat16; a processor without instructions for it is as slow as a timed step says."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call] # torch leaves it untyped
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # torch has no public name for it


class CudaGraphStep:
    """A training step that a GPU records once for each batch size and then replays: one launch and not hundreds.

    What it computes must not wait for the GPU. The first `WARM_UP_STEPS` batches of a size are computed as they are.
    Source: torch's notes on CUDA graphs, "Whole-network capture".
    """

    def __init__(self, step: Step, optimizer: torch.optim.Optimizer) -> None:
        """Wrap `step`, which trains on the tensors of a batch, the clips along their first axis, and gives the loss."""
        self.step, self.optimizer = step, optimizer
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call] # torch leaves it untyped
        self.seen: dict[int, int] = {}
        self.graphs: dict[int, tuple[torch.cuda.CUDAGraph, list[Tensor | None], Tensor]] = {}

    def __call__(self, x: Tensor, *others: Tensor | None) -> Tensor:
        """Train on one batch; give its loss."""
        size = len(x)
        if size not in self.graphs:
            if self.seen.get(size, 0) < WARM_UP_STEPS:
                self.seen[size] = self.seen.get(size, 0) + 1
                return self._aside(x, *others)
            self.graphs[size] = self._capture(x, *others)
        graph, static, loss = self.graphs[size]
        for there, now in zip(static, (x, *others), strict=True):
            if there is not None and now is not None:
                there.copy_(now)
        graph.replay()
        return loss.clone()

    def _aside(self, *batch: Tensor | None) -> Tensor:
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            loss = self.step(*batch)
        torch.cuda.current_stream().wait_stream(self.stream)
        return loss

    def _capture(self, *batch: Tensor | None) -> tuple[torch.cuda.CUDAGraph, list[Tensor | None], Tensor]:
        graph = torch.cuda.CUDAGraph()
        static = [None if part is None else part.clone() for part in batch]
        # Gradients are then made anew in the graph's own memory, and written rather than added to.
        self.optimizer.zero_grad(set_to_none=True)
        # Recordings never run at one time, so they share their memory.
        pool = next((each[0].pool() for each in self.graphs.values()), None)
        with torch.cuda.graph(graph, pool=pool):
            loss = self.step(*static)
        return graph, static, loss
