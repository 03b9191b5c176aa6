"""Architectures: one a file, each a frozen config and its network.

Every network maps a log-mel spectrogram (B, in_channels, F, T) to logits (B, K) as `classify(features(x))`: features
(B, D), then logits. Some training methods use the two separately.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from models import bc_resnet, cp_mobile, cp_resnet, isotropic, sep_cnn, tf_sepnet
from models.counts import Counts, Shape

__all__ = ["ARCHITECTURES", "Architecture", "Counts", "Shape"]


@dataclass(frozen=True)
class Architecture:
    """A family of networks.

    Attributes:
        config: Frozen dataclass of its sizes; the defaults are the published network. Raises ValueError for
            sizes that build none. `num_classes` comes from the data; `in_channels`, and `mel_bins` where it has
            one, from the front end.
        network: Builds the network of a config.
        count: Closed-form cost of a config's network for one input of (in_channels, F, T), without building it.
            Raises ValueError for an input that it cannot take.
        front_end: Name of the front end that its report used: the default.
        is_built_to_count: Whether `count` builds the network, and is slow.
    """

    config: type[Any]
    network: Callable[[Any], nn.Module]
    count: Callable[[Any, Shape], Counts]
    front_end: str
    is_built_to_count: bool = False


ARCHITECTURES: dict[str, Architecture] = {
    "bc_resnet": Architecture(bc_resnet.BCResNetConfig, bc_resnet.BCResNet, bc_resnet.count, "bcresnet"),
    "cp_mobile": Architecture(cp_mobile.CPMobileConfig, cp_mobile.CPMobile, cp_mobile.count, "dcase24"),
    "cp_resnet": Architecture(cp_resnet.CPResNetConfig, cp_resnet.CPResNet, cp_resnet.count, "cpresnet"),
    "isotropic": Architecture(isotropic.IsotropicConfig, isotropic.Isotropic, isotropic.count, "dcase24"),
    "sep_cnn": Architecture(sep_cnn.SepCNNConfig, sep_cnn.SepCNN, sep_cnn.count, "sepcnn"),
    "tf_sepnet": Architecture(tf_sepnet.TFSepNetConfig, tf_sepnet.TFSepNet, tf_sepnet.count, "tfsepnet"),
}
