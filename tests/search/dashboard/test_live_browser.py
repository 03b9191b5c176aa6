"""A real search in a real browser: seen from its first moment, its trials as they come, and one of them taken away."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

from search.study.study import StudyFolder
from search.study.table import study_table

ROOT = Path(__file__).parents[3]
# Networks that train in a moment.
SMALL = ["--range", "patch=12:16", "--range", "width=32:48", "--range", "depth=2:3", "--range", "columns=1:1"]
# A recipe with which they are better than chance after twelve epochs.
LEARNS = ["--set", "batch_size=8", "--set", "learning_rate=0.01", "--set", "mask_bins=0", "--set", "mix_style_p=0"]
LEARNS += ["--set", "ema_decay=0", "--set", "mixup_alpha=0", "--set", "label_smoothing=0"]
DRAWN = "document.querySelector('#front-figure .js-plotly-plot')"
PLACE = f"""number => {{
    const drawn = {DRAWN}, {{xaxis, yaxis}} = drawn._fullLayout, box = drawn.getBoundingClientRect();
    for (const trace of drawn._fullData) {{
        const place = [...(trace.customdata || [])].indexOf(number);
        if (place >= 0) {{
            const [x, y] = [xaxis.d2p(trace.x[place]), yaxis.d2p(trace.y[place])];
            return [box.left + xaxis._offset + x, box.top + yaxis._offset + y];
        }}
    }}
}}"""
PATIENCE_MS = 120_000
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def patient():
    """Wait for what a search or an export brings about, however busy this machine is."""
    expect.set_options(timeout=PATIENCE_MS)
    yield
    expect.set_options(timeout=60_000)


@pytest.mark.usefixtures("patient")
def test_a_search_is_watched_and_what_it_found_is_taken_away(new_page, serve, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    home, _ = serve(tmp_path / "results")
    page = new_page(home)
    page.set_default_timeout(PATIENCE_MS)
    page.goto(home)
    expect(page.locator("#home-studies")).to_contain_text("There is no study in")
    asked = [
        "search", tiny, "--space", "isotropic", "--study", "live", "--trials", 2, "--epochs", 12, "--no-fast",
        "--no-early-stopping", "--workers", 1, "--budget", "macs=1M,params=30K", "--cache", tmp_path / "cache", *SMALL,
        *LEARNS,
    ]  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "search", *map(str, asked)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    ) as search:  # fmt: skip
        try:
            page.get_by_role("link", name="live").click()
            begun = re.compile("[01] of 2 trials finished.*search running")
            expect(page.locator("#front-progress")).to_contain_text(begun)
            page.wait_for_function(f"({DRAWN}?._fullData || []).some(each => each.meta === 'front')")
            said, _ = search.communicate(timeout=600)
        finally:
            search.kill()
    assert search.returncode == 0, said
    expect(page.locator("#front-progress")).to_contain_text("2 of 2 trials finished")
    expect(page.locator("#front-progress")).to_contain_text("no search running")
    table = study_table(StudyFolder(tmp_path / "results" / "live"))
    numbers = table.loc[table["on_front"], "number"].tolist()
    expect(page.locator("#front-table tbody tr")).to_have_count(len(numbers))
    assert {int(text) for text in page.locator("#front-table tbody th").all_inner_texts()} == set(numbers)
    page.mouse.click(*page.evaluate(PLACE, numbers[0]))
    expect(page).to_have_url(re.compile(rf"/live/trial/{numbers[0]}$"))
    expect(page.locator("#trial-head")).to_contain_text("on the front")
    expect(page.locator("#trial-layers")).to_contain_text("embed.0")
    expect(page.locator("#trial-devices .legendtext").last).to_contain_text("in training")
    page.get_by_role("button", name="Export this network").click()
    expect(page.locator("#trial-take .done")).to_contain_text(str(tmp_path / "exports" / f"live-{numbers[0]}"))
    assert (tmp_path / "exports" / f"live-{numbers[0]}" / "weights.safetensors").exists()
    expect(page.locator("#trial-config")).to_contain_text("fields at their default")
