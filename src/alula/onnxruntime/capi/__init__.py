"""Where ONNX Runtime keeps its exceptions; scripts import them from here."""
