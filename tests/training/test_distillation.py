"""Distillation loss: the KL divergence from a teacher, against sums that are written out."""

import math

import pytest
import torch

from training.distillation import distillation_loss, teacher_probabilities

LOGITS = torch.tensor([[2.0, -1.0, 0.5, 0.0], [0.0, 3.0, 1.0, -2.0]])
TEACHER = torch.tensor([[4.0, 0.0, 1.0, -1.0], [2.0, 2.0, -3.0, 0.5]])


def shares(scores, temperature):
    powers = [math.exp(score / temperature) for score in scores]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize("temperature", [1.0, 5.0])
def test_the_loss_is_the_mean_kl_divergence_of_the_network_from_its_teacher(temperature):
    teacher = teacher_probabilities(TEACHER, temperature)
    expected = 0.0
    for ours, theirs, softened in zip(LOGITS.tolist(), TEACHER.tolist(), teacher.tolist(), strict=True):
        p, t = shares(ours, temperature), shares(theirs, temperature)
        assert softened == pytest.approx(t)
        expected += sum(t[k] * (math.log(t[k]) - math.log(p[k])) for k in range(4)) / 2
    assert float(distillation_loss(LOGITS, teacher, temperature)) == pytest.approx(expected, rel=1e-5)


def test_its_gradient_is_the_difference_of_the_probabilities_over_clips_and_temperature():
    logits = LOGITS.clone().requires_grad_()
    distillation_loss(logits, teacher_probabilities(TEACHER, 5.0), 5.0).backward()
    for ours, theirs, gradient in zip(LOGITS.tolist(), TEACHER.tolist(), logits.grad.tolist(), strict=True):
        p, t = shares(ours, 5.0), shares(theirs, 5.0)
        assert gradient == pytest.approx([(p[k] - t[k]) / 5 / 2 for k in range(4)], abs=1e-7)


def test_a_network_that_predicts_as_its_teacher_has_no_loss():
    assert float(distillation_loss(TEACHER, teacher_probabilities(TEACHER, 3.0), 3.0)) == pytest.approx(0.0, abs=1e-6)


def test_a_teacher_that_rules_a_class_out_has_a_finite_loss():
    teacher = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    expected = -math.log(shares(LOGITS[0].tolist(), 2.0)[1])
    assert float(distillation_loss(LOGITS[:1], teacher, 2.0)) == pytest.approx(expected, rel=1e-5)


def test_half_precision_is_computed_in_fp32():
    # All these scores are whole or half numbers, which bfloat16 has; a third of them it has not.
    assert torch.equal(teacher_probabilities(TEACHER.bfloat16(), 3.0), teacher_probabilities(TEACHER, 3.0))
    teacher = teacher_probabilities(TEACHER, 3.0)
    assert torch.equal(distillation_loss(LOGITS.bfloat16(), teacher, 3.0), distillation_loss(LOGITS, teacher, 3.0))


def test_a_temperature_of_nothing_is_refused():
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        teacher_probabilities(TEACHER, 0.0)
