"""Shards: manifest, model input, writing and reading cells."""
