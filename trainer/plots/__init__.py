"""Figures shared by the report, `diagnose` and TensorBoard (matplotlib), and TensorBoard's event files; no torch."""
