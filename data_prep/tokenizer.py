"""Tokenizers: train one with SentencePiece in XLM-R's form, load any, and keep a copy beside the cells.

Inputs: text files, or the name or folder of a tokenizer. Outputs: a folder that `AutoTokenizer.from_pretrained`
opens, with XLM-R's ids: `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3, then the pieces, `<mask>` last.

    python -m data_prep tokenizer --texts corpus/en.txt,nli/ --vocab_size 8000 --out tokenizers/small
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from data_prep.base import interrupt
from data_prep.base.errors import InputError
from data_prep.base.files import working_folder
from data_prep.base.lock import held_beside
from data_prep.commands import NOTHING_WRITTEN
from data_prep.languages import OWN_FEATURES
from data_prep.shards.manifest import TokenizerInfo
from data_prep.shards.template import UNKNOWN_CHARACTER, derive_template
from data_prep.shards.tokenizers import read_tokenizer, tokenizer_dir, tokenizer_fingerprint
from data_prep.sources.lines import read_lines

FRONT_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")
MASK_TOKEN = "<mask>"
SPECIAL_TOKENS = len(FRONT_TOKENS) + 1
SMALLEST_VOCABULARY = 2 * SPECIAL_TOKENS
MODEL_MAX_LENGTH = 512  # XLM-R has 514 positions, two of which are not used
LONGEST_LINE_BYTES = 1 << 14  # SentencePiece skips longer lines


def tokenizer(
    texts: str, vocab_size: int, out: str, columns: str = "1,2", model: str = "unigram", max_sentences: int = 1_000_000,
    seed: int = 0, overwrite: bool = False,
) -> None:
    """Train a SentencePiece tokenizer on text files and save it as an XLM-R tokenizer.

    texts: comma list of files and folders (their .txt and .tsv files). columns: of .tsv files, counted from 1; other
    files are read as whole lines. vocab_size: all tokens, special ones included. model: `unigram` (as XLM-R) or `word`
    (whole words, for made-up languages). max_sentences: size of the random sample of lines to train on.
    An existing folder is replaced only with --overwrite.
    """
    console = Console(highlight=False)
    files = _text_files(texts)
    if model not in ("unigram", "word"):
        raise InputError(f"--model must be unigram or word, found {model!r}")
    wanted = _column_numbers(columns)
    folder = Path(out)
    _refuse_to_replace(folder, overwrite)
    with held_beside(folder, "tokenizer"):
        _refuse_to_replace(folder, overwrite)  # another process may just have finished
        trained = train_tokenizer(_sentences(files, wanted), vocab_size, model, max_sentences, seed)
        save_tokenizer(trained, folder)
    if len(trained) < vocab_size:
        console.print(f"note: the texts support {len(trained):,} tokens, fewer than the requested {vocab_size:,}")
    console.print(f"{folder}: {len(trained):,} tokens from {len(files)} file(s), "
                  f"fingerprint {tokenizer_fingerprint(trained)[:12]}", soft_wrap=True)


def train_tokenizer(
    sentences: Iterable[str], vocab_size: int, model: str = "unigram", max_sentences: int = 1_000_000, seed: int = 0
) -> Any:
    """Train an XLMRobertaTokenizer on `sentences`, of at most `vocab_size` tokens: fewer if the text supports no more.

    Normalisation is XLM-R's (nmt_nfkc). The same sentences, sizes and seed give the same tokenizer.
    """
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    if vocab_size < SMALLEST_VOCABULARY:
        raise InputError(f"--vocab_size must be at least {SMALLEST_VOCABULARY}, found {vocab_size}")
    written = io.BytesIO()
    sentencepiece.set_random_generator_seed(seed)
    try:
        with interrupt.at_once(NOTHING_WRITTEN):  # minutes in C++, where Python handles no signal
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(sentences), model_writer=written, model_type=model,
                vocab_size=vocab_size - SPECIAL_TOKENS + 1,  # of the special tokens SentencePiece counts <unk> only
                unk_id=0, bos_id=-1, eos_id=-1, pad_id=-1, normalization_rule_name="nmt_nfkc", hard_vocab_limit=False,
                character_coverage=0.9995, input_sentence_size=max_sentences, shuffle_input_sentence=True,
                max_sentence_length=LONGEST_LINE_BYTES, minloglevel=2)
    except (RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"SentencePiece could not train {vocab_size} tokens on these texts ({reason[-160:]}); "
                         "give it more text or another --vocab_size") from None
    proto = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    proto.ParseFromString(written.getvalue())
    pieces = [(piece.piece, piece.score) for piece in proto.pieces[1:]]
    return make_tokenizer(pieces, proto.normalizer_spec.precompiled_charsmap)


def make_tokenizer(pieces: Iterable[tuple[str, float]], charsmap: bytes | None = None) -> Any:
    """Make an XLMRobertaTokenizer of (piece, log probability) pairs; a word begins with `▁` (U+2581).

    `charsmap` is SentencePiece's compiled normalisation; without it texts are not normalised.
    """
    from transformers import AddedToken, XLMRobertaTokenizer  # slow to import, and only needed here

    vocabulary = [(token, 0.0) for token in FRONT_TOKENS] + [(p, float(s)) for p, s in pieces] + [(MASK_TOKEN, 0.0)]
    names = [token for token, _ in vocabulary]
    if len(set(names)) < len(names):
        raise InputError("the vocabulary holds a piece twice, or one that is spelt like a special token")
    settings: dict[str, Any] = {"_spm_precompiled_charsmap": charsmap or None, "model_max_length": MODEL_MAX_LENGTH,
                                "mask_token": AddedToken(MASK_TOKEN, lstrip=True, special=True)}
    return XLMRobertaTokenizer(vocab=vocabulary, **settings)


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write the tokenizer to `folder` atomically; in an existing folder, replace only the tokenizer's files."""
    with working_folder(folder, "tokenizer") as temporary:
        tokenizer.save_pretrained(str(temporary))
        if not folder.exists() or not any(folder.iterdir()):
            os.replace(temporary, folder)
            return
        for file in temporary.iterdir():
            os.replace(file, folder / file.name)


def load_tokenizer(name: str) -> Any:
    """Load a fast tokenizer from a folder or the hub, with truncation and padding off.

    Raises InputError for a python tokenizer (XLM's needs a language with each text, and packages besides), for one
    without words or padding, for one that drops characters that it does not know, and for one that truncates on the
    left, which `shards.assemble` never does.
    """
    where = Path(name)
    if (name.startswith((".", "/", "~")) or where.exists()) and not where.is_dir():
        raise InputError(f"--tokenizer {name}: no such folder; train one with `python -m data_prep tokenizer`")
    try:
        loaded = read_tokenizer(name)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"--tokenizer {name}: cannot be loaded ({reason}); expected a folder or a name on the hub "
                         "with a fast tokenizer (tokenizer.json), not a python one such as XLMTokenizer") from None
    return check_tokenizer(loaded, name)


def check_tokenizer(loaded: Any, name: str) -> Any:
    """`loaded`, a transformers tokenizer, with truncation and padding off; raises as `load_tokenizer`."""
    if not getattr(loaded, "is_fast", False):
        raise InputError(f"--tokenizer {name}: {type(loaded).__name__} is a python tokenizer; expected a fast one "
                         "(tokenizer.json)")
    if len(loaded) <= len(set(loaded.all_special_ids)):
        raise InputError(f"--tokenizer {name}: {len(loaded)} special tokens and no word: transformers made it up where "
                         "it found no vocabulary; copy the tokenizer's files (tokenizer.json) into the folder")
    if loaded.pad_token_id is None:
        raise InputError(f"--tokenizer {name}: it has no padding token; name one (`tokenizer.pad_token = "
                         "tokenizer.eos_token`), save it with save_pretrained, and give that folder")
    if loaded.unk_token_id is None and not loaded(UNKNOWN_CHARACTER, add_special_tokens=False)["input_ids"]:
        raise InputError(f"--tokenizer {name}: it has no unknown token and does not spell bytes, so it would drop "
                         "characters without a word; expected an unknown token")
    if loaded.truncation_side != "right":
        raise InputError(f"--tokenizer {name}: it truncates on the {loaded.truncation_side}; save it with "
                         "truncation_side=\"right\", and give that folder")
    loaded.backend_tokenizer.no_truncation()  # tokenizer.json may have switched them on
    loaded.backend_tokenizer.no_padding()
    return loaded


def describe_tokenizer(tokenizer: Any, name: str) -> TokenizerInfo:
    """The manifest's record of a tokenizer."""
    cls_id, sep_id = tokenizer.cls_token_id, tokenizer.sep_token_id
    return TokenizerInfo(
        name=name, fingerprint=tokenizer_fingerprint(tokenizer), vocab_size=max(tokenizer.get_vocab().values()) + 1,
        cls_id=tokenizer.bos_token_id if cls_id is None else cls_id,
        sep_id=tokenizer.eos_token_id if sep_id is None else sep_id,
        pad_id=tokenizer.pad_token_id, mask_id=tokenizer.mask_token_id, unk_id=tokenizer.unk_token_id,
        template=derive_template(tokenizer))


def keep_tokenizer(root: Path, tokenizer: Any, fingerprint: str) -> Path:
    """Save the tokenizer beside the cells below `root`, unless it is there, and return its folder."""
    folder = tokenizer_dir(root, fingerprint)
    with held_beside(folder, "build", wait=True):  # concurrent builds may save the same tokenizer
        if folder.exists():
            return folder
        with working_folder(folder, "build") as temporary:
            tokenizer.save_pretrained(str(temporary))
            if tokenizer_fingerprint(load_tokenizer(str(temporary))) != fingerprint:
                raise InputError("this tokenizer changes when it is saved and loaded; save it with save_pretrained, "
                                 "and give that folder as --tokenizer")
            os.replace(temporary, folder)
    return folder


def _refuse_to_replace(folder: Path, overwrite: bool) -> None:
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not overwrite)):
        raise InputError(f"--out {folder} exists already; choose another folder, or add --overwrite to a folder")


def _text_files(texts: str) -> list[Path]:
    files: list[Path] = []
    for part in (Path(part.strip()) for part in texts.split(",")):
        if part.is_dir():
            inside = sorted(file for file in part.iterdir()
                            if file.suffix in (".txt", ".tsv") and file.name != OWN_FEATURES)  # which is no text
            if not inside:
                raise InputError(f"--texts {part}: no .txt or .tsv files in this folder")
            files += inside
        elif part.is_file():
            files.append(part)
        else:
            raise InputError(f"--texts {part}: no such file or folder")
    return files


def _column_numbers(columns: str) -> list[int]:
    numbers = [part.strip() for part in columns.split(",")]
    if not all(number.isdigit() and int(number) > 0 for number in numbers):
        raise InputError(f"--columns must be a comma list of column numbers from 1, found {columns!r}")
    return [int(number) - 1 for number in numbers]


def _sentences(files: Iterable[Path], columns: Iterable[int]) -> Iterator[str]:
    """One text at a time, without NUL, at which SentencePiece would stop, and without empty texts."""
    columns = list(columns)
    for file in files:
        for line in read_lines(file):
            fields = line.split("\t")
            if file.suffix == ".tsv":
                fields = [fields[i] for i in columns if i < len(fields)]
            for text in fields:
                clean = text.replace("\0", " ").replace("\n", " ").strip()
                if clean:
                    yield clean
