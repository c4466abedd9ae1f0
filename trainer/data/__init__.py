"""Batches from shards: opening cells (`loader`), order of examples (`sampler`), input tensors (`collate`)."""
