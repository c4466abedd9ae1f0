"""Predictions on one's own sentences, from the command line and from Python."""
