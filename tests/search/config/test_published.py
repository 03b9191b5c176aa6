"""Published networks: what reports claim against what we count, and errors in the table with their lines."""

import csv

import pytest

from data.front_end import FRONT_ENDS
from models import ARCHITECTURES
from search.config.published import PUBLISHED, STORED, PublishedError, find_published, read_published
from search.config.trial_config import TrialConfig
from search.space.pricing import price

ENTRIES = {entry.name: entry for entry in read_published()}
# What the reports print with all its digits; of the others the last digit is rounded or cut.
EXACT = {"claimed_params": 1, "claimed_macs": 1}
LAST_DIGIT = {
    **{name: EXACT for name, entry in ENTRIES.items() if entry.architecture in ("isotropic", "cp_mobile", "cp_resnet")},
    "sep_cnn": EXACT,
    **{name: {"claimed_params": 10, "claimed_macs": 10_000} for name in ENTRIES if name.startswith("tf_sepnet")},
    "bc_resnet_40": {"claimed_params": 10, "claimed_macs": 10_000},
    "bc_resnet_mod": {"claimed_params": 10, "claimed_macs": 1_000},
}
# Claims that our counts do not reach, and why.
NOT_REACHED = {
    ("tf_sepnet_160", "claimed_macs"): "prints about twice what the rule of the other four rows counts",
    ("bc_resnet_mod", "claimed_params"): "the text does not determine the network: our reading has 11.3 % fewer",
    ("bc_resnet_mod", "claimed_macs"): "the text does not determine the network: our reading has 5.4 % more",
}
CLAIMS = [
    (name, claim)
    for name, entry in ENTRIES.items()
    for claim in ("claimed_params", "claimed_macs")
    if getattr(entry, claim) is not None
]


@pytest.fixture(params=sorted(ENTRIES))
def entry(request):
    return ENTRIES[request.param]


def config(entry):
    return TrialConfig.from_values(entry.architecture, entry.values)


def counted(entry, claim):
    cost = price(config(entry), "fp16")
    if claim == "claimed_macs":
        return cost.macs
    return cost.stored_values if entry.params_rule == STORED else cost.params


def is_reached(name, claim):
    difference = counted(ENTRIES[name], claim) - getattr(ENTRIES[name], claim)
    return abs(difference) < LAST_DIGIT[name][claim]


def test_it_holds_every_published_network():
    assert list(ENTRIES) == [
        *("isotropic_v1", "isotropic_v2", "isotropic_v3", "recursiv_3x3", "recursiv_2x2", "recursiv_2x3"),
        *("tf_sepnet_12", "tf_sepnet_20", "tf_sepnet_40", "tf_sepnet_60", "tf_sepnet_160"),
        *("cp_resnet_1", "cp_resnet_2", "cp_resnet_3", "cp_resnet_4"),
        *("sep_cnn", "bc_resnet_mod", "bc_resnet_40", "cp_mobile"),
    ]


def test_it_builds_a_network_that_takes_the_input_of_its_front_end(entry):
    assert entry.front_end in FRONT_ENDS
    cost = price(config(entry), "fp16")
    assert cost.macs > 0
    assert cost.params > 0


@pytest.mark.parametrize(("name", "claim"), [pair for pair in CLAIMS if pair not in NOT_REACHED])
def test_we_count_what_the_report_claims(name, claim):
    assert is_reached(name, claim), (counted(ENTRIES[name], claim), getattr(ENTRIES[name], claim))


@pytest.mark.parametrize(("name", "claim"), sorted(NOT_REACHED))
def test_a_claim_that_is_given_up_is_indeed_not_reached(name, claim):
    assert (name, claim) in CLAIMS
    assert not is_reached(name, claim)


@pytest.mark.parametrize("name", sorted(ENTRIES.keys() & ARCHITECTURES))
def test_a_published_name_that_is_an_architecture_s_means_the_same(name):
    assert config(ENTRIES[name]) == TrialConfig.from_values(name, {})


def test_a_name_nobody_published_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="unknown published network 'isotropic_2'; did you mean 'isotropic_v2'"):
        find_published("isotropic_2")


def write(path, **cells):
    """Write the table's head and its first row, with some cells changed."""
    head, first = list(csv.reader(PUBLISHED.read_text(encoding="utf-8").splitlines()))[:2]
    row = [cells.get(column, cell) for column, cell in zip(head, first, strict=True)]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, row])


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"name": ""}, "name must not be empty, got ''"),
        ({"claimed_params": "47.9K"}, "claimed_params must be a whole number or empty, got '47.9K'"),
        ({"accuracy": "6097"}, "accuracy must be 0 to 100 or empty, got '6097'"),
        ({"accuracy_5": "nan"}, "accuracy_5 must be a number or empty, got 'nan'"),
        ({"params_rule": "all"}, "params_rule must be trainable or stored, got 'all'"),
        ({"settings": "patch"}, "settings must be key=value;key=value, each key once, got 'patch'"),
        ({"settings": "patch=[1"}, "settings must hold plain values, got 'patch=[1'"),
    ],
)
def test_a_cell_that_breaks_a_rule_is_named_with_its_line(tmp_path, cells, message):
    write(tmp_path / "p.csv", **cells)
    with pytest.raises(PublishedError) as caught:
        read_published(tmp_path / "p.csv")
    assert str(caught.value) == f"{tmp_path / 'p.csv'}, line 2: {message}"


def test_a_row_s_values_are_typed_and_unknown_ones_none(tmp_path):
    write(tmp_path / "p.csv", settings="a=5;b=0.5;c=true;d=fixed", claimed_macs="", log_loss="", claimed_size="")
    (row,) = read_published(tmp_path / "p.csv")
    assert row.settings == {"a": 5, "b": 0.5, "c": True, "d": "fixed"}
    assert row.values == {"front_end": "dcase24", **row.settings}
    assert (row.claimed_macs, row.log_loss, row.claimed_size) == (None, None, None)
    assert (row.claimed_params, row.accuracy) == (47_946, 60.97)


def test_a_table_of_another_form_is_refused(tmp_path):
    path = tmp_path / "p.csv"
    with pytest.raises(PublishedError, match=r"p\.csv cannot be read: .*No such file"):
        read_published(path)
    path.write_text("name,macs\n")
    with pytest.raises(PublishedError, match=r"the columns must be name, architecture, .*; got name, macs"):
        read_published(path)
    write(path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1]]))
    with pytest.raises(PublishedError, match=r"line 3: the name 'isotropic_v1' is taken by a row above"):
        read_published(path)
    path.write_text("\n".join([*lines, "alone"]))
    with pytest.raises(PublishedError, match=r"line 3: 1 cells under 19 columns"):
        read_published(path)
