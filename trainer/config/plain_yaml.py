"""Strict YAML parser for untrusted text: plain values only, one error type.

Input: text. Output: as of `yaml.safe_load`, which refuses tags of Python objects. Aliases are refused too, since a few
lines of them expand beyond any memory, and so are duplicate keys, of which YAML would silently take the last.
"""

from __future__ import annotations

from typing import Any

import yaml

LONGEST = 1_000_000  # characters; a recipe has a few thousand
# Exceptions that PyYAML's constructors let through, e.g. for impossible dates, "0x" without digits, deep nesting.
_ERRORS = (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)


class YamlError(ValueError):
    """Parse error; the message is one line."""


class _PlainLoader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not read, write the value out", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := {name for name in names if names.count(name) > 1}:
            raise yaml.constructor.ConstructorError(None, None, f"{min(twice)!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def parse(text: str) -> Any:
    """Parse `text`. Raises YamlError for any fault."""
    if len(text) > LONGEST:
        raise YamlError(f"{len(text)} characters, expected at most {LONGEST}")
    try:
        loader = _PlainLoader(text)
        return loader.get_single_data()
    except _ERRORS as error:
        raise YamlError(" ".join(str(error).split())) from None
