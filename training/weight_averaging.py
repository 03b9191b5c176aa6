"""Averages of the weights that a network had in training, which answer in place of the last ones.

Sources: Izmailov et al., "Averaging weights leads to wider optima and better generalization" (SWA), 2018, algorithm 1,
the equal mean and the statistics that are estimated anew; for the moving average Polyak and Juditsky, 1992, with the
start of TensorFlow's ExponentialMovingAverage, whose decay is at most (1 + n) / (10 + n) after n updates.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from training.module_modes import eval_mode
from training.state_dict import require_same_state

VALUE = "value."
NUM_UPDATES = "num_updates"


class WeightAverage:
    """An average of all that a network's state holds: weights, and running statistics with them.

    Whole numbers, such as a batch norm's number of batches, are those of the last update. What follows from the
    network's making and is not in its state is left alone.

    Attributes:
        decay: Share of the average that an update leaves of it; None: the average is the equal mean of all updates.
        num_updates: How many there were.
    """

    def __init__(self, network: nn.Module, decay: float | None = None) -> None:
        """Begin at the network as it stands; an equal mean forgets this with its first update.

        Args:
            network: Whose state is averaged.
            decay: Above 0 and below 1, or None.

        Raises:
            ValueError: A decay outside these.
        """
        if decay is not None and not 0 < decay < 1:
            raise ValueError(f"decay must be above 0 and below 1, or None for the equal mean, got {decay}")
        self.decay = decay
        self.num_updates = 0
        self._values = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take the network as it stands into the average, without waiting for its device."""
        state = network.state_dict()
        require_same_state("the average", self._values, state)
        averaged = [name for name, value in self._values.items() if value.is_floating_point()]
        torch._foreach_lerp_([self._values[name] for name in averaged], [state[name] for name in averaged], self._gain)
        for name, value in self._values.items():
            if not value.is_floating_point():
                value.copy_(state[name])
        self.num_updates += 1

    @property
    def _gain(self) -> float:
        """Share of the average that the next update becomes."""
        if self.decay is None:
            return 1 / (self.num_updates + 1)
        return 1 - min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))

    @contextmanager
    def swapped(self, network: nn.Module) -> Iterator[None]:
        """Have the network hold the average for a while, in its own memory; then what it held before.

        Raises:
            ValueError: Nothing was averaged yet.
        """
        if not self.num_updates:
            raise ValueError("nothing was averaged yet: update the average with the network first")
        state = network.state_dict()
        require_same_state("the average", self._values, state)
        before = {name: value.clone() for name, value in state.items()}
        try:
            _put(state, self._values)
            yield
        finally:
            _put(state, before)

    def tensors(self) -> dict[str, Tensor]:
        """Return all that a checkpoint must hold, by name."""
        values = {VALUE + name: value.contiguous() for name, value in self._values.items()}
        return {NUM_UPDATES: torch.tensor(self.num_updates), **values}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `tensors` gave.

        Raises:
            ValueError: They are of another network.
        """
        require_same_state("the average", self.tensors(), tensors)
        _put(self._values, {name: tensors[VALUE + name] for name in self._values})
        self.num_updates = int(tensors[NUM_UPDATES])


@torch.no_grad()
def _put(into: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, value in into.items():
        value.copy_(values[name])


@torch.no_grad()
def reestimate_batch_norm(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Return each batch norm the mean and the variance of what it hears now, over all batches.

    A mean of weights was never trained, so nothing was running while it heard anything. Each batch counts by its
    clips, its variance is the unbiased one, and all but the batch norms is in eval mode: a dropout that is not there
    when the network is asked must not widen what the norms hear.

    Args:
        network: In any mode, which it keeps.
        batches: Of clips (B, C, F, T), on the network's device.

    Raises:
        ValueError: There is no batch.
    """
    norms = [each for each in network.modules() if isinstance(each, _BatchNorm) and each.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    num_clips = 0
    with eval_mode(network):
        for norm in norms:
            norm.train()
        try:
            for x in batches:
                num_clips += len(x)
                for norm in norms:
                    norm.momentum = len(x) / num_clips  # 1 at the first: what was known before is forgotten
                network(x)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
    if not num_clips:
        raise ValueError("there are no batches to estimate the batch norms' statistics from")
