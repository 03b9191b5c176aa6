"""Peak activation memory of layer-by-layer inference, by the liveness of tensors.

The rule: operators run one after the other, in the order of `forward`. A tensor is alive from the operator that
writes it to the last that reads it, the input from the start. While an operator runs, all that it reads and writes
is alive; but an elementwise one (an activation, a batch norm, an addition) runs in place, over an input of the same
size that is read no more. Views and the padding of a convolution take no memory. What does not depend on the input
is a weight.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

# Elementwise: the output may be written over an input.
# fmt: off  (by kind, not one a line)
IN_PLACE = frozenset(
    {
        "aten::_to_copy",
        "aten::abs",
        "aten::add",
        "aten::clamp",
        "aten::div",
        "aten::elu",
        "aten::exp",
        "aten::gelu",
        "aten::hardsigmoid",
        "aten::hardswish",
        "aten::hardtanh",
        "aten::leaky_relu",
        "aten::log",
        "aten::maximum",
        "aten::minimum",
        "aten::mul",
        "aten::native_batch_norm",
        "aten::neg",
        "aten::reciprocal",
        "aten::relu",
        "aten::rsqrt",
        "aten::rsub",
        "aten::sigmoid",
        "aten::silu",
        "aten::sqrt",
        "aten::sub",
        "aten::tanh",
    }
)
# fmt: on
# Done by the next layer as it reads: never stored.
FUSED = frozenset({"aten::constant_pad_nd"})


@dataclass(frozen=True)
class _Step:
    """One operator: the tensors that it reads and writes, by number."""

    reads: frozenset[int]
    writes: frozenset[int]
    in_place: bool


class Tape:
    """Records the operators of one forward pass, and the tensors that each reads and writes."""

    def __init__(self) -> None:
        self._steps: list[_Step] = []
        self._sizes: list[int] = []  # values of each tensor
        self._numbers: dict[int, int] = {}  # memory -> tensor
        self._kept: list[Tensor] = []  # references, so that no address is reused

    def start(self, clip: Tensor) -> None:
        """Record the input."""
        self._number(clip)

    def note(self, name: str, arguments: Iterable[Any], output: Any) -> None:
        """Record an operator that ran."""
        reads = {self._numbers[each] for each in map(_memory, _tensors(arguments)) if each in self._numbers}
        if not reads:
            return
        outputs = _tensors([output])
        if name in FUSED:
            self._kept += outputs
            self._numbers.update({_memory(each): min(reads) for each in outputs})
            return
        writes = {self._number(each) for each in outputs}
        self._steps.append(_Step(frozenset(reads), frozenset(writes), name in IN_PLACE))

    def _number(self, tensor: Tensor) -> int:
        memory = _memory(tensor)
        if memory not in self._numbers:
            self._kept.append(tensor)
            self._numbers[memory] = len(self._sizes)
            self._sizes.append(tensor.untyped_storage().nbytes() // tensor.element_size())
        return self._numbers[memory]

    def peak(self, output: Tensor) -> int:
        """Return the largest number of values that are alive at one time.

        Args:
            output: Of the network.
        """
        last = {number: index for index, step in enumerate(self._steps) for number in step.reads}
        last[self._number(output)] = len(self._steps)
        alive, most = {0}, self._sizes[0]
        for index, step in enumerate(self._steps):
            new = {number for number in step.writes - alive if number in last}  # the others are never read: not stored
            dying = {number for number in step.reads if last[number] == index}
            during = sum(self._sizes[number] for number in alive | new)
            if step.in_place and len(new) == 1:
                size = self._sizes[min(new)]
                during -= size if any(self._sizes[number] == size for number in dying - step.writes) else 0
            most = max(most, during)
            alive = (alive | new) - dying
        return most


def _memory(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            found += _tensors(value)
    return found
