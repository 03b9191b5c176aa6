"""Front end as an ONNX graph: log-mel spectrograms, with deltas, of one second of sound.

The same computation as `data/front_end.py`: reflection padding, a short-time Fourier transform, the power in each mel
bin, its logarithm, and the deltas. Every name begins with `FRONT_END`, which tells its constants from the network's.

Shape letters: B batch, S samples, C channels, F mel bins, T frames, N copies of test-time augmentation.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper

from data.front_end import DELTA_REACH, ENERGY_FLOOR, FrontEndConfig, LogMel
from search.artifact.files import FRONT_END
from training.inference_preprocessing import Shift


class _GraphBuilder:
    """Nodes and constants of a graph, in order."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}

    def add(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add a node with one output; return the name of the output."""
        output = f"{FRONT_END}{name}"
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def constant(self, name: str, values: npt.NDArray[Any]) -> str:
        """Add a constant; return its name."""
        full = f"{FRONT_END}{name}"
        self.constants[full] = numpy_helper.from_array(np.array(values, order="C"), full)
        return full

    def integers(self, *numbers: int) -> str:
        """Return the name of a constant list of integers, stored once."""
        return self.constant("_".join(["i", *map(str, numbers)]), np.array(numbers, np.int64))

    def roll(self, x: str, by: int, axis: int, size: int, name: str) -> str:
        """Shift circularly along an axis."""
        at = (-by) % size
        if at == 0:
            return x
        first = self.add("Slice", [x, self.integers(0), self.integers(at), self.integers(axis)], f"{name}_first")
        last = self.add("Slice", [x, self.integers(at), self.integers(size), self.integers(axis)], f"{name}_last")
        return self.add("Concat", [last, first], name, axis=axis)


def front_end_graph(
    config: FrontEndConfig, shifts: Sequence[Shift], source: str, target: str
) -> tuple[list[NodeProto], list[TensorProto]]:
    """Return the nodes and constants of a front end.

    Args:
        source: Name of the waveforms, (B, S), one second each.
        target: Name of the log-mel, (N B, C, F, T): all clips of the first copy, then all of the second.
    """
    graph = _GraphBuilder()
    copies = []
    for number, shift in enumerate(shifts):
        sound = graph.roll(source, shift.samples, 1, config.rate_hz, f"sound_{number}")
        log_mel = _log_mel(graph, config, sound, number)
        num_frames = config.shape()[2]
        log_mel = graph.roll(log_mel, shift.frames, 3, num_frames, f"shifted_{number}")
        copies.append(_with_deltas(graph, log_mel, number) if config.deltas else log_mel)
    if len(copies) > 1:
        copies = [graph.add("Concat", copies, "copies", axis=0)]
    _rename(graph.nodes, copies[0], target)
    return graph.nodes, list(graph.constants.values())


def _rename(nodes: Sequence[NodeProto], old: str, new: str) -> None:
    for node in nodes:
        node.output[:] = [new if name == old else name for name in node.output]


def _log_mel(graph: _GraphBuilder, config: FrontEndConfig, sound: str, number: int) -> str:
    """Add the nodes from waveforms (B, S) to log-mel (B, 1, F, T)."""
    log_mel = LogMel(config)
    half, before = config.fft // 2, (config.fft - config.window) // 2
    window = np.zeros(config.fft, np.float64)
    window[before : before + config.window] = log_mel.window.numpy()
    mirrored = graph.add("Pad", [sound, graph.integers(0, half, 0, half)], f"mirrored_{number}", mode="reflect")
    # ONNX Runtime's transform in fp32 is less precise than torch's.
    precise = graph.add("Cast", [mirrored], f"precise_{number}", to=TensorProto.DOUBLE)
    column = graph.add("Unsqueeze", [precise, graph.integers(2)], f"column_{number}")
    hop, size = (
        graph.constant(name, np.array(value, np.int64)) for name, value in (("hop", config.hop), ("fft", config.fft))
    )
    spectrum = graph.add(
        "STFT", [column, hop, graph.constant("window", window), size], f"spectrum_{number}", onesided=1
    )
    squares = graph.add("Mul", [spectrum, spectrum], f"squares_{number}")
    power = graph.add("ReduceSum", [squares, graph.integers(3)], f"power_{number}", keepdims=0)  # (B, T, frequencies)
    power = graph.add("Cast", [power], f"power_fp32_{number}", to=TensorProto.FLOAT)
    bands = []
    for band, (low, high) in enumerate(log_mel.reaches):
        weights = log_mel.get_buffer(f"band_{band}").numpy()[::2]  # real and imaginary part weigh the same
        part = graph.add(
            "Slice",
            [power, graph.integers(low // 2), graph.integers(high // 2), graph.integers(2)],
            f"part_{number}_{band}",
        )
        bands.append(graph.add("MatMul", [part, graph.constant(f"band_{band}", weights)], f"band_{number}_{band}"))
    energy = graph.add("Concat", bands, f"energy_{number}", axis=2)
    floor = graph.constant("floor", np.array(ENERGY_FLOOR, np.float32))
    logarithm = graph.add("Log", [graph.add("Add", [energy, floor], f"floored_{number}")], f"log_{number}")
    turned = graph.add("Transpose", [logarithm], f"turned_{number}", perm=[0, 2, 1])
    return graph.add("Unsqueeze", [turned, graph.integers(1)], f"log_mel_{number}")


def _with_deltas(graph: _GraphBuilder, log_mel: str, number: int) -> str:
    """Add the nodes from log-mel (B, 1, F, T) to log-mel, deltas and delta-deltas, (B, 3, F, T)."""
    steps = np.arange(-DELTA_REACH, DELTA_REACH + 1, dtype=np.float32)
    kernel = graph.constant("slope", (steps / (steps**2).sum())[None, None, None])
    channels = [log_mel]
    for order in ("first", "second"):
        pads = graph.integers(0, 0, 0, DELTA_REACH, 0, 0, 0, DELTA_REACH)
        padded = graph.add("Pad", [channels[-1], pads], f"{order}_padded_{number}", mode="edge")
        channels.append(graph.add("Conv", [padded, kernel], f"{order}_delta_{number}"))
    return graph.add("Concat", channels, f"with_deltas_{number}", axis=1)
