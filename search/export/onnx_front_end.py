"""The front end as nodes of an ONNX graph: from one second of sound to what a network hears.

The same computation as `data/front_end.py`: the clip mirrored at its ends, a Fourier transform of each windowed frame,
the power in each mel bin, its logarithm, and the deltas. Every name begins with `FRONT_END`, so that what it stores can
be told from the network.

Shape letters: B batch, S samples, C channels, F mel bins, T frames, N copies of a clip.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper

from data.front_end import DELTA_REACH, ENERGY_FLOOR, FrontEndConfig, LogMel
from search.artifact.files import FRONT_END
from training.inference_preprocessing import Shift


class _Graph:
    """Nodes and constants, one after the other."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}

    def add(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add a node of one output; give the output's name."""
        output = f"{FRONT_END}{name}"
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def hold(self, name: str, values: npt.NDArray[Any]) -> str:
        """Add a constant; give its name."""
        full = f"{FRONT_END}{name}"
        self.constants[full] = numpy_helper.from_array(np.array(values, order="C"), full)
        return full

    def whole(self, *numbers: int) -> str:
        """Return the name of a list of whole numbers, held once."""
        return self.hold("_".join(["i", *map(str, numbers)]), np.array(numbers, np.int64))

    def roll(self, x: str, by: int, axis: int, size: int, name: str) -> str:
        """Shift along an axis; what leaves enters again."""
        at = (-by) % size
        if at == 0:
            return x
        first = self.add("Slice", [x, self.whole(0), self.whole(at), self.whole(axis)], f"{name}_first")
        last = self.add("Slice", [x, self.whole(at), self.whole(size), self.whole(axis)], f"{name}_last")
        return self.add("Concat", [last, first], name, axis=axis)


def front_end_graph(
    config: FrontEndConfig, shifts: Sequence[Shift], source: str, target: str
) -> tuple[list[NodeProto], list[TensorProto]]:
    """Return the nodes and constants of a front end.

    Args:
        config: Its settings.
        shifts: Of the copies of a clip.
        source: Name of the sound, (B, S), one second.
        target: Name of what a network hears, (N B, C, F, T): all clips of the first copy, then all of the second.
    """
    graph = _Graph()
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


def _log_mel(graph: _Graph, config: FrontEndConfig, sound: str, number: int) -> str:
    """Add what gives (B, 1, F, T) of (B, S)."""
    log_mel = LogMel(config)
    half, before = config.fft // 2, (config.fft - config.window) // 2
    window = np.zeros(config.fft, np.float64)
    window[before : before + config.window] = log_mel.window.numpy()
    mirrored = graph.add("Pad", [sound, graph.whole(0, half, 0, half)], f"mirrored_{number}", mode="reflect")
    # A runtime's transform in fp32 loses more digits than ours; in fp64 it loses none.
    precise = graph.add("Cast", [mirrored], f"precise_{number}", to=TensorProto.DOUBLE)
    column = graph.add("Unsqueeze", [precise, graph.whole(2)], f"column_{number}")
    hop, size = (
        graph.hold(name, np.array(value, np.int64)) for name, value in (("hop", config.hop), ("fft", config.fft))
    )
    spectrum = graph.add("STFT", [column, hop, graph.hold("window", window), size], f"spectrum_{number}", onesided=1)
    squares = graph.add("Mul", [spectrum, spectrum], f"squares_{number}")
    power = graph.add("ReduceSum", [squares, graph.whole(3)], f"power_{number}", keepdims=0)  # (B, T, frequencies)
    power = graph.add("Cast", [power], f"power_fp32_{number}", to=TensorProto.FLOAT)
    bands = []
    for band, (low, high) in enumerate(log_mel.reaches):
        weights = log_mel.get_buffer(f"band_{band}").numpy()[::2]  # real and imaginary part weigh the same
        part = graph.add(
            "Slice", [power, graph.whole(low // 2), graph.whole(high // 2), graph.whole(2)], f"part_{number}_{band}"
        )
        bands.append(graph.add("MatMul", [part, graph.hold(f"band_{band}", weights)], f"band_{number}_{band}"))
    energy = graph.add("Concat", bands, f"energy_{number}", axis=2)
    floor = graph.hold("floor", np.array(ENERGY_FLOOR, np.float32))
    logarithm = graph.add("Log", [graph.add("Add", [energy, floor], f"floored_{number}")], f"log_{number}")
    turned = graph.add("Transpose", [logarithm], f"turned_{number}", perm=[0, 2, 1])
    return graph.add("Unsqueeze", [turned, graph.whole(1)], f"log_mel_{number}")


def _with_deltas(graph: _Graph, log_mel: str, number: int) -> str:
    """Add what puts the slope over time, and the slope of that, beside (B, 1, F, T)."""
    steps = np.arange(-DELTA_REACH, DELTA_REACH + 1, dtype=np.float32)
    kernel = graph.hold("slope", (steps / (steps**2).sum())[None, None, None])
    channels = [log_mel]
    for order in ("first", "second"):
        pads = graph.whole(0, 0, 0, DELTA_REACH, 0, 0, 0, DELTA_REACH)
        padded = graph.add("Pad", [channels[-1], pads], f"{order}_padded_{number}", mode="edge")
        channels.append(graph.add("Conv", [padded, kernel], f"{order}_delta_{number}"))
    return graph.add("Concat", channels, f"with_deltas_{number}", axis=1)
