"""What a file of weights stores, as read from the file itself: how many values of which type, and what they are.

    weights   what a layer multiplies with: of an int8 file one byte each, padding and names not counted
    biases    what a layer adds; with the shift of a batch norm that was folded into it
    norms     what is left of norms that no layer could take in, and other numbers that the network computes with
    scales    of int8 values: scales and zero points; a device needs them beside the values
    front_end constants of a pipeline's front end
    shapes    whole numbers that say how, not what: sizes, axes

What the challenge limits is a network's own values: weights, biases and norms (`Stored.value_bytes`). In an int8 file a
weight takes one byte, so the weights of a network of N parameters take less than N bytes, always. A bias takes two
bytes where that costs no accuracy and four elsewhere; where it took in a batch norm it stands for two parameters, so
that of networks whose norms are all folded weights and biases together take at most N bytes too, as long as no bias
needs four. A norm that is left takes two numbers a channel of two bytes each, as many parameters as it had, and twice
their number of bytes.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from search.artifact.files import FRONT_END
from search.artifact.onnx_runtime import read_onnx, stored_tensors
from training.checkpoint import read_tensors

WEIGHTS, BIASES, NORMS, SCALES, SHAPES = "weights", "biases", "norms", "scales", "shapes"
OF_FRONT_END = "front_end"
OF_NETWORK = (WEIGHTS, BIASES, NORMS)
LAYERS = ("Conv", "Gemm", "MatMul")
# Nodes that only make of a stored number the one that is computed with, and which of their inputs it is.
READING = {"Cast": 0, "DequantizeLinear": 0, "Mul": 0}


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a file.

    Attributes:
        name: Its own.
        kind: What it is, as at the top of this file.
        dtype: Such as "int8".
        num_values: How many numbers it holds.
        num_bytes: That they take.
        nonzero_values: Of its numbers.
    """

    name: str
    kind: str
    dtype: str
    num_values: int
    num_bytes: int
    nonzero_values: int


@dataclass(frozen=True)
class Stored:
    """All tensors of a file."""

    tensors: tuple[StoredTensor, ...]

    def bytes_of(self, *kinds: str) -> int:
        """Return the bytes of all tensors of some kinds."""
        return sum(each.num_bytes for each in self.tensors if each.kind in kinds)

    @property
    def weight_bytes(self) -> int:
        """Bytes of what layers multiply with."""
        return self.bytes_of(WEIGHTS)

    @property
    def int8_weight_bytes(self) -> int:
        """Those that are stored as int8."""
        return sum(each.num_bytes for each in self.tensors if each.kind == WEIGHTS and each.dtype == "int8")

    @property
    def bias_bytes(self) -> int:
        """Bytes of what layers add."""
        return self.bytes_of(BIASES)

    @property
    def norm_bytes(self) -> int:
        """Bytes of what is left of norms, and of other numbers that the network computes with."""
        return self.bytes_of(NORMS)

    @property
    def scale_bytes(self) -> int:
        """Bytes of scales and zero points."""
        return self.bytes_of(SCALES)

    @property
    def front_end_bytes(self) -> int:
        """Bytes of the front end's constants."""
        return self.bytes_of(OF_FRONT_END)

    @property
    def shape_bytes(self) -> int:
        """Bytes of sizes and axes."""
        return self.bytes_of(SHAPES)

    @property
    def value_bytes(self) -> int:
        """Bytes of all that stands for the network's own values: weights, biases and norms."""
        return self.bytes_of(*OF_NETWORK)

    @property
    def total_bytes(self) -> int:
        """Bytes of all tensors; the file is larger by its names and its graph."""
        return sum(each.num_bytes for each in self.tensors)

    @property
    def num_values(self) -> int:
        """How many values are the network's own."""
        return sum(each.num_values for each in self.tensors if each.kind in OF_NETWORK)

    @property
    def nonzero_values(self) -> int:
        """How many of the network's own values are not zero."""
        return sum(each.nonzero_values for each in self.tensors if each.kind in OF_NETWORK)

    @property
    def by_dtype(self) -> dict[str, tuple[int, int]]:
        """Values and bytes of each type."""
        found: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        for each in self.tensors:
            values, size = found[each.dtype]
            found[each.dtype] = values + each.num_values, size + each.num_bytes
        return dict(sorted(found.items()))

    def to_dict(self) -> dict[str, Any]:
        """Return the sums, and every tensor, as JSON can hold it."""
        return {
            "weight_bytes": self.weight_bytes,
            "bias_bytes": self.bias_bytes,
            "norm_bytes": self.norm_bytes,
            "scale_bytes": self.scale_bytes,
            "front_end_bytes": self.front_end_bytes,
            "shape_bytes": self.shape_bytes,
            "value_bytes": self.value_bytes,
            "total_bytes": self.total_bytes,
            "num_values": self.num_values,
            "nonzero_values": self.nonzero_values,
            "by_dtype": {name: {"values": count, "bytes": size} for name, (count, size) in self.by_dtype.items()},
            "tensors": [asdict(each) for each in self.tensors],
        }


def read_stored(path: Path) -> Stored:
    """Read what a file stores: a `.onnx` file, or else a safetensors file.

    Raises:
        CheckpointError: It is neither.
    """
    tensors = _of_onnx(read_onnx(path)) if path.suffix == ".onnx" else _of_safetensors(path)
    return Stored(tuple(tensors))


def _of_safetensors(path: Path) -> Iterator[StoredTensor]:
    for name, tensor in sorted(read_tensors(path)[0].items()):
        field = name.rpartition(".")[2]
        if not tensor.is_floating_point():
            kind = SHAPES  # batches that a norm has counted
        elif field == "weight" and tensor.ndim > 1:
            kind = WEIGHTS
        else:
            kind = BIASES if field == "bias" else NORMS
        dtype = str(tensor.dtype).removeprefix("torch.")
        size = tensor.numel() * tensor.element_size()
        yield StoredTensor(name, kind, dtype, tensor.numel(), size, int(tensor.count_nonzero()))


def _of_onnx(model: ModelProto) -> Iterator[StoredTensor]:
    kinds = dict(_kinds(model))
    for name, tensor in stored_tensors(model):
        values = numpy_helper.to_array(tensor)
        kind = kinds.get(name, NORMS if values.dtype.kind == "f" else SHAPES)
        if name.startswith(FRONT_END):
            kind = OF_FRONT_END
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type).name
        size = len(tensor.raw_data) if tensor.HasField("raw_data") else values.nbytes
        yield StoredTensor(name, kind, dtype, values.size, size, int(np.count_nonzero(values)))


def _kinds(model: ModelProto) -> Iterator[tuple[str, str]]:
    """Tell what the graph does with a tensor, where it says: the weights, biases and scales among them."""
    makers: dict[str, NodeProto] = {name: node for node in model.graph.node for name in node.output}
    scaled: set[str] = set()
    for node in model.graph.node:
        if node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
            scaled.update(node.input[1:])
    for name in scaled:
        maker = makers.get(name)  # the scale of a bias is the product of two
        yield from ((each, SCALES) for each in ([name] if maker is None else maker.input))
    for node in model.graph.node:
        if node.op_type in LAYERS:
            for place, kind in ((1, WEIGHTS), (2, BIASES)):
                if len(node.input) > place:
                    yield _source(node.input[place], makers), kind


def _source(name: str, makers: dict[str, NodeProto]) -> str:
    """Go back from what a layer computes with to what is stored of it."""
    while name in makers and makers[name].op_type in READING:
        name = makers[name].input[READING[makers[name].op_type]]
    return name
