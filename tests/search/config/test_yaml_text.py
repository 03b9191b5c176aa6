"""YAML: numbers as people write them, no key twice, and texts that every reader gets back."""

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from search.config.settings import SearchSettings
from search.config.settings_file import read_job, read_settings
from search.config.trial_config import TrialConfig
from search.config.yaml_text import YamlError, dump_yaml, load_yaml, read_yaml
from search.space.space_file import read_space

NUMBERS = [
    ("1e-3", 0.001), ("1E3", 1000.0), ("5e6", 5e6), ("-2e+1", -20.0), ("1.5e-3", 0.0015), (".5e1", 5.0), ("1.", 1.0),
    ("150", 150), ("-7", -7), ("1_000", 1000), ("0x10", 16), ("0.1", 0.1), (".inf", math.inf),
]  # fmt: skip
TEXTS = ["e3", "1e", "1e-", "16:32", "1:30:00", "1.5.2", "4,8", "dcase2024", "1-3", "s1"]


@pytest.mark.parametrize(("text", "value"), NUMBERS)
def test_a_number_is_read_as_a_number(text, value):
    assert load_yaml(f"{{set: {text}}}") == {"set": value}
    assert type(load_yaml(text)) is type(value)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_stays_a_text(text):
    assert load_yaml(f"{{set: '{text}', x: {text if ',' not in text else 1}}}")["set"] == text
    assert load_yaml(text) == text


@given(st.text(max_size=12) | st.sampled_from([*TEXTS, *(text for text, _ in NUMBERS), "no", "on", "~", "2024-05-01"]))
def test_a_text_that_is_written_is_read_back_by_any_reader(text):
    written = dump_yaml({"name": text})
    assert load_yaml(written) == {"name": text}
    assert yaml.safe_load(written) == {"name": text}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs: 5\nseed: 1\nepochs: 50", "line 3: the key epochs is given a second time, after line 1"),
        ("set:\n  width: 8\n  width: 8", "line 3: the key width is given a second time, after line 2"),
        ("a: {b: 1, b: 2}", "line 1: the key b is given a second time, after line 1"),
        ("a: {b: 1,\n b: 2}", "line 2: the key b is given a second time, after line 1"),
        ("- a: 1\n  'a': 2", "line 2: the key a is given a second time, after line 1"),
        ("a: [1", "line 1: expected ',' or ']', but got '<stream end>'"),
        ("a: !!python/object:os.system {}", "line 1: could not determine a constructor for the tag"),
        ("a: 2024-13-45", "month must be in 1..12"),
        ("a: \x07", "unacceptable character"),
        ("{" * 5000, "it is nested too deeply"),
        ("a: " + "9" * 5000, "Exceeds the limit"),
    ],
)
def test_a_text_that_means_no_one_thing_is_refused_with_its_line(text, message):
    with pytest.raises(YamlError) as caught:
        load_yaml(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_in_capitals_and_one_of_another_type_are_other_keys():
    assert load_yaml("a: 1\nA: 2\n1: 3\n'1': 4") == {"a": 1, "A": 2, 1: 3, "1": 4}


def test_a_merged_key_may_be_overridden():
    assert load_yaml("base: &b {x: 1}\nown: {<<: *b, x: 2}")["own"] == {"x": 2}


def test_a_small_number_is_taken_in_set_ranges_and_spaces_alike(tmp_path):
    path = tmp_path / "search.yaml"
    path.write_text("data: d\nspace: isotropic\nset: {weight_decay: 1e-3}\nranges: {learning_rate: [1e-3, 5e-3]}\n")
    settings = read_settings(path)
    assert (settings.set, settings.ranges) == ({"weight_decay": 0.001}, {"learning_rate": [0.001, 0.005]})
    path.write_text("networks: {isotropic: {}}\ntraining: {learning_rate: {low: 1e-3, high: 1e-2, log: true}}\n")
    assert read_space(path).training["learning_rate"].high == 0.01


@pytest.mark.parametrize("value", [4, "4", [4]])
def test_one_restart_is_a_list_of_restarts(value):
    assert TrialConfig.from_values("isotropic", {"restart_epochs": value}).recipe.restarts == (4,)


def test_several_restarts_may_be_a_list(tmp_path):
    assert TrialConfig.from_values("isotropic", {"restart_epochs": [4, 8]}).recipe.restarts == (4, 8)
    path = tmp_path / "space.yaml"
    path.write_text('networks: {isotropic: {}}\ntraining: {restart_epochs: [4, [4, 8], "16", ""]}\n')
    assert read_space(path).training["restart_epochs"].choices == ("4", "4,8", "16", "")


@pytest.fixture
def whole(tmp_path):
    """The settings file of a study."""
    path = tmp_path / "search.yaml"
    path.write_text(SearchSettings(data="d", space="isotropic", trials=120, set={"width": 32}).to_yaml())
    return path


def test_a_settings_file_that_was_cut_short_anywhere_is_refused(whole):
    text = whole.read_text()
    expected = read_job(whole)
    whole.write_text(text.rstrip())  # an editor may drop the last line end
    assert read_job(whole) == expected
    for length in range(len(text.rstrip())):
        whole.write_text(text[:length])
        with pytest.raises(ValueError, match=r"is cut short|must be a mapping|not YAML"):
            read_job(whole)


def test_a_settings_file_that_was_edited_by_hand_or_is_older_is_read(whole):
    text = whole.read_text()
    whole.write_text(text.replace("trials: 120", "trials: 130   # ten more"))
    assert read_job(whole).trials == 130
    whole.write_text(text.removeprefix("---\n").removesuffix("...\n"))
    assert read_job(whole).trials == 120
    whole.write_text("job: search\nformat: 2\ndata: d\nspace: isotropic\n")
    assert read_job(whole).space == "isotropic"


def test_a_file_that_is_not_utf8_or_a_folder_is_one_sentence(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"data: caf\xe9\n")
    with pytest.raises(YamlError, match=r"latin\.yaml cannot be read: it is not UTF-8 \(invalid continuation byte at"):
        read_yaml(tmp_path / "latin.yaml")
    with pytest.raises(YamlError, match="cannot be read: it is a folder, not a regular file; name a file in it"):
        read_yaml(tmp_path)
