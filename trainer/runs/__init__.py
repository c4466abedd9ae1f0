"""Run directories: layout, run record, training state, metrics log."""
