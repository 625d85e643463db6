"""Export: convert every model to ONNX and check it against its source (extra ``train``)."""
