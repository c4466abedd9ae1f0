"""Watching a run: metrics, evaluation, selection, non-finite losses, collapse."""
