"""What becomes of a network's weights while it is trained: averaged, pruned, rounded to int8."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext

from torch import Tensor, nn

from models import Shape
from training.pruning import ROUNDING, Pruner
from training.quantization import Quantizer
from training.recipe import Recipe
from training.weight_averaging import WeightAverage, reestimate_batch_norm

AVERAGE, PRUNING, QUANTIZATION = "average", "pruning", "quantization"


class WeightMethods:
    """The methods of a recipe that work on weights, in the order in which they do.

    A step moves the weights, pruned ones are put back to zero, and the moving average follows. At the end of an epoch
    weights are pruned, then the epoch counts for the average of the last epochs. Whoever asks the network between
    epochs asks the average where there is one, with the pruned weights at zero, rounded to int8 from the epoch on in
    which that begins.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, shape: Shape) -> None:
        """Look the network over.

        Raises:
            ValueError: It cannot be pruned so far, or not be rounded.
        """
        self.network, self.recipe = network, recipe
        self.ema = WeightAverage(network, decay=recipe.ema_decay) if recipe.ema_decay else None
        self.swa = WeightAverage(network) if recipe.swa_epochs else None
        self.pruner = None
        if recipe.prune_to:
            self.pruner = Pruner(network, recipe.prune_to, recipe.prune_share, recipe.epochs, shape)
        self.quantizer = Quantizer(network, shape) if recipe.quantize_share else None

    def is_quantizing(self, epoch: int) -> bool:
        """Whether weights and activations are rounded in `epoch`, counted from 1, and in its evaluation."""
        first = self.recipe.epochs - math.ceil(self.recipe.quantize_share * self.recipe.epochs - ROUNDING)
        return self.quantizer is not None and epoch > first

    @contextmanager
    def training(self, epoch: int) -> Iterator[None]:
        """Compute the steps of an epoch, counted from 1, as its weights are rounded."""
        with self.quantizer.active() if self.quantizer and self.is_quantizing(epoch) else nullcontext():
            yield

    def after_step(self) -> None:
        """Follow a step of the optimizer."""
        if self.pruner is not None:
            self.pruner.apply()
        if self.ema is not None:
            self.ema.update(self.network)

    def after_epoch(self, epoch: int) -> None:
        """Follow an epoch, counted from 1."""
        if self.pruner is not None:
            self.pruner.step(epoch)
        if self.swa is not None and self._is_averaging(epoch):
            self.swa.update(self.network)

    def _is_averaging(self, epoch: int) -> bool:
        return epoch > self.recipe.epochs - self.recipe.swa_epochs

    @contextmanager
    def evaluation_weights(self, epoch: int, batches: Iterable[Tensor]) -> Iterator[None]:
        """Have the network be what it would answer with after `epoch`, counted from 1.

        Args:
            epoch: That is done.
            batches: Spectrograms (B, C, F, T) as training hears them, for the batch norms of averaged weights.
        """
        average = self.ema
        if self.swa is not None and self._is_averaging(epoch):
            average = self.swa
        with average.swapped(self.network) if average else nullcontext():
            if self.pruner is not None and average is not None:
                self.pruner.apply()  # an average of epochs before and after a weight was pruned is not zero
            with self.quantizer.active() if self.quantizer and self.is_quantizing(epoch) else nullcontext():
                if average is self.swa and average is not None:
                    reestimate_batch_norm(self.network, batches)
                yield

    def inference_tensors(self) -> dict[str, Mapping[str, Tensor]]:
        """Return what the network needs beside its weights to answer as it was measured, by part."""
        return {QUANTIZATION: self.quantizer.tensors()} if self.quantizer else {}

    def tensors(self) -> dict[str, Mapping[str, Tensor]]:
        """Return what a run needs to be taken up, by part."""
        average = self.ema or self.swa
        parts = {AVERAGE: average.tensors()} if average else {}
        return parts | ({PRUNING: self.pruner.tensors()} if self.pruner else {}) | self.inference_tensors()

    def load(self, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take over the parts that there are of what `tensors` gave.

        Raises:
            ValueError: One is of another network.
        """
        for part, method in ((AVERAGE, self.ema or self.swa), (PRUNING, self.pruner), (QUANTIZATION, self.quantizer)):
            if method is not None and part in parts:
                method.load(parts[part])
