"""An export: a trained network in a folder that needs no study and no searcher to be used.

    config.yaml            the network, the front end, the recipe and the classes
    weights.safetensors    parameters and running statistics
    answering.safetensors  where the network needs it: ranges of activations, gains of devices
    model.onnx             the network: log-mel in, scores out
    pipeline.onnx          front end and network: waveform in, probabilities out
    model.int8.onnx        the network, rounded to int8
    model.pte              where asked for: the network for ExecuTorch
    certificate.json       what each file does and costs, where it is from, and its checksum
    card.md, card.html     the same, to be read
    <architecture>.py      of a user's own architecture: its file, which --architecture-file names

Nothing in it is ever unpickled: YAML is read by the safe loader, weights as safetensors.
"""
