"""Model folders that were damaged or made to harm, given as `model.name` and as `init_from`."""

from __future__ import annotations

import json
import pickle
import resource
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification, XLMRobertaModel

from data_prep.shards.manifest import Manifest
from data_prep.shards.read import open_cell
from tests.fuzz.budget import fuzzed
from tests.fuzz.damage import accepted, damaged_bytes, damaged_tree, scratch
from trainer.config import Recipe
from trainer.data.collate import collate
from trainer.kinds import KINDS
from trainer.kinds.tokens import tokens_of
from trainer.model.build import build_model
from trainer.model.encoders import FAMILIES
from trainer.model.site import SiteModel

ORIGINS = st.sampled_from(["init_from", "model.name"])


@pytest.fixture(scope="module")
def manifest(finished: Path) -> Manifest:
    return open_cell(finished.parents[1] / "shards/xnli/train/en").manifest


def check(run: Path, origin: str, manifest: Manifest) -> bool:
    """Build a model from a run's folder, or from its `best/`; whether it was taken. What is taken can predict."""
    given_origin = {"init_from": str(run)} if origin == "init_from" else {"model": {"name": str(run / "best")}}
    recipe = Recipe.model_validate(
        {"name": "new", "data": {"train": ["a/b/c"]}, "schedule": {"max_steps": 1}, **given_origin})
    built = accepted(lambda: build_model(recipe, manifest, 24))
    if built is None:
        return False
    ids = np.arange(5, 9)
    batch = collate([(ids, ids)], np.array([0]), tokens_of(manifest.tokenizer), 24)
    logits = SiteModel(built[0], KINDS["pair"], "embeddings").eval()(batch)
    assert logits.shape == (1, 3)
    return True


def damage(finished: Path, folder: Path, file: str, content: bytes) -> Path:
    shutil.copytree(finished, folder / "run", ignore=shutil.ignore_patterns("eval"))
    (folder / "run" / file).write_bytes(content)
    return folder / "run"


@pytest.mark.parametrize("origin", ["init_from", "model.name"])
def test_a_sound_folder_is_taken(finished: Path, manifest: Manifest, origin: str) -> None:
    assert check(finished, origin, manifest)


@fuzzed(60)
@given(ORIGINS, st.data())
def test_damaged_configurations(finished: Path, manifest: Manifest, origin: str, data: st.DataObject) -> None:
    good = (finished / "best" / "config.json").read_bytes()
    content = data.draw(st.one_of(damaged_tree(json.loads(good)).map(lambda tree: json.dumps(tree).encode()),
                                  damaged_bytes(good), st.binary(max_size=20)))
    with scratch() as folder:
        check(damage(finished, folder, "best/config.json", content), origin, manifest)


@pytest.mark.parametrize("origin", ["init_from", "model.name"])
@pytest.mark.parametrize("change", [
    {"hidden_size": 2**16}, {"num_hidden_layers": 10**9}, {"num_labels": 10**9}, {"vocab_size": 2**24},
    {"hidden_size": 0},
    {"num_attention_heads": 7}, {"num_hidden_layers": 1}, {"num_hidden_layers": 3}, {"pad_token_id": 10**6},
    {"model_type": "bert"}, {"model_type": ["xlm-roberta"]}, {"hidden_act": "os.system"}, {"layer_norm_eps": -1},
    {"id2label": {"a": "b"}}, {"max_position_embeddings": 4}, {"intermediate_size": 1e308},
], ids=str)
def test_configurations_that_ask_too_much(finished: Path, manifest: Manifest, tmp_path: Path, origin: str,
                                          change: dict[str, Any]) -> None:
    good = json.loads((finished / "best" / "config.json").read_bytes())
    run = damage(finished, tmp_path, "best/config.json", json.dumps(good | change).encode())
    taken = check(run, origin, manifest)
    assert taken == (change.keys() == {"num_labels"}), "the labels are the shards'"


@fuzzed(60)
@given(ORIGINS, st.data())
def test_damaged_weights(finished: Path, manifest: Manifest, origin: str, data: st.DataObject) -> None:
    """The first bytes are the header with names, types, shapes and offsets: that is where damage can do harm."""
    good = (finished / "best" / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", good[:8])
    head = data.draw(st.one_of(damaged_bytes(good[: 8 + size]), st.binary(max_size=20)))
    cut = data.draw(st.sampled_from([None, None, 0, 1, 1000]))
    with scratch() as folder:
        run = damage(finished, folder, "best/model.safetensors", head + good[8 + size :][:cut])
        check(run, origin, manifest)


@fuzzed(60)
@given(ORIGINS, st.data())
def test_damaged_headers(finished: Path, manifest: Manifest, origin: str, data: st.DataObject) -> None:
    good = (finished / "best" / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", good[:8])
    tree = data.draw(damaged_tree(json.loads(good[8 : 8 + size])))
    header = json.dumps(tree).encode()
    with scratch() as folder:
        content = struct.pack("<Q", len(header)) + header + good[8 + size :]
        check(damage(finished, folder, "best/model.safetensors", content), origin, manifest)


@pytest.fixture(scope="module")
def encoder_in_parts(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The encoder of the run alone, without "roberta." before its names, in several files with an index; read only."""
    folder = tmp_path_factory.mktemp("parts") / "model"
    XLMRobertaModel.from_pretrained(
        finished / "best", trust_remote_code=False, use_safetensors=True).save_pretrained(folder, max_shard_size="40KB")
    return folder


@fuzzed(60)
@given(st.data())
@example(None)
def test_damaged_indices(encoder_in_parts: Path, manifest: Manifest, data: st.DataObject | None) -> None:
    index = "model.safetensors.index.json"
    good = (encoder_in_parts / index).read_bytes()
    content = good if data is None else data.draw(st.one_of(
        damaged_tree(json.loads(good)).map(lambda tree: json.dumps(tree).encode()), damaged_bytes(good),
        st.binary(max_size=20)))
    with scratch() as folder:
        shutil.copytree(encoder_in_parts, folder / "run" / "best")
        (folder / "run" / "best" / index).write_bytes(content)
        taken = check(folder / "run", "model.name", manifest)
        assert taken or data is not None, "what is sound is taken"


@fuzzed(30)
@given(st.data())
def test_damaged_parts(encoder_in_parts: Path, manifest: Manifest, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(sorted(path.name for path in encoder_in_parts.glob("model-*.safetensors"))))
    good = (encoder_in_parts / file).read_bytes()
    (size,) = struct.unpack("<Q", good[:8])
    head = data.draw(damaged_bytes(good[: 8 + size]))
    with scratch() as folder:
        shutil.copytree(encoder_in_parts, folder / "run" / "best")
        (folder / "run" / "best" / file).write_bytes(head + good[8 + size :])
        check(folder / "run", "model.name", manifest)


@fuzzed(40)
@given(st.data())
@example(None)
def test_damaged_records(finished: Path, manifest: Manifest, data: st.DataObject | None) -> None:
    good = (finished / "run.json").read_bytes()
    content = b"[" * 100_000 if data is None else data.draw(st.one_of(
        damaged_tree(json.loads(good)).map(lambda tree: json.dumps(tree).encode()), damaged_bytes(good)))
    with scratch() as folder:
        check(damage(finished, folder, "run.json", content), "init_from", manifest)


@fuzzed(40)
@given(st.data())
@example(None)
def test_damaged_tokenizers(finished: Path, tokenizer_folder: Path, manifest: Manifest,
                            data: st.DataObject | None) -> None:
    file = "tokenizer.json" if data is None else data.draw(st.sampled_from(["tokenizer.json", "tokenizer_config.json"]))
    good = (tokenizer_folder / file).read_bytes()
    if data is None:  # makes the tokenizers library panic
        content = good.replace(b'"precompiled_charsmap":"', b'"precompiled_charsmap":"A').replace(
            b'"precompiled_charsmap": "', b'"precompiled_charsmap": "A')
        assert content != good
    else:
        content = data.draw(st.one_of(damaged_tree(json.loads(good)).map(lambda tree: json.dumps(tree).encode()),
                                      damaged_bytes(good), st.binary(max_size=20)))
    with scratch() as folder:
        run = damage(finished, folder, f"best/{file}", content)
        other = ({"tokenizer.json", "tokenizer_config.json"} - {file}).pop()
        shutil.copy(tokenizer_folder / other, run / "best" / other)
        check(run, "model.name", manifest)


# --- every encoder family -------------------------------------------------------------------------------------------
families = pytest.mark.parametrize("name", FAMILIES)
SETTINGS = [None, True, 0, 1, -1, 2, 3, 7, 64, 2**16, 2**20, 2**24, 2**31, 10**30, 0.5, -0.5, 1e-320, 1e308,
            float("nan"), "", "gelu", "os.system", "x" * 5000, [], [1, 2], {}, {"a": 1}]
MOST_MEMORY = 500 * 2**20  # bytes


@pytest.fixture(scope="module")
def classifiers(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of `<family>/best`, a tiny classifier each, as transformers saves it; read only."""
    place = tmp_path_factory.mktemp("families")
    for name, family in FAMILIES.items():
        config = family.random_config("tiny", manifest.tokenizer.vocab_size, 24, pad_id=manifest.tokenizer.pad_id,
                                      id2label=dict(enumerate(manifest.labels)))
        AutoModelForSequenceClassification.from_config(config).save_pretrained(place / name / "best")
    return place


@contextmanager
def within_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MOST_MEMORY


@families
def test_a_sound_model_of_every_family_is_taken(classifiers: Path, manifest: Manifest, name: str) -> None:
    assert check(classifiers / name, "model.name", manifest)


@families
@fuzzed(30)
@given(data=st.data())
def test_damaged_configurations_of_every_family(
    classifiers: Path, manifest: Manifest, name: str, data: st.DataObject
) -> None:
    """Most damage is done to settings that are read."""
    good = json.loads((classifiers / name / "best" / "config.json").read_bytes())
    read = st.sampled_from(sorted(FAMILIES[name].config_bounds.model_fields))
    changed = st.dictionaries(read, st.sampled_from(SETTINGS), min_size=1, max_size=2).map(lambda some: good | some)
    content = json.dumps(data.draw(st.one_of(changed, changed, damaged_tree(good)))).encode()
    with scratch() as folder, within_memory():
        check(damage(classifiers / name, folder, "best/config.json", content), "model.name", manifest)


@families
@fuzzed(8)
@given(data=st.data())
def test_damaged_headers_of_every_family(
    classifiers: Path, manifest: Manifest, name: str, data: st.DataObject
) -> None:
    good = (classifiers / name / "best" / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", good[:8])
    header = json.dumps(data.draw(damaged_tree(json.loads(good[8 : 8 + size])))).encode()
    with scratch() as folder, within_memory():
        content = struct.pack("<Q", len(header)) + header + good[8 + size :]
        check(damage(classifiers / name, folder, "best/model.safetensors", content), "model.name", manifest)


# --- folders made to harm -------------------------------------------------------------------------------------------
class Harm:
    """Unpickled, it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (Path.touch, (self.mark,))


CODE = "from pathlib import Path\nPath({mark!r}).touch()\nclass Evil: pass\n"


@pytest.mark.parametrize("origin", ["init_from", "model.name"])
@pytest.mark.parametrize("weights_too", [True, False])
def test_no_code_of_a_folder_runs(finished: Path, manifest: Manifest, tmp_path: Path, origin: str,
                                  weights_too: bool) -> None:
    """Pickled weights beside or instead of safetensors, a model class of its own, a kernel from elsewhere."""
    mark = tmp_path / "ran"
    good = json.loads((finished / "best" / "config.json").read_bytes())
    auto = dict.fromkeys(("AutoConfig", "AutoModelForSequenceClassification", "AutoTokenizer"), "evil.Evil")
    run = damage(finished, tmp_path, "best/config.json", json.dumps(
        good | {"auto_map": auto, "_attn_implementation": "evil/kernels", "attn_implementation": "evil/kernels",
                "quantization_config": {"quant_method": "evil"}, "_name_or_path": "../evil"}).encode())
    for name in ("pytorch_model.bin", "training_args.bin", "vocab.pkl"):
        (run / "best" / name).write_bytes(pickle.dumps(Harm(mark)))
    (run / "best" / "evil.py").write_text(CODE.format(mark=str(mark)))
    tokenizer = {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}}
    (run / "best" / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    if not weights_too:
        (run / "best" / "model.safetensors").unlink()
    taken = check(run, origin, manifest)
    assert taken == (weights_too and origin == "init_from") or not taken
    assert not mark.exists()
    pickle.loads((run / "best" / "pytorch_model.bin").read_bytes())
    assert mark.exists(), "the trap works"
