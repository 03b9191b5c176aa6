"""A user's search space, parsed into ranges or refused with every problem."""

from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search.config.settings import SearchSettings
from search.config.user_file import UserFileError
from search.config.yaml_text import YamlError
from search.space.priced_space import price_space
from search.space.search_space import make_search_space
from search.space.space_file import MAX_NUMBER, SpaceError, find_space, read_space, space_problems
from spaces import METHODS, NETWORKS, SPACES, TRAINING, Space

WHOLE = """
networks:
  isotropic:
    width: {low: 32, high: 96, step: 16}
    kernel: [3, 5]
    patch: 8
    depth: {low: 2, high: 32, log: true}
  cp_mobile:
    growth: {low: 1.0, high: 2.0, step: 0.25}
    expansion: {low: 1, high: 4}
  cp_resnet:
front_ends: [dcase24, tfsepnet]
training:
  learning_rate: {low: 1e-4, high: 1e-2, log: true}
  weight_decay: [1e-5, 0.001]
  batch_size: 64
"""


def written(folder, text, name="space.yaml"):
    path = folder / name
    path.write_text(text)
    return path


def test_a_yaml_file_is_parsed_into_its_ranges(tmp_path):
    space = find_space(str(written(tmp_path, WHOLE)))
    assert space == Space(
        networks={
            "isotropic": {
                "width": IntDistribution(32, 96, step=16),
                "kernel": CategoricalDistribution([3, 5]),
                "patch": CategoricalDistribution([8]),
                "depth": IntDistribution(2, 32, log=True),
            },
            "cp_mobile": {
                "growth": FloatDistribution(1.0, 2.0, step=0.25),
                "expansion": FloatDistribution(1.0, 4.0),
            },
            "cp_resnet": {},
        },
        front_ends=("dcase24", "tfsepnet"),
        training={
            "learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
            "weight_decay": CategoricalDistribution([1e-5, 0.001]),
            "batch_size": CategoricalDistribution([64]),
        },
        explicit=frozenset({"learning_rate", "weight_decay", "batch_size"}),
    )


def test_a_python_file_defines_the_same_as_space(tmp_path):
    path = written(
        tmp_path,
        "from optuna.distributions import IntDistribution\n"
        "from spaces import Space\n"
        "SPACE = Space({'isotropic': {'width': IntDistribution(32, 64, step=16)}}, ('tfsepnet',), {})\n",
        "small.py",
    )
    assert find_space(str(path)) == Space({"isotropic": {"width": IntDistribution(32, 64, step=16)}}, ("tfsepnet",), {})


def test_without_training_it_varies_as_in_our_own_spaces(tmp_path):
    assert read_space(written(tmp_path, "networks: {isotropic: }")).training == TRAINING


def test_an_empty_training_varies_nothing_of_it(tmp_path):
    path = written(tmp_path, "networks: {isotropic: {width: {low: 32, high: 64, step: 16}}}\ntraining: {}")
    settings = SearchSettings(data="nowhere", space=str(path))
    assert list(make_search_space(settings, num_classes=10).subspaces["isotropic"].ranges) == ["isotropic.width"]


def test_the_front_end_is_a_choice_of_every_architecture(tmp_path):
    text = "networks: {isotropic: , cp_mobile: }\nfront_ends: [tfsepnet, dcase24]\ntraining: {}"
    space = make_search_space(SearchSettings(data="nowhere", space=str(written(tmp_path, text))), num_classes=10)
    for subspace in space.subspaces.values():
        assert dict(subspace.ranges) == {"front_end": CategoricalDistribution(["tfsepnet", "dcase24"])}
        assert subspace.config({"front_end": "tfsepnet"}).input_shape == (1, 128, 44)
    assert space.front_ends == ("tfsepnet", "dcase24")


def test_names_with_commas_between_are_searched_together():
    assert find_space("isotropic, cp_mobile") == Space({name: NETWORKS[name] for name in ("isotropic", "cp_mobile")})


def test_a_method_alone_varies_its_own_fields_with_the_published_isotropic_network():
    space = find_space("rsc")
    assert space == Space({"isotropic": {}}, training=METHODS["rsc"], explicit=frozenset({"drop_f", "drop_b"}))
    space = make_search_space(SearchSettings(data="nowhere", space="rsc"), num_classes=10)
    assert set(space.subspaces["isotropic"].ranges) == {"drop_f", "drop_b"}
    cost = price_space(space).surveys["isotropic"]
    assert (cost.num_priced, [int(macs) for macs in cost.costs[0][:2]]) == (1, [29_747_914, 47_946])


def test_a_method_beside_an_architecture_is_varied_with_its_sizes_and_its_training():
    space = find_space("tf_sepnet, rsc,mixup")
    added = {"drop_f", "drop_b", "mixup_alpha", "mixup_between"}
    assert dict(space.networks) == {"tf_sepnet": NETWORKS["tf_sepnet"]}
    assert set(space.training) == set(TRAINING) | added
    assert space.explicit == added
    assert list(find_space("all,rsc").networks) == list(NETWORKS)


def test_a_method_decides_the_range_of_a_field_that_every_search_varies():
    assert find_space("isotropic").training["learning_rate"].high == 0.03
    assert find_space("isotropic,optimizers").training["learning_rate"].high == 0.2


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_can_be_searched_alone_and_beside_every_architecture(name):
    assert space_problems(find_space(name)) == []
    assert space_problems(find_space(f"all,{name}")) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("isotropci", "unknown space 'isotropci'; did you mean 'isotropic'?"),
        ("isotropic,cp_mobil", "unknown architecture or training method 'cp_mobil'; did you mean 'cp_mobile'?"),
        ("isotropic,mixpu", "unknown architecture or training method 'mixpu'; did you mean 'mixup'?"),
        (
            "isotropic,",
            f"unknown architecture or training method ''; there are: {', '.join(sorted([*SPACES, *METHODS]))}",
        ),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(text, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        find_space(text)
    assert str(caught.value) == message


WIDTH = "isotropic: width"
RATE = "training: learning_rate"
FRONT_ENDS = "bcresnet, cpresnet, cpresnet280, dcase24, sepcnn, tfsepnet"


def width(text):
    return f"networks: {{isotropic: {{width: {text}}}}}"


def rate(text):
    return f"networks: {{isotropic: }}\ntraining: {{learning_rate: {text}}}"


# What cannot be read as a space: the file's text, and the error after the file's name.
UNREADABLE = [
    ("", "a space must be a mapping of names, got None"),
    ("- isotropic", "a space must be a mapping of names, got ['isotropic']"),
    ("{}", "networks must be a mapping of names, got None"),
    ("networks: {}", f"networks must name an architecture: {', '.join(NETWORKS)}"),
    ("networks: [isotropic]", "networks must be a mapping of names, got ['isotropic']"),
    ("network: {isotropic: }", "a space: unknown key 'network'; did you mean 'networks'?"),
    ("networks: {isotropci: }", "unknown architecture 'isotropci'; did you mean 'isotropic'?"),
    ("networks: {isotropic: 64}", "isotropic must be a mapping of names, got 64"),
    ("networks: {isotropic: {3: 4}}", "isotropic must be a mapping of names, got {3: 4}"),
    ("networks: {isotropic: {widht: 64}}", "isotropic: unknown field 'widht'; did you mean 'width'?"),
    (
        "networks: {isotropic: }\nfront_ends: dcase24",
        f"front_ends must be a list of front ends ({FRONT_ENDS}), got 'dcase24'",
    ),
    ("networks: {isotropic: }\ntraining: [32]", "training must be a mapping of names, got [32]"),
    (
        "networks: {isotropic: }\ntraining: {learn_rate: 1}",
        "training: unknown field 'learn_rate'; did you mean 'learning_rate'?",
    ),
    (width("[]"), f"{WIDTH} must be a range, a list of values or a value, got []"),
    (width("[[32]]"), f"{WIDTH} must be a range, a list of values or a value, got [[32]]"),
    (width(""), f"{WIDTH} must be a range, a list of values or a value, got None"),
    (width("{low: 32, hihg: 64}"), f"{WIDTH}: unknown key 'hihg'; did you mean 'high'?"),
    (width("{low: 32, step: 16}"), f"{WIDTH} must have high, got {{'low': 32, 'step': 16}}"),
    (width("{low: 64, high: 32}"), f"{WIDTH} must have low at most high, got {{'low': 64, 'high': 32}}"),
    (
        width("{low: 32, high: 90, step: 16}"),
        f"{WIDTH} must have a step that leads from low to high, got {{'low': 32, 'high': 90, 'step': 16}}",
    ),
    (
        width("{low: 32, high: 64, step: 0}"),
        f"{WIDTH} must have a step above 0, got {{'low': 32, 'high': 64, 'step': 0}}",
    ),
    (
        width("{low: 32, high: 64, step: 16, log: true}"),
        (
            f"{WIDTH} must have a step or a logarithmic scale, not both, "
            "got {'low': 32, 'high': 64, 'step': 16, 'log': True}"
        ),
    ),
    (
        width("{low: 0, high: 64, log: true}"),
        f"{WIDTH} must have low above 0 for a logarithmic scale, got {{'low': 0, 'high': 64, 'log': True}}",
    ),
    (
        width("{low: 32, high: 64, log: maybe}"),
        f"{WIDTH} must have true or false for log, got {{'low': 32, 'high': 64, 'log': 'maybe'}}",
    ),
    (
        width("{low: 32.5, high: 64}"),
        f"{WIDTH} must have a whole number up to 1,000,000 for low, got {{'low': 32.5, 'high': 64}}",
    ),
    (
        width("{low: true, high: 64}"),
        f"{WIDTH} must have a whole number up to 1,000,000 for low, got {{'low': True, 'high': 64}}",
    ),
    (
        width("{low: 32, high: 1000001}"),
        f"{WIDTH} must have a whole number up to 1,000,000 for high, got {{'low': 32, 'high': 1000001}}",
    ),
    (
        rate("{low: small, high: 1}"),
        f"{RATE} must have a number up to 1,000,000 for low, got {{'low': 'small', 'high': 1}}",
    ),
    (
        rate("{low: 0.1, high: .inf}"),
        f"{RATE} must have a number up to 1,000,000 for high, got {{'low': 0.1, 'high': inf}}",
    ),
    (rate("{low: .nan, high: 1}"), f"{RATE} must have a number up to 1,000,000 for low, got {{'low': nan, 'high': 1}}"),
    (
        rate("{low: 0.1, high: 0.25, step: 0.1}"),
        f"{RATE} must have a step that leads from low to high, got {{'low': 0.1, 'high': 0.25, 'step': 0.1}}",
    ),
    ("networks: {cp_resnet: {damped: {low: 0, high: 1}}}", "cp_resnet: damped is no number: give a list of values"),
]


@pytest.mark.parametrize(("text", "message"), UNREADABLE)
def test_an_invalid_file_is_refused_with_the_part_that_is_wrong(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(SpaceError) as caught:
        read_space(path)
    assert str(caught.value) == f"{path}: {message}"


# What can be read, and not searched.
UNSEARCHABLE = [
    (width("[32, true]"), f"{WIDTH} must be of type int, got True"),
    (width("[32, 48.0]"), f"{WIDTH} must be of type int, got 48.0"),
    (width("wide"), f"{WIDTH} must be of type int, got 'wide'"),
    (width("[32, 32]"), f"{WIDTH} names 32 twice"),
    (width("10000000"), f"{WIDTH} must be from -1,000,000 to 1,000,000, got 10000000"),
    (rate("[0.1, fast]"), f"{RATE} must be of type float, got 'fast'"),
    ("networks: {cp_resnet: {damped: 1}}", "cp_resnet: damped must be of type bool, got 1"),
    (
        "networks: {isotropic: {num_classes: {low: 2, high: 9}, in_channels: 1}}",
        (
            "isotropic: num_classes cannot be varied by a space: it comes from the data\n"
            "  isotropic: in_channels cannot be varied by a space: it comes from the front end"
        ),
    ),
    (
        "networks: {isotropic: }\ntraining: {epochs: [10, 20], seed: 3}",
        (
            "training: epochs cannot be varied by a space: it is a setting of its own: --epochs\n"
            "  training: seed cannot be varied by a space: it is a setting of its own: --seed"
        ),
    ),
    ("networks: {isotropic: }\nfront_ends: [dcase23]", "unknown front end 'dcase23'; did you mean 'dcase24'?"),
    ("networks: {isotropic: }\nfront_ends: [[1]]", f"unknown front end '[1]'; there are: {FRONT_ENDS}"),
    ("networks: {isotropic: }\nfront_ends: [dcase24, dcase24]", "it names the front end dcase24 twice"),
    (
        "networks: {isotropic: {patch: 300}, cp_mobile: }",
        (
            "isotropic: none of 200 random configurations builds a network; the last: patch must be at most the "
            "shorter side of the input, 256 mel bins x 65 frames, got 300"
        ),
    ),
    (
        rate("-1"),
        (
            "isotropic: none of 200 random configurations builds a network; the last: learning_rate must be above 0 "
            "and finite, got -1"
        ),
    ),
]


@pytest.mark.parametrize(("text", "message"), UNSEARCHABLE)
def test_an_invalid_space_is_refused_with_every_problem(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(SpaceError) as caught:
        read_space(path)
    assert str(caught.value) == f"{path} is not a valid search space:\n  {message}"


def test_a_file_that_is_missing_or_no_yaml_is_named(tmp_path):
    with pytest.raises(YamlError) as caught:
        find_space(str(tmp_path / "none.yaml"))
    assert str(caught.value) == (f"{tmp_path}/none.yaml cannot be read: No such file or directory")
    with pytest.raises(UserFileError) as caught:
        find_space(str(tmp_path / "none.py"))
    assert str(caught.value) == f"{tmp_path}/none.py cannot be read: No such file or directory"
    for text in ("networks: [", "networks: !!python/object:os.system x"):
        path = written(tmp_path, text)
        with pytest.raises(YamlError) as caught:
            find_space(str(path))
        assert str(caught.value).startswith(f"{path} is not YAML that can be loaded safely: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SPACES = 3", "{path} must define SPACE, a spaces.Space, got NoneType"),
        ("SPACE = {'isotropic': {}}", "{path} must define SPACE, a spaces.Space, got dict"),
        ("SPACE = Space(", "{path} cannot be run: SyntaxError: '(' was never closed (space.py, line 1)"),
        ("\n1 / 0", "{path} cannot be run: ZeroDivisionError: division by zero, line 2 of {path}"),
        (
            "import json\n\njson.loads('x')",  # raised in another file
            "{path} cannot be run: JSONDecodeError: Expecting value: line 1 column 1 (char 0), line 3 of {path}",
        ),
        ("raise SystemExit(0)", "{path} cannot be run: SystemExit: 0, line 1 of {path}"),
        (
            "from spaces import Space\nSPACE = Space(['isotropic'], None, 3)",
            (
                "{path} is not a valid search space:\n"
                "  its networks must be a mapping of architectures to ranges, got ['isotropic']\n"
                "  its front_ends must be a tuple, got None\n"
                "  its training must be a mapping of fields to ranges, got 3"
            ),
        ),
        (
            "from spaces import Space\nSPACE = Space({'isotropic': {'width': [32, 48]}})",
            "{path} is not a valid search space:\n  isotropic: width is of type int, but its range is a list",
        ),
        (
            (
                "from optuna.distributions import FloatDistribution\nfrom spaces import Space\n"
                "SPACE = Space({'isotropic': {'width': FloatDistribution(32, 64), 'wdith': FloatDistribution(0, 1)}})"
            ),
            (
                "{path} is not a valid search space:\n"
                "  isotropic: width is of type int, but its range is a FloatDistribution\n"
                "  isotropic: unknown field 'wdith'; did you mean 'width'?"
            ),
        ),
        (
            (
                "from optuna.distributions import FloatDistribution\nfrom spaces import Space\n"
                "SPACE = Space({'isotropic': {}}, (), {'learning_rate': FloatDistribution(0, float('inf'))})"
            ),
            (
                "{path} is not a valid search space:\n"
                "  training: learning_rate must be from -1,000,000 to 1,000,000, got inf"
            ),
        ),
        (
            "from spaces import Space\nSPACE = Space({})",
            "{path} is not a valid search space:\n  it names no architecture",
        ),
        (
            "from spaces import Space\nSPACE = Space({'isotropci': {}})",
            "{path} is not a valid search space:\n  unknown architecture 'isotropci'; did you mean 'isotropic'?",
        ),
    ],
)
def test_a_python_file_without_a_space_is_refused(tmp_path, text, message):
    path = written(tmp_path, text, "space.py")
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        read_space(path)
    assert str(caught.value) == message.format(path=path)


def test_the_largest_number_allowed_can_be_searched(tmp_path):
    text = f"networks: {{isotropic: {{width: {{low: {MAX_NUMBER - 1}, high: {MAX_NUMBER}}}}}}}"
    space = make_search_space(SearchSettings(data="nowhere", space=str(written(tmp_path, text))), num_classes=10)
    assert price_space(space).surveys["isotropic"].costs[:, 0].min() > 10**12


def test_the_space_of_the_readme_can_be_searched():
    assert list(read_space(Path(__file__).parents[3] / "docs" / "small_space.yaml").networks) == [
        "isotropic",
        "cp_mobile",
    ]
