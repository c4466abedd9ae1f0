"""Sections of a report: computed data to document blocks."""
