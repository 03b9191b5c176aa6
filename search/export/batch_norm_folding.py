"""Batch-norm folding for inference."""

from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from search.config.trial_config import TrialConfig
from training.quantization import Quantizer, effective_weight_of


def float_network(network: nn.Module, config: TrialConfig) -> nn.Module:
    """Return a network of the same weights without fake quantization, in eval mode, on the CPU."""
    plain = config.build()
    plain.load_state_dict(network.state_dict())
    return plain.eval()


@torch.no_grad()
def fold_batch_norms(network: nn.Module, config: TrialConfig) -> nn.Module:
    """Return an equivalent network in which every batch norm that follows a layer alone is folded into that layer.

    Layers with an effective weight other than `weight`, such as a damped one, become plain layers of that weight.
    Layers keep their names; a folded norm is replaced by an identity.
    """
    folded = float_network(network, config)
    quantizer = Quantizer(folded, config.input_shape)
    names = {module: name for name, module in folded.named_modules()}
    for name, layer in quantizer.layers.items():
        new = _with_effective_weight(layer)
        norm = quantizer.norms.get(name)
        if norm is not None and norm.running_var is not None:
            new = _folded(new, norm)
            folded.set_submodule(names[norm], nn.Identity())
        folded.set_submodule(name, new)
    return folded.eval()


def _folded(layer: nn.Module, norm: _BatchNorm) -> nn.Module:
    if norm.weight is None:  # without an affine transform; torch's folding needs an explicit one
        norm.weight, norm.bias = nn.Parameter(torch.ones_like(norm.running_var)), None
    if norm.bias is None:
        norm.bias = nn.Parameter(torch.zeros_like(norm.weight))
    if isinstance(layer, nn.Linear):
        return fuse_linear_bn_eval(layer, norm)
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    return fuse_conv_bn_eval(layer, norm)


def _with_effective_weight(layer: nn.Module) -> nn.Module:
    """Return a layer whose `weight` is the effective one: the layer itself unless it has another."""
    if not hasattr(layer, "effective_weight"):
        return layer
    plain = _torch_layer(layer)
    plain.load_state_dict({"weight": effective_weight_of(layer)} | ({} if layer.bias is None else {"bias": layer.bias}))
    return plain.eval()


def _torch_layer(layer: Any) -> nn.Module:
    """Return a plain torch layer with the hyperparameters of `layer`, which is of a subclass."""
    has_bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, layer.out_features, has_bias)
    sizes: Any = (
        layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding, layer.dilation,
        layer.groups, has_bias, layer.padding_mode,
    )  # fmt: skip
    return nn.Conv1d(*sizes) if isinstance(layer, nn.Conv1d) else nn.Conv2d(*sizes)
