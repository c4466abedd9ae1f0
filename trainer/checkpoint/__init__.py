"""Checkpoints: their `layout` on disk, saving and restoring them (`store`), and plain transformers folders (`export`)."""
