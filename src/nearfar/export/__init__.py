"""Models for programs that are not nearfar: folders of sentence-transformers, and ONNX graphs with all that is needed to run them."""
