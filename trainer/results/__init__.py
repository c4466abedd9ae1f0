"""Files that evaluation writes and reports read: scores, predictions, diagnostics. No torch."""
