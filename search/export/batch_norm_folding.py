"""A network as a device runs it: without what only training needs, its batch norms in the layers before them."""

from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from search.config.trial_config import TrialConfig
from training.quantization import Quantizer, effective_weight_of


def plain_network(network: nn.Module, config: TrialConfig) -> nn.Module:
    """Return a network of the same weights that rounds nothing, in eval mode, on the CPU.

    Args:
        network: With its weights; one that was trained for int8 rounds what it hears.
        config: What it is.
    """
    plain = config.build()
    plain.load_state_dict(network.state_dict())
    return plain.eval()


@torch.no_grad()
def folded_network(network: nn.Module, config: TrialConfig) -> nn.Module:
    """Return a network that answers the same, with every norm that hears a layer's output alone folded into that layer.

    Layers that compute with something else than their `weight`, such as a damped one, become plain ones with it. Layers
    keep their names; where a norm was there is nothing.

    Args:
        network: With its weights.
        config: What it is.
    """
    plain = plain_network(network, config)
    quantizer = Quantizer(plain, config.input_shape)
    names = {module: name for name, module in plain.named_modules()}
    for name, layer in quantizer.layers.items():
        new = _plain_layer(layer)
        norm = quantizer.norms.get(name)
        if norm is not None and norm.running_var is not None:
            new = _folded(new, norm)
            plain.set_submodule(names[norm], nn.Identity())
        plain.set_submodule(name, new)
    return plain.eval()


def _folded(layer: nn.Module, norm: _BatchNorm) -> nn.Module:
    if norm.weight is None:  # a norm that scales and shifts nothing: torch's folding wants it said
        norm.weight, norm.bias = nn.Parameter(torch.ones_like(norm.running_var)), None
    if norm.bias is None:
        norm.bias = nn.Parameter(torch.zeros_like(norm.weight))
    if isinstance(layer, nn.Linear):
        return fuse_linear_bn_eval(layer, norm)
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    return fuse_conv_bn_eval(layer, norm)


def _plain_layer(layer: nn.Module) -> nn.Module:
    """Return a layer that holds what another computes with: itself, unless it says that this is not its weight."""
    if not hasattr(layer, "effective_weight"):
        return layer
    plain = _like(layer)
    plain.load_state_dict({"weight": effective_weight_of(layer)} | ({} if layer.bias is None else {"bias": layer.bias}))
    return plain.eval()


def _like(layer: Any) -> nn.Module:
    """Make a layer of torch's own of the sizes of `layer`, one of a class of its own."""
    has_bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, layer.out_features, has_bias)
    sizes: Any = (
        layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding, layer.dilation,
        layer.groups, has_bias, layer.padding_mode,
    )  # fmt: skip
    return nn.Conv1d(*sizes) if isinstance(layer, nn.Conv1d) else nn.Conv2d(*sizes)
