"""What a person sees while a search runs."""

import gc
import io
import json
import sys
import threading
import time

import pytest
from rich.console import Console

from search.config.settings import SearchSettings, TrainSettings
from search.engine.progress import Clock, LiveDisplay, PlainDisplay, counting, make_display
from search.optimizer.scheduler import TrialScheduler
from search.optimizer.successive_halving import rungs_of
from search.optimizer.trial_table import State
from search.study.creation import create_study
from search.study.study import StudyFolder
from tests.search.priced import priced


def start(folder, splits=(), job=SearchSettings, **changes):
    """Take up the study in a folder, which is made where there is none."""
    what = "space" if job is SearchSettings else "architecture"
    settings = job(**{"data": "nowhere", what: "isotropic", "trials": 4, "epochs": 2, "seed": 3, **changes})
    study = folder.open() if folder.database.exists() else create_study(folder, settings, {})
    return TrialScheduler(study, priced(settings), rungs_of(settings, splits))


@pytest.fixture
def folder(tmp_path):
    return StudyFolder(tmp_path / "study")


@pytest.fixture
def scheduler(folder):
    return start(folder)


def epoch(number, accuracy, last=2):
    summary = {
        "epoch": number,
        "train_loss": 1.0,
        "macro_accuracy": accuracy,
        "log_loss": 2.0,
        "unseen_accuracy": None,
        "worst_device_accuracy": accuracy - 0.1,
        "duration_s": 0.1,
    }
    quality = {"macro_accuracy": accuracy, "log_loss": 2.0}
    told = {"epochs": json.dumps([summary]), "quality": json.dumps(quality), "versions": "{}"}
    return {**told, "done": number == last}


def text(renderable):
    console = Console(width=140, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()


def test_the_page_shows_progress_rejections_the_running_and_the_front(scheduler):
    display = LiveDisplay(scheduler, Console(file=io.StringIO()))
    assert "none yet" in text(display.page())
    first, second = scheduler.propose(), scheduler.propose()
    scheduler.report(first.number, epoch(1, 0.31))
    scheduler.end(first.number, epoch(2, 0.44))
    scheduler.report(second.number, epoch(1, 0.25))
    display.reported(second)
    page = text(display.page())
    assert "1/4 trials" in page
    assert f"{sum(scheduler.rejections.values())} rejected untrained" in page
    for kind, count in scheduler.rejections.items():
        assert f"{count} {kind}" in page
    assert "1 complete" in page
    assert "1/2" in page
    assert "0.250" in page
    assert "0.440" in page
    assert f"{first.cost.macs:,}" in page


def test_the_page_is_drawn_while_the_driver_changes_what_it_shows(folder):
    scheduler = start(folder, trials=60)
    display = LiveDisplay(scheduler, Console(file=io.StringIO()))
    broken, pages, over = [], [], threading.Event()

    def draw():
        while not over.is_set():
            try:
                pages.append(text(display.page()))
            except Exception as error:  # noqa: BLE001 - of whatever kind
                broken.append(repr(error))

    def give_way(phase, info):
        time.sleep(0)  # a finalizer may run, and another thread with it, wherever something is allocated

    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.callbacks.append(give_way)
    gc.set_threshold(20)
    drawing = threading.Thread(target=draw)
    drawing.start()
    try:
        for number in range(2000):
            scheduler.rejections[f"reason {number % 50}"] += 1  # as a proposal that finds new reasons
            if number % 50 == 0:
                row = scheduler.propose()
                display.proposed(row)
                scheduler.report(row.number, epoch(1, 0.3))
                display.reported(row)
                scheduler.end(row.number, epoch(2, number / 4000))
                display.ended(row)
                for other in range(50):
                    scheduler.rejections.pop(f"reason {other}", None)
    finally:
        over.set()
        drawing.join()
        sys.setswitchinterval(interval)
        gc.set_threshold(*threshold)
        gc.callbacks.remove(give_way)
    assert broken == []
    assert len(pages) > 20
    assert "40/60 trials" in text(display.page())


def test_time_left_follows_from_the_share_that_is_done(scheduler):
    clock = Clock(scheduler)
    assert clock.left_s() is None
    number = scheduler.propose().number
    scheduler.report(number, epoch(1, 0.3))
    clock.started = time.monotonic() - 10
    assert clock.left_s() == pytest.approx(70, rel=0.01)  # an eighth took 10 s


def test_time_left_after_a_restart_counts_what_was_trained_before(scheduler, folder):
    number = scheduler.propose().number
    scheduler.report(number, epoch(1, 0.3))
    again = start(folder)
    clock = Clock(again)
    again.propose()
    assert clock.left_s() is None  # taking a trial up is no progress
    again.report(number, epoch(2, 0.4))
    clock.started = time.monotonic() - 10
    assert clock.left_s() == pytest.approx(60, rel=0.01)  # one of 8 took 10 s, 6 are left


def test_time_left_counts_the_last_epoch_that_is_reported_with_the_end(scheduler):
    clock = Clock(scheduler)
    number = scheduler.propose().number
    scheduler.report(number, epoch(1, 0.3))
    scheduler.end(number, epoch(2, 0.4))
    clock.started = time.monotonic() - 10
    assert clock.left_s() == pytest.approx(30, rel=0.01)  # a quarter took 10 s


def test_time_left_expects_a_third_of_those_at_a_rung_to_be_promoted(folder):
    scheduler = start(folder, trials=9, epochs=6)  # all to epoch 2, three to epoch 6
    clock = Clock(scheduler)
    number = scheduler.propose().number
    for done in (1, 2):
        scheduler.report(number, epoch(done, 0.3, last=6))
    clock.started = time.monotonic() - 10
    assert clock.left_s() == pytest.approx(10 / 2 * (9 * 2 + 3 * 4 - 2), rel=0.01)


def test_time_left_counts_the_clips_of_each_split(folder):
    scheduler = start(folder, splits=("5", "100"), trials=3, epochs=4, fidelity="split")
    clock = Clock(scheduler)
    number = scheduler.propose().number
    for done in (1, 2, 3, 4):
        scheduler.report(number, epoch(done, 0.3, last=4))
    clock.started = time.monotonic() - 10
    assert clock.left_s() == pytest.approx(10 / 0.2 * (3 * 0.2 + 4 - 0.2), rel=0.01)


def test_a_trial_that_is_paused_resumes_or_breaks_is_shown(folder):
    scheduler = start(folder, trials=9, epochs=9, retries=1)
    console = Console(file=io.StringIO(), width=200)
    display = PlainDisplay(scheduler, console)
    for accuracy in (0.2, 0.3, 0.25):
        proposal = scheduler.propose()
        display.proposed(proposal)
        for done in (1, 2, 3):
            scheduler.report(proposal.number, epoch(done, accuracy, last=9))
        display.reported(proposal)
        told = epoch(3, accuracy, last=9)
        if scheduler.halving.ends_rung(proposal):
            scheduler.end(proposal.number, told)
            display.ended(proposal)
    page = text(LiveDisplay(scheduler, console).page())
    assert "2 paused" in page or "3 paused" in page
    lines = console.file.getvalue()
    assert "epoch 3/9: macro accuracy 0.200" in lines
    assert "is paused at its rung; 0 of 9 trials done" in lines
    broken = next(iter(scheduler.table.in_state(State.RUNNING)), None) or scheduler.propose()
    scheduler.end(broken.number, None, error="the process was killed")
    display.ended(broken)
    assert f"trial {broken.number} will be resumed (the process was killed)" in console.file.getvalue()
    again = scheduler.propose()
    display.proposed(again)
    assert f"trial {broken.number} resumes after epoch 3: isotropic" in console.file.getvalue()


def test_the_front_is_told_by_the_objectives_of_the_search(folder):
    scheduler = start(folder, objectives=("log_loss", "worst_device_accuracy", "params"))
    console = Console(file=io.StringIO(), width=200)
    display = PlainDisplay(scheduler, console)
    proposal = scheduler.propose()
    scheduler.report(proposal.number, epoch(1, 0.31))
    display.reported(proposal)
    scheduler.end(proposal.number, epoch(2, 0.44))
    display.ended(proposal)
    lines = console.file.getvalue()
    assert "epoch 1/2: log loss 2.000" in lines
    assert f"front (log loss; accuracy, worst device; parameters): 2.000 / 0.340 / {proposal.cost.params:,}" in lines
    page = text(LiveDisplay(scheduler, console).page())
    row = next(line for line in page.splitlines() if line.split()[:3] == ["0", "2.000", "0.340"])
    assert row.split()[3] == f"{proposal.cost.params:,}"


def test_a_pipe_gets_lines_and_a_terminal_a_page(scheduler):
    assert isinstance(make_display(scheduler, Console(file=io.StringIO())), PlainDisplay)
    assert isinstance(make_display(scheduler, Console(file=io.StringIO(), force_terminal=True)), LiveDisplay)


def test_a_trial_that_ends_early_is_told_with_its_reason(scheduler):
    console = Console(file=io.StringIO(), width=200)
    display = PlainDisplay(scheduler, console)
    proposal = scheduler.propose()
    display.proposed(proposal)
    scheduler.end(proposal.number, {"epochs": "[]", "failure": "loss nan in epoch 1, step 2", "done": True})
    display.ended(proposal)
    assert "trial 0 failed (loss nan in epoch 1, step 2); 1 of 4 trials done" in console.file.getvalue()


def test_counted_work_is_one_line_in_a_pipe():
    console = Console(file=io.StringIO())
    with counting("decoding", console) as count:
        count(1, 300)
        count(300, 300)
    assert console.file.getvalue() == "decoding: 300\n"


def test_work_that_was_done_before_shows_nothing():
    console = Console(file=io.StringIO(), force_terminal=True)
    with counting("decoding", console):
        pass
    assert console.file.getvalue() == ""


def test_a_training_shows_its_seeds_and_their_mean_and_no_front(folder):
    scheduler = start(folder, job=TrainSettings, trials=3, seed=7, set={"width": 32})
    live = LiveDisplay(scheduler, Console(file=io.StringIO()))
    console = Console(width=200, file=io.StringIO())
    plain = PlainDisplay(scheduler, console)
    assert "macro accuracy of the seeds so far: not known yet" in text(live.page())
    for accuracy in (0.44, 0.47):
        proposal = scheduler.propose()
        plain.proposed(proposal)
        scheduler.report(proposal.number, epoch(1, 0.3))
        scheduler.end(proposal.number, epoch(2, accuracy))
        plain.ended(proposal)
    live.proposed(scheduler.propose())
    told = text(live.page())
    assert "2/3 seeds" in told
    assert "isotropic seed=9" in told
    assert "front" not in told
    # 0.015 to either side of the mean, times 12.7062, the quantile of one degree of freedom
    assert "macro accuracy of the seeds so far: 0.455 ± 0.191 (2 seeds)" in told
    lines = console.file.getvalue()
    assert "trial 0 starts: isotropic seed=7;" in lines
    assert "trial 0 complete: macro accuracy 0.440; 1 of 3 trials done" in lines
    assert "macro accuracy 0.440 (1 seed)" in lines
    assert "front" not in lines
