"""Monitoring of a run: log lines, meter, evaluation, best checkpoint, early stopping, saving, faults, outcome."""
