"""Monitoring of a run: meter, evaluation, best checkpoint, early stopping, saving, non-finite steps, collapse."""
