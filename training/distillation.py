"""Knowledge distillation: KL divergence from a teacher's softened probabilities, beside the cross entropy.

Sources: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015; as TF-SepNet has it: technical report for
DCASE 2023 task 1, section 3.3: cross entropy + 20 x divergence, at temperature 5. The report prints no formula of the
divergence, and its repository, https://github.com/yqcai888/DCASE2023, has no training code. Here it is the mean over
the clips, and Hinton's factor, the temperature squared, is left to the weight: 20 is nearly the 25 of temperature 5.

Shape letters: B batch, K classes.
"""

from torch import Tensor
from torch.nn import functional as F


def teacher_probabilities(logits: Tensor, temperature: float) -> Tensor:
    """Return the softmax of a teacher's logits (B, K) over the temperature, in fp32.

    Raises:
        ValueError: A temperature that is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    return (logits.float() / temperature).softmax(1)


def distillation_loss(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the KL divergence sum_k t_k (log t_k - log p_k), averaged over clips.

    Args:
        logits: Student logits, (B, K), of any precision; p is their softmax at the temperature.
        teacher: Teacher probabilities t, (B, K), at the same temperature; rows sum to 1.
        temperature: Above 0.
    """
    return F.kl_div((logits.float() / temperature).log_softmax(1), teacher, reduction="batchmean")
