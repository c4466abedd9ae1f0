"""The folder of the best model, as others on a shared file system meet it."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoModelForSequenceClassification

from trainer.checkpoint.best import write_transformers_folder
from trainer.model.encoders import FAMILIES


def test_all_files_have_the_permissions_of_new_files(tmp_path: Path) -> None:
    config = FAMILIES["xlm-roberta"].random_config("tiny", 60, 24, pad_id=1)
    model = AutoModelForSequenceClassification.from_config(config)
    write_transformers_folder(model, model.state_dict(), None, tmp_path / "best")
    (tmp_path / "new").write_text("")
    modes = {path.name: path.stat().st_mode for path in (tmp_path / "best").iterdir()}
    assert modes == dict.fromkeys(("config.json", "model.safetensors"), (tmp_path / "new").stat().st_mode)
