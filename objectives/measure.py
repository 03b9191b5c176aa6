"""MAC and parameter counter of one forward pass, by the rule of the DCASE challenge.

Source: NeSsi, https://github.com/AlbertoAncilotto/NeSsi, whose rule for PyTorch is torchinfo's: each weight
and bias of a convolution counts once per position of its output, of a linear layer or a batch norm once.

It counts the ATen operators that PyTorch dispatches, not the modules of a network, so that a product written in a
`forward` is counted too.
"""

import copy
import inspect
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from objectives.cost import Cost
from objectives.errors import ObjectiveError
from objectives.memory import Tape

# Rule of an operator: from its arguments, its output and the network's storages to MACs; None where it does not apply.
CountRule: TypeAlias = Callable[[Sequence[Any], Tensor, "frozenset[int]"], "int | None"]


def _convolution(args: Sequence[Any], output: Tensor, stored: frozenset[int]) -> int:  # noqa: ARG001  a CountRule
    """Return weights and bias times output positions, those that the network folded into the batch axis included."""
    _, weight, bias = args[:3]
    scalars = weight.numel() + (0 if bias is None else bias.numel())
    return int(scalars * output.numel() // output.shape[1])


def _linear(args: Sequence[Any], output: Tensor, stored: frozenset[int]) -> int | None:  # noqa: ARG001  a CountRule
    """Return weights and bias, once; None for a product of two activations, which is no linear layer."""
    *bias, _, weight = args[:3]
    if weight.untyped_storage().data_ptr() not in stored:
        return None
    return int(weight.numel() + sum(each.numel() for each in bias))


def _batch_norm(args: Sequence[Any], output: Tensor, stored: frozenset[int]) -> int:  # noqa: ARG001  a CountRule
    return sum(each.numel() for each in args[1:3] if each is not None)


# An operator named in neither table is an error, never a silent zero.
COUNTED: dict[str, CountRule] = {
    "aten::convolution": _convolution,
    "aten::addmm": _linear,
    "aten::mm": _linear,
    "aten::native_batch_norm": _batch_norm,
}

# Operators without parameters count as zero: the challenge's rule. In-place forms are the same operator.
# fmt: off  (by kind, not one a line)
FREE = frozenset(
    {
        # Arithmetic on activations, and owned scales and shifts, which count as parameters only.
        "aten::abs",
        "aten::add",
        "aten::clamp",
        "aten::div",
        "aten::exp",
        "aten::log",
        "aten::maximum",
        "aten::minimum",
        "aten::mul",
        "aten::neg",
        "aten::reciprocal",
        "aten::rsqrt",
        "aten::rsub",
        "aten::sqrt",
        "aten::sub",
        # Activations.
        "aten::_log_softmax",
        "aten::_softmax",
        "aten::elu",
        "aten::gelu",
        "aten::hardsigmoid",
        "aten::hardswish",
        "aten::hardtanh",
        "aten::leaky_relu",
        "aten::relu",
        "aten::sigmoid",
        "aten::silu",
        "aten::tanh",
        # Pooling and reductions.
        "aten::_adaptive_avg_pool2d",
        "aten::adaptive_max_pool2d",
        "aten::amax",
        "aten::amin",
        "aten::avg_pool2d",
        "aten::linalg_vector_norm",
        "aten::max",
        "aten::max_pool2d_with_indices",
        "aten::mean",
        "aten::sum",
        "aten::var",
        "aten::var_mean",
        # Shape, order and place.
        "aten::_to_copy",
        "aten::_unsafe_view",
        "aten::alias",
        "aten::as_strided",
        "aten::cat",
        "aten::channel_shuffle",
        "aten::clone",
        "aten::constant_pad_nd",
        "aten::copy",
        "aten::detach",
        "aten::expand",
        "aten::flip",
        "aten::permute",
        "aten::repeat",
        "aten::roll",
        "aten::select",
        "aten::slice",
        "aten::split",
        "aten::split_with_sizes",
        "aten::squeeze",
        "aten::stack",
        "aten::t",
        "aten::transpose",
        "aten::unbind",
        "aten::unsqueeze",
        "aten::upsample_nearest2d",
        "aten::view",
        # New tensors.
        "aten::arange",
        "aten::empty",
        "aten::full",
        "aten::new_empty",
        "aten::new_zeros",
        "aten::ones",
        "aten::ones_like",
        "aten::zeros",
        "aten::zeros_like",
    }
)
# fmt: on


class UncountedOperatorError(ObjectiveError):
    """A network runs operators that no rule counts; `operators` names them."""

    def __init__(self, network: str, operators: Sequence[str]) -> None:
        self.network, self.operators = network, tuple(operators)
        super().__init__(
            f"{network} runs {', '.join(operators)}, which no rule counts; "
            "add each to COUNTED or to FREE in objectives/measure.py"
        )

    def __reduce__(self) -> "tuple[type[UncountedOperatorError], tuple[str, tuple[str, ...]]]":
        return type(self), (self.network, self.operators)


@dataclass(frozen=True)
class LayerCost:
    """Cost of one layer, without its child modules.

    Attributes:
        name: Path of the module in the network; empty for the network itself.
        kind: Class of the module.
        output_shape: Of one clip, without the batch axis; empty if the layer did not run or returns no tensor.
        params: Parameters of its own; shared ones count for the first layer alone.
        macs: Multiply-accumulates of all its calls.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    params: int
    macs: int


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch leaves its modes untyped
    """Dispatch mode that adds up the MACs of a forward pass by layer."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.macs: dict[str, int] = {}
        self.outputs: dict[str, tuple[int, ...]] = {}
        self.unknown: set[str] = set()
        self.running: list[str] = [""]
        self.tape = Tape()
        self.stored = frozenset(p.untyped_storage().data_ptr() for p in network.parameters())
        for name, module in network.named_modules():
            module.register_forward_pre_hook(lambda *_, name=name: self.running.append(name))
            module.register_forward_hook(lambda _, __, output, name=name: self._leave(name, output))

    def _leave(self, name: str, output: object) -> None:
        self.running.pop()
        self.outputs[name] = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()

    def __torch_dispatch__(
        self, func: Any, types: object, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operator and count it."""
        output = func(*args, **(kwargs or {}))
        name = func._schema.name.removesuffix("_")
        if name in COUNTED:
            macs = COUNTED[name](args, output[0] if isinstance(output, tuple) else output, self.stored)
            if macs is None:
                self.unknown.add(f"{name} of two activations")
            else:
                self.macs[self.running[-1]] = self.macs.get(self.running[-1], 0) + macs
        elif name not in FREE:
            self.unknown.add(name)
        self.tape.note(name, args, output)
        return output


# torch 2.13 wraps it such that the first call imports torch's compiler: a second and 90 MB, for nothing.
_Counter.__torch_dispatch__ = inspect.unwrap(_Counter.__torch_dispatch__)  # type: ignore[method-assign]


def _copy_for_counting(model: nn.Module, input_shape: Iterable[int]) -> tuple[nn.Module, Tensor]:
    sizes = tuple(input_shape)
    if not sizes or min(sizes) < 1:
        raise ValueError(f"input_shape must be sizes of at least 1, without the batch axis, got {sizes}")
    network = copy.deepcopy(model).cpu().eval()
    dtype = next((p.dtype for p in network.parameters() if p.is_floating_point()), torch.get_default_dtype())
    return network, torch.zeros(1, *sizes, dtype=dtype)


def _count(model: nn.Module, input_shape: Iterable[int]) -> tuple[nn.Module, _Counter, int]:
    """Run a copy of `model` once; return the copy, its counter, and its peak of activations."""
    network, clip = _copy_for_counting(model, input_shape)
    counter = _Counter(network)
    counter.tape.start(clip)
    with torch.no_grad(), counter:
        output = network(clip)
    if counter.unknown:
        raise UncountedOperatorError(type(model).__name__, sorted(counter.unknown))
    return network, counter, counter.tape.peak(output)


def _layers(network: nn.Module, counter: _Counter) -> list[LayerCost]:
    owned: set[int] = set()
    layers = []
    for name, module in network.named_modules():
        mine = {id(p): p.numel() for p in module.parameters(recurse=False) if id(p) not in owned}
        owned |= set(mine)
        params, macs = sum(mine.values()), counter.macs.get(name, 0)
        if params or macs or not any(True for _ in module.children()):
            layers.append(LayerCost(name, type(module).__name__, counter.outputs.get(name, ()), params, macs))
    return layers


def layer_costs(model: nn.Module, input_shape: Iterable[int]) -> list[LayerCost]:
    """Return the cost of each layer of `model` for one input; counts on a copy.

    The layers are those without layers inside them, and others that own parameters or run counted operators
    themselves, in the order of the network's definition. They add up to what `measure_cost` returns.

    Args:
        model: The network, in any mode and on any device.
        input_shape: Of one clip, without the batch axis: (channels, F, T) for a log-mel spectrogram.

    Raises:
        UncountedOperatorError: An operator is in neither `COUNTED` nor `FREE`.
    """
    network, counter, _ = _count(model, input_shape)
    return _layers(network, counter)


def measure_cost(model: nn.Module, input_shape: Iterable[int], precision: str = "fp16") -> Cost:
    """Return the cost of `model` for one input; counts on a copy.

    Every stored value counts as non-zero.

    Args:
        model: The network, in any mode and on any device. Its frozen parameters count like the others.
        input_shape: Of one clip, without the batch axis: (channels, F, T) for a log-mel spectrogram.
        precision: Of the values as they will be stored: a key of `objectives.cost.BYTES`.

    Raises:
        UncountedOperatorError: An operator is in neither `COUNTED` nor `FREE`.
        ValueError: An unknown precision, or a size below 1.

    >>> measure_cost(nn.Conv2d(1, 8, 3, bias=False), (1, 10, 10))
    Cost(macs=4608, params=72, stored_values=72, peak_bytes=612, precision='fp16', nonzero_values=72)
    """
    network, counter, peak = _count(model, input_shape)
    layers = _layers(network, counter)
    params = sum(layer.params for layer in layers)
    running = (
        buffer.numel()
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if name in ("running_mean", "running_var")
    )
    return Cost(sum(layer.macs for layer in layers), params, params + sum(running), peak, precision)


def fvcore_macs(model: nn.Module, input_shape: Iterable[int]) -> int:
    """Return the MACs of the same pass by fvcore's rules: an independent check, not the count that limits apply to.

    fvcore leaves out biases, counts a batch norm's elements, and ignores operators that it does not know.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from fvcore.nn import FlopCountAnalysis  # noqa: PLC0415  its import runs torch.jit, which is deprecated
    network, clip = _copy_for_counting(model, input_shape)
    analysis = FlopCountAnalysis(network, clip)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    return int(analysis.total())
