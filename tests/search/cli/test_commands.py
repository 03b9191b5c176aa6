"""The command line without a search: what it prints, with which exit code, and never with a traceback."""

import json
from dataclasses import replace

import numpy as np
import pytest

from models import ARCHITECTURES


def test_the_published_isotropic_network_costs_what_its_report_says(run):
    result = run("price", "isotropic", "--json")
    priced = json.loads(result.out)
    assert (result.code, priced["macs"], priced["params"], priced["fits"]) == (0, 29_747_914, 47_946, True)
    assert sum(layer["macs"] for layer in priced["layers"]) == 29_747_914
    assert priced["fvcore_macs"] != priced["macs"]
    shown = run("price", "isotropic")
    assert "29,747,914" in shown.out
    assert "fits the budget" in shown.out


def test_a_patch_of_4_is_over_budget_with_its_cost(run):
    result = run("price", "isotropic", "--set", "patch=4")
    assert result.code == 1
    assert "over budget dcase2022: macs 45,353,994 > 30,000,000 (1.51x)" in result.out


def test_a_published_network_is_priced_by_its_name_and_can_be_changed(run):
    priced = json.loads(run("price", "isotropic_v2", "--json").out)
    assert (priced["macs"], priced["params"]) == (21_270_026, 86_666)
    assert priced["config"]["patch"] == 8
    changed = json.loads(run("price", "isotropic_v2", "--set", "kernel=3", "--set", "depth=6", "--json").out)
    assert (changed["macs"], changed["params"]) == (29_463_050, 119_690)


def test_published_networks_stand_beside_what_we_count(run):
    row = next(line for line in run("published").out.splitlines() if line.split()[:1] == ["isotropic_v3"])
    assert row.split()[3:] == ["119,690", "119,690", "29,463,050", "29,463,050", "58.17"]


def test_a_published_network_is_printed_in_full(run):
    lines = run("published", "recursiv_2x3").out.splitlines()
    assert "settings: patch=8, width=128, kernel=3, depth=2, columns=3" in lines
    assert "accuracy: not reported" in lines
    assert "counted_macs: 29,463,050" in lines
    printed = json.loads(run("published", "recursiv_2x3", "--json").out)
    assert (printed["accuracy"], printed["accuracy_50"], printed["counted"]["params"]) == (None, 55.74, 119_690)
    assert [entry["name"] for entry in json.loads(run("published", "--json").out)][5] == "recursiv_2x3"


def test_a_budget_can_be_any_limits(run):
    result = run("price", "cp_mobile", "--budget", "macs=20M,params=50K", "--json")
    assert result.code == 1
    assert json.loads(result.out)["violations"] == [
        "macs 29,419,156 > 20,000,000 (1.47x)",
        "params 61,148 > 50,000 (1.22x)",
    ]


def test_numbers_in_any_notation_are_numbers(run):
    priced = json.loads(run("price", "isotropic", "--set", "learning_rate=1e-3", "--json").out)
    assert priced["config"]["learning_rate"] == 0.001


@pytest.mark.parametrize("command", [[], ["search"], ["train"], ["recipes"], ["data"], ["price"], ["export"]])
def test_help_names_what_there_is(run, command):
    assert "Usage:" in run(*command, "--help").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "nowhere", "--space", "isotropic"], "nowhere: no such folder"),
        (["search", ".", "--space", "isotropic"], "no meta.csv"),
        (["search", "{tiny}", "--space", "isotropci"], "unknown space 'isotropci'; did you mean 'isotropic'?"),
        (["search", "{tiny}", "--space", "isotropic", "--budget", "macs=10K"], "The limit that binds is macs 10,000"),
        (["search", "{tiny}", "--space", "isotropic", "--set", "widht=3"], "did you mean 'width'?"),
        (["search", "{tiny}", "--space", "isotropic", "--range", "width=64:32"], "is an empty range"),
        (["search", "{tiny}", "--space", "isotropic", "--trials", "0"], "trials must be a whole number of at least 1"),
        (["search", "{tiny}", "--space", "isotropic", "--impulse-responses", "nowhere"], "no such folder of impulse"),
        (
            ["search", "{tiny}", "--space", "isotropic", "--objectives", "macs"],
            "objectives must name at least one of mac",
        ),
        (
            ["search", "{tiny}", "--space", "isotropic", "--objectives", "macro_acuracy"],
            "did you mean 'macro_accuracy'?",
        ),
        (["search", "{tiny}", "--space", "isotropic", "--objectives", "macs,log_loss,macs"], "must name each once"),
        (["search", "{tiny}", "--space", "isotropic", "--start", "nosuch"], "unknown study 'nosuch'"),
        (
            ["search", "{tiny}", "--space", "isotropic", "--address", "127.0.0.1:1"],
            "no Ray can be joined at 127.0.0.1:1",
        ),
        (["search", "{tiny}", "--space", "isotropic", "--storage", "postgresql://127.0.0.1:1/x"], "cannot be used"),
        (["search", "--config", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["search", "{tiny}"], "a search needs space"),
        (["resume", "frist"], "unknown study 'frist'"),
        (["status"], "there is no study in results yet"),
        (["price", "isotropci"], "unknown architecture or published network 'isotropci'; did you mean 'isotropic'?"),
        (["price", "isotropic_v4"], "'isotropic_v4'; did you mean 'isotropic_v"),
        (["published", "tf_sepnet_41"], "unknown published network 'tf_sepnet_41'; did you mean 'tf_sepnet_40'?"),
        (["price", "isotropic", "--set", "pach=4"], "unknown config key 'pach'; did you mean 'patch'?"),
        (["price", "isotropic", "--set", "patch=100"], "patch must be at most"),
        (["price", "isotropic", "--budget", "dcase2122"], "unknown budget 'dcase2122'"),
        (["evaluate", ".", "{tiny}"], "is not an export"),
        (["predict", ".", "x.wav"], "is not an export"),
        (["nonsense"], "No such command"),
    ],
)
def test_bad_input_is_reported_in_a_sentence_with_exit_code_2(arguments, message, tiny, tmp_path, run):
    result = run(*(text.format(tiny=tiny) for text in arguments))
    assert result.code == 2
    assert message in result.err
    assert not list(tmp_path.glob("results/*"))


@pytest.mark.parametrize("command", [["preflight", "--space", "isotropic"], ["price", "isotropic"]])
def test_a_bug_in_pricing_is_a_traceback_and_a_request_to_report_it(command, run, monkeypatch):
    def count(config, shape):
        return np.zeros(2) + np.zeros(3)  # a ValueError, but not about the user's input

    monkeypatch.setitem(ARCHITECTURES, "isotropic", replace(ARCHITECTURES["isotropic"], count=count))
    result = run(*command)
    assert result.code == 70
    assert "Traceback" in result.err
    assert "operands could not be broadcast" in result.err
    assert result.err.rstrip().endswith("please report it, with the command and the lines above")
    assert "nothing in the space" not in result.err
