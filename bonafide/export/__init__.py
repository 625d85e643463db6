"""Export: every model to ONNX, checked against its source (extra ``train``)."""
