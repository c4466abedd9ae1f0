"""The perturbation kernels: noise in a ball, ascent, projection. `reference` is their meaning.

`dispatch.select` picks a backend; every backend is a module with the same functions.
"""
