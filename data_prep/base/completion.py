"""Completion scripts of bash and zsh for a table of commands, with all words written out: a TAB starts no Python.

Flags are read from the source of a command's function, since importing it may take seconds.
"""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Iterator, Mapping, Sequence

from data_prep.base.command_table import Commands, LazyCommand, declared
from data_prep.base.errors import InputError, did_you_mean

Words = Mapping[str, Sequence[str]]
# Shared by the scripts of all programs: asks the function of the module behind `python -m`, if it has been sourced.
BASH = r'''
_complete_python_m() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} path="" n
    local module=_python_m_${COMP_WORDS[2]//./_}
    COMPREPLY=()
    [[ ${COMP_WORDS[1]} == -m && $COMP_CWORD -ge 3 ]] && declare -F "$module" > /dev/null || return 0
    if [[ $current == "=" ]]; then current=""
    elif [[ $previous == "=" ]]; then previous=${COMP_WORDS[COMP_CWORD-2]}
    elif [[ $current == -* ]]; then previous=""
    fi
    for ((n = 3; n < COMP_CWORD; n++)); do
        [[ ${COMP_WORDS[n]} == -* ]] && break
        path+="${path:+ }${COMP_WORDS[n]}"
    done
    local words; words=$("$module" "$path" "$previous")
    if [[ $current != -* ]]; then words=$(printf '%s\n' $words | grep -v '^-'); fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o bashdefault -o default -F _complete_python_m python python3
'''
ZSH = r'''
_complete_python_m() {
    local current=${words[CURRENT]} previous=${words[CURRENT-1]} chosen="" n
    local module=_python_m_${words[3]//./_}
    if [[ ${words[2]} != -m || $CURRENT -lt 4 ]] || (( ! $+functions[$module] )); then _default; return; fi
    if [[ $current == --*=* ]]; then previous=${current%%=*}; current=""; compset -P '*='
    elif [[ $current == -* ]]; then previous=""
    fi
    for ((n = 4; n < CURRENT; n++)); do
        [[ ${words[n]} == -* ]] && break
        chosen+="${chosen:+ }${words[n]}"
    done
    local -a found
    found=(${=$($module "$chosen" "$previous")})
    [[ $current == -* ]] || found=(${found:#-*})
    compadd -- $found || _default
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
compdef _complete_python_m python python3
'''
DISPATCH = {"bash": BASH, "zsh": ZSH}


def script(shell: str, program: str, commands: Commands, words: Words, values: Words) -> str:
    """The completion script of `python -m program`.

    words: more candidates by command (`bench steps`), beside its flags and subcommands. values: candidates behind a
    flag (`--suite`). Raises InputError for another shell than those of DISPATCH.
    """
    if shell not in DISPATCH:
        raise InputError(f"no completion for {shell!r}{did_you_mean(shell, DISPATCH)}; shells: {', '.join(DISPATCH)}")
    lines = [f"# Completion of `python -m {program}`: source <(python -m {program} completion {shell})",
             f"_python_m_{program.replace('.', '_')}() {{  # the command's words, the word before: candidates",
             '    case "$2" in']
    lines += [f"        {flag}) echo {shlex.join(found)}; return;;" for flag, found in values.items() if found]
    lines += ["        --*) return;;", "    esac", '    case "$1 " in']  # the value of any other flag is its user's
    candidates = {path: [*found, *words.get(path, ())] for path, found in _candidates(commands)}
    for path in sorted(candidates, key=lambda path: -len(path.split())):  # a subcommand before its table
        pattern = f'"{path} "*' if path else "*"
        lines.append(f"        {pattern}) echo {shlex.join(candidates[path])};;")
    return "\n".join([*lines, "    esac", "}"]) + DISPATCH[shell]


def _candidates(commands: Commands, path: str = "") -> Iterator[tuple[str, list[str]]]:
    """(words that choose a command or table, its subcommands or flags)."""
    yield path, [*commands, *["--help", "--version"] * (not path)]
    for name, command in commands.items():
        inner = f"{path} {name}".strip()
        if isinstance(command, Mapping):
            yield from _candidates(command, inner)
        elif isinstance(command, LazyCommand):
            yield inner, [*(f"--{flag}" for flag in flags_of(command)), "--help"]


def flags_of(command: LazyCommand) -> list[str]:
    """Flags of a command: the parameters with a default, and those that are named only."""
    parameters = inspect.signature(declared(command)).parameters.values()
    return [one.name for one in parameters if one.kind is one.KEYWORD_ONLY
            or (one.kind is one.POSITIONAL_OR_KEYWORD and one.default is not one.empty)]
