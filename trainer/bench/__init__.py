"""Measurements, one file each: `python -m trainer bench WHAT`. Results are ratios within one run on one machine."""
