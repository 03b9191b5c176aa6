"""Named training recipes of the published reports, as differences from the defaults of `Recipe`.

Where a report does not print a setting that its method needs, the remark says so, and where the value is from;
docs/open_choices.md has all of them in one table.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from search.config.messages import look_up
from training.recipe import Recipe

ASCDOMAIN = "Truchan et al., ASCDomain, DCASE 2024 task 1"
TF_SEPNET = "Cai et al., TF-SepNet, DCASE 2023 task 1"
CP_JKU = "Koutini et al., CP-JKU, DCASE 2021 task 1A"
DEFAULT = "isotropic"
OPEN_CHOICES = "docs/open_choices.md"  # what the reports leave open, in one table
# Fields that a named recipe sets: all but the number of epochs and the seed.
RECIPE_FIELDS = tuple(field.name for field in fields(Recipe) if field.name not in ("epochs", "seed"))


@dataclass(frozen=True, kw_only=True)
class NamedRecipe:
    """The training recipe of a report.

    Attributes:
        name: Name in this project.
        architecture: Name of the architecture that the report trains.
        source: Report and section, or repository and commit.
        remark: Settings that the report does not state, and the values chosen for them.
        values: Fields of the recipe that differ from the default.
    """

    name: str
    architecture: str
    source: str
    remark: str = ""
    values: Mapping[str, Any]

    @property
    def recipe(self) -> Recipe:
        """The recipe with all fields."""
        return Recipe(**self.values)

    def describe(self) -> dict[str, Any]:
        """Return all attributes and the number of epochs as plain values."""
        return {**asdict(self), "values": dict(self.values), "epochs": self.recipe.epochs}


# The warm-up of the ASCDomain report and its scripts, 2,000 steps on every split. The defaults of `Recipe`, with which
# searches on any amount of data start, have a share of the steps instead.
_WARMUP = {"warmup_share": 0.0, "warmup_steps": 2000}
_WARMUP_REMARK = (
    "The warm-up is 2,000 steps on every split, as in the report: 2.4 % of the steps on all clips, 48 % on the split "
    "of 5 %. With other epochs it is scaled with them, and on smaller data it is at most half of the steps. A search "
    "without --recipe has a share of the steps instead, 2.4 %."
)
# Turns off the methods of the ASCDomain report that are on by default in `Recipe`.
_NONE_OF_ASCDOMAIN = {"roll_s": 0.0, "mask_bins": 0, "mix_style_p": 0.0, "impulse_response_p": 0.0}
_TF_SEPNET = {
    **_NONE_OF_ASCDOMAIN, "epochs": 200, "batch_size": 32, "optimizer": "adam", "learning_rate": 0.01,
    "weight_decay": 0.0, "warmup_share": 0.05, "simulated_devices": 32, "mixup_alpha": 0.3, "mix_style_p": 0.7,
}  # fmt: skip
_CP_RESNET = {
    **_NONE_OF_ASCDOMAIN, "epochs": 350, "batch_size": 10, "optimizer": "adam", "learning_rate": 1e-4,
    "weight_decay": 0.0, "schedule": "linear", "warmup_share": 0.0, "plateau_share": 0.1428, "final_share": 0.05,
    "roll_s": 0.5, "mel_top_drop": 0.1, "mixup_alpha": 0.3, "swa_epochs": 10, "prune_to": 65_000,
    "prune_share": 0.5714,
}  # fmt: skip
_CP_JKU_REMARK = (
    "The report refers to that of 2019 for its set-up; epochs, batch size, optimizer, learning rates and mixup are "
    "those of the configuration in https://github.com/kkoutini/cpjku_dcase19 at 9e402a5. There the learning rate "
    "decays from epoch 50 to 300 and is constant afterwards; here it decays to the end. There clips of 10 s are "
    "rolled by any shift, which is up to 0.5 s either way for a clip of 1 s. The range by which the mel filter bank's "
    "highest frequency is lowered is not stated: 0.1 is our choice. Weight averaging over the last ten epochs is "
    "stated for submissions 2 and 3 and assumed for 4, which is like 3; submission 1 has none. The report is silent on "
    "A-weighting, which the code of 2019 has and this project has not, and on the initial scale of damped weights: "
    "He's, by the outputs."
)

RECIPES: dict[str, NamedRecipe] = {
    recipe.name: recipe
    for recipe in (
        NamedRecipe(
            name="isotropic",
            architecture="isotropic",
            source=f"{ASCDOMAIN}, sections 2 and 4.2",
            remark=_WARMUP_REMARK,
            values=_WARMUP,
        ),
        NamedRecipe(
            name="rsc",
            architecture="isotropic",
            source=f"{ASCDOMAIN}, section 3.3 and table 2",
            remark=_WARMUP_REMARK,
            values={**_WARMUP, "drop_f": 0.05, "drop_b": 0.05},
        ),
        NamedRecipe(
            name="domain_adversarial",
            architecture="isotropic",
            source="https://github.com/hubtru/ASCDomain at dd49ddd, Adverserial/run_adv_training.py",
            remark=(
                "Only in the repository, which trains without impulse responses. The device classifier is 128 wide, as "
                f"in the script. {_WARMUP_REMARK}"
            ),
            values={**_WARMUP, "adversarial_weight": 1.0, "impulse_response_p": 0.0},
        ),
        NamedRecipe(
            name="tf_sepnet",
            architecture="tf_sepnet",
            source=f"{TF_SEPNET}, sections 2.3, 2.4 and 4",
            remark=(
                "mix_style_p is that of width 40; it is 0.5 for width 12 and 0.6 for width 20. The dropout rate is a "
                "field of the network, and not stated. The report's table 3 is for 100 epochs. The report quantizes "
                "after training. Its mel bank and the divisor of its frequency instance normalization's variance are "
                "not stated: HTK triangles without normalization by area, and the number of values."
            ),
            values=_TF_SEPNET,
        ),
        NamedRecipe(
            name="tf_sepnet_distilled",
            architecture="tf_sepnet",
            source=f"{TF_SEPNET}, section 3.3",
            remark="For width 12, with a teacher of width 160: tf_sepnet_160, trained with the recipe tf_sepnet.",
            values={**_TF_SEPNET, "mix_style_p": 0.5, "distill_weight": 20.0, "distill_temperature": 5.0},
        ),
        NamedRecipe(
            name="cp_resnet",
            architecture="cp_resnet",
            source=f"{CP_JKU}, sections 2, 5 and 6",
            remark=_CP_JKU_REMARK,
            values=_CP_RESNET,
        ),
        NamedRecipe(
            name="cp_resnet_adversarial",
            architecture="cp_resnet",
            source=f"{CP_JKU}, sections 2, 4, 5 and 6",
            remark=f"{_CP_JKU_REMARK} The weight of the critic's loss is not stated: 1 is our choice.",
            values={**_CP_RESNET, "critic_weight": 1.0, "critic_penalty": 10.0},
        ),
        NamedRecipe(
            name="sep_cnn",
            architecture="sep_cnn",
            source="Xin et al., DCASE 2022 task 1, sections 3 and 4.1",
            remark="The sizes and the probability of the mixture masks are not stated: ours are a choice.",
            values={
                **_NONE_OF_ASCDOMAIN, "batch_size": 32, "learning_rate": 0.001, "weight_decay": 1e-5,
                "warmup_share": 0.0, "final_share": 0.01, "shift_frames": 10.0, "mixture_mask_share": 0.125,
                "mixture_mask_p": 0.5, "test_copies": 30,
            },
        ),
        NamedRecipe(
            name="bc_resnet",
            architecture="bc_resnet",
            source="Cao et al., BC-ResNet-Mod, DCASE 2022 task 1, sections 2, 3 and 4.1.2",
            remark=(
                "Not stated, and chosen by us: the learning rate between warm restarts (a cosine), the range of the "
                "pitch shift, the mask sizes of SpecAugment, the fractions of the epochs with cross-gradient training "
                "and with quantization. The decay factor of 1e-5 is read as weight decay. The report also distills, "
                "with a weight and a temperature that it does not state: use --teacher, and --set distill_weight."
            ),
            values={
                **_NONE_OF_ASCDOMAIN, "epochs": 200, "batch_size": 512, "optimizer": "sgd", "learning_rate": 0.1,
                "weight_decay": 1e-5, "warmup_share": 0.0, "restart_epochs": "4,8,16,32,64,128",
                "pitch_semitones": 2.0, "spectrum_correction": True, "warp_frames": 4, "mask_bins": 16,
                "mask_frames": 4, "mixup_alpha": 0.4, "mixup_between": True, "cross_gradient_share": 0.5,
                "quantize_share": 0.1,
            },
        ),
    )
}  # fmt: skip


def find_recipe(name: str) -> NamedRecipe:
    """Look up a recipe.

    Raises:
        UserError: There is none of that name; suggests the nearest.
    """
    return look_up("recipe", name, RECIPES)


def recipe_of(architecture: str) -> NamedRecipe:
    """Return the recipe of an architecture's report, or the default recipe.

    >>> recipe_of("sep_cnn").name, recipe_of("cp_mobile").name
    ('sep_cnn', 'isotropic')
    """
    known = (recipe for recipe in RECIPES.values() if recipe.architecture == architecture)
    return next(known, RECIPES[DEFAULT])


def recipe_values(recipe: Recipe, epochs: int) -> dict[str, Any]:
    """Return the values of a recipe for a number of epochs; fields in epochs are scaled to it.

    >>> recipe_values(RECIPES["bc_resnet"].recipe, 20)["restart_epochs"]
    '1,2,3,6,13'
    """
    scaled = asdict(recipe.scaled(epochs / recipe.epochs))
    return {name: scaled[name] for name in RECIPE_FIELDS}
