"""Typed recipes: `schema` says what a recipe may hold, `load` merges defaults, a YAML file and dotted overrides."""

from trainer.config.load import load_recipe
from trainer.config.schema import Recipe

__all__ = ["Recipe", "load_recipe"]
