"""Reads YAML that people wrote: plain values only, and one kind of error whatever is wrong.

Input: text. Output: what `yaml.safe_load` gives. Beyond what that refuses (tags that make Python objects), aliases are
refused, since a few lines of them unfold into more than any memory holds, and so are keys that are given twice, of
which YAML would take the last without a word.
"""

from __future__ import annotations

from typing import Any

import yaml

LONGEST = 1_000_000  # characters; a recipe has a few thousand
# PyYAML's constructors let through what they come across: dates that are none, "0x" without digits, deep nesting.
_ERRORS = (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)


class YamlError(ValueError):
    """What is wrong, as one line."""


class _PlainLoader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(None, None, "aliases are not read, write the value out", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := {name for name in names if names.count(name) > 1}:
            raise yaml.constructor.ConstructorError(None, None, f"{min(twice)!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def parse(text: str) -> Any:
    """The value that `text` holds. Raises YamlError for everything that is wrong with it."""
    if len(text) > LONGEST:
        raise YamlError(f"{len(text)} characters, expected at most {LONGEST}")
    try:
        loader = _PlainLoader(text)
        return loader.get_single_data()
    except _ERRORS as error:
        raise YamlError(" ".join(str(error).split())) from None
