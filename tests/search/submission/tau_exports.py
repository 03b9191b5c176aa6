"""Exports of small networks, trained on a data set with the names of TAU's scenes and devices."""

import pandas as pd
from packages import SCENES
from trained import SMALL, train

from data.demo import SCENES as DEMO_SCENES
from data.demo import DemoConfig, write_demo
from search.export.writing import export_trial
from search.study.study import StudyFolder


def write_tau(root, others=None):
    """Write demo clips under the names of TAU's scenes, or others for some of them, with two splits of 2024."""
    write_demo(root, DemoConfig(seed=1, clips_per_location=1))
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
