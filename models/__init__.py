"""What can be built: one architecture a file, each a frozen config and its network.

Every network maps a log-mel spectrogram (B, 1, F, T) to logits (B, K), in two halves that a training method
may take apart: `features(x)` gives (B, D) and `classify(z)` gives (B, K).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from models import cp_mobile, isotropic
from models.counts import Counts, Shape

__all__ = ["ARCHITECTURES", "Architecture", "Counts", "Shape"]


@dataclass(frozen=True)
class Architecture:
    """A family of networks.

    Attributes:
        config: Frozen dataclass of its sizes; the defaults are the published network. Raises ValueError for
            sizes that build none.
        network: Builds the network of a config.
        count: What the network of a config costs on one input of (1, F, T), without building it. Raises
            ValueError for an input too small for the config.
    """

    config: type[Any]
    network: Callable[[Any], nn.Module]
    count: Callable[[Any, Shape], Counts]


ARCHITECTURES: dict[str, Architecture] = {
    "isotropic": Architecture(isotropic.IsotropicConfig, isotropic.Isotropic, isotropic.count),
    "cp_mobile": Architecture(cp_mobile.CPMobileConfig, cp_mobile.CPMobile, cp_mobile.count),
}
