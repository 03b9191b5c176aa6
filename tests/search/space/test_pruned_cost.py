"""Cost of a network whose recipe prunes it: the stored values of the CP-ResNet report's section 6."""

import numpy as np
import pytest
import torch
from optuna.distributions import IntDistribution
from safetensors.numpy import load_file
from trained import SMALL, train

from objectives.budget import BUDGETS
from search.config.settings import SearchSettings
from search.config.trial_config import TrialConfig
from search.export.cost_report import cost_report
from search.export.writing import export_trial
from search.optimizer.scheduler import TrialScheduler
from search.space.feasibility import survey_subspace
from search.space.priced_space import price_space
from search.space.pricing import price, require_prunable
from search.space.projection import projections
from search.space.search_space import make_search_space
from search.space.subspace import Subspace
from search.study.creation import create_study
from search.study.study import StudyFolder

SUBMISSION_1 = {"width": 256, "groups": 16, "tail_blocks": 0, "rho": 7}
STORED = 504_104
LIMIT = BUDGETS["dcase2021"]


def priced(prune_to):
    return price(TrialConfig.from_values("cp_resnet", {**SUBMISSION_1, "prune_to": prune_to}), "fp16")


@pytest.mark.parametrize(("prune_to", "nonzero"), [(0, STORED), (64_690, 64_690), (STORED + 1, STORED)])
def test_a_recipe_that_prunes_keeps_its_target_or_all_values(prune_to, nonzero):
    cost = priced(prune_to)
    assert (cost.stored_values, cost.nonzero_values, cost.nonzero_bytes) == (STORED, nonzero, 2 * nonzero)
    assert cost.params == priced(0).params


def test_the_submission_fits_its_limit_pruned_and_not_otherwise():
    assert LIMIT.fits(priced(64_690))
    assert not LIMIT.fits(priced(65_537))
    assert not LIMIT.fits(priced(0))


def test_a_fixed_target_prices_every_network_of_a_search():
    ranges = {"cp_resnet.groups": IntDistribution(8, 16, step=8), "learning_rate": IntDistribution(1, 2)}
    subspace = Subspace("cp_resnet", ranges, {"width": 256, "rho": 7, "prune_to": 60_000})
    assert list(subspace.cost_ranges) == ["cp_resnet.groups"]
    found = survey_subspace(subspace, LIMIT, "fp16")
    assert found.feasible == [(8,), (16,)]
    assert subspace.cost_function("fp16")([16]).nonzero_values == 60_000


def test_a_varied_target_decides_the_cost():
    ranges = {"prune_to": IntDistribution(40_000, 80_000, step=20_000), "cp_resnet.rho": IntDistribution(6, 7)}
    subspace = Subspace("cp_resnet", ranges, {"width": 256})
    assert list(subspace.cost_ranges) == ["prune_to", "cp_resnet.rho"]
    assert subspace.num_networks == 6
    found = survey_subspace(subspace, LIMIT, "fp16")
    assert found.feasible == [(40_000, 6), (40_000, 7), (60_000, 6), (60_000, 7)]
    assert next(projections(found, LIMIT, "fp16", {"prune_to": 80_000, "cp_resnet.rho": 7})) == {
        "prune_to": 60_000,
        "cp_resnet.rho": 7,
    }


def test_a_report_counts_the_zeros_of_a_trained_network_and_without_one_the_target():
    config = TrialConfig.from_values("isotropic", {"width": 8, "depth": 1, "prune_to": 200})
    network = config.build()
    for tensor in network.state_dict().values():
        tensor.fill_(1)
    with torch.no_grad():
        network.blocks[0].depthwise[1].weight[:3] = 0  # of 8 filters, each 3 x 3
    report = cost_report(config, LIMIT, "fp16", network)
    stored = report["stored_values"]
    assert (report["nonzero_values"], report["nonzero_bytes"]) == (stored - 3 * 9, 2 * (stored - 3 * 9))
    report = cost_report(config, LIMIT, "fp16")
    assert (report["stored_values"], report["nonzero_values"], report["nonzero_bytes"]) == (stored, 200, 400)


def test_an_export_counts_the_zeros_of_the_weights_that_it_holds(tiny, tmp_path):
    folder = StudyFolder(tmp_path / "study")
    train(folder, tiny, epochs=4, **{**SMALL, "depth": 2, "prune_to": 2_450, "swa_epochs": 0})
    certificate = export_trial(folder, 0, tmp_path / "out", int8="none")
    held = load_file(tmp_path / "out" / "weights.safetensors")
    stored = {name: values for name, values in held.items() if not name.endswith("num_batches_tracked")}
    cost = certificate["cost"]
    assert cost["stored_values"] == sum(values.size for values in stored.values())
    assert cost["nonzero_values"] == sum(np.count_nonzero(values) for values in stored.values())
    assert cost["nonzero_values"] < cost["stored_values"]
    assert certificate["files"]["weights.safetensors"]["stored"]["nonzero_values"] == cost["nonzero_values"]
    verdict = certificate["editions"]["dcase2021"]["files"]["weights.safetensors"]
    assert (verdict["precision"], verdict["measured"]) == ("fp32", {"nonzero_bytes": 4 * cost["nonzero_values"]})
    assert f"| non-zero values | {cost['nonzero_values']:,} |" in (tmp_path / "out" / "card.md").read_text()


def test_a_search_rejects_a_target_that_its_network_cannot_be_pruned_to(tmp_path):
    fixed = {"prune_to": 12_000, "patch": 16, "kernel": 3, "columns": 1}  # only the narrowest can be pruned so far
    settings = SearchSettings(data="nowhere", space="isotropic", trials=2, set=fixed, ranges={"width": [32, 64]})
    space = price_space(make_search_space(settings, num_classes=10), 960)
    scheduler = TrialScheduler(create_study(StudyFolder(tmp_path / "study"), settings, {}), space)
    require_prunable(scheduler.propose().config)
    reasons = [
        trial.user_attrs["rejected"]["reason"] for trial in scheduler.study.trials if "rejected" in trial.user_attrs
    ]
    assert any(reason.startswith("prune_to must be at least") for reason in reasons)
