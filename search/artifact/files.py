"""Names of an export's files and of the quantization variants; type of the progress log. Needs no torch."""

from collections.abc import Callable

from search.artifact.certificate import CONFIG, WEIGHTS

MODEL, PIPELINE, INT8, PROGRAM = "model.onnx", "pipeline.onnx", "model.int8.onnx", "model.pte"
INFERENCE_STATE = "inference_state.safetensors"  # activation ranges and device gains, beside the weights
NETWORKS = (WEIGHTS, MODEL, PIPELINE, INT8, PROGRAM)  # files that can run, and are evaluated
# Quantization to int8: all layers (post-training quantization), all but the most sensitive layers (mixed precision),
# none; auto: ptq if its accuracy drop is small, else mixed.
PTQ, MIXED, NONE, AUTO = "ptq", "mixed", "none", "auto"
INT8_CHOICES = (AUTO, PTQ, MIXED, NONE)
# Variants that `scenefront quantize` compares; qat: fine-tuning with quantization-aware training.
FP32, QAT = "fp32", "qat"
VARIANTS = (FP32, PTQ, MIXED, QAT)
QAT_EPOCHS = 10
CALIBRATION_METHODS = ("min-max", "percentile")  # the default first
DESCRIPTIONS = {
    CONFIG: "network, front end, recipe and classes",
    WEIGHTS: "parameters and running statistics",
    INFERENCE_STATE: "ranges of activations, gains of devices",
    MODEL: "network: log-mel in, logits out",
    PIPELINE: "front end and network: waveform in, probabilities out",
    INT8: "network, quantized to int8",
    PROGRAM: "network for ExecuTorch",
}
FRONT_END = "front_end."  # prefix of the names of a pipeline's front end, in its graph

ProgressLog = Callable[[str], None]  # gets a line for each step


def no_log(_: str) -> None:
    """Report nothing."""
