"""The command tables of the programs, as flat lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from data_prep.base.command_table import Commands, LazyCommand


def entries(commands: Commands, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], LazyCommand]]:
    """(words that choose it, entry) of every command of `commands`, those of tables within it included."""
    for name, command in commands.items():
        if isinstance(command, Mapping):
            yield from entries(command, (*words, name))
        else:
            assert isinstance(command, LazyCommand), f"{name} is imported with the table"
            yield (*words, name), command


def chosen(commands: Commands, words: Sequence[str]) -> tuple[LazyCommand, list[str]]:
    """The entry of `commands` that `words` begin with, and the words behind it."""
    ((names, command),) = [entry for entry in entries(commands) if list(entry[0]) == list(words[: len(entry[0])])]
    return command, list(words[len(names):])
