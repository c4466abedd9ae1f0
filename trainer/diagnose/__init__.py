"""Diagnostics of a run: distance of languages to English, and accuracy by distance and by noise."""
