"""Entries of command tables: a function, or the name of one whose module is imported when the command runs."""

from __future__ import annotations

import ast
import atexit
import gc
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any  # noqa: F401 (Annotated: in annotations that `declared` reads)

Command = Callable[..., Any]
Commands = Mapping[str, "Command | LazyCommand | Commands"]


@dataclass(frozen=True)
class LazyCommand:
    """Entry of a command table whose module is imported only when the command runs."""

    target: str
    """`module:function`."""
    help: str
    """First line of the function's docstring, for the overview."""


@dataclass(frozen=True)
class Keys:
    """Annotation of a ``**`` parameter that takes dotted keys: `Annotated[str, Keys(...)]`."""

    nearest: str
    """`module:function` from a mistyped flag to the keys that may be meant; imported on use only."""


class Table(dict[str, "Command | LazyCommand | Commands"]):
    """Commands on one subject. help: the subject, for the overview."""

    def __init__(self, help: str, commands: Commands) -> None:
        super().__init__(commands)
        self.help = help


def resolve(command: Command | LazyCommand | Commands) -> Command:
    """The function of a command-table entry; a lazy entry's module is imported. Raises TypeError for a table."""
    if isinstance(command, Mapping):
        raise TypeError(f"a table of commands is no command: {', '.join(command)}")
    if not isinstance(command, LazyCommand):
        return command
    module, _, function = command.target.partition(":")
    with importing():
        found: Command = getattr(importlib.import_module(module), function)
    return found


@contextmanager
def importing() -> Iterator[None]:
    """Context of imports that take seconds."""
    collects = gc.isenabled()
    gc.disable()  # imports make many objects and no garbage; looking for some takes a fifth of the time of a training's
    try:
        yield
    finally:
        gc.freeze()  # nor are these objects looked at again until the process ends: extensions report what is left then
        atexit.register(gc.unfreeze)
        if collects:
            gc.enable()


def declared(command: Command | LazyCommand | Commands) -> Command:
    """As `resolve`; of a lazy entry, a function that does nothing, with the signature and docstring in the source.

    Its module, which may take seconds, is imported only where the source does not tell: for a default that is computed.
    """
    if not isinstance(command, LazyCommand):
        return resolve(command)
    module, _, name = command.target.partition(":")
    spec = importlib.util.find_spec(module)
    body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body if spec and spec.origin else []
    found = next((node for node in body if isinstance(node, ast.FunctionDef) and node.name == name), None)
    if found is None or not all(isinstance(default, ast.Constant | None) for default in
                                (*found.args.defaults, *found.args.kw_defaults)):
        return resolve(command)

    def nothing() -> None: ...

    parameters = list(_parameters(found.args))
    nothing.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    nothing.__annotations__ = {one.name: one.annotation for one in parameters if one.annotation is not one.empty}
    nothing.__name__, nothing.__doc__ = name, ast.get_docstring(found)
    return nothing


def _parameters(words: ast.arguments) -> Iterator[inspect.Parameter]:
    """The parameters of a function whose defaults are constants."""
    plain, one = [*words.posonlyargs, *words.args], inspect.Parameter
    needed: list[ast.expr | None] = [None] * (len(plain) - len(words.defaults))
    for argument, kind, default in (
            *((argument, one.POSITIONAL_OR_KEYWORD, default)
              for argument, default in zip(plain, [*needed, *words.defaults], strict=True)),
            (words.vararg, one.VAR_POSITIONAL, None),
            *((argument, one.KEYWORD_ONLY, default)
              for argument, default in zip(words.kwonlyargs, words.kw_defaults, strict=True)),
            (words.kwarg, one.VAR_KEYWORD, None)):
        if argument is not None:
            yield one(argument.arg, kind, default=default.value if isinstance(default, ast.Constant) else one.empty,
                      annotation=ast.unparse(argument.annotation) if argument.annotation else one.empty)
