"""Stored values of a file of weights: number, type, bytes and kind of every tensor, as read from the file.

    weights   weights of convolutions and linear layers; in an int8 file one byte each
    biases    biases of layers, with the shift of a folded batch norm
    norms     batch norms that could not be folded, and other parameters
    scales    scales and zero points of int8 values
    front_end constants of a pipeline's front end
    shapes    integers such as sizes and axes

The challenge limits the network's own values: weights, biases and norms (`StoredValues.value_bytes`). In an int8 file a
weight takes one byte, so the weights of a network of N parameters take less than N bytes. A bias takes two bytes where
that loses no precision, else four. With a batch norm folded into it, it replaces two parameters, so the weights and
biases of a network whose norms are all folded take at most N bytes, as long as no bias needs four. A norm that is left
takes two numbers of two bytes a channel: as many values as it had parameters, in twice as many bytes.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from search.artifact.files import FRONT_END as FRONT_END_PREFIX
from search.artifact.onnx_runtime import read_onnx, stored_tensors
from training.checkpoint import read_tensors

WEIGHTS, BIASES, NORMS = NETWORK_KINDS = ("weights", "biases", "norms")
SCALES, FRONT_END, SHAPES = "scales", "front_end", "shapes"
LAYERS = ("Conv", "Gemm", "MatMul")
# Nodes that only convert a stored tensor -> index of that input.
CONVERSIONS = {"Cast": 0, "DequantizeLinear": 0, "Mul": 0}


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a file.

    Attributes:
        name: Name in the file.
        kind: One of the kinds at the top of this file.
        dtype: Such as "int8".
        num_values: Number of elements.
        num_bytes: Size of all elements, bytes.
        nonzero_values: Number of elements that are not zero.
    """

    name: str
    kind: str
    dtype: str
    num_values: int
    num_bytes: int
    nonzero_values: int


@dataclass(frozen=True)
class StoredValues:
    """All tensors of a file."""

    tensors: tuple[StoredTensor, ...]

    def bytes_of(self, *kinds: str) -> int:
        """Return the bytes of all tensors of some kinds."""
        return sum(each.num_bytes for each in self.tensors if each.kind in kinds)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights of layers."""
        return self.bytes_of(WEIGHTS)

    @property
    def scale_bytes(self) -> int:
        """Bytes of scales and zero points."""
        return self.bytes_of(SCALES)

    @property
    def value_bytes(self) -> int:
        """Bytes of the network's own values: weights, biases and norms."""
        return self.bytes_of(*NETWORK_KINDS)

    @property
    def total_bytes(self) -> int:
        """Bytes of all tensors; the file also holds names and the graph."""
        return sum(each.num_bytes for each in self.tensors)

    @property
    def num_values(self) -> int:
        """Number of the network's own values."""
        return sum(each.num_values for each in self.tensors if each.kind in NETWORK_KINDS)

    @property
    def nonzero_values(self) -> int:
        """Number of the network's own values that are not zero."""
        return sum(each.nonzero_values for each in self.tensors if each.kind in NETWORK_KINDS)

    @property
    def by_dtype(self) -> dict[str, tuple[int, int]]:
        """Number of elements and bytes, by data type."""
        found: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        for each in self.tensors:
            values, size = found[each.dtype]
            found[each.dtype] = values + each.num_values, size + each.num_bytes
        return dict(sorted(found.items()))

    def to_dict(self) -> dict[str, Any]:
        """Return the sums, and every tensor, for JSON."""
        return {
            "weight_bytes": self.weight_bytes,
            "bias_bytes": self.bytes_of(BIASES),
            "norm_bytes": self.bytes_of(NORMS),
            "scale_bytes": self.scale_bytes,
            "front_end_bytes": self.bytes_of(FRONT_END),
            "shape_bytes": self.bytes_of(SHAPES),
            "value_bytes": self.value_bytes,
            "total_bytes": self.total_bytes,
            "num_values": self.num_values,
            "nonzero_values": self.nonzero_values,
            "by_dtype": {name: {"values": count, "bytes": size} for name, (count, size) in self.by_dtype.items()},
            "tensors": [asdict(each) for each in self.tensors],
        }


def read_stored_values(path: Path) -> StoredValues:
    """Read the tensors of a `.onnx` file, or else of a safetensors file.

    Raises:
        CheckpointError: It is neither.
    """
    tensors = _of_onnx(read_onnx(path)) if path.suffix == ".onnx" else _of_safetensors(path)
    return StoredValues(tuple(tensors))


def _of_safetensors(path: Path) -> Iterator[StoredTensor]:
    for name, tensor in sorted(read_tensors(path)[0].items()):
        field = name.rpartition(".")[2]
        if not tensor.is_floating_point():
            kind = SHAPES  # the number of batches of a norm
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
        if name.startswith(FRONT_END_PREFIX):
            kind = FRONT_END
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type).name
        size = len(tensor.raw_data) if tensor.HasField("raw_data") else values.nbytes
        yield StoredTensor(name, kind, dtype, values.size, size, int(np.count_nonzero(values)))


def _kinds(model: ModelProto) -> Iterator[tuple[str, str]]:
    """Yield the kind of each tensor that the graph uses as weight, bias or scale."""
    producers: dict[str, NodeProto] = {name: node for node in model.graph.node for name in node.output}
    scaled: set[str] = set()
    for node in model.graph.node:
        if node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
            scaled.update(node.input[1:])
    for name in scaled:
        producer = producers.get(name)  # the scale of a bias is the product of two
        yield from ((each, SCALES) for each in ([name] if producer is None else producer.input))
    for node in model.graph.node:
        if node.op_type in LAYERS:
            for index, kind in ((1, WEIGHTS), (2, BIASES)):
                if len(node.input) > index:
                    yield _stored_tensor(node.input[index], producers), kind


def _stored_tensor(name: str, producers: dict[str, NodeProto]) -> str:
    """Return the stored tensor that an input of a layer is converted from."""
    while name in producers and producers[name].op_type in CONVERSIONS:
        name = producers[name].input[CONVERSIONS[producers[name].op_type]]
    return name
