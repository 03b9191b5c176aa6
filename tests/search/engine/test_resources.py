"""Resource allocation: defaults, micro-benchmarks, the margin of memory, and the record."""

import json

import pytest
import torch
from ray.exceptions import RayError

from data.device import num_cores
from data.layout import read_scenes
from search.config.settings import SearchSettings
from search.config.trial_config import TrialConfig
from search.engine.allocation import MACHINE, ResourceAllocation, capacity, share_cluster, share_machine
from search.engine.ray_cluster import Node, local_cluster, nodes
from search.engine.ray_tune import actor_config
from search.engine.resources import best_allocation, candidate_allocations, measure_allocation
from search.optimizer.successive_halving import Rung
from training.compute_mode import DEFAULT_MODE, ComputeMode, candidates
from training.loop import default_device


def test_the_default_is_one_trial_per_core_or_gpu_in_the_default_mode():
    use = share_machine(None)
    assert use.workers * use.cores <= num_cores()
    assert use.compute_mode("isotropic") == DEFAULT_MODE
    assert use.fits()


def test_more_trials_than_cores_are_refused():
    with pytest.raises(ValueError, match=f"workers must be at most the number of cores, {num_cores()}, got 999"):
        share_machine(999)


@pytest.mark.parametrize("workers", range(1, 65))
def test_the_shares_admit_as_many_parallel_trials_as_wanted_and_no_more(workers):
    use = ResourceAllocation(workers=workers, cores=1, gpus=1 / workers, compute_modes={}, clips_per_s={})
    for name in (MACHINE, "GPU"):
        parts = round(use.resources()[name] * 10_000)  # as Ray counts
        assert workers * parts <= 10_000 < (workers + 1) * parts


def test_fewer_trials_get_more_cores_and_all_cores_are_used():
    options = candidate_allocations(num_trials=1000)
    assert [each.workers for each in options] == sorted((each.workers for each in options), reverse=True)
    assert options[0].workers <= num_cores()
    assert options[-1].workers * options[-1].cores == num_cores() or options[-1].gpus
    assert [each.workers for each in candidate_allocations(num_trials=1)] == [1]


def machines(*sizes):
    return [Node(f"id-{number}", f"host-{number}", *size) for number, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "asked", "workers", "cores", "gpus"),
    [
        ([(8, 0), (4, 0)], None, 12, 1, 0),
        ([(8, 0), (4, 0)], 3, 3, 4, 0),  # two on the first
        ([(8, 0), (4, 0)], 2, 2, 4, 0),
        ([(8, 0), (4, 0)], 1, 1, 8, 0),
        ([(16, 1), (32, 2)], None, 3, 16, 1),
        ([(16, 1), (32, 2)], 6, 6, 8, 0.5),
        ([(64, 0), (8, 2)], None, 2, 4, 1),  # what has no GPU is left out
    ],
)
def test_on_a_cluster_each_trial_gets_its_resources_from_one_node(sizes, asked, workers, cores, gpus):
    there = machines(*sizes)
    use = share_cluster(asked, there)
    assert (use.workers, use.cores, use.gpus) == (workers, cores, gpus)
    assert use.fits(there)
    assert not use.fits()
    assert not use.fits(there[1:]) or workers <= capacity(there[1:], cores, gpus)
    assert MACHINE not in use.resources()
    assert MACHINE not in use.resources(is_alone=True)
    alone = use.resources(is_alone=True)
    assert alone["GPU"] == 1 if gpus else alone["CPU"] == min(node.cores for node in there)


def test_a_cluster_without_cores_or_with_too_few_is_refused():
    with pytest.raises(ValueError, match="the cluster has no cores"):
        share_cluster(None, [])
    with pytest.raises(ValueError, match="at most the number of the cluster's cores, 12, got 13"):
        share_cluster(13, machines((8, 0), (4, 0)))


GB = 10**9
OPTIONS = [ResourceAllocation(workers, 4 // workers, 0.0, {}, {}) for workers in (4, 2, 1)]


def measured(clips_per_s, available_gb, gb_per_trial=3.0):
    """Choose among four, two and one parallel trials, each of which needs `gb_per_trial` of memory."""
    return best_allocation(
        OPTIONS,
        lambda option: int(option.workers * gb_per_trial * GB),
        lambda option: clips_per_s[option.workers],
        available_gb * GB,
    )


def test_a_fifth_of_the_available_memory_stays_free():
    speeds = {4: 400.0, 2: 250.0, 1: 150.0}
    best, timed = measured(speeds, available_gb=15.0)  # 12 of 15 GB is four fifths
    assert (best.workers, timed) == (4, speeds)
    best, timed = measured(speeds, available_gb=14.9)
    assert (best.workers, timed) == (2, {2: 250.0, 1: 150.0})
    assert measured(speeds, available_gb=3.0) == (None, {})


def test_fewer_parallel_trials_on_more_cores_each_must_be_a_tenth_faster():
    assert measured({4: 100.0, 2: 109.0, 1: 90.0}, available_gb=100.0)[0].workers == 4
    assert measured({4: 100.0, 2: 111.0, 1: 90.0}, available_gb=100.0)[0].workers == 2


def test_an_allocation_whose_trials_break_is_not_chosen():
    def run(option):
        if option.workers == 4:
            raise RayError("out of memory")
        return 0

    best, timed = best_allocation(OPTIONS, run, lambda option: 50.0 * option.workers, GB)
    assert (best.workers, timed) == (2, {2: 100.0, 1: 50.0})


def test_what_was_measured_is_read_back_from_the_record():
    modes = {"isotropic": ComputeMode(bf16=True, channels_last=True), "tf_sepnet": DEFAULT_MODE}
    use = ResourceAllocation(
        workers=2, cores=1, gpus=0.0, compute_modes=modes, clips_per_s={2: 300.0, 1: 280.0}, node_cores=4
    )
    assert ResourceAllocation.from_dict(json.loads(json.dumps(use.to_dict()))) == use


@pytest.mark.slow
def test_every_architecture_is_timed_and_the_division_with_it_and_one_that_breaks_is_left_out(tiny, tmp_path):
    settings = SearchSettings(data=str(tiny), space="isotropic,cp_mobile", cache=str(tmp_path))
    num_classes = len(read_scenes(tiny).classes)
    values = {"batch_size": 12, "num_classes": num_classes, "impulse_response_p": 0.0}
    asked = share_machine(None)
    configs = {
        name: actor_config(TrialConfig.from_values(name, values), settings, asked, Rung("fold1", 0, 1))
        for name in ("isotropic", "cp_mobile")
    }
    broken = {**configs["isotropic"], "data": str(tmp_path / "nowhere")}
    with local_cluster(num_cpus=num_cores(), num_gpus=torch.cuda.device_count(), resources={MACHINE: 1.0}):
        use = measure_allocation(asked, configs, num_trials=12, divide=True)
        without = measure_allocation(asked, {"isotropic": broken}, num_trials=12, divide=True)
        found = nodes()
        twice = [*found, *found]  # as if there were two such machines
        small = {"isotropic": configs["isotropic"]}
        on_cluster = measure_allocation(share_cluster(None, twice), small, num_trials=12, divide=False, nodes=twice)
    assert on_cluster.workers == 2 * share_machine(None).workers
    assert on_cluster.fits(twice)
    assert set(on_cluster.compute_modes.values()) <= set(candidates(default_device()))
    assert without.compute_mode("isotropic") == DEFAULT_MODE
    assert without.fits()
    assert set(use.compute_modes) == {"isotropic", "cp_mobile"}
    assert set(use.compute_modes.values()) <= set(candidates(default_device()))
    assert set(use.clips_per_s) == {each.workers for each in candidate_allocations(12)}
    assert use.workers in use.clips_per_s
    assert use.fits()
