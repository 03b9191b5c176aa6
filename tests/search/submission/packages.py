"""A package written by hand: no code of the project's makes it, so it says what the rules must pass."""

import zipfile
from dataclasses import replace

from search.submission.edition import DCASE2024

SMALL = replace(DCASE2024, num_clips=6)
LABEL = "Doe_ACME_task1_1"
# The ten scenes and nine devices of TAU Urban Acoustic Scenes 2022 Mobile, as its README lists them.
SCENES = (
    "airport", "bus", "metro", "metro_station", "park", "public_square", "shopping_mall", "street_pedestrian",
    "street_traffic", "tram",
)  # fmt: skip
DEVICES = ("a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6")
SPLITS = ("5", "10", "25", "50", "100")
HEADER = "\t".join(("filename", "scene_label", *SCENES))

META = """\
submission:
  label: Doe_ACME_task1_1
  name: A small network
  abbreviation: Small
  authors:
    - lastname: Doe
      firstname: Jane
      email: jane.doe@acme.org
      affiliation: ACME Institute
      corresponding: true
    - lastname: Roe
      firstname: Richard
      email: richard.roe@acme.org
      affiliation: {abbreviation: ACME, institute: ACME Institute, location: Springfield}
system:
  description:
    input_sampling_rate: 32kHz
    acoustic_features: log-mel energies
    data_augmentation: [time rolling, mixup]
    machine_learning_method: CNN
    external_data_usage: null
    complexity_management: int8 weights
    pipeline: training
    framework: PyTorch
    split_adaptations: null
    system_adaptations: null
  complexity:
    total_model_size: 122296
    total_parameters: 61148
    macs: 29419156
  external_datasets:
    - name: MicIRP
      url: https://micirp.acme.org
      total_audio_length: 2
  source_code: https://acme.org/code
results:
  development_dataset:
"""


def output(num_clips):
    """Return valid rows: the likeliest scene has 0.19, the others 0.09."""
    rows = [HEADER]
    for clip in range(num_clips):
        chances = ["0.09"] * 10
        chances[clip % 10] = "0.19"
        rows.append("\t".join((f"{clip}.wav", SCENES[clip % 10], *chances)))
    return "\n".join(rows) + "\n"


def meta():
    text = META
    for split in SPLITS:
        text += f"    split_{split}:\n      overall: {{accuracy: 42.4, logloss: 1.6}}\n"
        for table, names in (("class_wise", SCENES), ("device_wise", DEVICES)):
            text += f"      {table}:\n"
            text += "".join(f"        {name}: {{accuracy: 42.4, logloss: 1.6}}\n" for name in names)
    return text


def output_name(split, label=LABEL):
    return f"task1/{label}/{label}.output.split_{split}.csv"


META_NAME = f"task1/{LABEL}/{LABEL}.meta.yaml"


def right_files(num_clips=SMALL.num_clips):
    """Return every file of a package that breaks no rule."""
    rows = output(num_clips)
    return {META_NAME: meta()} | {output_name(split): rows for split in SPLITS}


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for name, text in files.items():
            package.writestr(name, text)
    return path
