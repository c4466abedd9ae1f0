"""Checkpoints: their `layout` on disk, saving and restoring (`store`), plain transformers folders (`export`)."""
