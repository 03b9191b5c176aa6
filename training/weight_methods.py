"""The recipe's methods on weights, in their order: pruning, averaging (SWA, EMA), quantization-aware training."""

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
    """Pruning, weight averaging and quantization-aware training of one network.

    After each optimizer step pruned weights are set to zero again, then the EMA is updated. After each epoch weights
    are pruned, then SWA is updated. Evaluation uses the averaged weights where there are any, with pruned weights at
    zero, and fake-quantized from the first epoch of quantization-aware training on.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, shape: Shape) -> None:
        """Set up the recipe's methods.

        Raises:
            TrainingError: The network cannot be pruned to `prune_to` values.
        """
        self.network, self.recipe = network, recipe
        self.ema = WeightAverage(network, decay=recipe.ema_decay) if recipe.ema_decay else None
        self.swa = WeightAverage(network) if recipe.swa_epochs else None
        self.pruner = None
        if recipe.prune_to:
            self.pruner = Pruner(network, recipe.prune_to, recipe.prune_share, recipe.epochs, shape)
        self.quantizer = Quantizer(network, shape) if recipe.quantize_share else None

    def is_quantizing(self, epoch: int) -> bool:
        """Return whether `epoch`, counted from 1, and its evaluation are fake-quantized."""
        first = self.recipe.epochs - math.ceil(self.recipe.quantize_share * self.recipe.epochs - ROUNDING)
        return self.quantizer is not None and epoch > first

    @contextmanager
    def training(self, epoch: int) -> Iterator[None]:
        """Fake-quantize the steps of `epoch`, counted from 1, if the recipe does."""
        with self.quantizer.active() if self.quantizer and self.is_quantizing(epoch) else nullcontext():
            yield

    def after_step(self) -> None:
        """Update after an optimizer step."""
        if self.pruner is not None:
            self.pruner.apply()
        if self.ema is not None:
            self.ema.update(self.network)

    def after_epoch(self, epoch: int) -> None:
        """Update after `epoch`, counted from 1."""
        if self.pruner is not None:
            self.pruner.step(epoch)
        if self.swa is not None and self._is_averaging(epoch):
            self.swa.update(self.network)

    def _is_averaging(self, epoch: int) -> bool:
        return epoch > self.recipe.epochs - self.recipe.swa_epochs

    @contextmanager
    def evaluation_weights(self, epoch: int, batches: Iterable[Tensor]) -> Iterator[None]:
        """Put the weights for evaluation after `epoch` into the network; restore the training weights at exit.

        Args:
            epoch: Counted from 1.
            batches: Training inputs (B, C, F, T), for the batch norm statistics of averaged weights.
        """
        average = self.ema
        if self.swa is not None and self._is_averaging(epoch):
            average = self.swa
        with average.swapped(self.network) if average else nullcontext():
            if self.pruner is not None and average is not None:
                self.pruner.apply()  # the average holds epochs from before a weight was pruned
            with self.quantizer.active() if self.quantizer and self.is_quantizing(epoch) else nullcontext():
                if average is self.swa and average is not None:
                    reestimate_batch_norm(self.network, batches)
                yield

    def inference_tensors(self) -> dict[str, Mapping[str, Tensor]]:
        """Return what inference needs beside the weights, by part: the quantizer's ranges."""
        return {QUANTIZATION: self.quantizer.tensors()} if self.quantizer else {}

    def tensors(self) -> dict[str, Mapping[str, Tensor]]:
        """Return what a checkpoint of an unfinished run needs, by part."""
        average = self.ema or self.swa
        parts = {AVERAGE: average.tensors()} if average else {}
        return parts | ({PRUNING: self.pruner.tensors()} if self.pruner else {}) | self.inference_tensors()

    def load(self, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Restore the parts of `tensors` that are there.

        Raises:
            ValueError: One is of another network.
        """
        for part, method in ((AVERAGE, self.ema or self.swa), (PRUNING, self.pruner), (QUANTIZATION, self.quantizer)):
            if method is not None and part in parts:
                method.load(parts[part])
