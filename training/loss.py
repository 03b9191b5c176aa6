"""Training loss: cross entropy plus the terms of the recipe's methods, each from its own file.

Without methods it is the cross entropy of `network(x)`. Methods that work on features (RSC, the
device classifier, the critic) compute `classify(features(x))` instead, which is the same function.

Shape letters: B batch, C channels, F mel bins, T frames, D features, K classes.
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data.augmentation import mixture_mask
from training.adversarial import DeviceClassifier, reversal_strength, reverse
from training.critic import Critic, critic_loss
from training.cross_entropy import cross_entropy_per_clip
from training.cross_gradient import DeviceNetwork, perturbed
from training.distillation import distillation_loss
from training.hidden_state_masking import HiddenStateMasking
from training.module_modes import eval_mode, frozen_statistics, zero_input
from training.pipeline import Batch
from training.recipe import Recipe
from training.rsc import rsc_mask


class TrainingLoss:
    """The loss of a batch under a recipe.

    Attributes:
        auxiliary_networks: Trained with the network and dropped at the end: device classifier, critic, device net.
        can_capture: Whether a CUDA graph may hold the step: none of its random numbers are drawn on the CPU.
        progress: Finished share of the run's steps, 0 to 1; set by the training loop.
    """

    def __init__(
        self, network: nn.Module, recipe: Recipe, num_devices: int, source: int, shape: tuple[int, int, int]
    ) -> None:
        """Build the auxiliary networks.

        Args:
            source: Index of the critic's source device; -1: none.
            shape: Shape of one input, (C, F, T).
        """
        self.network, self.recipe, self.source = network, recipe, source
        self.auxiliary_networks = nn.ModuleDict()
        self.uses_features = bool(recipe.drop_f and recipe.drop_b) or recipe.adversarial_weight > 0
        self.uses_features |= recipe.critic_weight > 0
        if recipe.adversarial_weight or recipe.critic_weight:
            size = _num_features(network, shape)
            if recipe.adversarial_weight:
                self.auxiliary_networks["device_classifier"] = DeviceClassifier(size, num_devices)
            if recipe.critic_weight:
                self.auxiliary_networks["critic"] = Critic(size)
        if recipe.cross_gradient_share:
            self.auxiliary_networks["device_net"] = DeviceNetwork(shape[0], num_devices)
        self.masks = HiddenStateMasking(network, shape, mixture_mask) if recipe.mixture_mask_share else None
        self.progress = 0.0
        self.can_capture = not (self.auxiliary_networks or self.masks or self.uses_features)

    def __call__(self, batch: Batch, *, bf16: bool) -> Tensor:
        """Return the loss of a batch, a scalar.

        Args:
            bf16: Autocast the network to bfloat16; the losses stay in fp32.
        """
        share = self.recipe.cross_gradient_share
        if not share:
            return self._without_cross_gradients(batch, bf16)[0]
        device_net = self.auxiliary_networks["device_net"]
        x = batch.x.detach().requires_grad_()
        loss, scene_losses = self._without_cross_gradients(batch._replace(x=x), bf16)
        device_losses = F.cross_entropy(device_net(x), batch.devices, reduction="none")
        step = self.recipe.cross_gradient_step
        # Perturbed inputs do not occur at inference.
        with frozen_statistics(self.network):
            perturbed_batch = batch._replace(x=perturbed(x, device_losses, step))
            perturbed_loss, _ = self._without_cross_gradients(perturbed_batch, bf16)
        perturbed_device_loss = F.cross_entropy(device_net(perturbed(x, scene_losses, step)), batch.devices)
        return (1 - share) * (loss + device_losses.mean()) + share * (perturbed_loss + perturbed_device_loss)

    def _without_cross_gradients(self, batch: Batch, bf16: bool) -> tuple[Tensor, Tensor]:
        """Return the loss without cross-gradient training, a scalar, and the cross entropy of each clip, (B,)."""
        recipe = self.recipe
        masked = (
            nullcontext() if self.masks is None else self.masks.active(recipe.mixture_mask_share, recipe.mixture_mask_p)
        )
        with masked, torch.autocast(batch.x.device.type, torch.bfloat16, enabled=bf16):
            if self.uses_features:
                z: Tensor = self.network.features(batch.x)  # type: ignore[operator] # every network has it
                logits = self._logits(z, batch)
            else:
                z = logits = self.network(batch.x)
        logits = logits.float()
        per_clip = cross_entropy_per_clip(logits, batch.targets, recipe.label_smoothing, recipe.focal_gamma)
        loss = per_clip.mean()
        if batch.teacher is not None:
            loss = loss + recipe.distill_weight * distillation_loss(logits, batch.teacher, recipe.distill_temperature)
        strength = reversal_strength(self.progress)
        if recipe.adversarial_weight:
            device_logits = self.auxiliary_networks["device_classifier"](reverse(z.float(), strength))
            loss = loss + recipe.adversarial_weight * F.cross_entropy(device_logits, batch.devices)
        if recipe.critic_weight:
            is_source = batch.devices[:, self.source]
            critic = self.auxiliary_networks["critic"]
            loss = loss + recipe.critic_weight * critic_loss(
                critic, z.float(), is_source, recipe.critic_penalty, strength
            )
        return loss, per_clip

    def _logits(self, z: Tensor, batch: Batch) -> Tensor:
        """Map features (B, D) to logits (B, K), with RSC's mask where the recipe has it."""
        recipe = self.recipe
        classify: Callable[[Tensor], Tensor] = self.network.classify  # type: ignore[assignment] # every network has it
        logits = classify(z)
        if recipe.drop_f and recipe.drop_b:
            # Masked features do not occur at inference.
            with frozen_statistics(self.network):
                logits = classify(z * rsc_mask(z, batch.targets, logits, classify, recipe.drop_f, recipe.drop_b))
        return logits


@torch.no_grad()
def _num_features(network: nn.Module, shape: tuple[int, int, int]) -> int:
    with eval_mode(network):
        z: Tensor = network.features(zero_input(network, shape))  # type: ignore[operator] # every network has it
    return z.shape[1]
