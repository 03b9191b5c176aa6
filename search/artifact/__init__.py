"""Loading and running of exports: torch, ONNX Runtime, ExecuTorch."""
