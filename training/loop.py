"""Training loop of one network under one recipe, with checkpoints after each epoch."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from data.layout import Indices
from objectives.quality import Quality
from training.checkpoint import CheckpointError, read_checkpoint, save_checkpoint
from training.compute_mode import DEFAULT_MODE, ComputeMode, CudaGraphStep, Step
from training.dataset import REFERENCE_DEVICE, SceneDataset, split_batches
from training.errors import TrainingError
from training.inference_preprocessing import InferencePreprocessing
from training.loss import TrainingLoss
from training.optimizers import make_optimizer
from training.pipeline import Batch, TrainingPipeline
from training.recipe import Recipe
from training.schedule import rate_at
from training.state_dict import require_same_state
from training.weight_methods import WeightMethods

# Parts of a checkpoint beside those of `WeightMethods`.
AUXILIARY, CORRECTION, GAINS = "companion", "correction", "gains"
IDENTITY = "identity"  # key of a checkpoint's record


@dataclass(frozen=True)
class EpochResult:
    """Result of one epoch: the mean training loss, and the metrics on the evaluation clips after it."""

    epoch: int  # counted from 1
    train_loss: float
    quality: Quality
    duration_s: float


class DivergedError(TrainingError):
    """Training diverged: nothing finite comes of the network any more, and the run cannot be continued."""


class NonFiniteLossError(DivergedError):
    """The loss is infinite or not a number."""

    def __init__(self, epoch: int, step: int, loss: float, last_finite: float | None, learning_rate: float) -> None:
        self.epoch, self.step, self.loss = epoch, step, loss
        self.last_finite, self.learning_rate = last_finite, learning_rate
        before = "none before it was finite" if last_finite is None else f"the last finite one was {last_finite:.4g}"
        super().__init__(f"loss {loss} in epoch {epoch}, step {step}; {before}; learning rate {learning_rate:.4g}")


class NonFiniteOutputsError(DivergedError):
    """The outputs for evaluation clips are infinite or not a number: what the last step of an epoch ruined."""

    def __init__(self, epoch: int, num_bad: int, num_clips: int, train_loss: float, learning_rate: float) -> None:
        self.epoch, self.num_bad, self.train_loss, self.learning_rate = epoch, num_bad, train_loss, learning_rate
        super().__init__(
            f"outputs for {num_bad} of {num_clips} clips not finite after epoch {epoch}; its mean loss was "
            f"{train_loss:.4g}; learning rate {learning_rate:.4g}"
        )


class TrainingRun:
    """Training of one network.

    Each epoch's random numbers follow from (seed, epoch) alone, so a run resumed from a checkpoint gives the same
    results: bit for bit on a CPU, on a GPU up to the order of summation in its kernels.
    """

    def __init__(
        self,
        build: Callable[[], nn.Module],
        recipe: Recipe,
        dataset: SceneDataset,
        device: torch.device,
        compute_mode: ComputeMode = DEFAULT_MODE,
    ) -> None:
        """Build the network from the recipe's seed.

        Args:
            compute_mode: Requested mode of a step; parts that the recipe's methods exclude are switched off.

        Raises:
            DataError: The data set lacks what a method needs.
            TrainingError: The network cannot be pruned or masked as the recipe says.
        """
        self.pipeline = TrainingPipeline(dataset, recipe, device)
        _seed(recipe.seed, 0)
        self.network = build().to(device, memory_format=compute_mode.memory_format)  # type: ignore[call-overload]
        source = dataset.scenes.devices.index(REFERENCE_DEVICE) if REFERENCE_DEVICE in dataset.scenes.devices else -1
        self.loss_fn = TrainingLoss(self.network, recipe, self.pipeline.num_devices, source, dataset.input_shape)
        self.auxiliary_networks = self.loss_fn.auxiliary_networks.to(device)
        self.weight_methods = WeightMethods(self.network, recipe, dataset.input_shape)
        compute_mode = replace(
            compute_mode,
            # A random number drawn on the CPU within a step would be captured once and replayed.
            graphed=compute_mode.graphed and self.loss_fn.can_capture and self.weight_methods.quantizer is None,
            bf16=compute_mode.bf16
            and self.weight_methods.quantizer is None,  # int8 levels differ by less than bf16 resolves
        )
        self.recipe, self.dataset, self.device, self.compute_mode = recipe, dataset, device, compute_mode
        self.preprocessing = InferencePreprocessing.of(recipe, self.pipeline.correction)
        parameters = [*self.network.parameters(), *self.auxiliary_networks.parameters()]
        self.optimizer = make_optimizer(parameters, recipe, device, graphed=compute_mode.graphed)
        # Holds no reference to the run, so that the run's memory is freed with its last reference.
        self._train_on: Step = partial(_train_on_batch, self.loss_fn, self.optimizer, bf16=compute_mode.bf16)
        if compute_mode.graphed:
            self._train_on = CudaGraphStep(self._train_on, self.optimizer)
        self.results: list[EpochResult] = []
        self.steps_per_epoch = len(split_batches(self.pipeline.indices, recipe.batch_size))

    @property
    def epoch(self) -> int:
        """Number of epochs done."""
        return len(self.results)

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch >= self.recipe.epochs

    def run_epoch(self) -> EpochResult:
        """Train for one epoch, then evaluate.

        Raises:
            DivergedError: A step's loss, or the network's outputs after the last step, are not finite.
        """
        started = time.monotonic()
        train_loss = self.train_epoch()
        epoch = self.epoch + 1
        self.weight_methods.after_epoch(epoch)
        with self.weight_methods.evaluation_weights(epoch, self._training_inputs()):
            quality = self._evaluate(epoch, train_loss)
            if epoch == self.recipe.epochs:
                final = {name: value.clone() for name, value in self.network.state_dict().items()}
        if epoch == self.recipe.epochs:
            self.network.load_state_dict(final)  # with weight averaging, the averaged network
        result = EpochResult(epoch, train_loss, quality, time.monotonic() - started)
        self.results.append(result)
        return result

    def _evaluate(self, epoch: int, train_loss: float) -> Quality:
        logs = self.dataset.log_probabilities(self.network, self.device, self._preprocessing_after(epoch))
        num_bad = int((~logs.isfinite().all(dim=1)).sum())
        if num_bad:
            rate = float(self.optimizer.param_groups[0]["lr"])
            raise NonFiniteOutputsError(epoch, num_bad, len(logs), train_loss, rate)
        return self.dataset.score(logs)

    def _preprocessing_after(self, epoch: int) -> InferencePreprocessing:
        """Return the preprocessing of an epoch's evaluation: test-time augmentation after the last epoch alone."""
        return self.preprocessing if epoch == self.recipe.epochs else replace(self.preprocessing, copies=0)

    def _training_inputs(self) -> Iterator[Tensor]:
        """Yield an epoch's network inputs, augmented: (B, C, F, T) each."""
        for indices, mixup_indices in self._order():
            yield self.pipeline.batch(indices, mixup_indices).x

    def train_epoch(self) -> float:
        """Train for one epoch; return the mean loss.

        Raises:
            NonFiniteLossError: As `run_epoch`.
        """
        _seed(self.recipe.seed, self.epoch + 1)
        losses: list[Tensor] = []
        rates: list[float] = []
        self.network.train()
        self.auxiliary_networks.train()
        with self.weight_methods.training(self.epoch + 1):
            for indices, mixup_indices in self._order():
                rates.append(self._set_progress(self.epoch * self.steps_per_epoch + len(losses)))
                losses.append(self.step(indices, mixup_indices))
        # Read once an epoch: each read synchronizes with a GPU.
        values = torch.stack(losses).cpu().numpy()
        finite = np.isfinite(values)
        if not finite.all():
            step = int(finite.argmin())
            before = float(values[step - 1]) if step else None
            raise NonFiniteLossError(self.epoch + 1, step + 1, float(values[step]), before, rates[step])
        if not bool(torch.stack([value.isfinite().all() for value in self.network.state_dict().values()]).all()):
            # The last step diverged: no loss was computed with its weights yet.
            raise NonFiniteLossError(self.epoch + 1, len(values) + 1, float("nan"), float(values[-1]), rates[-1])
        return float(values.mean())

    def _order(self) -> Iterator[tuple[Indices, Indices | None]]:
        """Yield the indices of an epoch's batches, each with those of a second batch where mixup is between batches."""
        indices = split_batches(self._shuffled(), self.recipe.batch_size)
        between = self.recipe.mixup_alpha > 0 and self.recipe.mixup_between
        mixup_indices = split_batches(self._shuffled(), self.recipe.batch_size) if between else [None] * len(indices)
        yield from zip(indices, mixup_indices, strict=True)

    def _shuffled(self) -> Indices:
        shuffled: Indices = self.pipeline.indices[torch.randperm(len(self.pipeline.indices)).numpy()]
        return shuffled

    def _set_progress(self, step: int) -> float:
        """Set the learning rate and the loss's progress for a step, counted from 0; return the learning rate."""
        self.loss_fn.progress = step / (self.recipe.epochs * self.steps_per_epoch)
        rate = self.recipe.learning_rate * rate_at(self.recipe, step, self.steps_per_epoch)
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        return rate

    def step(self, indices: Indices, mixup_indices: Indices | None = None) -> Tensor:
        """Train on the clips at `indices` once, mixed with those at `mixup_indices` if given; return the loss."""
        loss = self._train_on(*self.pipeline.batch(indices, mixup_indices))
        self.weight_methods.after_step()
        return loss

    def save(self, path: Path, identity: Mapping[str, str] | None = None) -> None:
        """Write a checkpoint; after the last epoch only what inference needs.

        Args:
            path: The file.
            identity: What decides the result of this run beside its recipe, by name, such as the data.
        """
        results = [asdict(result) | {"quality": result.quality.to_dict()} for result in self.results]
        record = {"recipe": asdict(self.recipe), "results": results, IDENTITY: dict(identity or {})}
        parts = self.weight_methods.inference_tensors()
        if self.pipeline.correction is not None:
            parts = {**parts, CORRECTION: {GAINS: self.pipeline.correction.gains}}
        if self.is_over:
            save_checkpoint(path, self.network, None, record, parts)
        else:
            parts = {**parts, **self.weight_methods.tensors(), AUXILIARY: self.auxiliary_networks.state_dict()}
            save_checkpoint(path, self.network, self.optimizer, record, parts)

    def load(self, path: Path, identity: Mapping[str, str] | None = None) -> None:
        """Resume from a checkpoint of the same network and recipe.

        Args:
            path: The file.
            identity: Identity that it must have been saved with; None: any.

        Raises:
            CheckpointError: It is broken, of another network, or of another identity; this run is unchanged by the
                latter.
            TrainingError: It is of another recipe.
        """
        checkpoint = read_checkpoint(path)
        record = checkpoint.record
        found = record.get(IDENTITY, {})
        if identity is not None and found != dict(identity):
            others = [name for name in identity if found.get(name) != identity[name]]
            raise CheckpointError(f"{path} is of another {' and '.join(others)}")
        checkpoint.restore_network(self.network)
        if Recipe(**record["recipe"]) != self.recipe:  # fields added since have the default that held before
            raise TrainingError(f"{path} was trained by another recipe: {record['recipe']}")
        results = [
            EpochResult(**{**result, "quality": Quality.from_dict(result["quality"])}) for result in record["results"]
        ]
        is_over = len(results) >= self.recipe.epochs
        if not is_over:
            checkpoint.restore_optimizer(self.optimizer)
        needed = self.weight_methods.inference_tensors() if is_over else self.weight_methods.tensors()
        try:
            self.weight_methods.load({name: checkpoint.part(name) for name in needed})
            if not is_over:
                auxiliary = checkpoint.part(AUXILIARY)
                require_same_state(
                    "the state of the auxiliary networks", self.auxiliary_networks.state_dict(), auxiliary
                )
                self.auxiliary_networks.load_state_dict(auxiliary)
        except ValueError as error:
            raise CheckpointError(f"{path}: {error}") from error
        self.results = results


def _train_on_batch(
    loss_fn: TrainingLoss, optimizer: torch.optim.Optimizer, *batch: Tensor | None, bf16: bool
) -> Tensor:
    optimizer.zero_grad(set_to_none=True)
    loss = loss_fn(Batch(*batch), bf16=bf16)  # type: ignore[arg-type] # only the teacher may be None
    loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
    optimizer.step()
    return loss.detach()


def _seed(seed: int, epoch: int) -> None:
    """Seed torch's generators for one epoch (0: the initial weights); no two seeds share an epoch's numbers."""
    torch.manual_seed(seed * 1_000_003 + epoch)


def default_device() -> torch.device:
    """Return the first GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
