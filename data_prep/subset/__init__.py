"""Cells made of rows of finished cells: a few shots per class, or a region of a data map.

Inputs: finished cells. Outputs: cells of the task `<task>+<name>` under the same root, with the rows' own ids and keys
and a manifest of their own, which names the cell that they were taken from and the settings.
"""
