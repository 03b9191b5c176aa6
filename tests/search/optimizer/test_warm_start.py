"""Warm starts from lists, earlier studies and published networks, as little changed as fits."""

import json

import pytest

from search.config.published import read_published
from search.config.settings import SearchSettings
from search.optimizer.scheduler import TrialScheduler
from search.optimizer.warm_start import WarmStart, project_start, read_warm_starts
from search.space.pricing import price
from search.study.creation import create_study
from search.study.study import WARM_STARTS, StudyFolder
from search.study.table import trials_table
from tests.search.priced import priced

SETTINGS = SearchSettings(data="nowhere", space="isotropic,cp_mobile", trials=8, epochs=2, seed=3, budget="macs=10M")


@pytest.fixture(scope="module")
def space():
    return priced(SETTINGS, num_drawn=300)


def write(tmp_path, text, name="list.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def read(space, tmp_path, *names):
    return [(each.source, dict(each.config)) for each in read_warm_starts(names, space, tmp_path)]


def test_a_yaml_list_and_a_csv_list_are_read_the_same(space, tmp_path):
    yaml = (
        "- {architecture: isotropic, width: 48, learning_rate: 1e-3}\n- {architecture: cp_mobile, base_channels: 16}\n"
    )
    csv = "architecture,width,base_channels,learning_rate\nisotropic,48,,0.001\ncp_mobile,,16,\n"
    expected = [
        {"architecture": "isotropic", "width": 48, "learning_rate": 0.001},
        {"architecture": "cp_mobile", "base_channels": 16},
    ]
    assert read(space, tmp_path, write(tmp_path, yaml)) == [
        (f"list.yaml, entry {number}", each) for number, each in enumerate(expected, 1)
    ]
    assert read(space, tmp_path, write(tmp_path, csv, "list.csv")) == [
        (f"list.csv, line {number}", each) for number, each in enumerate(expected, 2)
    ]


def test_what_comes_from_data_and_settings_is_left_out_and_what_is_there_already(space, tmp_path):
    text = "- {architecture: isotropic, width: 48, epochs: 150, seed: 7, num_classes: 3}\n"
    starts = read(space, tmp_path, write(tmp_path, text + text))
    assert starts == [("list.yaml, entry 1", {"architecture": "isotropic", "width": 48})]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 5\n", "entry 1: must be a mapping of config values, got 5"),
        ("- {width: 48}\n", "entry 1: must name an architecture: isotropic, cp_mobile"),
        (
            "- {architecture: isotropic}\n- {architecture: isotropc}\n",
            "entry 2: unknown architecture of the space 'isotropc'; did you mean 'isotropic'?",
        ),
        (
            "- {architecture: isotropic, widht: 48}\n",
            "entry 1: unknown config key 'widht'; did you mean 'width'?",
        ),
        ("- {architecture: isotropic, width: wide}\n", "entry 1: width must be a whole number, got 'wide'"),
    ],
)
def test_an_entry_that_is_no_configuration_is_named(space, tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        read(space, tmp_path, path)
    assert str(caught.value) == f"start: {path}, {message}"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "[unclosed", "is not YAML that can be loaded safely"),
        ("a.yaml", "[]", "holds no configuration"),
        ("a.csv", "architecture\nisotropic,5\n", "line 2: more cells than columns"),
        ("gone.csv", None, "cannot be read"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused_with_the_reason(space, tmp_path, name, text, message):
    path = str(tmp_path / name) if text is None else write(tmp_path, text, name)
    with pytest.raises(ValueError, match=message):
        read(space, tmp_path, path)


def test_a_warm_start_that_fits_is_not_changed(space):
    start = WarmStart("here", {"architecture": "cp_mobile", "base_channels": 16, "growth": 1.4})
    fitted = project_start(start, space)
    assert (fitted.values["cp_mobile.base_channels"], fitted.values["cp_mobile.growth"]) == (16, 1.4)
    assert fitted.changes == []


def test_a_warm_start_is_projected_into_the_ranges_and_the_budget_and_its_changes_are_listed(space):
    config = {"architecture": "isotropic", "width": 5_000, "drop_f": 0.2}
    fitted = project_start(WarmStart("here", config), space)
    assert space.budget.fits(price(space.subspaces["isotropic"].config(fitted.values), space.settings.precision))
    width = fitted.values["isotropic.width"]
    assert fitted.changes == [f"width 5000 -> {width}", "fixed here: drop_f"]


def run(folder, settings, num, accuracies=()):
    study = folder.open() if folder.settings_file.exists() else create_study(folder, settings, {})
    scheduler = TrialScheduler(study, priced(settings, num_drawn=300))
    proposals = [scheduler.propose() for _ in range(num)]
    for proposal, accuracy in zip(proposals, accuracies, strict=False):
        curve = [{"epoch": 1, "train_loss": 1.0, "macro_accuracy": accuracy, "log_loss": 2.0, "duration_s": 0.1}]
        quality = json.dumps({"macro_accuracy": accuracy, "log_loss": 2.0})
        assert scheduler.end(proposal.number, {"epochs": json.dumps(curve), "quality": quality, "versions": "{}"})
    return scheduler, proposals


def test_an_earlier_study_warm_starts_from_its_front_first_and_half_of_the_trials_at_most(space, tmp_path):
    settings = SearchSettings(data="nowhere", space="isotropic", trials=5, epochs=1, early_stopping=False, seed=3)
    scheduler, proposals = run(StudyFolder(tmp_path / "first"), settings, 5, [0.5, 0.1, 0.4, 0.45, 0.3])
    starts = read_warm_starts(["first"], space, tmp_path)
    assert len(starts) == 4  # of eight trials
    costs = {each.number: (each.cost.macs, each.values[0]) for each in scheduler.table.completed}
    front = [
        number
        for number, (macs, accuracy) in costs.items()
        if not any(other[0] < macs and other[1] > accuracy for other in costs.values())
    ]
    assert [int(start.source.partition(":")[2]) for start in starts][: len(front)] == front[:4]
    config = proposals[front[0]].config.to_dict()
    assert starts[0].config == {name: config[name] for name in starts[0].config}
    assert not {"epochs", "seed", "num_classes"} & set(starts[0].config)


def test_a_study_of_which_nothing_can_be_reused_is_refused(space, tmp_path):
    settings = SearchSettings(data="nowhere", space="sep_cnn", trials=2, epochs=1, early_stopping=False)
    run(StudyFolder(tmp_path / "other"), settings, 2, [0.5])
    for name, message in (
        ("other", "start: none of the trials of other can be reused: its 1 trained trials are of other"),
        ("othr", "start: unknown study 'othr'; did you mean 'other'?"),
    ):
        with pytest.raises(ValueError, match=message):
            read_warm_starts([name], space, tmp_path)


def test_a_published_network_is_a_warm_start(space, tmp_path):
    entry = next(entry for entry in read_published() if entry.architecture == "cp_mobile")
    [start] = read_warm_starts([entry.name], space, tmp_path)
    assert start.source == entry.name
    assert {"architecture": "cp_mobile", **entry.settings}.items() <= start.config.items()


def test_warm_starts_are_proposed_after_the_published_settings_each_once_whoever_drives(tmp_path):
    folder = StudyFolder(tmp_path / "study")
    configs = [
        {"architecture": "cp_mobile", "base_channels": 16},
        {"architecture": "isotropic", "width": 48, "depth": 4},
        {"architecture": "sep_cnn"},  # of which nothing fits here, say
        {"architecture": "cp_mobile", "base_channels": 24},
    ]
    create_study(
        folder,
        SETTINGS,
        {WARM_STARTS: [{"source": f"list, entry {n}", "config": each} for n, each in enumerate(configs)]},
    )
    for num in (3, 5, 8):  # what was running is resumed, then what was not proposed yet
        scheduler, _ = run(folder, SETTINGS, num)
    origins = [trial.user_attrs.get("origin", {}) for trial in scheduler.study.get_trials()]
    assert [origin.get("kind") for origin in origins[:5]] == ["published"] * 2 + ["warm start"] * 3
    assert [origin.get("place") for origin in origins if origin.get("kind") == "warm start"] == [0, 1, 3]
    assert [trial.params["architecture"] for trial in scheduler.study.get_trials()[2:5]] == [
        "cp_mobile", "isotropic", "cp_mobile",
    ]  # fmt: skip
    assert trials_table(scheduler.study)["origin"][3].startswith("warm start (list, entry 1")
