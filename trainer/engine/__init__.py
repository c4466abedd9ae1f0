"""The DeepSpeed engine and what it owns: optimiser, step context, EMA, checkpoint writer."""
