"""Pickled weights to safetensors: what comes out is what went in, and what would run code is refused and runs not."""

from __future__ import annotations

import builtins
import io
import json
import os
import pickle
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification

from tests.trainer.model.hub import FIRST, SECOND, offline
from trainer.__main__ import main
from trainer.model.encoders import FAMILIES, Family
from trainer.model.folder import locate, weight_files
from trainer.model.pretrained import read_config

families = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
BIN, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"


def model_of(family: Family, auto_class: Any = AutoModelForMaskedLM) -> Any:
    torch.manual_seed(3)
    return auto_class.from_config(family.random_config("tiny", 60, 24, pad_id=1))


def pickled(model: Any, folder: Path, parts: int = 1, **options: Any) -> Path:
    """The model as older releases of transformers saved it."""
    folder.mkdir(parents=True)
    model.config.save_pretrained(folder)
    state = model.state_dict()
    if parts == 1:
        torch.save(state, folder / BIN, **options)
        return folder
    names = list(state)
    files = {name: f"pytorch_model-{at * parts // len(names) + 1:05d}-of-{parts:05d}.bin"
             for at, name in enumerate(names)}
    for file in set(files.values()):
        torch.save({name: state[name] for name in names if files[name] == file}, folder / file, **options)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": files}))
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A pickled encoder of the first family."""
    return pickled(model_of(next(iter(FAMILIES.values())), AutoModel), tmp_path / "source")


@families
@pytest.mark.parametrize(("auto_class", "parts", "zipped"), [
    (AutoModelForMaskedLM, 1, True), (AutoModel, 1, False), (AutoModelForSequenceClassification, 3, True)], ids=str)
def test_the_same_model_comes_out(family: Family, auto_class: Any, parts: int, zipped: bool, tmp_path: Path,
                                  capsys: pytest.CaptureFixture[str]) -> None:
    old = model_of(family, auto_class)
    pickled(old, tmp_path / "old", parts, _use_new_zipfile_serialization=zipped)
    assert main(["convert", str(tmp_path / "old"), str(tmp_path / "new")]) == 0
    new, info = auto_class.from_pretrained(tmp_path / "new", output_loading_info=True, use_safetensors=True)
    assert not info["missing_keys"] | info["unexpected_keys"] | info["mismatched_keys"]
    for name, value in old.state_dict().items():
        assert torch.equal(new.state_dict()[name], value), name
    said = capsys.readouterr().out
    assert f"{parts} pickled file(s) with {len(old.state_dict())} tensors of float32" in said
    for name, kept in (old._tied_weights_keys or {}).items() if old.config.tie_word_embeddings else ():
        assert f"dropped {name}: transformers ties it to {kept}\n" in said
    assert len({path.stat().st_mode for path in (tmp_path / "new").iterdir()}) == 1, "others may read them too"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"], "nothing is left over"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_type_of_weights_is_kept(dtype: torch.dtype, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = model_of(next(iter(FAMILIES.values()))).to(dtype)
    pickled(old, tmp_path / "old")
    assert main(["convert", str(tmp_path / "old"), str(tmp_path / "new")]) == 0
    assert {value.dtype for value in load_file(tmp_path / "new" / "model.safetensors").values()} == {dtype}
    assert f"tensors of {str(dtype).removeprefix('torch.')}" in capsys.readouterr().out
    assert json.loads((tmp_path / "new" / "config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")


def test_shared_memory_that_is_no_tie_is_copied(source: Path, tmp_path: Path) -> None:
    """Two layers of one memory, a view into another tensor, and a transposed one."""
    old = torch.load(source / BIN, weights_only=True)
    one, two, three = [name for name, value in old.items() if value.shape == (64, 64)][-3:]
    both = torch.randn(128, 64)
    old |= {one: both[:64], two: both[64:], three: torch.randn(64, 64).T}
    twin, other = [name for name, value in old.items() if value.shape == (128, 64)][:2]
    old[twin] = old[other]
    torch.save(old, source / BIN)
    assert main(["convert", str(source), str(tmp_path / "new")]) == 0
    new = load_file(tmp_path / "new" / "model.safetensors")
    assert new.keys() == old.keys()
    assert all(torch.equal(new[name], value) for name, value in old.items())


def test_an_untied_head_is_kept(tmp_path: Path) -> None:
    """Where config.json says that matrices are not tied, dropping one would lose it."""
    old = model_of(next(iter(FAMILIES.values())))
    old.config.tie_word_embeddings = False
    pickled(old, tmp_path / "old")
    assert main(["convert", str(tmp_path / "old"), str(tmp_path / "new")]) == 0
    assert load_file(tmp_path / "new" / "model.safetensors").keys() == old.state_dict().keys()


def test_settings_that_name_code_are_left_out(source: Path, tmp_path: Path) -> None:
    remote = {"auto_map": {"AutoModel": "evil--x.Model", "AutoTokenizer": ["evil--x.T", None]}}
    content = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(content | remote | {"custom_pipelines": {"x": {"impl": "evil.P"}}}))
    (source / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 512} | remote))
    (source / "modeling.py").write_text("raise SystemExit")
    (source / "vocab.txt").write_text("[UNK]\n")
    assert main(["convert", str(source), str(tmp_path / "new")]) == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"]
    assert not [path for path in (tmp_path / "new").iterdir() if b"evil" in path.read_bytes()]
    assert json.loads((tmp_path / "new" / "tokenizer_config.json").read_text()) == {"model_max_length": 512}


# --- what is refused ------------------------------------------------------------------------------------------------
class Runs:
    """An object whose pickle calls `function` when it is read."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def evil(canary: Path) -> dict[str, Runs]:
    touch = f"open({str(canary)!r}, 'w')"
    return {"system": Runs(os.system, f"touch {canary}"), "eval": Runs(builtins.eval, touch),
            "exec": Runs(builtins.exec, touch), "open": Runs(builtins.open, str(canary), "w")}


@pytest.mark.parametrize("what", evil(Path("x")))
@pytest.mark.parametrize("form", ["zip", "legacy", "plain", "beside weights", "tar", "archive of plain"])
def test_a_pickle_that_would_run_code_runs_nothing(source: Path, tmp_path: Path, what: str, form: str,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    canary = tmp_path / "canary"
    harm, file = evil(canary)[what], source / BIN
    if form == "beside weights":
        torch.save(torch.load(file, weights_only=True) | {"extra": harm}, file)
    elif form == "plain":
        file.write_bytes(pickle.dumps(harm, protocol=2))
    elif form == "archive of plain":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(harm, protocol=2))
            archive.writestr("archive/version", "3\n")
    elif form == "tar":  # of releases before torch 0.1.10, whose parts are pickles
        with tarfile.open(file, "w") as archive:
            for name in ("sys_info", "storages", "tensors", "pickle"):
                part, content = tarfile.TarInfo(name), pickle.dumps(harm, protocol=2)
                part.size = len(content)
                archive.addfile(part, io.BytesIO(content))
    else:
        torch.save({"a": harm}, file, _use_new_zipfile_serialization=form == "zip")
    assert main(["convert", str(source), str(tmp_path / "new")]) == 2
    assert not canary.exists()
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "Nothing in it was run" in message
    assert "weights_only" not in message, "no advice to switch the check off"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_the_pickles_of_these_tests_do_run(tmp_path: Path) -> None:
    """Read without care, each would leave its mark: else the tests above would prove nothing."""
    for name, harm in evil(tmp_path / "canary").items():
        pickle.loads(pickle.dumps(harm, protocol=2))
        assert (tmp_path / "canary").exists(), name
        (tmp_path / "canary").unlink()


WEIGHTS = {"embeddings.word_embeddings.weight": torch.zeros(60, 64)}


@pytest.mark.parametrize(("content", "message"), [
    ({"state_dict": WEIGHTS, "epoch": 3}, "is a checkpoint of training, with weights under 'state_dict'"),
    ({"model": WEIGHTS}, "is a checkpoint of training, with weights under 'model'"),
    ([torch.zeros(3)], "holds a list, expected a dictionary of tensors"),
    (torch.zeros(3), "holds a Tensor, expected"),
    ({**WEIGHTS, "step": 3}, "'step' is a int, expected a tensor"),
    ({**WEIGHTS, "deep": {"a": torch.zeros(1)}}, "'deep' is a dict, expected a tensor"),
    ({7: torch.zeros(1)}, "'7' is no name of a weight"),
    ({"a\nb": torch.zeros(1)}, "is no name of a weight"),
    ({"__metadata__": torch.zeros(1)}, "is no name of a weight"),
    ({"a": torch.zeros(1).expand(10**9)}, r"'a' of shape (1000000000,) repeats its numbers"),
    ({"a": torch.eye(3).to_sparse()}, "expected a plain one"),
    ({"a": torch.empty(9, device="meta")}, "expected a plain one"),
    ({"a": torch.zeros(2, dtype=torch.complex64)}, "expected a plain one"),
    ({"a": torch.zeros(9, dtype=torch.int64)}, "holds no weights"),
    ({}, "holds no weights"),
    (dict.fromkeys(map(str, range(50)), torch.zeros(9999)), "more than twice the file"),
    (WEIGHTS, "missing, expected shape"),
    (torch.nn.Linear(2, 2), "it asks for torch.nn.modules.linear.Linear"),
], ids=[str(i) for i in range(18)])
def test_what_is_no_flat_dictionary_of_a_models_tensors(source: Path, tmp_path: Path, content: Any, message: str,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(content, source / BIN)
    assert main(["convert", str(source), str(tmp_path / "new")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.0001, 0.5, 0.999])
def test_a_file_cut_short(source: Path, tmp_path: Path, zipped: bool, share: float,
                          capsys: pytest.CaptureFixture[str]) -> None:
    state = torch.load(source / BIN, weights_only=True)
    torch.save(state, source / BIN, _use_new_zipfile_serialization=zipped)
    whole = (source / BIN).read_bytes()
    (source / BIN).write_bytes(whole[: int(len(whole) * share)])
    assert main(["convert", str(source), str(tmp_path / "new")]) == 2
    assert "expected a pickle of tensors only" in capsys.readouterr().err


@pytest.mark.parametrize("zipped", [True, False])
def test_a_changed_bit_gives_no_traceback(source: Path, tmp_path: Path, zipped: bool,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    state = torch.load(source / BIN, weights_only=True)
    torch.save(state, source / BIN, _use_new_zipfile_serialization=zipped)
    whole, draw = (source / BIN).read_bytes(), random.Random(5)
    for place in (*draw.choices(range(2000), k=12), *draw.choices(range(len(whole)), k=12)):
        changed = bytes([whole[place] ^ (1 << draw.randrange(8))])
        (source / BIN).write_bytes(whole[:place] + changed + whole[place + 1 :])
        code = main(["convert", str(source), str(tmp_path / "new"), "--overwrite"])
        assert code in (0, 2), place
        assert capsys.readouterr().err.count("\n") == (code == 2)


def test_a_changed_weight_is_found(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the checksums of the archive, which torch does not look at."""
    whole = bytearray((source / BIN).read_bytes())
    words = torch.load(source / BIN, weights_only=True)["embeddings.word_embeddings.weight"]
    whole[whole.index(words.numpy().tobytes()) + 400] ^= 1
    (source / BIN).write_bytes(whole)
    assert main(["convert", str(source), str(tmp_path / "new")]) == 2
    assert "is damaged" in capsys.readouterr().err


def test_a_compressed_archive(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(source / BIN) as old:
        parts = {part.filename: old.read(part) for part in old.infolist()}
    with zipfile.ZipFile(source / BIN, "w", zipfile.ZIP_DEFLATED) as new:
        for name, part in parts.items():
            new.writestr(name, part)
    assert main(["convert", str(source), str(tmp_path / "new")]) == 2
    assert "compressed" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "message"), [
    ("../outside.bin", "names '../outside.bin'; expected names of .bin files in its own folder"),
    ("/etc/outside.bin", "names '/etc/outside.bin'"), ("model.safetensors", "names 'model.safetensors'"),
    ("gone.bin", "gone.bin is missing")])
def test_an_index_names_files_of_its_folder_only(tmp_path: Path, name: str, message: str,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    folder = pickled(model_of(next(iter(FAMILIES.values())), AutoModel), tmp_path / "source", 2)
    index = json.loads((folder / INDEX).read_text())
    first = min(index["weight_map"].values())
    (tmp_path / "outside.bin").write_bytes((folder / first).read_bytes())
    index["weight_map"] = {key: name if file == first else file for key, file in index["weight_map"].items()}
    (folder / INDEX).write_text(json.dumps(index))
    assert main(["convert", str(folder), str(tmp_path / "new")]) == 2
    assert message in capsys.readouterr().err


def test_a_configuration_out_of_bounds(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads((source / "config.json").read_text())
    for change, message in [({"hidden_size": -1}, "hidden_size"), ({"model_type": "x"}, "of type 'x'"),
                            ({"vocab_size": 61}, "expected shape (61, 64) by its config.json")]:
        (source / "config.json").write_text(json.dumps(content | change))
        assert main(["convert", str(source), str(tmp_path / "new")]) == 2
        assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_what_stands_there_is_replaced_on_demand_only(source: Path, tmp_path: Path,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new"
    assert main(["convert", str(source), str(new)]) == 0
    before = (new / "model.safetensors").stat().st_ino
    assert main(["convert", str(source), str(new)]) == 2
    assert "exists; choose another place, or pass --overwrite" in capsys.readouterr().err
    assert (new / "model.safetensors").stat().st_ino == before
    assert main(["convert", str(source), str(new), "--overwrite"]) == 0
    (tmp_path / "other").mkdir()
    assert main(["convert", str(source), str(tmp_path / "other"), "--overwrite"]) == 2
    (tmp_path / "config.json").write_text("{}")
    for place in (source, tmp_path):
        assert main(["convert", str(source), str(place), "--overwrite"]) == 2
        assert "would replace" in capsys.readouterr().err.splitlines()[-1]
    assert main(["convert", str(new), str(tmp_path / "again")]) == 2
    assert "has weights in safetensors already" in capsys.readouterr().err
    assert main(["convert", str(source), str(tmp_path / "third"), "--revision", "main"]) == 2
    assert "is a folder on this machine, which has no revision 'main'" in capsys.readouterr().err


# --- the hub --------------------------------------------------------------------------------------------------------
def test_a_name_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    commit = offline(monkeypatch, tmp_path / "hub")
    old = model_of(next(iter(FAMILIES.values())), AutoModel)
    pickled(old, commit("some/encoder", FIRST))
    pickled(old, commit("some/encoder", SECOND), 2)
    for words, at in (([], SECOND), (["--revision", FIRST], FIRST), (["--revision", "main"], SECOND)):
        assert main(["convert", "some/encoder", str(tmp_path / "new"), "--overwrite", *words]) == 0
        assert f"some/encoder at commit {at}: " in capsys.readouterr().out
    new = load_file(tmp_path / "new" / "model.safetensors")
    assert all(torch.equal(new[name], value) for name, value in old.state_dict().items())
    assert main(["convert", "some/encoder", str(tmp_path / "x"), "--revision", "gone"]) == 2
    assert "cannot load 'some/encoder' at revision 'gone'" in capsys.readouterr().err
    assert main(["convert", "some/other", str(tmp_path / "x")]) == 2
    assert "no such folder, and not in the hub's cache, and no hub in reach" in capsys.readouterr().err


def test_a_model_of_sentence_transformers(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the old layout too; what follows the encoder is left out with a word."""
    whole = tmp_path / "whole"
    whole.mkdir()
    source.rename(whole / "0_Transformer")
    (whole / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "0_Transformer", "type": "x"}]))
    assert main(["convert", str(whole), str(tmp_path / "new")]) == 0
    assert "left out what sentence-transformers puts behind the encoder" in capsys.readouterr().out
    assert weight_files(locate(str(tmp_path / "new"), "x").folder, "x")
    assert read_config(tmp_path / "new", "x").vocab_size == 60
