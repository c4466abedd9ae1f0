"""Evaluation: predictions, metrics and result rows of a run. Importing this package loads no model code."""
