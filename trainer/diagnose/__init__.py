"""Diagnostics of a run: how far languages lie from English, and what distance and noise do to accuracy.

Importing this package loads no model code: reports read `rows` and `ranks` on a laptop.
"""
