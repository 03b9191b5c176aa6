"""Recipe: the hyperparameters of one training run.

The defaults are those of the isotropic network of ASCDomain (technical report, DCASE 2024 task 1, section 4.2 for the
optimizer and sections 2.1 to 2.3 for the augmentation). What that report does not use is off; where a method has more
than its switch, the other settings are those of the report that uses it. `training/methods.py` lists every method with
its fields and its source, and which pairs cannot be combined.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from training.errors import TrainingError

OPTIMIZERS = ("adamw", "adam", "sgd")
SCHEDULES = ("cosine", "linear")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyperparameters of a training run, flat, so that any field can be a range in a search space."""

    epochs: int = 150
    batch_size: int = 256
    seed: int = 0
    # Optimizer, and learning rate schedule: warm-up, plateau, decay.
    optimizer: str = "adamw"  # one of `OPTIMIZERS`
    learning_rate: float = 0.005  # at the end of the warm-up
    weight_decay: float = 1e-4
    momentum: float = 0.0  # SGD only
    schedule: str = "cosine"  # one of `SCHEDULES`: shape of the decay
    # Length of the warm-up: a share of all steps (the default is 2,000 of 81,750: 139,620 clips, 150 epochs), or, with
    # a share of 0, a number of steps whatever the number of clips, at most half of all.
    warmup_share: float = 0.02446
    warmup_steps: int = 0
    plateau_share: float = 0.0  # of all steps, at the peak rate, between warm-up and decay
    final_share: float = 0.0  # final learning rate over the peak rate
    restart_epochs: str = ""  # epochs after which the rate restarts at its peak, such as "4,8,16"
    # Waveform augmentation.
    roll_s: float = 0.1  # largest shift to either side
    pitch_semitones: float = 0.0  # largest change of the pitch to either side, by resampling
    impulse_response_p: float = 0.6  # probability, for each clip of device a
    simulated_devices: int = 0  # number of simulated devices: fixed impulse responses applied to clips of device a
    simulated_clips: int = 7500  # per simulated device
    # Spectrum correction and mel filterbank.
    spectrum_correction: bool = False  # each device's gains towards the mean device, fitted on aligned recordings
    mel_top_drop: float = 0.0  # largest share by which the mel bank's highest frequency is lowered
    # Spectrogram augmentation.
    warp_frames: int = 0  # largest time warp to either side
    shift_frames: float = 0.0  # standard deviation of a circular shift in time
    mask_bins: int = 48  # maximum width of a frequency mask
    mask_frames: int = 0  # maximum width of a time mask
    mix_style_p: float = 0.4  # probability, per batch
    mix_style_alpha: float = 0.3
    mixture_mask_share: float = (
        0.0  # maximum width of a mixture mask as a share of each axis, on input and hidden states
    )
    mixture_mask_p: float = 0.5  # probability, per batch, for the input and for each hidden state
    # Mixup.
    mixup_alpha: float = 0.0
    mixup_between: bool = False  # mix with a second batch, not within the batch
    # The loss.
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    drop_f: float = 0.0  # share of the features that RSC masks
    drop_b: float = 0.0  # share of a batch's clips to which RSC's mask is applied
    adversarial_weight: float = 0.0  # loss weight of the device classifier behind gradient reversal
    critic_weight: float = 0.0  # loss weight of the Wasserstein critic behind gradient reversal
    critic_penalty: float = 10.0  # weight of the critic's gradient penalty
    cross_gradient_share: float = 0.0  # share of the loss on perturbed inputs
    cross_gradient_step: float = 1.0  # perturbation, in units of gradients scaled to a root mean square of 0.1
    distill_weight: float = 0.0  # loss weight of the KL divergence from the teacher
    distill_temperature: float = 5.0
    # Weight averaging, pruning and quantization.
    swa_epochs: int = 0  # last epochs whose weights are averaged
    ema_decay: float = 0.0  # decay of the moving average of the weights, per step
    prune_to: int = 0  # non-zero stored values after pruning; 0: no pruning
    prune_share: float = 0.6  # share of the epochs in which weights are pruned
    quantize_share: float = 0.0  # share of the epochs, at the end, with quantization-aware training
    # Inference.
    test_copies: int = 0  # shifted copies of each clip for test-time augmentation; 0: none

    def __post_init__(self) -> None:
        """Refuse invalid or contradictory values."""
        wrong = [
            f"{name} must be {rule}, got {getattr(self, name)}" for name, rule, holds in self._rules() if not holds
        ]
        if not wrong:
            wrong = list(self._contradictions())
        if wrong:
            raise ValueError("; ".join(wrong))

    def _rules(self) -> Iterator[tuple[str, str, bool]]:
        """Yield each field's rule, and whether it holds."""
        yield "epochs", "at least 1", self.epochs >= 1
        yield "batch_size", "at least 2 (batch norm needs two clips)", self.batch_size >= 2
        yield "seed", "from 0 to 2147483647", 0 <= self.seed < 2**31
        yield "optimizer", f"one of {', '.join(OPTIMIZERS)}", self.optimizer in OPTIMIZERS
        yield "schedule", f"one of {', '.join(SCHEDULES)}", self.schedule in SCHEDULES
        yield "restart_epochs", "rising epochs such as 4,8,16, or empty", self._has_restarts()
        for name in ("learning_rate", "mix_style_alpha", "distill_temperature", "cross_gradient_step"):
            yield name, "above 0 and finite", 0 < getattr(self, name) < math.inf
        for name in (
            "weight_decay", "roll_s", "pitch_semitones", "shift_frames", "mixup_alpha", "focal_gamma",
            "adversarial_weight", "critic_weight", "critic_penalty", "distill_weight",
        ):  # fmt: skip
            yield name, "at least 0 and finite", 0 <= getattr(self, name) < math.inf
        for name in (
            "momentum", "warmup_share", "plateau_share", "mel_top_drop", "mixture_mask_share", "label_smoothing",
            "drop_f", "drop_b", "ema_decay",
        ):  # fmt: skip
            yield name, "at least 0 and below 1", 0 <= getattr(self, name) < 1
        for name in (
            "final_share", "impulse_response_p", "mix_style_p", "mixture_mask_p", "cross_gradient_share",
            "quantize_share",
        ):  # fmt: skip
            yield name, "between 0 and 1", 0 <= getattr(self, name) <= 1
        yield "prune_share", "above 0 and at most 1", 0 < self.prune_share <= 1
        yield "simulated_clips", "at least 1", self.simulated_clips >= 1
        for name in (
            "warmup_steps", "simulated_devices", "warp_frames", "mask_bins", "mask_frames", "swa_epochs", "prune_to",
        ):  # fmt: skip
            yield name, "at least 0", getattr(self, name) >= 0
        yield "test_copies", "0, or at least 2", self.test_copies >= 0 and self.test_copies != 1

    def _has_restarts(self) -> bool:
        parts = self.restart_epochs.split(",") if self.restart_epochs else []
        if not all(part.strip().isdecimal() for part in parts):
            return False
        found = self.restarts
        return all(before < after for before, after in zip((0, *found), found, strict=False))

    def _contradictions(self) -> Iterator[str]:
        """Yield the contradictions between fields that are valid by themselves."""
        if self.warmup_share + self.plateau_share >= 1:
            yield (
                f"warmup_share and plateau_share must leave steps to fall in, got {self.warmup_share} and "
                f"{self.plateau_share}"
            )
        if self.warmup_share and self.warmup_steps:
            yield (
                f"warmup_share and warmup_steps are two lengths of one warm-up, got {self.warmup_share} and "
                f"{self.warmup_steps}: set one of them to 0"
            )
        if self.momentum and self.optimizer != "sgd":
            yield f"momentum is SGD's alone, got {self.momentum} with {self.optimizer}"
        if (self.drop_f > 0) != (self.drop_b > 0):
            yield (
                f"RSC masks nothing if one of its rates is 0, got drop_f {self.drop_f} and drop_b {self.drop_b}: "
                "set both, or neither"
            )
        if self.swa_epochs > self.epochs:
            yield f"swa_epochs must be at most the {self.epochs} epochs, got {self.swa_epochs}"
        if self.swa_epochs and self.ema_decay:
            yield "swa_epochs and ema_decay are two averages of the same weights: set one of them to 0"
        if self.test_copies and not (self.roll_s or self.shift_frames):
            yield (
                f"test_copies is {self.test_copies}, but roll_s and shift_frames are both 0: all copies of a clip "
                "would be the same"
            )

    @property
    def restarts(self) -> tuple[int, ...]:
        """Epochs after which the learning rate starts again; those beyond the run are ignored."""
        return tuple(int(part) for part in self.restart_epochs.split(",")) if self.restart_epochs else ()

    def scaled(self, scale: float) -> "Recipe":
        """Return a recipe of `scale` times the epochs, for small data, with all fields in epochs scaled alike.

        Fields that are shares of the epochs (warm-up, plateau, pruning, quantization) stay, warm-up steps are scaled.
        Restarts that fall together become one.

        Raises:
            ValueError: `scale` is not above 0 and finite.

        >>> Recipe(epochs=200, restart_epochs="4,8,16,32,64,128").scaled(0.1).restart_epochs
        '1,2,3,6,13'
        """
        if not 0 < scale < math.inf:
            raise TrainingError(f"scale must be above 0 and finite, got {scale}")
        restarts = dict.fromkeys(max(1, round(epoch * scale)) for epoch in self.restarts)
        epochs = max(1, round(self.epochs * scale))
        return replace(
            self,
            epochs=epochs,
            warmup_steps=math.ceil(self.warmup_steps * scale),
            restart_epochs=",".join(str(epoch) for epoch in restarts),
            swa_epochs=min(epochs, math.ceil(self.swa_epochs * scale)),
        )
