"""`retrieve`: built files of every task against brute force over transformers' own hidden states, and its refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from data_prep.__main__ import main as prepare
from data_prep.shards.manifest import read_manifest
from data_prep.tokenizer import save_tokenizer, train_tokenizer
from tests.trainer import small_runs
from trainer.__main__ import main
from trainer.model.encoders import RANDOM
from trainer.results.outcomes import read_outcomes
from trainer.results.scores import read_rows

TEXT = "the a dog cat man woman child street park house river runs sleeps eats sees old young big red blue"
WORDS = TEXT.split()


def drawn(size: int, seed: int) -> list[str]:
    """Sentences of these words, of different lengths, a few of them twice."""
    draw = np.random.default_rng(seed)
    found = [" ".join(draw.choice(WORDS, draw.integers(1, 9))) for _ in range(size)]
    return [*found[:-2], *found[:2]]


def paragraphs(texts: list[str], language: str) -> str:
    found = []
    for number in range(0, len(texts), 3):
        context = ". ".join(texts[number:number + 3])
        breaks, start = [], 0
        for text in texts[number:number + 3]:
            breaks.append([start, start + len(text)])
            start += len(text) + 2
        found.append({"context": context, "sentence_breaks": breaks, "qas": [
            {"id": f"q{number + at}", "question": f"{WORDS[number % 7]} {language} {WORDS[at]}",
             "answers": [{"answer_start": breaks[at][0], "text": "x"}]} for at in (0, 2)]})
    return json.dumps({"data": [{"paragraphs": found}]})


def mention(number: int, gold: str) -> dict[str, Any]:
    text = f"{WORDS[number % 20]} {WORDS[number % 3]}"
    return {"context": {"text": text, "sentence_spans": [{"start": 0, "end": len(text)}]}, "mentions": [
        {"example_id": f"m{number}", "entity_id": gold, "mention_span": {"start": 0, "end": len(WORDS[number % 20])}}]}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of all tasks in the publishers' formats."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("tatoeba", "bucc", "lareqa", "mewslix"):
        (folder / name).mkdir()
    for part, seed in (("deu", 1), ("eng", 2)):
        (folder / f"tatoeba/tatoeba.deu-eng.{part}").write_text("".join(f"{line}\n" for line in drawn(20, seed)))
    for split, size, seed in (("dev", 14, 3), ("test", 24, 5)):
        for part, shift in (("de", 0), ("en", 1)):
            lines = (f"{part}-{at}\t{line}\n" for at, line in enumerate(drawn(size, seed + shift)))
            (folder / f"bucc/de-en.{split}.{part}").write_text("".join(lines))
        gold = "".join(f"de-{at}\ten-{at + 1}\n" for at in range(2, size - 4, 2))
        (folder / f"bucc/de-en.{split}.gold").write_text(gold)
    for language, seed in (("en", 7), ("de", 8)):
        (folder / f"lareqa/{language}.json").write_text(paragraphs(drawn(12, seed), language))
    (folder / "mewslix/dev-de.jsonl").write_text("".join(json.dumps(mention(n, f"Q{n}")) + "\n" for n in range(6)))
    entities = ({"entity_id": f"Q{n}", "description": line, "sentence_spans": [{"start": 0, "end": len(line)}]}
                for n, line in enumerate(drawn(30, 9)) if n != 3)
    (folder / "mewslix/candidate_set_entities.jsonl").write_text("".join(json.dumps(one) + "\n" for one in entities))
    return folder


@pytest.fixture(scope="module")
def world(source: Path) -> Path:
    """A folder with the cells of all tasks, and the folder `model` of a tiny encoder without a head."""
    save_tokenizer(train_tokenizer(drawn(300, 0), 90), source / "tokenizer")
    common = ["--tokenizer", str(source / "tokenizer"), "--out", str(source / "shards"), "--workers", "1"]
    for task in ("tatoeba", "bucc", "lareqa", "mewslix"):
        assert prepare(["build", task, "--source", str(source / task), *common]) == 0
    vocabulary = read_manifest(source / "shards/tatoeba/test/deu").tokenizer.vocab_size
    torch.manual_seed(0)
    config = RANDOM.random_config("tiny", vocabulary, 128, pad_id=1)
    AutoModel.from_config(config).save_pretrained(source / "model")
    AutoTokenizer.from_pretrained(source / "tokenizer").save_pretrained(source / "model")
    return source


def retrieve(world: Path, out: Path, task: str, *more: str) -> int:
    return main(["retrieve", str(world / "model"), "--tasks", task, "--shards", str(world / "shards"), "--out",
                 str(out), *more])


@pytest.fixture(scope="module")
def encode(world: Path) -> Callable[..., torch.Tensor]:
    """Vectors of texts by transformers alone, one text at a time, so that there is no padding."""
    model, tokenizer = AutoModel.from_pretrained(world / "model").eval(), AutoTokenizer.from_pretrained(world / "model")

    @torch.no_grad()
    def encoded(texts: list[str], layer: int = -1, prefix: str = "") -> torch.Tensor:
        found = [model(**tokenizer(prefix + text, return_tensors="pt"), output_hidden_states=True).hidden_states[layer]
                 for text in texts]
        return torch.nn.functional.normalize(torch.stack([one[0].mean(dim=0) for one in found]), dim=1)
    return encoded


def scores_of(out: Path, metric: str) -> dict[str, float | None]:
    return {row.language: row.value for row in read_rows(out / "eval/results.jsonl") if row.metric == metric}


@pytest.mark.parametrize(("flags", "layer", "prefix"), [
    ([], -1, ""), (["--layer", "1", "--batch_size", "3"], 1, ""), (["--prefix", "the dog "], -1, "the dog ")], ids=str)
def test_tatoeba(world: Path, tmp_path: Path, encode: Callable[..., torch.Tensor], flags: list[str], layer: int,
                 prefix: str) -> None:
    assert retrieve(world, tmp_path / "out", "tatoeba", *flags) == 0
    german, english = ((world / f"tatoeba/tatoeba.deu-eng.{part}").read_text().splitlines() for part in ("deu", "eng"))
    scores = (encode(german, layer, prefix) @ encode(english, layer, prefix).T).numpy()
    right = scores.argmax(axis=1) == np.arange(20)
    assert scores_of(tmp_path / "out", "accuracy") == {"deu": np.mean(right)}
    order = sorted(range(20), key=english.__getitem__)  # XTREME's file of the English side
    predicted = [int(line) for line in (tmp_path / "out/eval/predictions/tatoeba/test-deu.tsv").read_text().split()]
    assert len(predicted) == 20
    pairs = list(zip(predicted, order, strict=True))
    assert all(scores[found, line] >= scores[:, line].max() - 1e-6 for found, line in pairs)
    assert scores_of(tmp_path / "out", "backward_accuracy") == {"deu": np.mean([one == two for one, two in pairs])}
    (row, _) = read_rows(tmp_path / "out/eval/results.jsonl")
    assert (row.run, row.label, row.method, row.kind, row.n, row.chance) \
        == ("out", "model", "none", "retrieval", 20, 1 / 20)


def test_another_code_of_the_language(world: Path, tmp_path: Path) -> None:
    assert retrieve(world, tmp_path / "out", "tatoeba", "--languages", "de") == 0
    assert [row.language for row in read_rows(tmp_path / "out/eval/results.jsonl")] == ["deu", "deu"]


def test_reports_and_settings(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for layer in ("1", "2"):
        assert retrieve(world, tmp_path / layer, "tatoeba", "--layer", layer) == 0
    assert main(["report", str(tmp_path / "1"), str(tmp_path / "2"), "--out", str(tmp_path / "report")]) == 0
    text = (tmp_path / "report/report.md").read_text()
    assert "model (layer 1)" in text
    assert "backward accuracy (%) by language" in text
    assert retrieve(world, tmp_path / "1", "tatoeba", "--layer", "2") == 2
    assert "holds rows of another model or of other settings; choose another --out" in capsys.readouterr().err


def test_bucc(world: Path, tmp_path: Path, encode: Callable[..., torch.Tensor],
              capsys: pytest.CaptureFixture[str]) -> None:
    """F1 of the written pairs, and the threshold as the best of all on dev, from sets of ids."""
    assert retrieve(world, tmp_path / "out", "bucc", "--splits", "dev,test", "--similarity", "cosine") == 0
    assert "bucc/test/de: threshold" in capsys.readouterr().out

    def lines(split: str, part: str) -> list[list[str]]:
        return [line.split("\t") for line in (world / f"bucc/de-en.{split}.{part}").read_text().splitlines()]

    f1 = {}
    for split in ("dev", "test"):
        gold = set(map(tuple, lines(split, "gold")))
        pairs = (tmp_path / f"out/eval/predictions/bucc/{split}-de.tsv").read_text().splitlines()
        mined = {tuple(pair.split("\t")) for pair in pairs}
        assert len(mined) == len(pairs)
        f1[split] = 2 * len(mined & gold) / (len(mined) + len(gold))
        texts = {name: text for part in ("de", "en") for name, text in lines(split, part)}
        repeated = {name for name, text in texts.items()
                    if sum(other[:2] == name[:2] and texts[other] == text for other in texts) > 1}
        assert repeated
        assert not repeated & {name for pair in mined for name in pair}, "a repeated sentence is no one's translation"
    assert {row.split: row.value for row in read_rows(tmp_path / "out/eval/results.jsonl")} == pytest.approx(f1)
    counts = read_outcomes(tmp_path / "out/eval/outcomes/bucc/test-de.tsv", largest=np.inf).counts.sum(axis=0)
    assert 2 * counts[0] / (counts[1] + counts[2]) == pytest.approx(f1["test"])


def average_precision(scores: np.ndarray, relevant: list[int], cut: int) -> float:
    """XTREME-R's `average_precision_at_k`, rewritten."""
    order, hits, total = np.argsort(-scores, kind="stable")[:cut], 0, 0.0
    for place, at in enumerate(order.tolist(), start=1):
        if at in relevant:
            hits += 1
            total += hits / place
    return total / min(len(relevant), cut)


def test_lareqa_ranks_the_candidates_of_all_languages(world: Path, tmp_path: Path,
                                                      encode: Callable[..., torch.Tensor]) -> None:
    assert retrieve(world, tmp_path / "out", "lareqa", "--languages", "de") == 0
    questions, pool, answers = [], list[str](), dict[str, list[int]]()
    for language in ("en", "de"):
        for passage in json.loads((world / f"lareqa/{language}.json").read_text())["data"]:
            for one in passage["paragraphs"]:
                for question in one["qas"]:
                    start = question["answers"][0]["answer_start"]
                    at = [begin for begin, _ in one["sentence_breaks"]].index(start)
                    answers.setdefault(question["id"], []).append(len(pool) + at)
                    questions += [(question["id"], question["question"])] if language == "de" else []
                pool += [one["context"][begin:end] + one["context"] for begin, end in one["sentence_breaks"]]
    scores = (encode([text for _, text in questions]) @ encode(pool).T).numpy()
    for metric, cut in (("mean_average_precision", len(pool)), ("mean_average_precision_20", 20)):
        expected = np.mean([average_precision(row, answers[name], cut)
                            for (name, _), row in zip(questions, scores, strict=True)])
        assert scores_of(tmp_path / "out", metric)["de"] == pytest.approx(expected, abs=0.02), "up to repeated texts"
    listed = json.loads((tmp_path / "out/eval/predictions/lareqa/test-de.json").read_text())
    assert listed.keys() == {name for name, _ in questions}
    assert all(len(set(keys)) == 20 for keys in listed.values())
    assert {key[:3] for keys in listed.values() for key in keys} == {"en_", "de_"}


def test_mewslix_shares_its_candidates(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert retrieve(world, tmp_path / "out", "mewslix", "--splits", "dev") == 0
    assert "mewslix/dev/de: 1 of 6 queries have no match among 29 candidates; they score 0" in capsys.readouterr().out
    outcomes = read_outcomes(tmp_path / "out/eval/outcomes/mewslix/dev-de.tsv")
    listed = json.loads((tmp_path / "out/eval/predictions/mewslix/dev-de.json").read_text())
    for key, (value,) in zip(outcomes.keys, outcomes.counts, strict=True):
        gold = f"Q{key[1:]}"
        assert value == pytest.approx(1 / (listed[key].index(gold) + 1) if gold in listed[key] else 0.0)
    assert retrieve(world, tmp_path / "out", "mewslix") == 2
    assert "no queries, only candidates" in capsys.readouterr().err


def test_of_a_run(recipe: Path, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run trained on pairs: its results go to its own eval/, with other settings elsewhere."""
    root = recipe.parent / "shards"
    small_runs.write_random_cell(root, "own/test/de", 12, kind="retrieval")
    run = small_runs.run(recipe, "plain", {"schedule.max_steps": "2", "evaluation.every_steps": "2"})
    asked = ["retrieve", str(run), "--tasks", "own", "--shards", str(root)]
    assert main(asked) == 0
    (row,) = read_rows(run / "eval/results.jsonl")
    assert (row.label, row.method, row.kind, row.n, row.language) == ("plain", "plain", "retrieval", 6, "de")
    assert main([*asked, "--layer", "1"]) == 2
    assert "--layer changes the result, and" in capsys.readouterr().err
    assert main([*asked, "--layer", "1", "--out", str(tmp_path / "layer1")]) == 0
    assert read_rows(tmp_path / "layer1/eval/results.jsonl")[0].settings == {**row.settings, "retrieval.layer": 1}
    assert main(["evaluate", str(run), "--tasks", "own", "--shards", str(root)]) == 2
    assert "kind 'retrieval' is scored without training, with `python -m trainer retrieve`" in capsys.readouterr().err
    assert main(["retrieve", str(run), "--tasks", "tatoeba", "--shards", str(world / "shards")]) == 2
    assert "was built with another tokenizer" in capsys.readouterr().err


@pytest.mark.parametrize(("flags", "message"), [
    (["--layer", "9"], "--layer 9: the encoder has layers 1 to 2"),
    (["--languages", "fin"], "no finished cell tatoeba/test/fin; built: deu"),
    (["--similarity", "dot"], "--similarity must be one of margin, cosine"),
    (["--precision", "int8"], "--precision must be one of"),
], ids=str)
def test_refusals(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str],
                  message: str) -> None:
    assert retrieve(world, tmp_path / "out", "tatoeba", *flags) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_missing_parts(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(world / "shards/bucc/test", tmp_path / "shards/bucc/test")
    small_runs.write_random_cell(tmp_path / "shards", "xnli/test/en", 4)
    asked = ["retrieve", str(world / "model"), "--shards", str(tmp_path / "shards"), "--out", str(tmp_path / "out")]
    for more, message in ((["--tasks", "bucc"], "bucc/dev/de: no cell with gold pairs, on which the threshold"),
                          (["--tasks", "xnli"], "kind 'pair' has no queries and candidates; score it with")):
        assert main([*asked, *more]) == 2
        assert message in capsys.readouterr().err
    assert main([*asked[:2], "--tasks", "bucc"]) == 2
    assert "is no run of this trainer; name the folders of the results and of the cells" in capsys.readouterr().err
