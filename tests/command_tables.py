"""The command tables of the programs, as flat lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from data_prep.base.cli import Commands, LazyCommand


def entries(commands: Commands, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], LazyCommand]]:
    """(words that choose it, entry) of every command of `commands`, those of tables within it included."""
    for name, command in commands.items():
        if isinstance(command, Mapping):
            yield from entries(command, (*words, name))
        else:
            assert isinstance(command, LazyCommand), f"{name} is imported with the table"
            yield (*words, name), command
