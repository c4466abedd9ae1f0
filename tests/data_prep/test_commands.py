"""A command imports what its own path needs, and no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = """
import sys
sys.modules.update(dict.fromkeys(sys.argv[1].split(",")))
from data_prep.__main__ import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(("blocked", "words"), [
    ("torch,datasets,transformers,tokenizers,pyarrow,sentencepiece", ["tasks"]),
    ("torch,datasets,pyarrow", ["tokenizer", "--texts", "texts.txt", "--vocab_size", "30", "--out", "small"]),
    ("torch,transformers,sentencepiece", ["verify", "--help"]),
], ids=lambda value: value[0] if isinstance(value, list) else "")
def test_imports_of_a_command(tmp_path: Path, blocked: str, words: list[str]) -> None:
    (tmp_path / "texts.txt").write_text("the dog sees a cat\n" * 50)
    ended = subprocess.run([sys.executable, "-c", RUN, blocked, *words], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)},
                           capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
