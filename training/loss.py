"""The loss of a training step: the recipe's methods joined in one place, each from its own file.

A recipe without methods computes `network(x)` and its cross entropy and nothing else. Methods that work on features
(RSC, the device classifier, the critic) compute `classify(features(x))` instead, which is the same network.

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
from training.cross_gradient import DeviceNet, perturbed
from training.distillation import distillation_loss
from training.hidden_state_masking import HiddenStateMasking
from training.module_modes import eval_mode, frozen_statistics, zero_input
from training.pipeline import Batch
from training.recipe import Recipe
from training.rsc import rsc_mask


class TrainingLoss:
    """What a network is trained to make small.

    Attributes:
        companions: Networks that are trained beside it and that nothing keeps: device classifier, critic, device net.
        is_recordable: Whether a GPU may record a step once and replay it: nothing in it is drawn on the processor.
    """

    def __init__(
        self, network: nn.Module, recipe: Recipe, num_devices: int, source: int, shape: tuple[int, int, int]
    ) -> None:
        """Build what the methods need.

        Args:
            network: To be trained.
            recipe: Which methods, and how strongly.
            num_devices: That a clip may be of.
            source: Number of the device that the critic tells from the rest; -1: there is none.
            shape: Of one clip, (C, F, T).
        """
        self.network, self.recipe, self.source = network, recipe, source
        self.auxiliary_networks = nn.ModuleDict()
        self.works_on_features = bool(recipe.drop_f and recipe.drop_b) or recipe.adversarial_weight > 0
        self.works_on_features |= recipe.critic_weight > 0
        if recipe.adversarial_weight or recipe.critic_weight:
            size = _num_features(network, shape)
            if recipe.adversarial_weight:
                self.auxiliary_networks["device_classifier"] = DeviceClassifier(size, num_devices)
            if recipe.critic_weight:
                self.auxiliary_networks["critic"] = Critic(size)
        if recipe.cross_gradient_share:
            self.auxiliary_networks["device_net"] = DeviceNet(shape[0], num_devices)
        self.masks = HiddenStateMasking(network, shape, mixture_mask) if recipe.mixture_mask_share else None
        self.progress = 0.0  # of the whole run, 0 to 1
        self.can_capture = not (self.auxiliary_networks or self.masks or self.works_on_features)

    def __call__(self, batch: Batch, *, bf16: bool) -> Tensor:
        """Return the loss of a batch, of no axes.

        Args:
            batch: What the network hears.
            bf16: Whether the network is computed in bfloat16; the losses never are.
        """
        share = self.recipe.cross_gradient_share
        if not share:
            return self._scene(batch, bf16)[0]
        device_net = self.auxiliary_networks["device_net"]
        x = batch.x.detach().requires_grad_()
        scene, of_scenes = self._scene(batch._replace(x=x), bf16)
        of_devices = F.cross_entropy(device_net(x), batch.devices, reduction="none")
        step = self.recipe.cross_gradient_step
        # Perturbed clips are what the network never hears when it is asked.
        with frozen_statistics(self.network):
            scene_there, _ = self._scene(batch._replace(x=perturbed(x, of_devices, step)), bf16)
        device_there = F.cross_entropy(device_net(perturbed(x, of_scenes, step)), batch.devices)
        return (1 - share) * (scene + of_devices.mean()) + share * (scene_there + device_there)

    def _scene(self, batch: Batch, bf16: bool) -> tuple[Tensor, Tensor]:
        """Return all of the loss but what cross-gradient training adds, and the scene loss of each clip, (B,)."""
        recipe = self.recipe
        masked = (
            nullcontext() if self.masks is None else self.masks.active(recipe.mixture_mask_share, recipe.mixture_mask_p)
        )
        with masked, torch.autocast(batch.x.device.type, torch.bfloat16, enabled=bf16):
            if self.works_on_features:
                z: Tensor = self.network.features(batch.x)  # type: ignore[operator] # every network has it
                logits = self._classified(z, batch)
            else:
                z = logits = self.network(batch.x)
        logits = logits.float()
        of_clips = cross_entropy_per_clip(logits, batch.targets, recipe.label_smoothing, recipe.focal_gamma)
        loss = of_clips.mean()
        if batch.teacher is not None:
            loss = loss + recipe.distill_weight * distillation_loss(logits, batch.teacher, recipe.distill_temperature)
        strength = reversal_strength(self.progress)
        if recipe.adversarial_weight:
            told = self.auxiliary_networks["device_classifier"](reverse(z.float(), strength))
            loss = loss + recipe.adversarial_weight * F.cross_entropy(told, batch.devices)
        if recipe.critic_weight:
            of_source = batch.devices[:, self.source]
            critic = self.auxiliary_networks["critic"]
            apart = critic_loss(critic, z.float(), of_source, recipe.critic_penalty, strength)
            loss = loss + recipe.critic_weight * apart
        return loss, of_clips

    def _classified(self, z: Tensor, batch: Batch) -> Tensor:
        """Map features (B, D) to logits (B, K), some features muted where the recipe says so."""
        recipe = self.recipe
        classify: Callable[[Tensor], Tensor] = self.network.classify  # type: ignore[assignment] # every network has it
        logits = classify(z)
        if recipe.drop_f and recipe.drop_b:
            # Muted features are what the network never hears when it is asked.
            with frozen_statistics(self.network):
                logits = classify(z * rsc_mask(z, batch.targets, logits, classify, recipe.drop_f, recipe.drop_b))
        return logits


@torch.no_grad()
def _num_features(network: nn.Module, shape: tuple[int, int, int]) -> int:
    with eval_mode(network):
        z: Tensor = network.features(zero_input(network, shape))  # type: ignore[operator] # every network has it
    return z.shape[1]
