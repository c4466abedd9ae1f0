"""Predictions on sentences against plain transformers, through the command and from Python."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification, AutoTokenizer

from data_prep.base.cli import main
from data_prep.base.errors import InputError
from data_prep.base.files import write_json
from tests.random_cells import write_random_cell
from tests.trainer.predict.own_runs import NLI, TAGS, model_of, tokenizer, write_run
from trainer import TaskModel, load_run
from trainer.commands import COMMANDS
from trainer.model.encoders import FAMILIES
from trainer.runs.average import Averaged, AverageRecord

PAIRS = [("a man sleeps", "nobody is awake", "en"), ("the big red house", "a dog runs", "de"),
         ("who is in the park", "a cat sees a tree in the old park " * 6, "de")]


@pytest.fixture(scope="module")
def nli(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "nli")


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    others = {"panx": ("tagging", TAGS), "stsb": ("regression", ()), "squad2": ("span_qa", ()),
              "copa": ("multiple_choice", ()), "text": ("mlm", ())}
    return write_run(tmp_path_factory.mktemp("runs") / "mixture", others=others)


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """(exit code, stdout, stderr) of `python -m trainer predict` with these words."""
    monkeypatch.setenv("COLUMNS", "160")

    def run(*words: object) -> tuple[int, str, str]:
        code = main(COMMANDS, ["predict", *map(str, words)], "python -m trainer")
        return code, *capsys.readouterr()

    return run


def plain_probabilities(folder: Path) -> list[list[float]]:
    """transformers' own softmax on PAIRS, each tokenised by the tokenizer itself and truncated at the run's length."""
    model = AutoModelForSequenceClassification.from_pretrained(folder / "best").eval()
    words = AutoTokenizer.from_pretrained(folder / "best")
    found = []
    for first, second, _ in PAIRS:
        inputs = words(first, second, truncation="longest_first", max_length=32, return_tensors="pt")
        with torch.no_grad():
            found.append(model(**inputs).logits.softmax(-1)[0].tolist())
    return found


def test_probabilities_are_those_of_transformers(nli: Path) -> None:
    rows = [{"text": a, "text_pair": b, "language": language} for a, b, language in PAIRS]
    found = load_run(nli).predict(rows, batch_size=2)
    for prediction, expected in zip(found, plain_probabilities(nli), strict=True):
        assert [prediction.probabilities[label] for label in NLI] == pytest.approx(expected, abs=1e-5)
        assert prediction.value == NLI[max(range(3), key=expected.__getitem__)]
        assert prediction.probability == max(prediction.probabilities.values())
    assert [one.language for one in found] == ["en", "de", "de"]
    other_names = [{"premise": a, "hypothesis": b} for a, b, _ in PAIRS]
    assert [one.value for one in load_run(nli).predict(other_names)] == [one.value for one in found]


@pytest.mark.parametrize("form", ["header", "columns", "labels", "jsonl", "stdin"])
def test_files_of_all_forms_give_the_same(
    form: str, nli: Path, tmp_path: Path, said: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = "".join("\t".join(pair) + "\n" for pair in PAIRS)
    text = {"header": "premise\thypothesis\tlanguage\tlabel\n" + table.replace("\n", "\tneutral\n"), "columns": table,
            "labels": re.sub(r"\t(en|de)\n", r"\tContradiction\n", table), "stdin": "\n" + table}.get(form) or "".join(
        json.dumps({"text": a, "text_pair": b, "language": c}) + "\n" for a, b, c in PAIRS)
    file = tmp_path / ("lines.jsonl" if form == "jsonl" else "lines.tsv")
    file.write_text(text, encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    out = tmp_path / "out.jsonl"
    more = ["--language", "en"] if form == "labels" else []
    code, shown, errors = said(nli, "--file", "-" if form == "stdin" else file, "--out", out, *more)
    assert (code, shown) == (0, f"{out}: 3 predictions\n")
    assert errors == {"header": f"note: {file}: not read: label\n", "labels": f"note: {file}: not read: label\n",
                      "stdin": "note: standard input: 1 blank lines left out\n"}.get(form, "")
    found = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    for row, expected, (first, second, language) in zip(found, plain_probabilities(nli), PAIRS, strict=True):
        assert (row["first"], row["second"]) == (first, second)
        assert row["language"] == ("en" if form == "labels" else language)
        assert [row["probabilities"][label] for label in NLI] == pytest.approx(expected, abs=1e-5)


def test_the_terminal_shows_probabilities_and_means_per_language(
    nli: Path, tmp_path: Path, said: Callable[..., tuple[int, str, str]]
) -> None:
    expected = plain_probabilities(nli)
    code, shown, errors = said(nli, "--text", PAIRS[0][0], "--text_pair", PAIRS[0][1])
    assert (code, errors) == (0, "")
    best = max(range(3), key=expected[0].__getitem__)
    assert shown.splitlines()[1].split() == [NLI[best], f"{100 * expected[0][best]:.1f}", "%"]
    (tmp_path / "lines.tsv").write_text("".join("\t".join(pair) + "\n" for pair in PAIRS), encoding="utf-8")
    code, shown, _ = said(nli, "--file", tmp_path / "lines.tsv")
    (german,) = [line.split() for line in shown.splitlines() if line.strip().startswith("de ")]
    means = [f"{50 * (p + q):.1f}" for p, q in zip(expected[1], expected[2], strict=True)]
    assert german[:2] == ["de", "2"]
    assert german[5:8] == means


def test_every_head_of_a_mixture_predicts(mixture: Path, said: Callable[..., tuple[int, str, str]],
                                          tmp_path: Path) -> None:
    (tagged,) = load_run(mixture, task="panx").predict([{"text": "a man sees the dog"}])
    assert tagged.texts["words"] == ["a", "man", "sees", "the", "dog"]
    assert len(tagged.value) == len(tagged.probability) == 5
    assert set(tagged.value) <= set(TAGS)
    (long,) = load_run(mixture, task="panx").predict([{"words": ["man", "dog"] * 40}])  # in several windows
    assert len(long.value) == 80
    (scored,) = load_run(mixture, task="stsb").predict([{"text": "a dog", "text_pair": "a cat"}])
    assert isinstance(scored.value, float)
    assert scored.probability is None
    (chosen,) = load_run(mixture, task="copa").predict([
        {"premise": "a man sleeps", "question": "cause", "choices": ["he is old", "a dog runs", "it is red"]}])
    assert set(chosen.probabilities) == {"he is old", "a dog runs", "it is red"}
    assert sum(chosen.probabilities.values()) == pytest.approx(1.0)
    assert chosen.texts["first"].endswith("What was the cause of this?")
    for words in (["panx", "--text", "a man"], ["stsb", "--text", "a", "--text_pair", "b"],
                  ["squad2", "--text", "who sleeps", "--text_pair", "a man sleeps"]):
        assert said(mixture, "--task", *words)[0] == 0
    (tmp_path / "tags.jsonl").write_text('{"words": ["a", "man"]}\n{"text": "the dog", "language": "de"}\n')
    code, shown, _ = said(mixture, "--task", "panx", "--file", tmp_path / "tags.jsonl", "--perturb")
    assert code == 0
    assert "man/" in shown
    # the unit that the run's record holds, the steps, and what the number is
    assert "in units of the mean norm there (2 as measured in training)" in " ".join(shown.split())
    assert "It is an upper bound of the smallest one that turns the decision: the smallest that 10 steps" in " ".join(
        shown.split())


def test_answers_are_the_best_span_with_its_probability(mixture: Path) -> None:
    question, context = "who is in the park", "nobody sees the old cat in the park"
    (found,) = load_run(mixture, task="squad2").predict([{"question": question, "context": context}])
    words = AutoTokenizer.from_pretrained(mixture / "best")
    encoded = words(question, context, return_tensors="pt", return_offsets_mapping=True)
    offsets, own = encoded.pop("offset_mapping")[0].tolist(), encoded.sequence_ids(0)
    # the encoder of best/ and the head of squad2, put together by hand
    model = AutoModelForQuestionAnswering.from_pretrained(mixture / "best", num_labels=2)
    head = load_file(mixture / "best/heads/squad2/model.safetensors")
    model.load_state_dict(head, strict=False)
    with torch.no_grad():
        output = model.eval()(**encoded)
    start, end = output.start_logits[0], output.end_logits[0]
    places = [at for at, side in enumerate(own) if side == 1]
    spans = sorted(((float(start[a] + end[b]), a, b) for a in places for b in places if a <= b), reverse=True)[:20]
    null = float(start[0] + end[0])
    scores = torch.tensor([null, *(score for score, _, _ in spans)])
    best, a, b = spans[0]
    expected = "" if null >= best else context[offsets[a][0] : offsets[b][1]].strip()
    assert found.value == expected
    assert found.probability == pytest.approx(float(scores.softmax(0).max()), abs=1e-4)


def test_other_weights_failed_runs_and_own_tasks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = write_run(tmp_path / "run", task="mine", status="collapsed", train_cells=["elsewhere/mine/train/en"],
                    shards_path=str(tmp_path / "shards"))
    other = write_run(tmp_path / "other")
    shutil.copytree(other / "best", run / "average")
    weights = load_file(run / "average/model.safetensors")
    save_file({name: weight * 2 for name, weight in weights.items()}, run / "average/model.safetensors")
    write_json(run / "average/average.json", AverageRecord(settings={"average.last": 1}, averaged=[
        Averaged(run="run", seed=0, step=1, weights={})]).model_dump())
    row = [{"text": "a man sleeps", "text_pair": "nobody is awake"}]
    best, average = (load_run(run, weights=name).predict(row)[0] for name in ("best", "average"))
    assert best.probabilities != average.probabilities
    assert f"{run} collapsed; take its predictions with care" in caplog.text
    assert load_run(run).predict([{"text": "a man"}])  # nothing is known of the number of its texts
    write_random_cell(tmp_path / "shards", "mine/train/en", 5)
    with pytest.raises(InputError, match="row 1: no text_pair"):
        load_run(run).predict([{"text": "a man"}])


def test_a_model_with_language_embeddings_asks_for_the_language() -> None:
    family = FAMILIES["xlm"]
    config = family.random_config("tiny", len(tokenizer()), 32, pad_id=1, n_langs=2, lang2id={"en": 0, "de": 1})
    config.id2label = dict(enumerate(NLI))
    torch.manual_seed(0)
    model = TaskModel(family.auto_class("AutoModelForSequenceClassification").from_config(config).eval(), tokenizer(),
                      labels=NLI, max_length=32)
    row = {"text": "a man sleeps", "text_pair": "nobody is awake"}
    english, german = model.predict([{**row, "language": "en"}, {**row, "language": "de"}])
    assert english.probabilities != german.probabilities
    with pytest.raises(InputError, match="xlm has language embeddings: name the language of every text"):
        model.predict([{**row, "language": "en"}, row])
    with pytest.raises(InputError, match="language embeddings, but none for fr"):
        model.predict([{**row, "language": "fr"}])


REFUSED = [
    (["--text", "a man"], r"--text: no text_pair \(second\); xnli takes two texts"),
    ([], "name the texts: --text, "),
    (["--text", "a", "--file", "b"], "name the texts: --text, "),
    (["--text_pair", "a"], "name the texts: --text, "),
    (["--file", "none.tsv"], "--file none.tsv: no such file; expected a .tsv or .jsonl file"),
    (["--file", "empty.tsv"], "empty.tsv holds no text; expected one per line"),
    (["--file", "header.tsv"], "header.tsv holds a header line and no text"),
    (["--file", "half.tsv"], r"half.tsv, line 2: no text_pair \(second\); xnli takes two texts"),
    (["--file", "wide.tsv"], "wide.tsv, line 1: 4 columns, expected text, text_pair, language; name other columns"),
    (["--file", "bad.jsonl"], r"bad.jsonl, line 1: not JSON \("),
    (["--file", "list.jsonl"], "list.jsonl, line 1: not a JSON object; expected one per line, such as"),
    (["--file", "number.jsonl"], "number.jsonl, line 1: text is '3', expected a text or a list of texts"),
    (["--file", "code.tsv"], "code.tsv, line 1: language '12 %', expected a code such as de or zh_Hant"),
    (["--text", "a", "--text_pair", "b", "--task", "tatoeba"], "kind 'retrieval' is scored without training, with "
                                                              "`python -m trainer retrieve`"),
    (["--text", "a", "--text_pair", "b", "--task", "xnil"], "--task xnil: no task of .*; did you mean 'xnli'"),
    (["--text", "a", "--text_pair", "b", "--weights", "last"], "--weights must be best or average, found 'last'"),
    (["--text", "a", "--text_pair", "b", "--weights", "average"], "has no average/; make it with"),
    (["--text", "a", "--text_pair", "b", "--perturb_steps", "0"], "--perturb_steps must lie from 1 to 1000, found 0"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[" ".join(words)[:40] for words, _ in REFUSED])
def test_bad_input_is_one_line(words: list[str], message: str, nli: Path, tmp_path: Path,
                               said: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {"empty.tsv": "\n\n", "header.tsv": "text\ttext_pair\n", "half.tsv": "a\tb\nthe man\n",
                       "wide.tsv": "a\tb\tde\tc\n", "bad.jsonl": "{\n", "list.jsonl": "[1]\n",
                       "number.jsonl": '{"text": 3, "text_pair": "a"}\n', "code.tsv": "a\tb\t12 %\n"}.items():
        Path(name).write_text(text, encoding="utf-8")
    code, shown, errors = said(nli, *words)
    assert (code, shown, errors.count("\n")) == (2, "", 1), errors
    assert re.search(message, errors), errors


def test_runs_that_cannot_predict_are_refused(mixture: Path, tmp_path: Path,
                                              said: Callable[..., tuple[int, str, str]]) -> None:
    asked = ("--text", "a", "--text_pair", "b")
    refusals = {
        (mixture, *asked, "--task", "text"): "a task of kind 'mlm' predicts masked words",
        (mixture, *asked, "--task", "stsb", "--perturb"): "a task of kind 'regression' has no decision to turn",
        (mixture, *asked, "--task", "panx"): "'text_pair' is no name of a text; expected text, words",
        (mixture, "--text", "a", "--task", "copa"): "0 choices, expected a list of 2",
        (tmp_path / "none", *asked): "no such folder, expected a run's",
    }
    bare = write_run(tmp_path / "bare")
    (bare / "best/model.safetensors").unlink()
    refusals[bare, *asked] = "cannot load"
    wordless = write_run(tmp_path / "wordless")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (wordless / "best" / file).unlink()
    refusals[wordless, *asked] = "best holds no tokenizer, nor do the shards of the run"
    strange = write_run(tmp_path / "strange", tokenizer={"name": "w", "fingerprint": "f" * 64, "vocab_size": 20})
    refusals[strange, *asked] = "the run was trained with ffffffffffff"
    for words, message in refusals.items():
        code, shown, errors = said(*words)
        assert (code, shown, errors.count("\n")) == (2, "", 1), errors
        assert message in errors


@pytest.mark.parametrize(("change", "message"), [
    ({"labels": NLI[:2]}, "the model has 3 classes, found 2 labels"),
    ({"labels": NLI[::-1]}, "give them in the model's order"),
    ({"kind": "tagging"}, "needs a model of AutoModelForTokenClassification, found XLMRobertaForSequenceClass"),
    ({"kind": "retrieval"}, "scored without training"), ({"kind": "translation_ranking"}, "among those of other rows"),
    ({"max_length": 10_000}, "the model takes inputs of 512 tokens, found max_length 10000")])
def test_a_model_that_does_not_fit_its_task_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TaskModel(model_of("pair", NLI), tokenizer(), **{"labels": NLI, "max_length": 32, **change})
