"""Input template of a tokenizer: the special tokens around one text or two, and their token types.

Notation, as in the tokenizers library's `TemplateProcessing`: token ids and the texts `A` and `B`, each with `:type`
where its token type is not 0. XLM-R has `0 A 2` and `0 A 2 2 B 2`, BERT `101 A 102` and `101 A 102 B:1 102:1`.
Token types are those that the tokenizer passes to its model: all 0 if they are not among its `model_input_names`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import pydantic
from pydantic import Field

from data_prep.base.errors import InputError

SPECIAL = r"\d{1,9}(:\d{1,2})?"
SINGLE = rf"^({SPECIAL} ){{0,4}}A(:\d{{1,2}})?( {SPECIAL}){{0,4}}$"
PAIR = rf"^({SPECIAL} ){{0,4}}A(:\d{{1,2}})?( {SPECIAL}){{0,4}} B(:\d{{1,2}})?( {SPECIAL}){{0,4}}$"
PROBES = ("a", "1", ".")  # texts of which any vocabulary has a token, if only the unknown one
UNKNOWN_CHARACTER = "\ufffd"  # Unicode's replacement character: byte-level BPE spells it


@dataclass(frozen=True, eq=False)  # arrays have no one truth value
class Frame:
    """One parsed template: (ids, token types), both int64, of the special tokens before, between and after the texts.

    `text_types` are the token types of the texts. A template of one text has nothing in `between`.
    """

    before: tuple[np.ndarray, np.ndarray]
    between: tuple[np.ndarray, np.ndarray]
    after: tuple[np.ndarray, np.ndarray]
    text_types: tuple[int, ...]

    @cached_property
    def specials(self) -> int:
        """Number of special tokens."""
        return sum(len(ids) for ids, _ in (self.before, self.between, self.after))


class InputTemplate(pydantic.BaseModel):
    """Templates for one text and for two, in the notation above."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    single: Annotated[str, Field(pattern=SINGLE)]
    pair: Annotated[str, Field(pattern=PAIR)]

    @cached_property
    def frames(self) -> tuple[Frame, Frame]:
        """The templates for one text and for two, parsed."""
        return _parsed(self.single), _parsed(self.pair)

    @cached_property
    def special_ids(self) -> tuple[int, ...]:
        """Ids of the special tokens of both templates, sorted, once each."""
        parts = [part for frame in self.frames for part in (frame.before, frame.between, frame.after)]
        return tuple(np.unique(np.concatenate([ids for ids, _ in parts])).tolist())

    @cached_property
    def highest_type(self) -> int:
        """Highest token type of both templates; 0 for a tokenizer without token types."""
        parts = [part for frame in self.frames for part in (frame.before, frame.between, frame.after)]
        texts = [kind for frame in self.frames for kind in frame.text_types]
        return max(*texts, *(int(kind) for _, types in parts for kind in types))


def _parsed(template: str) -> Frame:
    groups: list[list[tuple[int, int]]] = [[]]
    text_types = []
    for item in template.split():
        token, _, token_type = item.partition(":")
        if token in "AB":
            text_types.append(int(token_type or 0))
            groups.append([])
        else:
            groups[-1].append((int(token), int(token_type or 0)))
    columns = [np.array(group, dtype=np.int64).reshape(-1, 2).T for group in groups]
    before, *between, after = [(ids, types) for ids, types in columns]
    return Frame(before, between[0] if between else (after[0][:0], after[1][:0]), after, tuple(text_types))


def derive_template(tokenizer: Any) -> InputTemplate:
    """The template of a fast tokenizer, read off its own encodings of a probe text.

    Raises InputError where no probe has a token, or the special tokens follow no such template.
    """
    probe = next((text for text in PROBES if tokenizer(text, add_special_tokens=False)["input_ids"]), None)
    if probe is None:
        raise InputError(f"this tokenizer has no token for any of {', '.join(PROBES)}; expected an unknown token")
    found = {}
    for name, texts in (("single", (probe,)), ("pair", (probe, probe))):
        encoded = tokenizer(*texts, padding=False, truncation=False)
        ids = encoded["input_ids"]
        types = encoded.get("token_type_ids", [0] * len(ids))
        items: list[str] = []
        for token, owner, token_type in zip(ids, encoded.sequence_ids(0), types, strict=True):
            item = (str(token) if owner is None else "AB"[owner]) + (f":{token_type}" if token_type else "")
            if owner is None or item not in items:  # a probe may have several tokens
                items.append(item)
        found[name] = " ".join(items)
    try:
        return InputTemplate(**found)
    except pydantic.ValidationError:
        raise InputError(f"this tokenizer's special tokens are {found['single']!r} around one text and "
                         f"{found['pair']!r} around two; expected the texts in order, at most 4 special tokens before, "
                         "between and after them") from None
