"""The files of an export, by name. Needs no torch."""

from collections.abc import Callable

from search.artifact.certificate import CONFIG, WEIGHTS

MODEL, PIPELINE, INT8, PROGRAM = "model.onnx", "pipeline.onnx", "model.int8.onnx", "model.pte"
ANSWERING = "answering.safetensors"  # what a network needs beside its weights to answer as it was measured
NETWORKS = (WEIGHTS, MODEL, PIPELINE, INT8, PROGRAM)  # what answers, and is measured
# What is rounded to int8: every layer, every layer but those that it costs most, nothing; or the first of these where
# it costs little, else the second.
PTQ, MIXED, NONE, AUTO = "ptq", "mixed", "none", "auto"
INT8_CHOICES = (AUTO, PTQ, MIXED, NONE)
# Ways to int8 that are compared, beside the network in fp32; qat: trained for it, for some epochs more.
FP32, QAT = "fp32", "qat"
VARIANTS = (FP32, PTQ, MIXED, QAT)
TUNED_EPOCHS = 10
METHODS = ("min-max", "percentile")  # of calibration, the default first
WHAT = {
    CONFIG: "network, front end, recipe and classes",
    WEIGHTS: "parameters and running statistics",
    ANSWERING: "ranges of activations, gains of devices",
    MODEL: "the network: log-mel in, scores out",
    PIPELINE: "front end and network: waveform in, probabilities out",
    INT8: "the network, rounded to int8",
    PROGRAM: "the network for ExecuTorch",
}


FRONT_END = "front_end."


Say = Callable[[str], None]


def silently(_: str) -> None:
    """Tell nobody."""
