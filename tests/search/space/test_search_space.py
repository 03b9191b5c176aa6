"""Search spaces made from settings, or refused with the reason."""

import time

import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from search.config.settings import SearchSettings
from search.config.settings_file import make_settings, read_settings
from search.space.ranges import EmptySpaceError, narrow
from search.space.search_space import make_search_space
from tests.search.priced import priced


def settings(**values):
    return SearchSettings(**{"data": "nowhere", "space": "isotropic", **values})


def test_without_impulse_responses_their_probability_is_fixed_at_0():
    subspace = make_search_space(settings(), num_classes=10).subspaces["isotropic"]
    assert subspace.fixed["impulse_response_p"] == 0.0
    assert "impulse_response_p" not in subspace.ranges
    with_responses = make_search_space(settings(impulse_responses="irs"), num_classes=10).subspaces["isotropic"]
    assert "impulse_response_p" in with_responses.ranges


def test_the_number_of_classes_comes_from_the_data():
    assert make_search_space(settings(), num_classes=3).config({}).network.num_classes == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"space": "isotropci"}, "unknown space 'isotropci'; did you mean 'isotropic'?"),
        ({"set": {"widht": 32}}, "unknown config key 'widht'; did you mean 'width'?"),
        ({"set": {"width": "wide"}}, "width must be a whole number, got 'wide'"),
        ({"set": {"epochs": 3}}, "epochs cannot be set here: it is a setting of its own: --epochs"),
        ({"set": {"learning_rate": -1}}, "learning_rate must be above 0 and finite, got -1"),
        ({"ranges": {"width": [32, 999]}}, "ranges: width from 32 to 999 leaves the space's 32 to 192"),
        ({"ranges": {"width": [64, 32]}}, "ranges: width from 64 to 32 is an empty range"),
        ({"ranges": {"width": [33, 40]}}, "ranges: width from 33 to 40 holds none of the space's values (step 16)"),
        ({"ranges": {"width": [32, float("nan")]}}, "ranges: width must be two finite numbers, got 32 and nan"),
        ({"ranges": {"width": 32}}, "ranges: width must be two numbers, low and high, got 32"),
        ({"ranges": {"num_classes": [2, 3]}}, "num_classes cannot be set here: it comes from the data"),
        ({"set": {"width": 32}, "ranges": {"width": [32, 64]}}, "ranges: width cannot be narrowed: its value is fixed"),
    ],
)
def test_settings_without_a_search_space_are_refused_with_the_reason(values, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        make_search_space(settings(**values), num_classes=10)
    assert str(caught.value) == message


def test_a_space_without_a_range_is_empty():
    subspace = make_search_space(settings(), num_classes=10).subspaces["isotropic"]
    start = {subspace.field(name): value for name, value in subspace.published({}).items()}
    with pytest.raises(EmptySpaceError, match="the space isotropic is empty"):
        make_search_space(settings(set=start), num_classes=10)


def test_an_infeasible_budget_is_refused_within_seconds_with_the_binding_limit():
    space = settings(budget="macs=10K,params=128K")
    started = time.monotonic()
    with pytest.raises(EmptySpaceError) as caught:
        priced(space).require_feasible()
    assert time.monotonic() - started < 10
    assert "nothing in the space isotropic fits the budget macs=10K,params=128K: all " in str(caught.value)
    assert "The limit that binds is macs 10,000" in str(caught.value)
    relaxed = str(caught.value).partition("Relax the budget to ")[2].partition(", or")[0]
    assert priced(settings(budget=relaxed)).subspaces


def test_the_survey_counts_what_fits_exactly():
    held = {"patch": 5, "kernel": 3, "columns": 1}
    found = priced(settings(set=held, ranges={"width": [64, 80], "depth": [8, 10]})).surveys["isotropic"]
    assert (found.num_priced, found.is_exhaustive) == (6, True)
    assert list(found.subspace.cost_ranges) == ["isotropic.width", "isotropic.depth"]
    assert found.feasible == [(64, 8), (64, 9)]
    assert found.violations["macs"] == 4


def test_narrow_keeps_to_the_values_of_the_range():
    assert narrow("width", IntDistribution(32, 128, step=16), [40, 100]) == IntDistribution(48, 96, step=16)
    assert narrow("rate", FloatDistribution(1e-4, 1e-1, log=True), [1e-3, 1e-2]) == FloatDistribution(
        1e-3, 1e-2, log=True
    )


def test_narrow_keeps_a_stepped_float_on_its_grid():
    growth = FloatDistribution(1.0, 2.4, step=0.1)
    assert narrow("growth", growth, [1.05, 2.0]) == FloatDistribution(1.1, 2.0, step=0.1)
    with pytest.raises(EmptySpaceError, match="holds none of the space's values"):
        narrow("growth", growth, [1.01, 1.05])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a list", "must be a mapping of search settings, got list"),
        ("data: x\nspcae: isotropic", "unknown search setting 'spcae'; did you mean 'space'?"),
        ("data: x", "a search needs space"),
        ("data: x\nspace: isotropic\ntrials: many", "trials must be a whole number of at least 1, got 'many'"),
        ("data: x\nspace: isotropic\nbudget: dcase2202", "unknown budget 'dcase2202'"),
        ("data: x\nspace: isotropic\nprecision: [fp16]", "precision must be one of"),
        ("data: x\nspace: isotropic\nset: {3: 4}", "set must be a mapping of config keys to values"),
        ("data: x\nspace: isotropic\ncache: 5", "cache must be a folder, got 5"),
        ("data: x\nspace: isotropic\nseed: 5000000000", "seed must be a whole number from 0 to 2147483647"),
        ("data: ''\nspace: isotropic", "data must be a text, got ''"),
        ("data: !!python/object:os.system x", "is not YAML that can be loaded safely"),
        ("data: [", "is not YAML that can be loaded safely"),
    ],
)
def test_a_search_file_with_an_error_is_named_with_the_error(tmp_path, text, message):
    path = tmp_path / "search.yaml"
    path.write_text(text)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared
        read_settings(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_settings_written_are_read_back_the_same(tmp_path):
    written = settings(budget="macs=5M", set={"width": 48}, ranges={"depth": [2, 4]}, split="5", epochs=7)
    path = tmp_path / "search.yaml"
    path.write_text(written.to_yaml())
    assert read_settings(path) == written


def test_values_set_by_flags_join_those_of_the_file(tmp_path):
    path = tmp_path / "search.yaml"
    path.write_text("data: x\nspace: isotropic\nset: {width: 32, depth: 4}\n")
    assert read_settings(path, set={"width": 48}).set == {"width": 48, "depth": 4}


def test_flags_override_the_file(tmp_path):
    path = tmp_path / "search.yaml"
    path.write_text("data: x\nspace: isotropic\ntrials: 3\n")
    assert read_settings(path, trials=5, epochs=None) == make_settings(
        {"data": "x", "space": "isotropic", "trials": 5}, "flags"
    )
