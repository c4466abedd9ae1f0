"""Measurements, one file each: `python -m trainer bench WHAT`. Figures are ratios within one run on one machine."""
