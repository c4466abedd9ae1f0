"""Strategies that break good input: bytes of a file, and values of a JSON tree; and what must come of it."""

from __future__ import annotations

import contextlib
import copy
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import strategies as st

from data_prep.base.errors import InputError

Result = TypeVar("Result")
LONGEST_MESSAGE = 1200

# What no field expects: wrong types, absurd numbers, names that lead elsewhere, text that no file can hold.
JUNK: list[Any] = [
    None, True, False, 0, 1, -1, 2, 7, 2**31, 2**63, 10**30, -(10**30), 0.5, -0.5, 1e-320, 1e308, -1e308, float("nan"),
    float("inf"), "", " ", "..", ".", "/", "../..", "../../etc/passwd", "/etc/passwd", "a/../b", "a\0b", "a\nb",
    "\x1b[2J", "x" * 5000, "nan", "1e400", "\u2028", "狗", "en", "de", "accuracy", "perplexity", "pair", "mlm", "plain",
    [], {}, [[]], [None], [1, 2], ["a", "a"], {"a": 1}, {"": {}}, {"en": [1]}, [{}] * 3,
]


@st.composite
def damaged_bytes(draw: st.DrawFn, good: bytes) -> bytes:
    """`good` with a few bits flipped, parts cut out, doubled or overwritten, or cut short."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        size = draw(st.sampled_from([1, 1, 2, 8, 64, 1024]))
        match draw(st.sampled_from(["flip", "flip", "write", "cut out", "double", "insert", "end"])):
            case "flip" if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "write":
                data[at : at + size] = draw(st.sampled_from([b"\0", b"\xff", b"\n", b"\t", b"9"])) * size
            case "cut out":
                del data[at : at + size]
            case "double":
                data[at:at] = data[at : at + size]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=16))
            case "end":
                del data[at:]
    return bytes(data)


@st.composite
def damaged_tree(draw: st.DrawFn, good: Any, junk: Sequence[Any] = tuple(JUNK), alike: bool = False) -> Any:
    """A JSON tree with one to three of its values replaced, taken out or joined by others; `alike`: of their type."""
    tree = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(tree))
        if not places:
            return draw(st.sampled_from(junk))
        holder, key = draw(st.sampled_from(places))
        fitting = [one for one in junk if isinstance(one, _like(holder[key]))] if alike else junk
        value = copy.deepcopy(draw(st.sampled_from(fitting or junk)))
        match draw(st.sampled_from(["replace", "replace", "replace", "remove", "add"])):
            case "replace":
                holder[key] = value
            case "remove":
                del holder[key]
            case "add" if isinstance(holder, dict):
                holder[draw(st.sampled_from(["extra", "", "a.b", "\n"]))] = value
            case "add":
                holder.append(value)
    return tree


def _like(value: Any) -> tuple[type, ...]:
    return (int, float) if isinstance(value, float) else (type(value),)


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else []
    for key in keys:
        yield node, key
        yield from _places(node[key])


def accepted(call: Callable[[], Result]) -> Result | None:
    """What `call` returns, None where it refuses its input; anything but a clear InputError goes through."""
    try:
        return call()
    except InputError as error:
        check_message(str(error))
        return None


def check_message(message: str) -> None:
    assert message.strip(), "an error without a word"
    assert len(message) <= LONGEST_MESSAGE, f"{len(message)} characters"
    assert message.isprintable(), f"not one line of text: {message!r}"


def run_command(main: Callable[[list[str]], int], words: Sequence[str]) -> int:
    """The exit code of a command line: 0, or 2 with one line on stderr that says what is wrong."""
    shown, wrong = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(wrong):
        code = main(list(words))
    assert code in (0, 2), code
    if code == 2:
        lines = [line for line in wrong.getvalue().split("\n") if line.startswith("error: ")]
        assert len(lines) == 1, wrong.getvalue()
        check_message(lines[0])
        assert "Traceback" not in wrong.getvalue()
    return code


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A new folder for one input."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
