"""From a run folder to one ONNX file that holds the whole decision."""
