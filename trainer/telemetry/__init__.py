"""What a run tells about itself: metrics.jsonl and TensorBoard from the same call, and the run record."""
