"""Renderers of a document: HTML, Markdown, CSV, TensorBoard, terminal."""
