"""Reading an export and running it: torch, ONNX Runtime, ExecuTorch."""
