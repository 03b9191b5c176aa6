"""Quantization-aware training: weights and activations are fake-quantized to int8, with straight-through gradients.

Source: Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference",
CVPR 2018, sections 2 and 3 (what is quantized, the straight-through estimator, batch norm folding); per-channel
weights as in Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018, section 3.

Symbols: w weight, x activation, q their int8 value, s scale, z zero point, gamma weight of a batch norm.
Weights: q = round(w / s), s = max |w| / 127 of the output channel. If a batch norm's only input is a layer's output,
w is the folded weight: times gamma / sqrt(running variance + eps).
Activations: q = round(x / s) + z from -128 to 127, one s and one integer z for a tensor, from the range observed in
training (a moving average), extended to contain 0, which is exact. The inputs of layers are quantized, and the
network's input. Halves are rounded to even. Biases, and the shift of a folded norm, are int32 at the scale of the
accumulator, with negligible error; sums of branches and norms that cannot be folded stay in fp32.

Shape letters: C' output channels, B batch, C channels, F mel bins, T frames.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from training.module_modes import eval_mode, has_frozen_statistics, zero_input
from training.state_dict import load_tensors

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)
LARGEST_WEIGHT = 127
LOWEST, HIGHEST = -128, 127
EMA_SHARE = 0.01  # weight of a batch's range in the moving average of ranges


class _StraightThrough(torch.autograd.Function):
    """Straight-through estimator: returns `rounded`; the gradient passes to `values` where `inside` is true."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, rounded: Tensor, inside: Tensor | None) -> Tensor:  # noqa: ARG004  its shape
        ctx.save_for_backward(inside)
        return rounded.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return (grad if inside is None else grad * inside), None, None


def quantized_weight(weight: Tensor, factor: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Quantize a layer's weight as it will be stored.

    Args:
        weight: (C', ...), a row for each output channel.
        factor: (C',) by which a folded batch norm multiplies it, or None.

    Returns:
        int8 of the weight's shape, from -127 to 127, and the scale of each output channel (C',): their product is the
        folded weight up to rounding. A channel of zeros has the scale 1.
    """
    folded = weight.detach() if factor is None else weight.detach() * _by_channel(factor, weight)
    scale = _positive(folded.abs().flatten(1).amax(1) / LARGEST_WEIGHT)
    steps = torch.round(folded / _by_channel(scale, weight)).clamp(-LARGEST_WEIGHT, LARGEST_WEIGHT)
    return steps.to(torch.int8), scale


def fake_quantize_weight(weight: Tensor, factor: Tensor | None = None) -> Tensor:
    """Return a layer's weight quantized and dequantized as `quantized_weight` stores it, before batch norm folding.

    A channel that its batch norm multiplies by zero is quantized as if there were none: its output is constant.
    """
    if factor is not None:
        factor = torch.where(factor == 0, torch.ones_like(factor), factor)
    steps, scale = quantized_weight(weight, factor)
    rounded = steps * _by_channel(scale if factor is None else scale / factor, weight)
    passed: Tensor = _StraightThrough.apply(weight, rounded, None)  # type: ignore[no-untyped-call] # torch leaves it untyped
    return passed


def scale_and_zero_point(value_range: Tensor) -> tuple[Tensor, Tensor]:
    """Return s and z of an observed range (2,), the minimum and the maximum: two scalars, the second an integer."""
    low, high = value_range[0].clamp(max=0), value_range[1].clamp(min=0)
    scale = _positive((high - low) / (HIGHEST - LOWEST))
    return scale, LOWEST - torch.round(low / scale)


def fake_quantize_activation(x: Tensor, value_range: Tensor) -> Tensor:
    """Quantize and dequantize activations by an observed range (2,), the minimum and the maximum; clip what is outside.

    The gradient is 1 where nothing was clipped and 0 elsewhere.
    """
    values = x.detach().float()
    scale, zero = scale_and_zero_point(value_range)
    steps = torch.round(values / scale) + zero
    inside = (steps >= LOWEST) & (steps <= HIGHEST)
    rounded = (steps.clamp(LOWEST, HIGHEST) - zero) * scale
    passed: Tensor = _StraightThrough.apply(x, rounded.to(x.dtype), inside)  # type: ignore[no-untyped-call] # as above
    return passed


def _positive(scale: Tensor) -> Tensor:
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def _by_channel(values: Tensor, weight: Tensor) -> Tensor:
    return values.view(-1, *[1] * (weight.ndim - 1))


class Quantizer:
    """Fake-quantizes the inputs and weights of a network's layers through hooks; parameters stay in fp32.

    Its state is the observed input range of each layer. A layer that computes with another tensor than its `weight`
    has a method `effective_weight()`, whose result is quantized.

    Attributes:
        layers: Layers with quantized weights, by name.
        norms: The batch norm that will be folded into a layer, by the layer's name, if there is one.
    """

    def __init__(self, network: nn.Module, shape: Sequence[int]) -> None:
        """Find the layers, and the batch norms that will be folded into them, by tracing the network.

        Args:
            shape: Shape of one input: (C, F, T).
        """
        self._network = network
        trace = _LayerTrace(network, shape)
        self.layers, self.norms = trace.layers, trace.folded
        self._quantized_modules = {**trace.input_modules, **trace.layers}
        device = next(network.parameters()).device
        self._ranges = {name: torch.full((2,), torch.nan, device=device) for name in self._quantized_modules}
        self._calibrated: set[str] = set()
        self._hooks: list[RemovableHandle] = []

    @contextmanager
    def active(self) -> Iterator[None]:
        """Fake-quantize within this context; ranges are updated in training mode and fixed in eval mode.

        They are also fixed within `frozen_statistics`, but for a layer without a range yet.

        A CUDA graph contains the quantization if it was captured within this context, and none otherwise.
        """
        self.attach()
        try:
            yield
        finally:
            self.detach()

    def attach(self, names: Collection[str] | None = None) -> None:
        """Fake-quantize until `detach`; for a network at inference.

        Args:
            names: Modules to quantize, as named by `tensors`; None: all.
        """
        for name, module in self._quantized_modules.items():
            if names is not None and name not in names:
                continue
            self._hooks.append(module.register_forward_pre_hook(partial(self._before, name)))
            self._hooks.append(module.register_forward_hook(_restore_weight))

    def detach(self) -> None:
        """Remove the hooks."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        for layer in self.layers.values():
            _restore_weight(layer)

    def _before(self, name: str, module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x, *others = args
        rounded = fake_quantize_activation(x, self._range(name, x.detach(), module.training))
        if name in self.layers:
            _restore_weight(module)  # if the last call raised
            weight = fake_quantize_weight(effective_weight_of(module), self._factor(name))
            # An instance attribute shadows the registered parameter, which stays in the state dict.
            if hasattr(module, "effective_weight"):
                module.__dict__["effective_weight"] = partial(_identity, weight)
            else:
                module.__dict__["weight"] = weight
        return rounded, *others

    @torch.no_grad()
    def _range(self, name: str, x: Tensor, is_training: bool) -> Tensor:
        """Return the range of a layer's input, (2,), in training updated with `x`."""
        value_range = self._ranges[name] = self._ranges[name].to(x.device)
        if is_training and not (has_frozen_statistics(self._network) and name in self._calibrated):
            now = torch.stack(torch.aminmax(x.float()))
            value_range.copy_(torch.where(value_range.isnan(), now, value_range + EMA_SHARE * (now - value_range)))
            self._calibrated.add(name)
        elif name not in self._calibrated:
            raise ValueError(f"{name} has no range to quantize with yet: train a step while the quantizer is active")
        return value_range

    @torch.no_grad()
    def _factor(self, name: str) -> Tensor | None:
        """Return the factor (C',) of the batch norm that is folded into a layer, if there is one."""
        norm = self.norms.get(name)
        if norm is None or norm.running_var is None:
            return None
        factor = (norm.running_var + norm.eps).rsqrt()
        return factor if norm.weight is None else factor * norm.weight

    @torch.no_grad()
    def weights(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Return each layer's weight as a device stores it, with its batch norm folded in: see `quantized_weight`."""
        return {
            name: quantized_weight(effective_weight_of(layer), self._factor(name))
            for name, layer in self.layers.items()
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return the state for a checkpoint or an export: the range (2,) of each layer, by its name.

        It is NaN for a layer without a range yet.
        """
        return {name: value_range.clone() for name, value_range in self._ranges.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the state that `tensors` returned.

        Raises:
            ValueError: They are of another network.
        """
        load_tensors("the range", self._ranges, tensors)
        self._calibrated = {name for name, value_range in tensors.items() if bool(value_range.isfinite().all())}


def _restore_weight(layer: nn.Module, *_: object) -> None:
    """Remove the fake-quantized weight that shadows a layer's own."""
    for name in ("weight", "effective_weight"):
        layer.__dict__.pop(name, None)


def effective_weight_of(layer: Any) -> Tensor:
    """Return the weight that a layer computes with."""
    weight: Tensor = layer.effective_weight() if hasattr(layer, "effective_weight") else layer.weight
    return weight


def _identity(weight: Tensor) -> Tensor:
    return weight


class _LayerTrace:
    """Trace of one forward pass on zeros.

    Attributes:
        layers: Those that ran, by name.
        folded: The batch norm whose only input is a layer's unchanged output, by the layer's name.
        input_modules: Other modules with parameters or buffers whose input is the network's, or a view of it, by name.
    """

    def __init__(self, network: nn.Module, shape: Sequence[int]) -> None:
        self.layers: dict[str, nn.Module] = {}
        self.folded: dict[str, _BatchNorm] = {}
        self.input_modules: dict[str, nn.Module] = {}
        self._outputs: list[tuple[str, Tensor, int]] = []  # of the layers, and their version counters
        self._input = zero_input(network, shape)
        hooks = []
        for name, module in network.named_modules():
            hooks.append(module.register_forward_pre_hook(partial(self._before, name)))
            if isinstance(module, LAYERS):
                hooks.append(module.register_forward_hook(partial(self._after, name)))
        try:
            with torch.no_grad(), eval_mode(network):
                network(self._input)
        finally:
            for hook in hooks:
                hook.remove()
        ran = [name for name, _, _ in self._outputs]
        self.folded = {name: norm for name, norm in self.folded.items() if ran.count(name) == 1}
        self._outputs.clear()

    def _before(self, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        x = args[0] if args else None
        if not isinstance(x, Tensor):
            return
        if isinstance(module, LAYERS):
            self.layers[name] = module
        elif _owns_values(module) and x.untyped_storage().data_ptr() == self._input.untyped_storage().data_ptr():
            self.input_modules[name] = module
        if isinstance(module, _BatchNorm):
            for layer, output, version in self._outputs:
                # The same object, not written to since, as an activation in place would; and of a linear layer, whose
                # channels are the last axis, one where these are the norm's, the second.
                if (
                    output is x
                    and output._version == version
                    and (output.ndim == 2 or not isinstance(self.layers[layer], nn.Linear))
                ):
                    self.folded[layer] = module

    def _after(self, name: str, _: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
        self._outputs.append((name, output, output._version))


def _owns_values(module: nn.Module) -> bool:
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return bool(own) and not any(True for _ in module.children())
