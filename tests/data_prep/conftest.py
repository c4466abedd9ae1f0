"""A small tokenizer for all tests of the preparation, trained once on sentences made here."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from data_prep.tokenizer import save_tokenizer, train_tokenizer
from tests.tokenizer_folders import FOLDERS

WORDS = """the a dog cat man woman child street park house river runs sleeps eats sees likes plays old young small big
red blue not in on with and Mama home said word school bus happy tree der die das Hund Katze läuft 狗 猫 跑 睡 公园"""


def sentences(n: int, seed: int = 0, longest: int = 12) -> list[str]:
    draw, words = random.Random(seed), WORDS.split()
    return [" ".join(draw.choices(words, k=draw.randint(1, longest))) + draw.choice([".", "", " !"]) for _ in range(n)]


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer") / "small"
    save_tokenizer(train_tokenizer(sentences(2000), 220), folder)
    return folder


@pytest.fixture(scope="session")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders with a small tokenizer of each encoder family."""
    root = tmp_path_factory.mktemp("families")
    for name, write in FOLDERS.items():
        (root / name).mkdir()
        write(root / name)
    return {name: root / name for name in FOLDERS}
