"""Perturbation kernels: noise in a ball, ascent step, projection. `reference` defines them.

`dispatch.select` picks a backend; each backend is a module with the same functions.
"""
