"""One trial of a study with all that is recorded of it."""

import pytest
from growing_study import Growing
from recorded import cost, trial, write_study

from search.dashboard.data.trial_record import read_trial
from search.study.study import (
    ATTEMPTS,
    LAYERS,
    ORIGIN,
    QUALITY,
    VERSIONS,
    StudyError,
)


def test_one_trial_is_read_with_all_that_is_recorded(tmp_path):
    state, known = trial("complete", 5_000_000, 0.2, 0.4, latency_ms=2.5)
    more = {
        LAYERS: [{"name": "stem", "kind": "Conv2d", "output_shape": [8, 4, 4], "params": 1, "macs": 2}],
        QUALITY: {"macro_accuracy": 0.4},
        ATTEMPTS: [{"epoch": 1, "reason": "killed"}],
        VERSIONS: {"torch": "2.13.0"},
        ORIGIN: {"kind": "projected", "changes": ["width 48 -> 32"]},
    }
    folder = write_study(tmp_path / "s", (state, {**known, **more}), trial("rejected", 99), trial("stopped", 9, 0.1))
    Growing(folder).reject()
    whole, rejected, stopped, varied = (read_trial(folder, number) for number in range(4))
    assert (whole.state, whole.quality, whole.origin) == (
        "complete",
        {"macro_accuracy": 0.4},
        "projected (width 48 -> 32)",
    )
    assert (whole.layers, whole.attempts, whole.versions) == (more[LAYERS], more[ATTEMPTS], more[VERSIONS])
    assert whole.cost == {**cost(5_000_000), "latency_ms": 2.5}
    assert [each["macro_accuracy"] for each in whole.curve] == [0.2, 0.4]
    assert whole.config["width"] == 32
    assert (rejected.state, rejected.reason, rejected.quality) == ("rejected", "over budget", None)
    assert (stopped.state, stopped.layers, list(stopped.attempts)) == ("stopped", [], [])
    assert varied.config["width"] == 48


@pytest.mark.parametrize("number", [-1, 4, 10**30])
def test_a_trial_that_is_not_there_is_refused_with_those_that_are(tmp_path, every_kind, number):
    folder = write_study(tmp_path / "s", *every_kind[:4])
    with pytest.raises(StudyError, match=f"s has no trial {number}; there are: 0 to 3"):
        read_trial(folder, number)
    with pytest.raises(StudyError, match="e has no trial 0; there are: none yet"):
        read_trial(write_study(tmp_path / "e"), 0)
