"""Exports of small networks whose batch norms do something, as fp32 and as quantized in training."""

import torch

from search.artifact.reading import Export
from search.config.trial_config import TrialConfig
from training.inference_preprocessing import DEFAULT_PREPROCESSING
from training.module_modes import frozen_statistics
from training.quantization import Quantizer

CLASSES = ("airport", "bus", "metro", "park")
SIZES = {
    "bc_resnet": {"width": 8, "head_width": 16, "depth_1": 1, "depth_2": 1, "depth_3": 1, "depth_4": 2},
    "cp_mobile": {"base_channels": 8, "depth_1": 1, "depth_2": 1},
    "cp_resnet": {"width": 16, "groups": 4, "rho": 3},
    "isotropic": {"width": 8, "depth": 2, "columns": 2},
    "sep_cnn": {"channels_1": 8, "channels_2": 8, "channels_3": 16, "channels_4": 16, "hidden": 12},
    "tf_sepnet": {"width": 8},
}


def make_export(architecture, preprocessing=DEFAULT_PREPROCESSING, **values):
    config = TrialConfig.from_values(
        architecture, {"num_classes": len(CLASSES), **SIZES.get(architecture, {}), **values}
    )
    torch.manual_seed(0)
    network = config.build()
    clips = clips_of(config, 16)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm) and module.weight is not None:
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
        for name, value in network.named_parameters():
            if name.rpartition(".")[2] in {"rho", "gamma", "beta"}:
                value.add_(0.2 * torch.randn_like(value))
        network.train()
        for _ in range(6):
            network(clips)
    return Export(config, CLASSES, network.eval(), preprocessing)


def make_int8_export(architecture, **values):
    """Return the export as after quantization-aware training, with ranges of its own."""
    plain = make_export(architecture, quantize_share=0.5, **values)
    quantizer = Quantizer(plain.network, plain.config.input_shape)
    clips = clips_of(plain.config, 16)
    with quantizer.active(), frozen_statistics(plain.network), torch.no_grad():
        plain.network.train()
        plain.network(clips)
        plain.network.eval()
    quantizer.attach()
    return Export(plain.config, CLASSES, plain.network, plain.preprocessing, quantizer=quantizer)


def clips_of(config, number, seed=0):
    """Return inputs of a network: noise at the level of a log-mel, with another mean in each bin and clip."""
    channels, bins, frames = config.input_shape
    generator = torch.Generator().manual_seed(seed)
    level = torch.randn(number, 1, bins, 1, generator=generator)
    return -5 + 2 * level + torch.randn(number, channels, bins, frames, generator=generator)


def sounds_of(config, number, seed=0):
    """Return a second of noise each, at levels of their own, with a tone."""
    rate_hz = config.front_end_config.rate_hz
    generator = torch.Generator().manual_seed(seed)
    levels = 10 ** torch.empty(number, 1).uniform_(-3, -0.5, generator=generator)
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(rate_hz) / rate_hz)
    return levels * (torch.randn(number, rate_hz, generator=generator) + tone)
