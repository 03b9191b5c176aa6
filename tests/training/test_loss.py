"""The loss as a whole: each method adds its own part, and the plain one is cross entropy."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.isotropic import Isotropic, IsotropicConfig
from training.loss import TrainingLoss
from training.methods import ALL_OFF
from training.pipeline import Batch
from training.recipe import Recipe

SHAPE = (1, 16, 16)
BARE = Recipe(epochs=2, **ALL_OFF)


def make(recipe):
    torch.manual_seed(0)
    network = Isotropic(IsotropicConfig(num_classes=3, patch=4, width=8, depth=1))
    return TrainingLoss(network, recipe, num_devices=2, source=0, shape=SHAPE)


def make_batch(size=8, *, teacher=None):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(size, *SHAPE, generator=generator)
    targets = F.one_hot(torch.arange(size) % 3, 3).float()
    devices = F.one_hot(torch.arange(size) % 2, 2).float()
    return Batch(x, targets, devices, teacher)


def test_without_methods_the_loss_is_the_cross_entropy_of_the_network(monkeypatch):
    loss_fn, batch = make(BARE), make_batch()
    logits = loss_fn.network(batch.x)
    expected = F.cross_entropy(logits, batch.targets.argmax(1))
    assert loss_fn(batch, bf16=False).item() == pytest.approx(expected.item(), abs=1e-6)
    assert not loss_fn.auxiliary_networks
    assert loss_fn.can_capture


def test_a_teacher_s_divergence_is_added_with_its_weight():
    teacher = torch.softmax(torch.randn(8, 3, generator=torch.Generator().manual_seed(2)), 1)
    recipe = dataclasses.replace(BARE, distill_weight=20.0, distill_temperature=5.0)
    loss_fn, batch = make(recipe), make_batch(teacher=teacher)
    logits = loss_fn.network(batch.x).detach()
    shares = torch.softmax(logits / 5, 1)
    divergence = (teacher * (teacher / shares).log()).sum(1).mean()
    expected = F.cross_entropy(logits, batch.targets) + 20 * divergence
    assert loss_fn(batch, bf16=False).item() == pytest.approx(expected.item(), abs=1e-4)


def gradients(loss_fn, batch):
    loss_fn.network.zero_grad()
    loss_fn.auxiliary_networks.zero_grad()
    loss_fn(batch, bf16=False).backward()
    kept = {name: value.grad.clone() for name, value in loss_fn.network.named_parameters()}
    beside = {name: value.grad.clone() for name, value in loss_fn.auxiliary_networks.named_parameters()}
    return kept, beside


def test_the_device_classifier_learns_and_the_features_unlearn_devices_more_as_training_progresses():
    loss_fn, batch = make(dataclasses.replace(BARE, adversarial_weight=0.5)), make_batch()
    plain, _ = gradients(make(BARE), batch)
    classifier = loss_fn.auxiliary_networks["device_classifier"]
    z = loss_fn.network.features(batch.x)
    of_device = torch.autograd.grad(
        0.5 * F.cross_entropy(classifier(z), batch.devices), loss_fn.network.embed[0].weight
    )[0]
    for progress, strength in ((0.0, 0.0), (0.1, 0.46211716), (1.0, 0.9999092)):
        loss_fn.progress = progress
        kept, beside = gradients(loss_fn, batch)
        expected = plain["embed.0.weight"] - strength * of_device
        assert torch.allclose(kept["embed.0.weight"], expected, atol=1e-5)
        assert all(value.any() for name, value in beside.items() if name.endswith("weight"))


def test_the_critic_separates_device_a_from_the_rest_and_the_features_are_matched():
    loss_fn, batch = make(dataclasses.replace(BARE, critic_weight=1.0, critic_penalty=0.0)), make_batch()
    plain, _ = gradients(make(BARE), batch)
    critic = loss_fn.auxiliary_networks["critic"]
    scores = critic(loss_fn.network.features(batch.x))
    distance = scores[::2].mean() - scores[1::2].mean()
    apart = torch.autograd.grad(distance, [loss_fn.network.embed[0].weight, critic.score.weight])
    loss_fn.progress = 1.0
    kept, beside = gradients(loss_fn, batch)
    # The features go down the distance, the critic up.
    assert torch.allclose(kept["embed.0.weight"], plain["embed.0.weight"] + 0.9999092 * apart[0], atol=1e-5)
    assert torch.allclose(beside["critic.score.weight"], -apart[1], atol=1e-5)


def test_cross_gradient_training_perturbs_each_classifier_s_clips_along_the_other_s_loss():
    share, step = 0.25, 3.0
    loss_fn = make(dataclasses.replace(BARE, cross_gradient_share=share, cross_gradient_step=step))
    batch = make_batch()
    network, device_net = loss_fn.network, loss_fn.auxiliary_networks["device_net"]
    x = batch.x.clone().requires_grad_()
    of_scene = F.cross_entropy(network(x), batch.targets, reduction="sum")
    of_device = F.cross_entropy(device_net(x), batch.devices, reduction="sum")
    along_scene, along_device = (
        x + step * 0.1 * gradient / gradient.square().mean().sqrt()
        for gradient in (torch.autograd.grad(each, x)[0] for each in (of_scene, of_device))
    )
    scene = (1 - share) * of_scene / 8 + share * F.cross_entropy(network(along_device), batch.targets)
    device = (1 - share) * of_device / 8 + share * F.cross_entropy(device_net(along_scene), batch.devices)
    assert loss_fn(batch, bf16=False).item() == pytest.approx((scene + device).item(), abs=1e-4)


def test_the_loss_of_self_challenging_is_that_of_the_masked_features():
    loss_fn, batch = make(dataclasses.replace(BARE, drop_f=0.3, drop_b=0.5)), make_batch()
    network = loss_fn.network
    z = network.features(batch.x).detach().numpy()
    weight, bias = (value.detach().numpy() for value in network.classifier.parameters())
    labels = batch.targets.argmax(1).numpy()

    def probabilities(features):
        scores = torch.from_numpy(features @ weight.T + bias)
        return scores.softmax(1).numpy()

    masked = z.copy()
    for clip, label in enumerate(labels):
        masked[clip, weight[label] >= np.percentile(weight[label], 70)] = 0.0
    rows = np.arange(len(labels))
    fall = probabilities(z)[rows, labels] - probabilities(masked)[rows, labels]
    kept = fall >= np.percentile(fall, 50)
    masked_in_some = np.where(kept[:, None], masked, z)
    expected = -np.log(probabilities(masked_in_some)[rows, labels]).mean()
    assert loss_fn(batch, bf16=False).item() == pytest.approx(expected, abs=1e-5)
    assert 0 < kept.sum() < len(kept)
