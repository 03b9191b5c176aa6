"""Registry of the training methods: description, source, recipe fields, requirements and compatibility of each.

Each method is implemented in a small file of its own; the command line, the documentation and the tests over all
methods and all pairs are made from this registry. `Recipe` decides which methods can be combined.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from spaces import METHODS as SPACES_OF_METHODS
from spaces import TRAINING
from training.recipe import Recipe

Settings = Mapping[str, bool | int | float | str]

# Switches off every method, also those that are on in the default recipe.
ALL_OFF: Settings = {"roll_s": 0.0, "impulse_response_p": 0.0, "mask_bins": 0, "mix_style_p": 0.0, "warmup_share": 0.0}

ASCDOMAIN = "ASCDomain, DCASE 2024"
TF_SEPNET = "Cai et al., DCASE 2023"
CP_JKU = "Koutini et al., DCASE 2021"
SEP_CNN = "Xin et al., DCASE 2022"
BC_RESNET = "BC-ResNet-Mod, DCASE 2022"


@dataclass(frozen=True)
class Method:
    """A training method that a recipe can switch on.

    Attributes:
        what: Description in a few words.
        source: The report that uses it, and the paper that proposed it.
        fields: Its recipe fields; the first one switches it on.
        on: Field values that switch it on, at the strength of its report if that is printed.
        needs: Data that it needs beyond the clips; "" for none.
        changes_inference: Whether it changes the trained network's inference, and not only its training.
    """

    what: str
    source: str
    fields: tuple[str, ...]
    on: Settings
    needs: str = ""
    changes_inference: bool = False


METHODS: dict[str, Method] = {
    "adam": Method(
        "Adam, weight decay in the gradient", f"{TF_SEPNET}; Kingma and Ba 2015", ("optimizer",), {"optimizer": "adam"}
    ),
    "sgd": Method(
        "stochastic gradient descent", BC_RESNET, ("optimizer", "momentum"), {"optimizer": "sgd", "momentum": 0.9}
    ),
    "linear_fall": Method(
        "warm-up, plateau and linear decay of the learning rate",
        CP_JKU,
        ("schedule", "warmup_share", "warmup_steps", "plateau_share", "final_share"),
        {"schedule": "linear", "plateau_share": 0.3, "final_share": 0.01},
    ),
    "restarts": Method(
        "warm restarts of the learning rate at given epochs (SGDR)",
        f"{BC_RESNET}; Loshchilov and Hutter 2017",
        ("restart_epochs",),
        {"restart_epochs": "1,2,4,8,16,32,64,128"},
    ),
    "time_roll": Method(
        "circular shift of the waveform in time", f"{ASCDOMAIN}; its baseline", ("roll_s",), {"roll_s": 0.1}
    ),
    "time_shift": Method(
        "circular shift of the spectrogram in time", SEP_CNN, ("shift_frames",), {"shift_frames": 10.0}
    ),
    "pitch_shift": Method("pitch shift by resampling", BC_RESNET, ("pitch_semitones",), {"pitch_semitones": 2.0}),
    "mel_shift": Method(
        "random lowering of the mel filterbank's highest frequency", CP_JKU, ("mel_top_drop",), {"mel_top_drop": 0.2}
    ),
    "impulse_responses": Method(
        "random convolution of device a's clips with impulse responses, drawn anew for each batch",
        f"{ASCDOMAIN}; Morocutti et al. 2023",
        ("impulse_response_p",),
        {"impulse_response_p": 0.6},
        needs="impulse responses",
    ),
    "device_simulation": Method(
        "simulated devices: device a's clips convolved with fixed impulse responses are added to the training clips",
        TF_SEPNET,
        ("simulated_devices", "simulated_clips"),
        {"simulated_devices": 2, "simulated_clips": 7500},
        needs="impulse responses",
    ),
    "spectrum_correction": Method(
        "correction of each device's spectrum to the mean device's",
        f"{BC_RESNET}; Nguyen et al. 2020",
        ("spectrum_correction",),
        {"spectrum_correction": True},
        needs="aligned recordings of several devices",
        changes_inference=True,
    ),
    "time_warp": Method(
        "time warping of the spectrogram",
        f"{BC_RESNET}; SpecAugment, Park et al. 2019",
        ("warp_frames",),
        {"warp_frames": 5},
    ),
    "frequency_mask": Method(
        "masking of a frequency band of the spectrogram", f"{ASCDOMAIN}; SpecAugment", ("mask_bins",), {"mask_bins": 48}
    ),
    "time_mask": Method(
        "masking of a time span of the spectrogram", f"{BC_RESNET}; SpecAugment", ("mask_frames",), {"mask_frames": 8}
    ),
    "mix_style": Method(
        "mixing of each frequency bin's mean and standard deviation with another clip's (Freq-MixStyle)",
        f"{ASCDOMAIN} and {TF_SEPNET}; Schmid et al. 2022",
        ("mix_style_p", "mix_style_alpha"),
        {"mix_style_p": 0.4, "mix_style_alpha": 0.3},
    ),
    "mixture_mask": Method(
        "mixture masking of input and hidden states: bands and spans averaged with another clip (SpecAugment++)",
        f"{SEP_CNN}; Wang et al. 2021",
        ("mixture_mask_share", "mixture_mask_p"),
        {"mixture_mask_share": 0.2, "mixture_mask_p": 0.5},
    ),
    "mixup": Method(
        "mixup within a batch",
        f"{TF_SEPNET}; Zhang et al. 2018",
        ("mixup_alpha", "mixup_between"),
        {"mixup_alpha": 0.3, "mixup_between": False},
    ),
    "mixup_between": Method(
        "mixup with a second batch",
        BC_RESNET,
        ("mixup_alpha", "mixup_between"),
        {"mixup_alpha": 0.4, "mixup_between": True},
    ),
    "label_smoothing": Method("label smoothing", "Szegedy et al. 2016", ("label_smoothing",), {"label_smoothing": 0.1}),
    "focal_loss": Method(
        "focal loss: easy clips are weighted down", "Lin et al. 2017", ("focal_gamma",), {"focal_gamma": 2.0}
    ),
    "rsc": Method(
        "representation self-challenging: masking of the features with the largest gradients",
        f"{ASCDOMAIN}; Huang et al. 2020",
        ("drop_f", "drop_b"),
        {"drop_f": 0.05, "drop_b": 0.05},
    ),
    "adversarial": Method(
        "domain-adversarial training: a device classifier behind gradient reversal",
        f"{ASCDOMAIN}; Ganin and Lempitsky 2015",
        ("adversarial_weight",),
        {"adversarial_weight": 1.0},
        needs="several devices",
    ),
    "critic": Method(
        "Wasserstein critic with gradient penalty between device a and the rest, behind gradient reversal",
        f"{CP_JKU}; Gulrajani et al. 2017",
        ("critic_weight", "critic_penalty"),
        {"critic_weight": 1.0, "critic_penalty": 10.0},
        needs="device a and another",
    ),
    "cross_gradient": Method(
        "cross-gradient training: scene and device networks train on inputs perturbed along each other's gradient",
        f"{BC_RESNET}; Shankar et al. 2018",
        ("cross_gradient_share", "cross_gradient_step"),
        {"cross_gradient_share": 0.5, "cross_gradient_step": 1.0},
        needs="several devices",
    ),
    "distillation": Method(
        "knowledge distillation from a teacher's softened probabilities",
        f"{TF_SEPNET}; Hinton et al. 2015",
        ("distill_weight", "distill_temperature"),
        {"distill_weight": 20.0, "distill_temperature": 5.0},
        needs="a trained export",
    ),
    "swa": Method(
        "stochastic weight averaging over the last epochs",
        f"{CP_JKU}; Izmailov et al. 2018",
        ("swa_epochs",),
        {"swa_epochs": 1},
    ),
    "ema": Method(
        "exponential moving average of the weights",
        "Polyak and Juditsky 1992",
        ("ema_decay",),
        {"ema_decay": 0.99},
    ),
    "pruning": Method(
        "magnitude pruning, epoch by epoch",
        CP_JKU,
        ("prune_to", "prune_share"),
        {"prune_to": 1},  # which count can be reached depends on the network
        changes_inference=True,
    ),
    "quantization": Method(
        "quantization-aware training (int8) in the last epochs",
        BC_RESNET,
        ("quantize_share",),
        {"quantize_share": 0.5},
        changes_inference=True,
    ),
    "test_copies": Method(
        "test-time augmentation: mean probabilities over shifted copies of a clip",
        SEP_CNN,
        ("test_copies",),
        {"test_copies": 3, "shift_frames": 10.0},
        changes_inference=True,
    ),
}


def why_not(one: str, other: str) -> str:
    """Return why two methods cannot be combined; "" if they can.

    >>> why_not("rsc", "mixup")
    ''
    >>> why_not("adam", "sgd")
    'both set optimizer'
    """
    first, second = METHODS[one].on, METHODS[other].on
    both = [name for name in first if name in second and first[name] != second[name]]
    if both:
        return f"both set {', '.join(both)}"
    try:
        Recipe(**{"epochs": 2, **ALL_OFF, **first, **second})  # type: ignore[arg-type] # each value is of its field
    except ValueError as error:
        return str(error)
    return ""


def searched(name: str) -> str:
    """Return the search space that holds a method's first field.

    >>> searched("rsc"), searched("frequency_mask")
    ('rsc', 'spec_augment; varied by default')
    """
    (first, *_) = METHODS[name].fields
    spaces = [space for space, ranges in SPACES_OF_METHODS.items() if first in ranges]
    return ", ".join(spaces) + ("; varied by default" if first in TRAINING else "")


def refused_pairs() -> dict[tuple[str, str], str]:
    """Return every pair of methods that cannot be combined, with the reason."""
    reasons = {pair: why_not(*pair) for pair in combinations(METHODS, 2)}
    return {pair: reason for pair, reason in reasons.items() if reason}


def markdown() -> str:
    """Return the documentation page: all methods, and the pairs that cannot be combined."""
    lines = [
        "# Training methods",
        "",
        "Written by `python -m training.methods`; a test compares it with the code.",
        "",
        "A recipe is a set of values; each method below is on when its first field is, RSC when both are. Any of the",
        "fields can be fixed (`--set drop_f=0.05 --set drop_b=0.05`), and any can be a range of a search",
        "(`--space isotropic,rsc`). Only the methods marked with * change the trained network's inference; the others",
        "leave its parameters, its MACs and its export as they are.",
        "",
        "| method | what it does | fields | searched with `--space` | needs | source |",
        "|---|---|---|---|---|---|",
    ]
    for name, method in METHODS.items():
        star = "*" if method.changes_inference else ""
        fields = ", ".join(f"`{field}`" for field in method.fields)
        lines.append(
            f"| {name}{star} | {method.what} | {fields} | {searched(name)} | {method.needs} | {method.source} |"
        )
    refused = refused_pairs()
    count = len(METHODS) * (len(METHODS) - 1) // 2
    lines += [
        "",
        f"Of the {count} pairs {count - len(refused)} can be combined, and tests train each of them. Refused are:",
        "",
        "| pair | why |",
        "|---|---|",
        *(f"| {one} and {other} | {reason} |" for (one, other), reason in refused.items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - this is what it is for
