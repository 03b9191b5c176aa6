"""The model card: what is written in it, that names are only ever text, and that its five lines run."""

import copy
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
import torch

from search.artifact.certificate import read_certificate
from search.artifact.files import INT8, PIPELINE
from search.artifact.inference import predict
from search.artifact.reading import load_export
from search.export.card import card, inference_code
from search.report.document import Code, Heading, Items, Table, Text, to_html, to_markdown

EVIL = "<script>alert(1)</script>|`*_"
RATE_HZ = 32_000


@pytest.fixture(scope="module")
def certified(exported):
    return read_certificate(exported), load_export(exported).config


def changed(certificate, **fields):
    return {**copy.deepcopy(certificate), **fields}


def test_the_card_says_what_somebody_who_gets_the_folder_needs(exported):
    text = (exported / "card.md").read_text()
    for words in (
        "# isotropic, trial 0 of small", "as one of 3 scenes: airport, bus, park", "32,000 Hz, one channel",
        "1 x 256 x 65", "### Each device", "### Each group of devices", "### Confusion matrix", "| dcase2021 |",
        "| dcase2025 |", "## Data and licences", "## Limitations", "It was not trained on recordings of s4.",
        "import onnxruntime, soundfile", "scenefront predict FOLDER street.wav", "On a device:",
    ):  # fmt: skip
        assert words in text, words
    assert "certificate.json" not in text  # whose checksum it cannot know


def test_what_may_be_done_with_the_data_is_in_a_file_that_is_named(certified):
    certificate, config = certified
    assert "has no file that states its terms" in to_markdown(*card(certificate, config))
    data = {**certificate["data"], "license_files": ["LICENSE", "SOURCES.md"]}
    assert "are in LICENSE, SOURCES.md, in the folder of the data" in to_markdown(
        *card(changed(certificate, data=data), config)
    )


def test_a_confirmed_network_has_means_with_intervals_overall_and_by_class_device_and_group(certified):
    certificate, config = certified
    confirmed = {
        "study": "small-confirm", "seeds": [1, 2, 3, 4, 5], "confidence": 0.95, "p_front": 0.7, "on_front": True,
        "mean": {"macro_accuracy": 0.5, "log_loss": 1.2}, "half": {"macro_accuracy": 0.04, "log_loss": 0.1},
        "by_class": {"bus": {"mean": 0.25, "half": 0.125}}, "by_device": {"a": {"mean": 0.5, "half": None}},
        "by_group": {},
    }  # fmt: skip
    text = to_markdown(*card(changed(certificate, confirmed=confirmed), config))
    assert "a macro accuracy of 50.0% ± 4.0 and a log loss of 1.200 ± 0.100" in text
    assert "The probability that it is on the front of its search is 0.70." in text
    alone = {**confirmed, "mean": {"macro_accuracy": 0.5}, "half": {"macro_accuracy": 0.04}}
    shorter = to_markdown(*card(changed(certificate, confirmed=alone), config))
    assert "have on these clips a macro accuracy of 50.0% ± 4.0: the mean" in shorter
    rows = [line for line in text.splitlines() if line.startswith(("| bus | 8", "| a | 6"))]
    assert [row.split(" | ")[-1] for row in rows] == ["25.0% ± 12.5 |", "50.0% |"]


def test_the_clips_of_the_model_selection_are_named(certified):
    certificate, config = certified
    chosen = certificate["quality"]["weights.safetensors"]
    text = to_markdown(*card(changed(certificate, validation=chosen, selected_on="validation clips"), config))
    assert "Model selection used 0 other clips" in text
    text = to_markdown(*card(changed(certificate, selected_on="evaluation clips"), config))
    assert "Model selection used these same clips, so these figures are optimistic." in text


def test_without_int8_and_without_a_pipeline_the_card_does_not_mention_them(certified):
    certificate, config = certified
    for table in ("files", "quality"):
        certificate = changed(
            certificate,
            **{table: {name: each for name, each in certificate[table].items() if name not in (INT8, PIPELINE)}},
        )
    text = to_markdown(*card(certificate, config))
    assert "onnxruntime" not in text.partition("## How to run it")[2].partition("## Made with")[0]
    assert "Quantized to int8" not in text
    assert "accuracy, int8" not in text


class Seen(HTMLParser):
    """Collects the elements of a page, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.sources = set(), [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data):
        self.text.append(data)


def test_no_name_is_ever_taken_for_anything_but_text(certified):
    certificate, config = certified
    quality = certificate["quality"]["weights.safetensors"]
    quality = {
        **quality, "classes": [EVIL, "bus", "park"],
        "by_class": {EVIL: quality["by_class"]["airport"]}, "by_device": {EVIL: quality["by_device"]["a"]},
    }  # fmt: skip
    evil = changed(
        certificate, study=EVIL, notes=[EVIL], quality={"weights.safetensors": quality},
        data={**certificate["data"], "folder": EVIL, "classes": [EVIL, "bus", "park"], "license_files": [EVIL]},
    )  # fmt: skip
    title, blocks = card(evil, config)
    page, text = to_html(title, blocks), to_markdown(title, blocks)
    seen = Seen(page)
    assert "script" not in seen.tags
    assert sum(EVIL in each for each in seen.text) >= 6
    assert seen.sources == ["data:,"]
    outside = text.replace(next(block.text for block in blocks if isinstance(block, Code)), "")
    assert "<script" not in outside.replace("\\<script", "")
    head = next(line for line in outside.splitlines() if line.startswith("| truth"))
    assert len([piece for piece in head.replace("\\|", "").split("|") if piece.strip()]) == 4


def test_a_document_is_markdown_and_html():
    blocks = [
        Heading("First & last"), Text("One\ntwo"), Items(("a", "b")), Code("x = '```'"),
        Table("Sizes", ("name", "of"), (("a|b", "1"),)),
    ]  # fmt: skip
    text = to_markdown("Title", blocks)
    assert text == (
        "# Title\n\n## First \\& last\n\nOne two\n\n- a\n- b\n\n````python\nx = '```'\n````\n\n"
        "### Sizes\n\n| name | of |\n| --- | ---: |\n| a\\|b | 1 |\n"
    )
    page = to_html("Title", blocks)
    assert "<h2>First &amp; last</h2>" in page
    assert "prefers-color-scheme: dark" in page


def test_the_five_lines_of_the_card_run_and_print_what_predict_returns(exported, tmp_path):
    lines = inference_code(["airport", "bus", "park"])
    assert len(lines.splitlines()) == 5
    assert lines in (exported / "card.md").read_text()
    time_s = np.arange(RATE_HZ) / RATE_HZ
    sound = np.stack([0.1 * np.sin(2 * np.pi * 300 * time_s), 0.05 * np.sin(2 * np.pi * 900 * time_s)], axis=1)
    soundfile.write(tmp_path / "street.wav", sound, RATE_HZ, subtype="FLOAT")
    for name in (PIPELINE,):
        (tmp_path / name).symlink_to(exported / name)
    ran = subprocess.run(
        [sys.executable, "-c", lines], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    printed = eval(ran.stdout)
    with torch.inference_mode():
        expected = predict(load_export(exported), tmp_path / "street.wav").probabilities
    assert printed == pytest.approx(expected, abs=1e-4)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_readable_on_a_telephone_light_and_dark(exported, browser, scheme):
    page = browser.new_page(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    errors, requests = [], []
    page.on("console", lambda message: errors.append(message.text))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((exported / "card.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    luminance = page.evaluate(
        "(() => { const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);"
        "return (r + g + b) / 3; })()"
    )
    assert (luminance > 128) == (scheme == "light")
    assert errors == []
    assert len(requests) == 1
    page.close()
