"""Figures shared by reports and TensorBoard (matplotlib). No torch."""
