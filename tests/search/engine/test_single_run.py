"""One configuration trained as a study: where it is found, what it becomes, and that nothing but the seed varies."""

import json
from dataclasses import asdict

import pytest
import yaml

from search.config.recipes import RECIPES
from search.config.settings import SearchSettings
from search.config.settings_file import read_job
from search.config.trial_config import TrialConfig
from search.engine.single_run import SourceConfig, from_file, from_name, from_trial, omitted_settings, train_settings
from search.engine.summary import training_lines
from search.optimizer.scheduler import TrialScheduler
from search.report.tables import seeds_table
from search.space.search_space import make_search_space
from search.study.creation import create_study
from search.study.repeats import seeds_report
from search.study.study import StudyError, StudyFolder
from search.study.table import trials_table
from tests.search.priced import priced
from tests.search.rows import row


def settings(name="isotropic", **values):
    return train_settings(from_name(name), **{"data": "nowhere", **values})


def config(asked, num_classes=10):
    return make_search_space(asked, num_classes).config({})


def start(folder, asked):
    study = folder.open() if folder.database.exists() else create_study(folder, asked, {})
    return TrialScheduler(study, priced(asked))


@pytest.fixture
def folder(tmp_path):
    return StudyFolder(tmp_path / "study")


def last_epoch(epochs, accuracy, unseen):
    """What an actor reports at once of all epochs."""
    curve = [
        {"epoch": n, "train_loss": 1.0, "macro_accuracy": accuracy, "log_loss": 2.0, "duration_s": 0.1}
        for n in range(1, epochs + 1)
    ]
    score = {"clips": 10, "accuracy": accuracy, "log_loss": 2.0}
    quality = {
        "macro_accuracy": accuracy, "accuracy": accuracy, "log_loss": 2.0, "classes": ["a"], "confusion": [[10]],
        "by_class": {"a": score}, "by_device": {"a": score},
        "by_group": {"real": score, "unseen": {**score, "accuracy": unseen}},
    }  # fmt: skip
    told = {"epochs": json.dumps(curve), "quality": json.dumps(quality), "versions": json.dumps({"torch": "2"})}
    return {**told, "done": True}


def test_a_published_network_is_trained_as_its_report_does():
    found = config(settings("tf_sepnet_60", impulse_responses="irs"))
    assert (found.architecture, found.network.width, found.front_end) == ("tf_sepnet", 60, "tfsepnet")
    assert found.recipe == RECIPES["tf_sepnet"].recipe
    assert config(settings("sep_cnn")).recipe == RECIPES["sep_cnn"].recipe


def test_the_number_of_classes_comes_from_the_data():
    assert config(settings("cp_mobile"), num_classes=3).network.num_classes == 3


def test_another_recipe_a_scale_and_single_values_take_the_place_of_its_own():
    asked = settings("tf_sepnet_60", recipe="bc_resnet", scale=0.1, overrides={"momentum": 0.9, "width": 20}, seed=7)
    found = config(asked)
    assert (found.recipe.epochs, found.recipe.restarts, found.recipe.momentum) == (20, (1, 2, 3, 6, 13), 0.9)
    assert (found.network.width, found.recipe.seed, asked.epochs) == (20, 7, 20)
    assert config(settings("bc_resnet", epochs=20)).recipe == config(settings("bc_resnet", scale=0.1)).recipe


def test_without_a_folder_of_responses_a_network_is_trained_without_them_unless_they_are_asked_for():
    assert config(settings()).recipe.impulse_response_p == 0.0
    assert config(settings("tf_sepnet_40")).recipe.simulated_devices == 0
    assert config(settings(impulse_responses="irs")).recipe.impulse_response_p == 0.6
    assert config(settings(overrides={"impulse_response_p": 0.5})).recipe.impulse_response_p == 0.5


def test_a_training_has_no_limits_and_says_by_how_much_it_is_over():
    space = make_search_space(settings("tf_sepnet_160", impulse_responses="irs"), num_classes=10)
    assert space.budget.limits() == {}
    network, recipe = training_lines(space)
    assert "757,050 parameters; over budget dcase2022, and trained all the same: macs 12" in network
    assert "params 757,050 > 128,000 (5.91x)" in network
    assert "200 epochs in batches of 32" in recipe
    assert "width=160" in recipe
    assert "mixup_alpha=0.3" in recipe
    assert "within budget dcase2022" in training_lines(make_search_space(settings(), num_classes=10))[0]


def test_what_is_over_budget_is_handed_out_from_seed_to_seed_in_order(folder):
    scheduler = start(folder, settings("tf_sepnet_160", seed=5, trials=3))
    proposals = [scheduler.propose() for _ in range(4)]
    assert [each and each.config.recipe.seed for each in proposals] == [5, 6, 7, None]
    assert {each.cost.params for each in proposals[:3]} == {757_050}
    assert len({asdict(each.config.recipe)["learning_rate"] for each in proposals[:3]}) == 1
    assert not scheduler.rejections


def test_a_training_is_never_stopped_early(folder):
    scheduler = start(folder, settings(epochs=9, trials=4))
    number = scheduler.propose().number
    for other in range(100, 110):
        scheduler.table.add(row(other, 3, 0.9, 10))
    assert not scheduler.report(number, last_epoch(3, 0.1, 0.1))


def test_another_driver_goes_on_with_the_seeds_that_are_left(folder):
    asked = settings(epochs=3, trials=4)
    first = start(folder, asked)
    done, running = first.propose(), first.propose()
    first.end(done.number, last_epoch(3, 0.5, 0.4))
    second = start(folder, read_job(folder.settings_file))
    assert second.propose().config == running.config
    assert [second.propose().config.recipe.seed for _ in range(2)] == [2, 3]
    assert second.propose() is None
    assert len(trials_table(second.study)) == 4


def test_seeds_are_reported_each_and_as_a_mean_with_its_interval(folder):
    scheduler = start(folder, settings(epochs=3, trials=3, seed=1))
    for accuracy, unseen in ((0.44, 0.30), (0.47, 0.36), (0.41, 0.33)):
        scheduler.end(scheduler.propose().number, last_epoch(3, accuracy, unseen))
    report = seeds_report(scheduler.study)
    assert list(report["seeds"]) == ["1", "2", "3"]
    assert report["seeds"]["2"]["accuracy_unseen"] == 0.36
    assert report["mean"]["macro_accuracy"] == pytest.approx(0.44)
    # s / sqrt(3) times 4.3027, the quantile of two degrees of freedom; s is 0.03 of both
    assert report["half"]["macro_accuracy"] == pytest.approx(0.07453, abs=1e-5)
    assert report["half"]["accuracy_unseen"] == pytest.approx(0.07453, abs=1e-5)
    table = seeds_table(report, "")
    assert table.head[2:] == ["macro accuracy", "log loss", "accuracy, real devices", "accuracy, unseen devices"]
    assert table.rows[-1] == ["mean", "", "0.440 ± 0.075", "2.000 ± 0.000", "0.440 ± 0.075", "0.330 ± 0.075"]


def test_one_seed_has_no_interval_and_none_no_mean(folder):
    scheduler = start(folder, settings(epochs=3))
    assert seeds_report(scheduler.study)["seeds"] == {}
    scheduler.end(scheduler.propose().number, last_epoch(3, 0.5, 0.4))
    assert seeds_table(seeds_report(scheduler.study), "").rows[-1][2] == "0.500"


def test_a_trial_is_trained_as_it_was_and_not_what_was_rejected(folder, tmp_path):
    asked = SearchSettings(data="nowhere", space="isotropic", trials=4, epochs=9, seed=3)
    scheduler = start(folder, asked)
    proposals = [scheduler.propose() for _ in range(4)]
    found = from_trial(f"study:{proposals[3].number}", tmp_path)
    assert found == SourceConfig(proposals[3].config, split="fold1")
    again = config(train_settings(found, data="nowhere", epochs=9))
    assert again == proposals[3].config
    rejected = next(t.number for t in scheduler.study.get_trials() if "rejected" in t.user_attrs)
    with pytest.raises(StudyError, match=f"trial {rejected} of study was rejected, .*: over budget dcase2022"):
        from_trial(f"study:{rejected}", tmp_path)
    scheduler.end(proposals[1].number, last_epoch(9, 0.5, 0.4))
    assert from_trial("study:best", tmp_path).config == proposals[1].config
    with pytest.raises(StudyError, match="study has no trial 99; its trials are 0 to"):
        from_trial("study:99", tmp_path)
    for text in ("study", ":3", "study:", "study:first"):
        with pytest.raises(ValueError, match="a trial is STUDY:NUMBER or STUDY:best"):
            from_trial(text, tmp_path)


def test_a_file_of_config_values_is_read_with_numbers_in_any_notation(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("architecture: isotropic\nwidth: 32\nlearning_rate: 1e-3\nrestart_epochs: '4'\nepochs: 12\n")
    found = config(train_settings(from_file(path), data="nowhere"))
    assert (found.network.width, found.recipe.learning_rate, found.recipe.restarts) == (32, 0.001, (4,))
    assert found.recipe.epochs == 12


def test_an_exports_config_is_trained_by_the_recipe_that_is_in_it(tmp_path):
    values = TrialConfig.from_values("tf_sepnet", {"width": 20, "epochs": 30, "mixup_alpha": 0.3, "seed": 4})
    described = {
        "format": 1, "architecture": "tf_sepnet", "network": asdict(values.network),
        "front_end": {"name": "tfsepnet", **asdict(values.front_end_config)}, "recipe": asdict(values.recipe),
        "classes": [str(number) for number in range(10)],
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(described))
    asked = train_settings(from_file(tmp_path / "config.yaml"), data="nowhere", impulse_responses="irs")
    assert config(asked) == values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": 0.5, "epochs": 3}, "scale and epochs exclude each other"),
        ({"scale": 0.0}, "scale must be above 0 and finite, got 0.0"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"overrides": {"epochs": 3}}, "epochs cannot be set here: it is a setting of its own: --epochs"),
        ({"overrides": {"mel_bins": 3}}, "mel_bins cannot be set here: it comes from the front end"),
        ({"overrides": {"widht": 3}}, "unknown config key 'widht'; did you mean 'width'?"),
        ({"overrides": {"patch": 100}}, "patch must be at most the shorter side of the input"),
        ({"overrides": {"swa_epochs": 500}}, "swa_epochs must be at most the 150 epochs, got 500"),
        ({"recipe": "tf_sepnt"}, "unknown recipe 'tf_sepnt'; did you mean 'tf_sepnet'?"),
        ({"seed": 2**31 - 1, "trials": 2}, "seed must leave room for 2 seeds up to 2147483647, got 2147483647"),
    ],
)
def test_what_cannot_be_trained_is_told_in_a_sentence(values, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared
        settings(**values)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 3", "must be a mapping of config values, got list"),
        ("width: 3", "must name an architecture: one of bc_resnet"),
        ("{architecture: isotropci}", "unknown architecture 'isotropci'; did you mean 'isotropic'?"),
        ("{architecture: isotropic, learning_rate: fast}", "learning_rate must be a number, got 'fast'"),
        ("{format: 2}", "does not describe an export of format 1"),
        ("a: [", "is not YAML that can be loaded safely"),
    ],
)
def test_a_file_that_describes_nothing_is_named(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared
        from_file(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tiny}"], "say what to train: a NAME, --config or --trial, one of the three"),
        (["{tiny}", "isotropic", "--trial", "first:1"], "one of the three"),
        (["{tiny}", "isotropci"], "unknown architecture or published network 'isotropci'; did you mean 'isotropic'?"),
        (["{tiny}", "--config", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["{tiny}", "--trial", "frist:1"], "unknown study 'frist'"),
        (["nowhere", "isotropic"], "no such folder"),
        (["{tiny}", "isotropic", "--study", "a/b"], "--study must be a plain name"),
        (["{tiny}", "tf_sepnet", "--recipe", "tf_sepnet_distilled"], "distill_weight is 20, but there is no teacher"),
        (["{tiny}", "isotropic", "--teacher", "x"], "there is a teacher, but distill_weight is 0"),
        (["{tiny}", "isotropic", "--teacher", "x", "--set", "distill_weight=1"], "x is not an export"),
        (["{tiny}", "isotropic", "--set", "impulse_response_p=0.5"], "there is no folder of impulse responses"),
    ],
)
def test_bad_input_is_told_with_exit_code_2_before_anything_is_written(arguments, message, tiny, tmp_path, run):
    told = run("train", *(text.format(tiny=tiny) for text in arguments), "--cache", tmp_path / "cache")
    assert told.code == 2
    assert message in told.err
    assert not list(tmp_path.glob("results/*"))


def test_a_published_network_is_trained_as_its_own_row_of_the_report_was():
    for name, field, value in (
        ("tf_sepnet_12", "mix_style_p", 0.5),
        ("tf_sepnet_40", "mix_style_p", 0.7),
        ("bc_resnet_40", "simulated_devices", 0),
        ("cp_resnet_1", "swa_epochs", 0),
        ("cp_resnet_3", "swa_epochs", 10),
    ):
        assert getattr(config(settings(name, impulse_responses="irs")).recipe, field) == value


def test_a_trial_is_trained_with_the_impulse_responses_and_the_split_of_its_study(folder, tmp_path):
    asked = SearchSettings(data="nowhere", space="isotropic", split="5", impulse_responses="irs", epochs=9)
    proposal = start(folder, asked).propose()
    found = from_trial(f"study:{proposal.number}", tmp_path)
    again = train_settings(found, data="nowhere")
    assert (again.split, again.impulse_responses) == ("5", "irs")
    assert config(again).recipe.impulse_response_p == proposal.config.recipe.impulse_response_p == 0.6
    assert train_settings(found, data="nowhere", split="10").split == "10"


def test_what_a_file_asks_for_is_not_left_out_for_want_of_a_folder(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"architecture": "isotropic", "impulse_response_p": 0.6}))
    assert config(train_settings(from_file(path), data="nowhere")).recipe.impulse_response_p == 0.6


def test_a_target_that_the_network_cannot_be_pruned_to_is_refused_before_a_study_is_made():
    with pytest.raises(ValueError, match="prune_to must be at least"):
        settings(overrides={"prune_to": 5})


def test_what_is_left_out_for_want_of_impulse_responses_is_told():
    found = from_name("tf_sepnet_40")
    assert omitted_settings(found, settings("tf_sepnet_40"), None) == {"simulated_devices": 32}
    assert omitted_settings(found, settings("tf_sepnet_40", recipe="isotropic"), "isotropic") == {
        "impulse_response_p": 0.6
    }
    assert omitted_settings(found, settings("tf_sepnet_40", impulse_responses="irs"), None) == {}
    assert omitted_settings(from_name("sep_cnn"), settings("sep_cnn"), None) == {}
