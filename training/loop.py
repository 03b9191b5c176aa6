"""The training loop: one network, one recipe, epoch after epoch, restartable after any of them."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from objectives.quality import Quality
from training.checkpoint import load_checkpoint, save_checkpoint
from training.execution import PLAIN, Execution, GraphedStep, Step
from training.material import Material, batched
from training.recipe import Recipe
from training.schedule import warmup_cosine


@dataclass(frozen=True)
class EpochResult:
    """What one epoch brought: `train_loss` is its mean, `quality` that of the network after it."""

    epoch: int  # counted from 1
    train_loss: float
    quality: Quality
    duration_s: float


class NonFiniteLossError(ArithmeticError):
    """Training ran away: the loss is infinite or not a number."""

    def __init__(self, epoch: int, step: int, loss: float, last_finite: float | None, learning_rate: float) -> None:
        self.epoch, self.step, self.loss = epoch, step, loss
        self.last_finite, self.learning_rate = last_finite, learning_rate
        before = "none before it was finite" if last_finite is None else f"the last finite one was {last_finite:.4g}"
        super().__init__(f"loss {loss} in epoch {epoch}, step {step}; {before}; learning rate {learning_rate:.4g}")


class TrainingRun:
    """One network in training.

    Every epoch draws its random numbers from (seed, epoch) alone, so a run taken up from a checkpoint goes on as it
    would have: on a processor exactly, on a GPU but for the order in which its kernels add.
    """

    def __init__(
        self,
        build: Callable[[], nn.Module],
        recipe: Recipe,
        material: Material,
        device: torch.device,
        execution: Execution = PLAIN,
    ) -> None:
        """Build the network from the recipe's seed.

        Args:
            build: Makes the network; called once, after seeding.
            recipe: How to train.
            material: The clips.
            device: Where the network and the batches live.
            execution: How a step is computed.

        Raises:
            DataError: The material cannot serve the recipe.
        """
        material.require(recipe)
        _seed(recipe.seed, 0)
        self.network = build().to(device, memory_format=execution.memory_format)  # type: ignore[call-overload]
        self.recipe, self.material, self.device, self.execution = recipe, material, device, execution
        # A tensor on a GPU, so that a recorded step reads what it is by then.
        rate = torch.tensor(recipe.learning_rate, device=device) if execution.graphed else recipe.learning_rate
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=rate,
            weight_decay=recipe.weight_decay,
            fused=True,
            capturable=execution.graphed,
        )
        # Nothing in it knows the run: what a run holds goes as soon as nobody holds the run.
        self._train_on: Step = partial(_train_on_batch, self.network, self.optimizer, bf16=execution.bf16)
        if execution.graphed:
            self._train_on = GraphedStep(self._train_on, self.optimizer)
        self.results: list[EpochResult] = []
        self.steps_per_epoch = len(batched(material.scenes.train, recipe.batch_size))

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.results)

    @property
    def is_over(self) -> bool:
        """Whether the recipe's last epoch is done."""
        return self.epoch >= self.recipe.epochs

    def run_epoch(self) -> EpochResult:
        """Train for one epoch, then evaluate.

        Raises:
            NonFiniteLossError: A step's loss is not finite; the run is of no more use.
        """
        started = time.monotonic()
        train_loss = self.train_epoch()
        quality = self.material.evaluate(self.network, self.device)
        result = EpochResult(self.epoch + 1, train_loss, quality, time.monotonic() - started)
        self.results.append(result)
        return result

    def train_epoch(self) -> float:
        """Train for one epoch; give the mean loss.

        Raises:
            NonFiniteLossError: As `run_epoch`.
        """
        _seed(self.recipe.seed, self.epoch + 1)
        order = self.material.scenes.train[torch.randperm(len(self.material.scenes.train)).numpy()]
        losses: list[Tensor] = []
        rates: list[float] = []
        self.network.train()
        for rows in batched(order, self.recipe.batch_size):
            rates.append(self._set_learning_rate(self.epoch * self.steps_per_epoch + len(losses)))
            losses.append(self.step(rows))
        # one look an epoch, not one a step: on a GPU each would wait for the device
        values = torch.stack(losses).cpu().numpy()
        finite = np.isfinite(values)
        if not finite.all():
            step = int(finite.argmin())
            before = float(values[step - 1]) if step else None
            raise NonFiniteLossError(self.epoch + 1, step + 1, float(values[step]), before, rates[step])
        if not bool(torch.stack([value.isfinite().all() for value in self.network.state_dict().values()]).all()):
            # the last step ran away: no loss has seen its weights yet
            raise NonFiniteLossError(self.epoch + 1, len(values) + 1, float("nan"), float(values[-1]), rates[-1])
        return float(values.mean())

    def _set_learning_rate(self, step: int) -> float:
        num_steps = self.recipe.epochs * self.steps_per_epoch
        rate = self.recipe.learning_rate * warmup_cosine(step, num_steps, self.recipe.warmup_share)
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        return rate

    def step(self, rows: np.ndarray) -> Tensor:
        """Train on the clips at `rows` once; give their loss."""
        return self._train_on(*self.material.training_batch(rows, self.recipe, self.device))

    def save(self, path: Path) -> None:
        """Write the run as it stands; after the last epoch the optimizer's state is left out."""
        results = [asdict(result) | {"quality": result.quality.to_dict()} for result in self.results]
        record = {"recipe": asdict(self.recipe), "results": results}
        save_checkpoint(path, self.network, None if self.is_over else self.optimizer, record)

    def load(self, path: Path) -> None:
        """Take the run up from a checkpoint of the same network and recipe.

        Raises:
            CheckpointError: It is broken, or of another network.
            ValueError: It is of another recipe.
        """
        record = load_checkpoint(path, self.network, None)
        if record["recipe"] != asdict(self.recipe):
            raise ValueError(f"{path} was trained by another recipe: {record['recipe']}")
        results = [
            EpochResult(**{**result, "quality": Quality.from_dict(result["quality"])}) for result in record["results"]
        ]
        if len(results) < self.recipe.epochs:
            load_checkpoint(path, self.network, self.optimizer)
        self.results = results


def _train_on_batch(
    network: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, labels: Tensor, *, bf16: bool
) -> Tensor:
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
        logits = network(x)
    loss = nn.functional.cross_entropy(logits.float(), labels)
    loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
    optimizer.step()
    return loss.detach()


def _seed(seed: int, epoch: int) -> None:
    """Set torch's generators for one epoch (0: the initial weights); epochs of other seeds do not collide."""
    torch.manual_seed(seed * 1_000_003 + epoch)


def default_device() -> torch.device:
    """The first GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
