"""Weight averaging: stochastic weight averaging (SWA) and the exponential moving average (EMA).

Sources: Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018, algorithm 1 (SWA:
the equal mean, and batch norm statistics estimated anew); Polyak and Juditsky, 1992 (EMA), with the warm-up of
TensorFlow's ExponentialMovingAverage: after n updates the decay is at most (1 + n) / (10 + n).

Shape letters: B batch, C channels, F mel bins, T frames.
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
    """Average of a network's state dict over updates: weights and running statistics.

    Integers, such as a batch norm's `num_batches_tracked`, are those of the last update.

    Attributes:
        decay: Decay of the moving average; None: the equal mean of all updates.
        num_updates: Number of updates so far.
    """

    def __init__(self, network: nn.Module, decay: float | None = None) -> None:
        """Start from the network's current state, which the first update of an equal mean replaces.

        Raises:
            ValueError: Another decay.
        """
        if decay is not None and not 0 < decay < 1:
            raise ValueError(f"decay must be above 0 and below 1, or None for the equal mean, got {decay}")
        self.decay = decay
        self.num_updates = 0
        self._values = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Add the network's present state to the average, without synchronizing with its device."""
        state = network.state_dict()
        require_same_state("the average", self._values, state)
        averaged = [name for name, value in self._values.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [self._values[name] for name in averaged], [state[name] for name in averaged], self._new_share
        )
        for name, value in self._values.items():
            if not value.is_floating_point():
                value.copy_(state[name])
        self.num_updates += 1

    @property
    def _new_share(self) -> float:
        """Weight of the next update in the average."""
        if self.decay is None:
            return 1 / (self.num_updates + 1)
        return 1 - min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))

    @contextmanager
    def swapped(self, network: nn.Module) -> Iterator[None]:
        """Copy the average into the network; restore the network's own state at exit.

        Raises:
            ValueError: There was no update yet.
        """
        if not self.num_updates:
            raise ValueError("nothing was averaged yet: update the average with the network first")
        state = network.state_dict()
        require_same_state("the average", self._values, state)
        before = {name: value.clone() for name, value in state.items()}
        try:
            _copy_into(state, self._values)
            yield
        finally:
            _copy_into(state, before)

    def tensors(self) -> dict[str, Tensor]:
        """Return the average's state for a checkpoint, by name."""
        values = {VALUE + name: value.contiguous() for name, value in self._values.items()}
        return {NUM_UPDATES: torch.tensor(self.num_updates), **values}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the state that `tensors` returned.

        Raises:
            ValueError: They are of another network.
        """
        require_same_state("the average", self.tensors(), tensors)
        _copy_into(self._values, {name: tensors[VALUE + name] for name in self._values})
        self.num_updates = int(tensors[NUM_UPDATES])


@torch.no_grad()
def _copy_into(into: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, value in into.items():
        value.copy_(values[name])


@torch.no_grad()
def reestimate_batch_norm(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Re-estimate the running mean and variance of each batch norm over all batches, as torch's `update_bn`.

    Averaged weights have no running statistics of their own. Batches are weighted by their size, the variance is the
    unbiased one, and all modules but the batch norms are in eval mode: dropout, which is off at inference, would
    change the variance.

    Args:
        batches: Network inputs (B, C, F, T), on the network's device.

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
                    norm.momentum = len(x) / num_clips  # 1 at the first batch: the old statistics are dropped
                network(x)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
    if not num_clips:
        raise ValueError("there are no batches to estimate the batch norms' statistics from")
