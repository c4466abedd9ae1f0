"""The DeepSpeed engine and what it owns: optimiser, step context, running average, checkpoint writer."""
