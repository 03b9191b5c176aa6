"""Quantization-aware training: a network hears itself rounded to int8, and learns to be right all the same.

Source: Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference",
CVPR 2018, sections 2 and 3: what is rounded and how, gradients that pass the rounding as if it were not there, and
batch norms folded into the convolutions before them. Weights have a scale for each output channel, as in
Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018, section 3.

Weights: q = round(w / s), s = max |w| / 127 of the output channel. Where a batch norm hears nothing but a layer's
output, w is what the layer will hold once the norm is folded into it: times gamma / sqrt(running variance + eps).
Activations: q = round(x / s) + z from -128 to 127, one s and one integer z for all of a tensor, from the range that was
heard in training, stretched to 0, which is exact. They are rounded where a layer hears them, and where the first module
hears the clip. Halves are rounded to even. Biases, and the shift of a folded norm, are 32-bit integers at the scale of
the sums, which rounds nothing that counts; sums of branches and norms that cannot be folded stay as they are.
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
NEW_SHARE = 0.01  # of a batch's range in the range so far


class _PassThrough(torch.autograd.Function):
    """Values rounded outside of it; their gradient is the rounded ones' where `inside` is, and zero elsewhere."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, rounded: Tensor, inside: Tensor | None) -> Tensor:  # noqa: ARG004  its shape
        ctx.save_for_backward(inside)
        return rounded.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return (grad if inside is None else grad * inside), None, None


def quantized_weight(weight: Tensor, factor: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Round a layer's weight as it will be stored.

    Args:
        weight: (C', ...), a row for each output channel.
        factor: (C',) by which a folded batch norm multiplies it, or None.

    Returns:
        int8 of the weight's shape, from -127 to 127, and the scale of each output channel (C',): their product is the
        folded weight but for the rounding. A channel of zeros has the scale 1.
    """
    folded = weight.detach() if factor is None else weight.detach() * _by_channel(factor, weight)
    scale = _positive(folded.abs().flatten(1).amax(1) / LARGEST_WEIGHT)
    steps = torch.round(folded / _by_channel(scale, weight)).clamp(-LARGEST_WEIGHT, LARGEST_WEIGHT)
    return steps.to(torch.int8), scale


def fake_quantize_weight(weight: Tensor, factor: Tensor | None = None) -> Tensor:
    """Return a layer's weight as `quantized_weight` stores it, with the batch norm taken out again.

    A channel that its batch norm multiplies with zero is rounded as if there were none: it is not heard.
    """
    if factor is not None:
        factor = torch.where(factor == 0, torch.ones_like(factor), factor)
    steps, scale = quantized_weight(weight, factor)
    rounded = steps * _by_channel(scale if factor is None else scale / factor, weight)
    passed: Tensor = _PassThrough.apply(weight, rounded, None)  # type: ignore[no-untyped-call] # torch leaves it untyped
    return passed


def scale_and_zero_point(span: Tensor) -> tuple[Tensor, Tensor]:
    """Return s and z of `span` (2,), the lowest and the highest value heard: two numbers, the second a whole one."""
    low, high = span[0].clamp(max=0), span[1].clamp(min=0)
    scale = _positive((high - low) / (HIGHEST - LOWEST))
    return scale, LOWEST - torch.round(low / scale)


def fake_quantize_activation(x: Tensor, span: Tensor) -> Tensor:
    """Round to the 256 values that `span` (2,), the lowest and the highest value heard, gives; clip what is outside.

    The gradient is 1 where nothing was clipped and 0 elsewhere.
    """
    values = x.detach().float()
    scale, zero = scale_and_zero_point(span)
    steps = torch.round(values / scale) + zero
    inside = (steps >= LOWEST) & (steps <= HIGHEST)
    rounded = (steps.clamp(LOWEST, HIGHEST) - zero) * scale
    passed: Tensor = _PassThrough.apply(x, rounded.to(x.dtype), inside)  # type: ignore[no-untyped-call] # as above
    return passed


def _positive(scale: Tensor) -> Tensor:
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def _by_channel(values: Tensor, weight: Tensor) -> Tensor:
    return values.view(-1, *[1] * (weight.ndim - 1))


class Quantizer:
    """Rounds what the layers of a network hear, and their weights, while it is active; the network keeps its own.

    What it knows is the range that each layer has heard, by the layer's name. A layer that computes with something
    else than its `weight` says so by a method `effective_weight()`, which gives what is rounded.

    Attributes:
        layers: Whose weights are rounded, by name.
        norms: The batch norm that will be folded into a layer, by the layer's name, where there is one.
    """

    def __init__(self, network: nn.Module, shape: Sequence[int]) -> None:
        """Find the layers, and the batch norms that will be folded into them, by a run on silence.

        Args:
            network: Where it is trained, or asked.
            shape: Of one clip: (C, F, T).
        """
        self._network = network
        run = _Run(network, shape)
        self.layers, self.norms = run.layers, run.folded
        self._listeners = {**run.hear_the_clip, **run.layers}
        device = next(network.parameters()).device
        self._spans = {name: torch.full((2,), torch.nan, device=device) for name in self._listeners}
        self._heard: set[str] = set()
        self._hooks: list[RemovableHandle] = []

    @contextmanager
    def active(self) -> Iterator[None]:
        """Round for a while. In training the ranges follow what is heard; in eval mode they stay.

        They also stay while the network's statistics are kept, but for a layer that has heard nothing yet.

        A CUDA graph holds the rounding if it was recorded while this was active, and none otherwise.
        """
        self.attach()
        try:
            yield
        finally:
            self.detach()

    def attach(self, names: Collection[str] | None = None) -> None:
        """Round from now on, as `active`; for a network that is only asked.

        Args:
            names: Of what rounds, of those that `tensors` gives; None: all.
        """
        for name, module in self._listeners.items():
            if names is not None and name not in names:
                continue
            self._hooks.append(module.register_forward_pre_hook(partial(self._before, name)))
            self._hooks.append(module.register_forward_hook(_bring_back))

    def detach(self) -> None:
        """Round no more."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        for layer in self.layers.values():
            _bring_back(layer)

    def _before(self, name: str, module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x, *others = args
        rounded = fake_quantize_activation(x, self._span(name, x.detach(), module.training))
        if name in self.layers:
            _bring_back(module)  # of a call that raised
            weight = fake_quantize_weight(effective_weight_of(module), self._factor(name))
            # Beside the parameter of that name, which stays in the state: what an object holds itself comes first.
            if hasattr(module, "effective_weight"):
                module.__dict__["effective_weight"] = partial(_same, weight)
            else:
                module.__dict__["weight"] = weight
        return rounded, *others

    @torch.no_grad()
    def _span(self, name: str, x: Tensor, is_training: bool) -> Tensor:
        """Return the range of what a layer hears, (2,), in training with what it hears now."""
        span = self._spans[name] = self._spans[name].to(x.device)
        if is_training and not (has_frozen_statistics(self._network) and name in self._heard):
            now = torch.stack(torch.aminmax(x.float()))
            span.copy_(torch.where(span.isnan(), now, span + NEW_SHARE * (now - span)))
            self._heard.add(name)
        elif name not in self._heard:
            raise ValueError(f"{name} has no range to round in yet: train a step while the quantizer is active")
        return span

    @torch.no_grad()
    def _factor(self, name: str) -> Tensor | None:
        """Return what the batch norm folded into a layer multiplies its output channels with, if there is one."""
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
        """Return all that a checkpoint or an export must hold: the range (2,) of each layer, by its name.

        One that has heard nothing yet has no numbers in it.
        """
        return {name: span.clone() for name, span in self._spans.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `tensors` gave.

        Raises:
            ValueError: They are of another network.
        """
        load_tensors("the range", self._spans, tensors)
        self._heard = {name for name, span in tensors.items() if bool(span.isfinite().all())}


def _bring_back(layer: nn.Module, *_: object) -> None:
    """Have a layer compute with its own weight again."""
    for name in ("weight", "effective_weight"):
        layer.__dict__.pop(name, None)


def effective_weight_of(layer: Any) -> Tensor:
    """Return the weight that a layer computes with."""
    weight: Tensor = layer.effective_weight() if hasattr(layer, "effective_weight") else layer.weight
    return weight


def _same(weight: Tensor) -> Tensor:
    return weight


class _Run:
    """What one run of a network shows.

    Attributes:
        layers: Those that ran, by name.
        folded: The batch norm that hears a layer's output as it is and nothing else, by the layer's name.
        hear_the_clip: Other modules with values of their own that hear the clip, or a view of it, by name.
    """

    def __init__(self, network: nn.Module, shape: Sequence[int]) -> None:
        self.layers: dict[str, nn.Module] = {}
        self.folded: dict[str, _BatchNorm] = {}
        self.hear_the_clip: dict[str, nn.Module] = {}
        self._outputs: list[tuple[str, Tensor, int]] = []  # of the layers, and their versions
        self._clip = zero_input(network, shape)
        hooks = []
        for name, module in network.named_modules():
            hooks.append(module.register_forward_pre_hook(partial(self._before, name)))
            if isinstance(module, LAYERS):
                hooks.append(module.register_forward_hook(partial(self._after, name)))
        try:
            with torch.no_grad(), eval_mode(network):
                network(self._clip)
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
        elif _owns_values(module) and x.untyped_storage().data_ptr() == self._clip.untyped_storage().data_ptr():
            self.hear_the_clip[name] = module
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
