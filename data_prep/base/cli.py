"""Strict command lines on Fire, for `python -m data_prep`, `python -m trainer` and `python -m slurm.submit`.

Fire alone runs a function with its defaults when a flag is mistyped, complains only afterwards, and guesses the types
of values (`--run_name=1e5` becomes a float). Here every flag and word is checked against the function's signature
before anything runs, and values stay strings until they are converted by the parameter's annotation.

Input: a literal dict of commands, the arguments, the program's name. Output: the exit code. Entries may be lazy: a
command's module is imported only once its flags are found right, so help and what is mistyped import nothing.
"""

from __future__ import annotations

import errno
import inspect
import os
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from data_prep.base import hub_log, interrupt
from data_prep.base.command_table import Command, Commands, Keys, LazyCommand, Table, declared, resolve
from data_prep.base.errors import InputError, did_you_mean
from data_prep.base.folding import fold, fold_docstring

DISTRIBUTION = "robust-crosslingual"
EXIT_BAD_INPUT = 2
ANY_FLAG = "parameters"  # name of a ``**`` parameter that takes flags without a dot too
DEFAULT = "list"  # a table of commands with one of this name runs it where none is named
KEPT = "what was finished is kept; give the same command again"
# Errors of the file system, not of the program: full, read-only or forbidden places, invalid names.
NO_BUG = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP,
          errno.ENOTDIR, errno.EISDIR}


def main(
    commands: Commands | Command, argv: Sequence[str], prog: str, kept: Mapping[str, str] | str = KEPT
) -> int:
    """Run the command that `argv` names in `commands` (tables may be nested); return the exit code.

    commands: a table, or the function of a single-command program. A command may return an int as exit code; None
    means 0. `InputError`, a full disk and a forbidden folder are printed as one line and give 2. A closed output pipe
    (`... | head`) is no error. If the program listens to Ctrl-C, that gives one line and 130. kept: the end of that
    line, what is kept and what to do, for all commands or by name.
    """
    hub_log.quieten()
    _import_chosen(commands, argv)  # before `begin`, so that Ctrl-C during imports ends the process at once
    interrupt.begin()
    try:
        return _run_one(commands, argv, prog)
    except BaseException as error:
        # Libraries may have turned KeyboardInterrupt into another exception.
        if not interrupt.heard() or isinstance(error, SystemExit):
            raise
        interrupt.say(f"by Ctrl-C; {kept if isinstance(kept, str) else kept.get(argv[0] if argv else '', KEPT)}")
        return interrupt.EXIT_INTERRUPTED
    finally:
        interrupt.end()


def _import_chosen(commands: Commands | Command, argv: Sequence[str]) -> None:
    """Import the module of the command that `argv` names, if its words fit: neither help nor a refusal needs it."""
    chosen: Command | LazyCommand | Commands | None = commands
    words = list(argv)
    while words and isinstance(chosen, Mapping):
        chosen = chosen.get(words.pop(0))
    if isinstance(chosen, LazyCommand) and not _asks_for_help(words):
        with suppress(InputError):
            check_arguments(declared(chosen), words, "")
            resolve(chosen)


def _run_one(commands: Commands | Command, argv: Sequence[str], prog: str) -> int:
    try:
        if not isinstance(commands, Mapping):
            return _run(commands, argv, prog)
        if not argv or argv[0] in ("-h", "--help", "help"):
            print(_overview(commands, prog))
            return 0
        if argv[0] == "--version":
            print(f"{DISTRIBUTION} {version()}")
            return 0
        name, words = argv[0], list(argv[1:])
        if name not in commands:
            raise InputError(f"no command {name!r} in {prog}{did_you_mean(name, commands)}; "
                             f"commands: {', '.join(commands)}")
        command = commands[name]
        if isinstance(command, Mapping):
            return _run_one(command, words or [word for word in (DEFAULT,) if word in command], f"{prog} {name}")
        return _run(command, words, f"{prog} {name}")
    except InputError as error:
        if interrupt.heard():
            raise
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in NO_BUG or interrupt.heard():
            raise
        print(f"error: {InputError(f'{error.filename}: {error.strerror}')}", file=sys.stderr)
        return EXIT_BAD_INPUT


def _run(command: Command | LazyCommand, words: Sequence[str], prog: str) -> int:
    light = declared(command)
    if _asks_for_help(words):
        print(_usage(light, prog))
        return 0
    check_arguments(light, words, prog)
    outcome = _call_checked(resolve(command), words, prog)
    return outcome if isinstance(outcome, int) else 0


def _asks_for_help(words: Sequence[str]) -> bool:
    return any(word in ("-h", "--help") for word in words)


def call(command: Command, words: Sequence[str], prog: str) -> Any:
    """Check and convert `words`, call `command` with them, and return its result. Raises InputError."""
    check_arguments(command, words, prog)
    return _call_checked(command, words, prog)


def _call_checked(command: Command, words: Sequence[str], prog: str) -> Any:
    import fire  # lazily, here and below: neither help nor a refused line needs it

    outcome: list[Any] = []  # Fire would print a returned value
    fire.Fire(_typed(command, outcome), command=_with_dashes(words), name=prog)
    return outcome[0] if outcome else None


def _with_dashes(words: Sequence[str]) -> list[str]:
    """`words` with a lone "-" joined to its flag (`--file=-`): alone, Fire would take it for a separator."""
    joined: list[str] = []
    for word in words:
        if word == "-" and joined:
            joined[-1] += "=-"
        else:
            joined.append(word)
    return joined


def check_arguments(command: Command, words: Sequence[str], prog: str) -> tuple[list[str], dict[str, str]]:
    """Check `words` against the signature of `command`; return the plain words, and the flags with their values.

    Raises InputError for an unknown flag, a flag without value or with one of another type, a stray word or a missing
    argument. A command with ``**overrides`` takes dotted flags (``--robust.epsilon=0.1``), which the recipe validates
    before anything runs. A command with ``*words`` takes any number of plain words; one with ``**parameters`` any flag,
    which it checks.
    """
    parameters = inspect.signature(command).parameters
    takes_dotted = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    takes_any = any(p.kind is p.VAR_KEYWORD and p.name == ANY_FLAG for p in parameters.values())
    takes_words = any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
    named = {n: p for n, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    # parameters with a default are flags only
    positional = [n for n, p in named.items() if p.default is p.empty and p.kind is not p.KEYWORD_ONLY]
    given: dict[str, str] = {}
    plain: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or word == "--":
            if word.startswith("-") and not _is_number(word):  # a lone "-" would make Fire start over
                raise InputError(f"{prog}: flags are spelt with two dashes, found {word!r}")
            plain.append(word)
            continue
        flag, equals, value = word[2:].partition("=")
        name = flag.replace("-", "_")
        dotted = takes_dotted and ("." in flag or (takes_any and name not in named))
        if not dotted and name not in named:
            switch_off = name.removeprefix("no")
            if name.startswith("no") and switch_off in named and _is_bool(command, switch_off) and not equals:
                given[switch_off] = "false"
                continue
            known = ", ".join("--" + n for n in named) + (" and dotted keys" if takes_dotted else "")
            raise InputError(f"{prog}: no flag --{flag}{_suggestion(command, flag, name, named)}; flags: {known}")
        if name in given:
            raise InputError(f"{prog}: --{flag} is given twice")
        if not equals and (dotted or not _is_bool(command, name)):
            if not rest or (rest[0].startswith("--") and len(rest[0]) > 2):
                raise InputError(f"{prog}: --{flag} needs a value")
            value = rest.pop(0)
        elif not equals:
            value = rest.pop(0) if rest and rest[0].lower() in ("true", "false") else "true"
        given[name] = value
    open_words = [name for name in positional if name not in given]  # Fire fills these before flags
    if len(plain) > len(open_words) and not takes_words:
        raise InputError(f"{prog}: stray word {plain[len(open_words)]!r}; it takes {_take(positional)}")
    filled = {*given, *open_words[: len(plain)]}
    missing = [n for n, p in named.items() if p.default is p.empty and n not in filled]
    if missing:
        raise InputError(f"{prog}: missing {', '.join(missing)}; see {prog} --help")
    hints = typing.get_type_hints(command)
    for name in given.keys() & named.keys():
        convert(given[name], hints.get(name, str), name)
    return plain, given


def convert(value: Any, annotation: Any, name: str) -> Any:
    """Convert a command-line string to `annotation`: str, int, float, bool, or one of them | None."""
    if not isinstance(value, str):
        return value
    kinds = [a for a in _members(annotation) if a is not type(None)]
    optional = len(kinds) < len(_members(annotation))
    if optional and value.lower() in ("none", "null"):
        return None
    kind = kinds[0] if kinds else str
    if kind is bool:
        if value.lower() not in ("true", "false"):
            raise InputError(f"--{name} must be true or false, found {value!r}")
        return value.lower() == "true"
    if kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise InputError(f"--{name} must be {what}, found {value!r}") from None
    return value


def _typed(command: Command, outcome: list[Any]) -> Command:
    """Wrap `command` to convert Fire's plain strings by annotation; its result is appended to `outcome`."""
    from fire.decorators import SetParseFn

    hints = typing.get_type_hints(command)
    signature = inspect.signature(command)

    def call(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            if signature.parameters[name].kind in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL):
                continue
            bound.arguments[name] = convert(value, hints.get(name, str), name)
        outcome.append(command(*bound.args, **bound.kwargs))

    call.__signature__ = signature  # type: ignore[attr-defined]  # Fire reads the signature from here
    call.__name__, call.__doc__ = command.__name__, command.__doc__
    typed: Command = SetParseFn(str)(call)
    return typed


def _members(annotation: Any) -> tuple[Any, ...]:
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return typing.get_args(annotation)
    return (annotation,)


def _is_bool(command: Command, name: str) -> bool:
    return bool in _members(typing.get_type_hints(command).get(name, str))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _suggestion(command: Command, flag: str, name: str, named: Mapping[str, Any]) -> str:
    """Suggestion for an unknown flag: one of the command, else dotted keys where it takes some (`Keys`)."""
    if near := did_you_mean(name, named):
        return near
    found = [f"--{key}" for mark in _marks(command) for key in resolve(LazyCommand(mark.nearest, ""))(flag)]
    return f" (did you mean {' or '.join(found)}?)" if found else ""


def _marks(command: Command) -> list[Keys]:
    return [mark for hint in typing.get_type_hints(command, include_extras=True).values()
            for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Keys)]


def version() -> str:
    """Version of this code: that in the `pyproject.toml` beside it, else of the installed distribution."""
    project = Path(__file__).parents[2] / "pyproject.toml"
    if project.is_file():
        import tomllib

        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
    import importlib.metadata

    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown number"


def _take(positional: Sequence[str]) -> str:
    return "no plain words" if not positional else "at most " + " ".join(p.upper() for p in positional)


def _first_line(command: Command | LazyCommand | Commands) -> str:
    if isinstance(command, LazyCommand):
        return command.help
    if isinstance(command, Mapping):
        subject = f"{command.help}; " if isinstance(command, Table) else ""
        return f"{subject}one of: {', '.join(command)}"
    return (inspect.getdoc(command) or "").split("\n")[0]


def _overview(commands: Commands, prog: str) -> str:
    width = max(len(name) for name in commands)
    lines = [f"usage: {prog} COMMAND [flags]", ""]
    lines += [fold(f"  {name:<{width}}  {_first_line(command)}", width + 4) for name, command in commands.items()]
    return "\n".join([*lines, "", f"{prog} COMMAND --help tells the flags of one command."])


_KIND_NAMES = {bool: "true|false", str: "TEXT", int: "NUMBER", float: "NUMBER"}


def _default(parameter: inspect.Parameter, replaced: str) -> str:
    """The default of a flag as it would be typed. replaced: what the flags of the command replace, if anything."""
    default = parameter.default
    if default is parameter.empty:
        return "needed"
    if default is None:
        return f"default: as in {replaced}" if replaced else "optional"
    return f"default: {str(default).lower() if isinstance(default, bool) else 'empty' if default == '' else default}"


def _usage(command: Command, prog: str) -> str:
    words, flags = [], []
    hints = typing.get_type_hints(command)
    for name, parameter in inspect.signature(command).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            flags.append("  --dotted.key=VALUE   any key of the recipe" if name == "overrides"
                         else "  --NAME=VALUE   any of its parameters" if name == ANY_FLAG
                         else f"  --{name}.KEY=VALUE   any of its keys")
        elif parameter.kind is parameter.VAR_POSITIONAL:
            words.append(f"{name.upper()}...")
        elif parameter.default is parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY:
            words.append(name.upper())
        else:
            kinds = [m for m in _members(hints.get(name, str)) if m is not type(None)]
            flags.append(f"  --{name}={'|'.join(_KIND_NAMES.get(k, k.__name__.upper()) for k in kinds)}   "
                         f"({_default(parameter, replaced='the recipe' if _marks(command) else '')})")
    usage = " ".join([f"usage: {prog}", *words, *["[flags]"] * bool(flags)])
    return "\n".join([usage, "", fold_docstring(inspect.getdoc(command) or ""), "", *flags]).rstrip()
