"""A user's own architecture: searched like ours, or refused with the checks that it fails."""

import json
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from models import ARCHITECTURES
from search.config.settings import SearchSettings
from search.config.trial_config import TrialConfig
from search.config.user_file import UserFileError
from search.optimizer.scheduler import TrialScheduler
from search.space.conformance import ConformanceError
from search.space.custom_architecture import register_architecture_file
from search.space.feasibility import NUM_BUILT
from search.space.priced_space import price_space
from search.space.pricing import price
from search.space.search_space import make_search_space
from search.space.space_file import find_space, read_space
from spaces import NETWORKS, SPACES, Space

SOURCE = '''"""Half an ear: one convolution."""

from dataclasses import dataclass

import torch
from optuna.distributions import FloatDistribution, IntDistribution
from torch import nn


@dataclass(frozen=True, kw_only=True)
class Config:
    num_classes: int = 10
    in_channels: int = 1
    width: int = 8
    groups: int = 1
    slope: float = 0.01

    def __post_init__(self):
        if self.width % self.groups:
            raise ValueError(f"groups must divide width, got groups {self.groups} and width {self.width}")


class Network(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.in_channels = config.in_channels
        self.conv = nn.Conv2d(config.in_channels, config.width, 9, stride=4, bias=False)
        self.norm = nn.BatchNorm2d(config.width)
        self.mix = nn.Conv2d(config.width, config.width, 1, groups=config.groups)
        self.slope = config.slope
        self.head = nn.Linear(config.width, config.num_classes)

    def features(self, x):
        if x.shape[1] != self.in_channels:
            raise ValueError(f"x must have {self.in_channels} channels, got {x.shape[1]}")
        x = nn.functional.leaky_relu(self.norm(self.conv(x)), self.slope)
        return self.mix(x).mean((2, 3))

    def classify(self, z):
        return self.head(z)

    def forward(self, x):
        return self.classify(self.features(x))


RANGES = {
    "width": IntDistribution(4, 96, step=4),
    "groups": IntDistribution(1, 4),
    "slope": FloatDistribution(0.001, 0.3, log=True),
}
'''
COUNT = '''

from models.counts import Tally, spectrogram_size


def count(config, input_shape):
    """81 weights at each of (F - 5) // 4 x (T - 5) // 4 places."""
    bins, frames = spectrogram_size(input_shape, config.in_channels)
    if min(bins, frames) < 9:
        raise ValueError(f"input_shape must be at least 9 x 9, got {bins} x {frames}")
    positions = ((bins - 5) // 4) * ((frames - 5) // 4)
    tally = Tally()
    tally.conv(81 * config.in_channels * config.width, 0, positions)
    tally.hold(config.in_channels * bins * frames + config.width * positions)
    tally.batch_norm(config.width)
    tally.hold(2 * config.width * positions)
    tally.conv(config.width**2 // config.groups, config.width, positions)
    tally.linear(config.width, config.num_classes)
    return tally.counts()
'''


pytestmark = pytest.mark.usefixtures("registries")


def written(folder, source=SOURCE, name="half_ear.py"):
    path = folder / name
    path.write_text(source)
    return path


def settings(**values):
    return SearchSettings(**{"data": "nowhere", "space": "half_ear", "budget": "macs=1M,params=4K", **values})


@pytest.mark.parametrize("source", [SOURCE, SOURCE + COUNT], ids=["built", "counted"])
def test_it_is_registered_with_its_space_and_costs_what_it_costs(tmp_path, source):
    assert register_architecture_file(written(tmp_path, source)) == "half_ear"
    assert SPACES["half_ear"] == find_space("half_ear") == Space(
        {
            "half_ear": {
                "width": IntDistribution(4, 96, step=4),
                "groups": IntDistribution(1, 4),
                "slope": FloatDistribution(0.001, 0.3, log=True),
            }
        }
    )  # fmt: skip
    assert list(SPACES["all"].networks) == [*NETWORKS, "half_ear"]
    assert list(find_space("isotropic,half_ear").networks) == ["isotropic", "half_ear"]
    cost = price(TrialConfig.from_values("half_ear", {}), "fp16")
    # (256 - 5) // 4 x (65 - 5) // 4 = 930 places
    assert cost.params == 81 * 8 + 2 * 8 + 8 * 8 + 8 + 8 * 10 + 10
    assert cost.macs == 930 * (81 * 8 + 8 * 8 + 8) + 2 * 8 + 8 * 10 + 10
    assert cost.peak_bytes == 256 * 65 + 930 * 8


@pytest.mark.parametrize("source", [SOURCE, SOURCE + COUNT], ids=["built", "counted"])
def test_it_is_searched_within_the_budget(tmp_path, source):
    register_architecture_file(written(tmp_path, source))
    search_settings = settings(trials=4, epochs=1)
    space = price_space(make_search_space(search_settings, num_classes=3), 960)
    surveys = space.surveys
    assert not surveys["half_ear"].is_exhaustive
    assert surveys["half_ear"].num_priced == (NUM_BUILT if source == SOURCE else 5_000)
    assert surveys["half_ear"].violations["invalid"] > 0
    study = optuna.create_study(directions=["maximize", "minimize"])
    scheduler = TrialScheduler(study, space)
    proposals = [scheduler.propose() for _ in range(4)]
    first = proposals[0].config.network
    assert (first.num_classes, first.width, first.groups, first.slope) == (3, 8, 1, 0.01)
    for proposal in proposals:
        assert space.budget.fits(proposal.cost)
        assert proposal.config.architecture == "half_ear"
        assert 0.001 <= proposal.config.network.slope <= 0.3
        quality = {"macro_accuracy": 0.5, "log_loss": 1.0}
        epoch = {"epoch": 1, "train_loss": 1.0, **quality, "duration_s": 0.1}
        report = {"epochs": json.dumps([epoch]), "quality": json.dumps(quality), "versions": "{}"}
        assert scheduler.end(proposal.number, report) == "complete"
    assert scheduler.propose() is None


def test_a_space_file_may_vary_it(tmp_path):
    register_architecture_file(written(tmp_path))
    path = tmp_path / "space.yaml"
    path.write_text("networks: {half_ear: {slope: {low: 1e-2, high: 1, log: true}}, isotropic: }")
    assert read_space(path).networks["half_ear"] == {"slope": FloatDistribution(0.01, 1.0, log=True)}


def test_a_value_may_be_fixed_that_the_published_network_could_not_have(tmp_path):
    register_architecture_file(written(tmp_path))
    held = settings(set={"groups": 3})
    assert "half_ear" in price_space(make_search_space(held, num_classes=10)).subspaces
    with pytest.raises(ValueError, match=r"^groups must divide width, got groups 97 and width 8$"):
        make_search_space(settings(set={"groups": 97}), num_classes=10)


def test_without_ranges_its_training_alone_is_varied(tmp_path):
    register_architecture_file(written(tmp_path, SOURCE.partition("RANGES")[0]))
    assert make_search_space(settings(), num_classes=10).subspaces["half_ear"].cost_ranges == {}


def test_its_input_is_that_of_the_front_end_that_it_names(tmp_path):
    register_architecture_file(written(tmp_path, SOURCE + '\nFRONT_END = "bcresnet"\n'))
    config = TrialConfig.from_values("half_ear", {})
    assert (config.network.in_channels, config.input_shape) == (3, (3, 128, 44))


def test_a_second_time_nothing_is_checked_or_replaced(tmp_path):
    register_architecture_file(written(tmp_path))
    entry = ARCHITECTURES["half_ear"]
    register_architecture_file(written(tmp_path))
    assert ARCHITECTURES["half_ear"] is entry
    register_architecture_file(written(tmp_path, SOURCE + COUNT))
    assert entry.is_built_to_count
    assert not ARCHITECTURES["half_ear"].is_built_to_count


def test_two_files_are_two_architectures(tmp_path):
    for name in ("half_ear", "other-ear"):
        register_architecture_file(written(tmp_path, SOURCE + COUNT, f"{name}.py"))
    assert list(SPACES["all"].networks) == [*NETWORKS, "half_ear", "other-ear"]


# What is changed in the source, and the error. Every message begins with the file's name.
NO_CONFIG = "is not a valid architecture: "
NO_INPUT = NO_CONFIG + "the published network does not take its front end's output: "
NO_NETWORK = "is not a valid architecture:\n  "
BROKEN = [
    ("class Config:", "class Sizes:", " must define Config"),
    ("class Network(", "class Net(", " must define Network"),
    ("import torch\n", "import torch\nimport nonesuch\n",
     " cannot be run: ModuleNotFoundError: No module named 'nonesuch', line 6 of {path}"),
    ("class Network(nn.Module):", "class Network(nn.Module:",
     " cannot be run: SyntaxError: invalid syntax (half_ear.py, line 23)"),
    ("RANGES = {", "RANGES = 3 or {", ": RANGES must be a mapping of Config's fields to ranges, got 3"),
    ("@dataclass(frozen=True, kw_only=True)\n", "", NO_CONFIG + "its config must be a frozen dataclass, got <class"),
    ("frozen=True, ", "", NO_CONFIG + "its config must be frozen: @dataclass(frozen=True)"),
    ("width: int = 8", "width: int", NO_CONFIG + "width needs a default: that of the published network"),
    ("    in_channels: int = 1\n", "",
     NO_CONFIG + "its config needs the field in_channels: it is filled in from the front end"),
    ("slope: float = 0.01", "slope: tuple = ()",
     NO_CONFIG + "slope must be bool, int, float or str, got <class 'tuple'>"),
    ("from dataclasses", "from __future__ import annotations\nfrom dataclasses",
     NO_CONFIG + "num_classes must be bool, int, float or str, got 'int'; leave out `from __future__ import annot"),
    ("slope: float = 0.01", "slope: float = 0.01\n    roll_s: float = 0.1\n    batch_size: int = 3",
     NO_CONFIG + "batch_size, roll_s would be taken for a field of the training recipe: rename it"),
    ("groups: int = 1", "groups: int = 3",
     NO_CONFIG + "its default config cannot be made: ValueError: groups must divide width, got groups 3 and width 8"),
    ("RANGES = {", 'FRONT_END = "dcase25"\nRANGES = {', NO_CONFIG + "its front end 'dcase25' is none of bcresnet, "
     "cpresnet, cpresnet280, dcase24, sepcnn, tfsepnet"),
    ("            raise ValueError(f\"groups", "            raise KeyError(f\"groups",
     NO_CONFIG + "a config that builds no network must raise ValueError, but "),
    ("self.mix(x).mean((2, 3))", "torch.cumsum(self.mix(x), 2).mean((2, 3))",
     NO_INPUT + "UncountedOperatorError: Network runs aten::cumsum, which no rule counts; "
     "add each to COUNTED or to FREE in objectives/measure.py"),
    ("9, stride=4", "99, stride=4",
     NO_INPUT + "InputShapeError: the network cannot take an input of (1, 256, 65): "),
    ("    def features", "    def feature",
     NO_INPUT + "AttributeError: 'Network' object has no attribute"),
    ('    "width": IntD', '    "widht": IntD',
     "is not a valid search space:\n  half_ear: unknown field 'widht'; did you mean 'width'?"),
    ('    "width": IntD', '    "num_classes": IntD',
     "is not a valid search space:\n  half_ear: num_classes cannot be varied by a space: it comes from the data"),
    ("return self.classify(self.features(x))", "return 2 * self.classify(self.features(x))",
     NO_NETWORK + "features and logits: classify(features(x)) is not forward(x) in eval mode: by "),
    ("return self.head(z)", "return self.head(z)[:, 1:]",
     NO_NETWORK + "features and logits: logits must be (4, 10), got (4, 9)"),
    ("self.mix(x).mean((2, 3))\n", "self.mix(x).mean((2, 3))[:, None].sum(1)[None, 0]\n",
     NO_NETWORK + "features and logits: features must be (4, D), got (1, 8)"),
    ("self.head = ", "self.unused = nn.Parameter(torch.ones(3))\n        self.head = ",
     NO_NETWORK + "gradients: no gradient reaches unused"),
    ("self.norm = nn.BatchNorm2d(config.width)",
     "self.norm = nn.BatchNorm2d(config.width, track_running_stats=False)",
     NO_NETWORK + "batch independence: in eval mode a clip's logits depend on the others of its batch: by "),
    ("self.head = ", "nn.init.constant_(self.mix.bias, next(iter({object()})).__hash__() % 1e6)\n        self.head = ",
     NO_NETWORK + "seeded initialization: two networks built from one seed differ"),
    ('            raise ValueError(f"x must', '            raise TypeError(f"x must',
     NO_NETWORK + "input channels: it raises: TypeError: x must have 1 channels, got 2"),
    ("        if x.shape[1] != self.in_channels:", "        if x.shape[1] > 99:",
     NO_NETWORK + "input channels: the network must raise ValueError for 2 channels: "),
    ("x = nn.functional", "self.float()\n        x = x.float()\n        x = nn.functional",
     NO_NETWORK + "precisions: in torch.bfloat16 its logits are torch.float32"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), BROKEN)
def test_a_failed_check_is_named_and_nothing_is_left_of_the_architecture(tmp_path, old, new, message):
    assert SOURCE.count(old) == 1
    path = written(tmp_path, SOURCE.replace(old, new))
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared
        register_architecture_file(path)
    assert str(caught.value).removeprefix(str(path)).strip().startswith(message.strip().format(path=path))
    assert "half_ear" not in {**ARCHITECTURES, **SPACES, **SPACES["all"].networks}


COUNTED_WRONG = "counts: count says "


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("config.width, 0, pos", "config.width, 1, pos",
         COUNTED_WRONG + "670,636 macs, the built network has 669,706: "),
        ("config.in_channels * bins * frames + ", "",
         COUNTED_WRONG + "14,880 peak_values, the built network has 24,080: "),
        ("return tally.counts()", "return tally.macs, tally.params",
         "counts: count must return models.counts.Counts, got (669706, 826)"),
        ("config.width**2 // config.groups", "config.width**2", COUNTED_WRONG),
        ("spectrogram_size(input_shape, config.in_channels)", "input_shape[1:]",
         "input channels: count must raise ValueError for 2 channels"),
    ],
)  # fmt: skip
def test_a_count_that_differs_from_the_built_network_is_refused(tmp_path, old, new, message):
    assert COUNT.count(old) == 1
    path = written(tmp_path, SOURCE + COUNT.replace(old, new))
    with pytest.raises(ConformanceError) as caught:
        register_architecture_file(path)
    assert str(caught.value).startswith(f"{path} is not a valid architecture:\n  {message}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("isotropic.py", "{path}: there is an architecture isotropic already; give the file another name"),
        ("all.py", "{path}: there is an architecture all already; give the file another name"),
        ("a.b.py", "{path}: its name is the architecture's, so it must be of letters, digits, _ and - alone"),
        ("a,b.py", "{path}: its name is the architecture's, so it must be of letters, digits, _ and - alone"),
        ("ear.txt", "{path} is no Python file: its name must end in .py"),
    ],
)
def test_a_name_that_is_taken_or_ambiguous_is_refused(tmp_path, name, message):
    path = written(tmp_path, SOURCE + COUNT, name)
    known = dict(ARCHITECTURES), dict(SPACES)
    with pytest.raises(UserFileError) as caught:
        register_architecture_file(path)
    assert str(caught.value) == message.format(path=path)
    assert known == (ARCHITECTURES, SPACES)


def test_the_architecture_of_the_readme_passes_every_check():
    assert register_architecture_file(Path(__file__).parents[3] / "docs" / "plain_cnn.py") == "plain_cnn"


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(UserFileError) as caught:
        register_architecture_file(tmp_path / "none.py")
    assert str(caught.value) == f"{tmp_path}/none.py cannot be read: No such file or directory"


def test_a_worse_version_of_a_file_leaves_the_one_before_in_use(tmp_path):
    register_architecture_file(written(tmp_path, SOURCE + COUNT))
    entry = ARCHITECTURES["half_ear"]
    with pytest.raises(ConformanceError):
        register_architecture_file(written(tmp_path, SOURCE.replace("groups: int = 1", "groups: int = 3")))
    assert ARCHITECTURES["half_ear"] is entry
    assert register_architecture_file(written(tmp_path, SOURCE + COUNT)) == "half_ear"
