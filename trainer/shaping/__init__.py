"""Training data made by a model: pseudo-labels for self-training."""
