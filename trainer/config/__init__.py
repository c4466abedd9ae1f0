"""Typed recipes: `schema` defines the settings, `load` merges defaults, a YAML file and dotted overrides."""

from trainer.config.load import load_recipe
from trainer.config.schema import Recipe

__all__ = ["Recipe", "load_recipe"]
