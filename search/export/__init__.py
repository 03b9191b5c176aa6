"""Export of a trained network: a folder that runs without the study and without SceneFront.

    config.yaml                  network, front end, recipe and classes
    weights.safetensors          parameters and running statistics
    inference_state.safetensors  where the network needs it: ranges of activations, gains of devices
    model.onnx                   network: log-mel in, logits out
    pipeline.onnx                front end and network: waveform in, probabilities out
    model.int8.onnx              network, quantized to int8
    model.pte                    on request: network for ExecuTorch
    certificate.json             cost, measured quality, origin and checksum of each file
    card.md, card.html           model card
    <architecture>.py            of a custom architecture: its file, to be passed as --architecture-file

Nothing is ever unpickled: YAML is read by the safe loader, weights as safetensors.
"""
