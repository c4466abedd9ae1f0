"""Models: encoder families cut at the perturbation site; construction from a recipe, loading, transfer of weights."""
