"""Meta file of a submission, filled in from the certificates and recipes of its exports.

The user's words replace what is filled in.
"""

from collections.abc import Callable, Mapping
from typing import Any

from data.front_end import FrontEndConfig
from search.submission.edition import Edition
from search.submission.sheet import Sheet
from search.submission.systems import TORCH, System
from training.recipe import Recipe

NOTHING = "none"
ARCHITECTURES = {
    "bc_resnet": "CNN (BC-ResNet)",
    "cp_mobile": "CNN (CP-Mobile)",
    "cp_resnet": "CNN (CP-ResNet)",
    "isotropic": "CNN (isotropic)",
    "sep_cnn": "CNN (separable, coordinate attention)",
    "tf_sepnet": "CNN (TF-SepNet)",
}
# Field of the recipe -> name of the augmentation that it switches on.
AUGMENTATION = {
    "roll_s": "time rolling",
    "shift_frames": "time shifting",
    "pitch_semitones": "pitch shifting",
    "mel_top_drop": "mel bank shifting",
    "impulse_response_p": "device impulse responses",
    "simulated_devices": "device simulation",
    "warp_frames": "time warping",
    "mask_bins": "frequency masking",
    "mask_frames": "time masking",
    "mix_style_p": "Freq-MixStyle",
    "mixture_mask_share": "mixture masking",
    "mixup_alpha": "mixup",
}
TRAINING_METHODS = {
    "label_smoothing": "label smoothing",
    "focal_gamma": "focal loss",
    "drop_f": "representation self-challenging",
    "adversarial_weight": "domain-adversarial training",
    "critic_weight": "Wasserstein domain critic",
    "cross_gradient_share": "cross-gradient training",
    "distill_weight": "knowledge distillation",
    "swa_epochs": "weight averaging",
    "ema_decay": "weight averaging",
}
COMPRESSION_METHODS = {
    "distill_weight": "knowledge distillation",
    "prune_to": "pruning",
    "quantize_share": "quantization-aware training",
}


def make_meta(sheet: Sheet, systems: Mapping[str, System], edition: Edition) -> dict[str, Any]:
    """Return the meta file of a submission, in the order of the challenge's template."""
    described = {name: sheet.description.get(name) for name in edition.description}
    filled = describe(sheet.external_datasets, systems)
    described |= {name: text for name, text in filled.items() if name not in sheet.description}
    return {
        "submission": {
            "label": sheet.label,
            "name": sheet.name,
            "abbreviation": sheet.abbreviation,
            "authors": sheet.authors,
        },
        "system": {
            "description": described,
            "complexity": {
                "total_model_size": max(each.size_bytes for each in systems.values()),
                "total_parameters": max(each.params for each in systems.values()),
                "macs": max(each.macs for each in systems.values()),
            },
            "external_datasets": sheet.external_datasets,
            "source_code": sheet.source_code,
        },
        "results": {"development_dataset": {f"split_{split}": _results(systems[split]) for split in systems}},
    }


def describe(external_datasets: object, systems: Mapping[str, System]) -> dict[str, str]:
    """Return the filled-in values of the block description, by key."""

    def of_all(words: Callable[[System], list[str]]) -> str:
        return merge_splits({split: words(each) for split, each in systems.items()})

    datasets = external_datasets if isinstance(external_datasets, list) else []
    external = [str(each["name"]) for each in datasets if isinstance(each, dict) and each.get("name")]
    return {
        "input_sampling_rate": of_all(lambda each: [f"{_front_end(each).rate_hz / 1000:g}kHz"]),
        "acoustic_features": of_all(_features),
        "data_augmentation": of_all(lambda each: _switched_on(_recipe(each), AUGMENTATION)) or NOTHING,
        "machine_learning_method": of_all(_learning),
        "external_data_usage": ", ".join(external) or NOTHING,
        "complexity_management": of_all(_compression),
        "framework": of_all(lambda each: list(dict.fromkeys((TORCH, each.runtime)))),
    }


def merge_splits(words: Mapping[str, list[str]]) -> str:
    """Join the words of all splits; those of some splits only are followed by the names of these.

    >>> merge_splits({"5": ["mixup", "time rolling"], "50": ["time rolling"], "100": ["time rolling"]})
    'time rolling, mixup (split 5)'
    """
    splits = {
        word: [split for split, some in words.items() if word in some]
        for word in dict.fromkeys(word for some in words.values() for word in some)
    }
    common = [word for word, where in splits.items() if len(where) == len(words)]
    partly = [
        f"{word} (split{'s' if len(where) > 1 else ''} {', '.join(where)})"
        for word, where in splits.items()
        if len(where) < len(words)
    ]
    return ", ".join(common + partly)


def _front_end(system: System) -> FrontEndConfig:
    return system.export.config.front_end_config


def _recipe(system: System) -> Recipe:
    return system.export.config.recipe


def _features(system: System) -> list[str]:
    front_end = _front_end(system)
    deltas = " with deltas and delta-deltas" if front_end.deltas else ""
    window_ms, hop_ms = (1000 * samples / front_end.rate_hz for samples in (front_end.window, front_end.hop))
    words = [f"log-mel energies{deltas} ({front_end.mel_bins} bins; window {window_ms:.4g} ms; hop {hop_ms:.4g} ms)"]
    return [*words, "spectrum correction by device"] if _recipe(system).spectrum_correction else words


def _switched_on(recipe: Recipe, words: Mapping[str, str]) -> list[str]:
    return list(dict.fromkeys(word for field, word in words.items() if getattr(recipe, field)))


def _learning(system: System) -> list[str]:
    recipe, name = _recipe(system), system.export.config.architecture
    words = [ARCHITECTURES.get(name, f"neural network ({name})"), *_switched_on(recipe, TRAINING_METHODS)]
    copies = f"test-time augmentation (mean over {recipe.test_copies} copies; the MACs are of one)"
    return [*words, copies] if recipe.test_copies else words


def _compression(system: System) -> list[str]:
    return [
        *_switched_on(_recipe(system), COMPRESSION_METHODS),
        f"{system.precision} weights",
        "search within the budget",
    ]


def _results(system: System) -> dict[str, Any]:
    """Return the quality as the challenge reports it: the overall accuracy is the mean over classes."""
    quality = system.quality
    return {
        "overall": _score(quality.macro_accuracy, quality.log_loss),
        "class_wise": {name: _score(each.accuracy, each.log_loss) for name, each in quality.by_class.items()},
        "device_wise": {name: _score(each.accuracy, each.log_loss) for name, each in quality.by_device.items()},
    }


def _score(accuracy: float, log_loss: float) -> dict[str, float]:
    return {"accuracy": round(100 * accuracy, 2), "logloss": round(log_loss, 4)}
