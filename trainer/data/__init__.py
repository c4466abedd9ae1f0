"""From shards to batches: cells (`loader`), their order (`sampler`), and tensors (`collate`)."""
