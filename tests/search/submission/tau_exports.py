"""What a submission is made from: exports of small networks trained on TAU's names, a sheet, an evaluation set."""

import os
import shutil

import pandas as pd
import yaml
from packages import SCENES
from trained import SMALL, train

from data.demo import SCENES as DEMO_SCENES
from data.demo import DemoConfig, write_demo
from search.export.writing import export_trial
from search.study.study import StudyFolder

SHEET = """\
label: {lastname: Doe, institute: ACME, number: 1}
name: A small network
abbreviation: Small
authors:
  - {lastname: Doe, firstname: Jane, email: jane.doe@acme.org, affiliation: ACME Institute, corresponding: true}
description:
  pipeline: training
  framework: our own words
source_code: https://acme.org/code
"""


def write_tau(root, others=None):
    """Write demo clips under the names of TAU's scenes, or others for some of them, with two splits of 2024."""
    write_demo(root, DemoConfig(seed=1, clips_per_location=1, locations_per_scene=12))
    named = {demo: (others or {}).get(scene, scene) for demo, scene in zip(DEMO_SCENES, SCENES, strict=True)}
    lists = root / "evaluation_setup"
    for path in (root / "meta.csv", lists / "fold1_train.csv", lists / "fold1_evaluate.csv"):
        table = pd.read_csv(path, sep="\t")
        table["scene_label"] = table["scene_label"].map(named)
        table.to_csv(path, sep="\t", index=False)
    train_list = pd.read_csv(lists / "fold1_train.csv", sep="\t")
    for split, rows in (("5", train_list[::2]), ("100", train_list)):
        rows.to_csv(lists / f"split{split}.csv", sep="\t", index=False)
    return root


def make_export(target, data, split, int8="auto", **held):
    """Train in this process what `scenefront train` would, and export it."""
    folder = StudyFolder(target.parent / f"study-of-{target.name}")
    train(folder, data, epochs=1, settings={"split": split}, **{**SMALL, "impulse_response_p": 0.0, **held})
    export_trial(folder, 0, target, int8=int8)
    return target


def write_sheet(path, places, text=SHEET):
    """Write the sheet of a submission, with the export of each split."""
    path.write_text(text + yaml.safe_dump({"splits": {int(split): str(place) for split, place in places.items()}}))
    return path


def link_sounds(root, data, count):
    """Link twelve clips of the data set under many names."""
    root.mkdir()
    clips = sorted((data / "audio").iterdir())[::10][:12]
    for number, clip in enumerate(clips):
        shutil.copyfile(clip, root / f"{number}.wav")
    for number in range(len(clips), count):
        os.link(root / f"{number % len(clips)}.wav", root / f"{number}.wav")
    return root
