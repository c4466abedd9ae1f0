"""Pipeline of the demo: writes raw data, then prepares, trains, evaluates and reports through the ordinary commands.

Input: a seed, names of methods. Output: `demo_output/` with raw/, tokenizer/, shards/, model/, runs/, report/ and
logs/. Every command is printed as a user would type it. An interrupted demo resumes when started again; a finished one
trains the methods that are still missing, and reports on all.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from data_prep.base.errors import InputError
from data_prep.base.files import working_file
from data_prep.base.lock import held
from trainer.demo.languages import languages
from trainer.demo.world import WORDS
from trainer.demo.write import NEIGHBOUR_LIST, write_world

RECIPES = Path(__file__).parent / "recipes"
ROOT = Path(__file__).parents[2]
CHILD = "trainer.demo.child"
MARKER = "demo.json"  # written when the raw files are whole
METHODS = ("plain", "random_noise", "rs_da", "pgd", "freelb", "smart")  # a recipe each; the order of the report
AUGMENTED = "rs_da"  # the one that trains on perturbed copies of the rows
COPIES = 3  # per clean row
RESULTS = Path("eval") / "results.jsonl"  # written when a run's evaluation is whole
MAX_LENGTH = 32
VOCABULARY_LIMIT = 2000  # more than the world has words: every word becomes a token
FORMAT = 3  # 1: English words had no neighbours; 2: cells of format 2


@dataclass(frozen=True)
class Stage:
    """One stage: branches run in parallel, the commands of a branch in sequence."""

    title: str
    branches: tuple[tuple[tuple[str, ...], ...], ...] = ()
    """Per branch, per command: the words after `python -m`."""
    action: Callable[[], None] | None = None
    """Function to call, for a stage that is not a command."""
    shown: bool = False
    """Whether the commands' output is shown in the terminal."""


def demo(*, out: str = "demo_output", seed: int = 0, methods: str = "plain,random_noise,pgd") -> int:
    """Pre-train, fine-tune plainly and robustly on artificial languages, and compare; offline, in minutes.

    out: output folder; a finished demo there is extended by the missing methods. seed: of the data, the weights and
    the order of rows. methods: comma list of plain, random_noise, rs_da, pgd, freelb, smart.
    """
    folder, wanted = Path(out), _chosen(methods)
    _check(folder, seed)
    with held(folder, "demo"):
        _check(folder, seed)  # another demo may have begun and ended there meanwhile
        _run_stages(folder, seed, wanted)
    return 0


def _run_stages(folder: Path, seed: int, wanted: Sequence[str]) -> None:
    started = time.monotonic()
    stages = list(_stages(folder, seed, wanted))
    for number, stage in enumerate(stages, start=1):
        print(f"\n[{number}/{len(stages)}] {stage.title}", flush=True)
        begun = time.monotonic()
        if stage.action is not None:
            stage.action()
        _run_branches(stage, folder / "logs" / f"{number:02d}.log")
        print(f"      {time.monotonic() - begun:.0f} s", flush=True)
    print(f"\nThe demo took {time.monotonic() - started:.0f} s.\n"
          f"The report, for a browser:     {folder / 'report' / 'report.html'}\n"
          f"Training curves and figures:   tensorboard --logdir {folder}")


def _stages(folder: Path, seed: int, wanted: Sequence[str]) -> Iterator[Stage]:
    raw, shards, runs, model = folder / "raw", folder / "shards", folder / "runs", folder / "model"
    tokenizer = folder / "tokenizer"

    def prepare(task: str, tokenizer_folder: Path, *words: str, more: Sequence[str] = ()) -> tuple[str, ...]:
        return ("data_prep", *(words or ("build",)), task, "--source", str(raw / task), *more,
                "--tokenizer", str(tokenizer_folder), "--out", str(shards), "--max_length", str(MAX_LENGTH))

    def train(recipe: str, *more: str) -> tuple[str, ...]:
        return ("trainer", "train", os.path.relpath(RECIPES / f"{recipe}.yaml"), "--seed", str(seed),
                "--output", str(runs), "--data.shards", str(shards), *more)

    def run(name: str) -> str:
        return str(runs / f"{name}-seed{seed}")

    def branch(method: str) -> tuple[tuple[str, ...], ...]:
        evaluation = ("trainer", "evaluate", run(method), "--tasks", "xnli", "--generalized")
        return (train(method, "--init_from", run("intermediate")),
                *(() if (Path(run(method)) / RESULTS).is_file() else (evaluation,)))

    copies = ("--neighbours", str(raw / NEIGHBOUR_LIST), "--copies", str(COPIES), "--seed", str(seed))
    augmentation = ((prepare("xnli", model, "augment", "synonyms", more=copies),),) if AUGMENTED in wanted else ()
    reported = [name for name in METHODS if name in wanted or (Path(run(name)) / RESULTS).is_file()]
    yield Stage(f"A world of {len(WORDS)} English words, and its sentences in other languages, as raw benchmark files",
                action=lambda: _write(folder, seed))
    tokenizer_command = ("data_prep", "tokenizer", "--texts", str(raw / "text"), "--model", "word",
                         "--vocab_size", str(VOCABULARY_LIMIT), "--out", str(tokenizer))
    yield Stage("A tokenizer from its text, and sharded text",
                ((() if tokenizer.is_dir() else (tokenizer_command,)) + (prepare("text", tokenizer),),))
    yield Stage("A tiny XLM-R learns from unlabelled text (masked language modelling)", ((train("mlm"),),))
    yield Stage("Languages at a chosen distance, and neighbours of the English words, are put into the model's table",
                action=lambda: _extend(Path(run("mlm")) / "best", model, seed))
    yield Stage("Sharded labelled data for the intermediate task and the target task",
                (*augmentation, (prepare("mnli", model),), (prepare("xnli", model),)))
    yield Stage("Intermediate training: an easier inference task, in English",
                ((train("intermediate", "--model.name", str(model)),),))
    yield Stage("Fine-tuning on English inference, plainly and robustly, then evaluation in every language and pair",
                tuple(branch(name) for name in reversed(METHODS) if name in wanted))  # the slow ones first
    yield Stage("The report", ((("trainer", "report", *map(run, reported), "--out", str(folder / "report")),),),
                shown=True)


def _chosen(methods: str) -> list[str]:
    """Methods of a comma list in the order of METHODS; raises InputError for an unknown name and an empty list."""
    names = [name.strip() for name in methods.split(",") if name.strip()]
    unknown = [name for name in names if name not in METHODS]
    if unknown or not names:
        raise InputError(f"--methods: {f'no method {unknown[0]!r}' if unknown else 'no method given'}; "
                         f"expected a comma list of {', '.join(METHODS)}")
    return [name for name in METHODS if name in names]


def _check(folder: Path, seed: int) -> None:
    """Raise InputError if `folder` holds anything but a demo of this seed; called before anything is written."""
    marker = folder / MARKER
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out: {folder} is a file; expected a folder, or nothing")
    if marker.exists():
        try:
            found = json.loads(marker.read_text(encoding="utf-8"))
            version, its_seed = found["format"], found["seed"]
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{marker} cannot be read: expected format and seed of a demo; choose another --out, or "
                             f"remove {folder}") from None
        if version != FORMAT:
            raise InputError(f"{folder} holds a demo of format {version}, made by another version of this program, "
                             f"expected {FORMAT}; choose another --out, or remove it")
        if its_seed != seed:
            raise InputError(f"{folder} holds a demo of seed {its_seed}, not {seed}; choose another --out or --seed, "
                             "or remove it")
    elif folder.exists() and any(path.name not in ("raw", "logs") and not path.name.startswith(".")
                                  for path in folder.iterdir()):
        raise InputError(f"{folder} exists and holds no demo; choose another --out")


def _write(folder: Path, seed: int) -> None:
    if (folder / MARKER).exists():
        return
    write_world(folder / "raw", seed, languages(seed))
    with working_file(folder / MARKER, "demo") as temporary:
        temporary.write_text(json.dumps({"format": FORMAT, "seed": seed}) + "\n", encoding="utf-8")


def _extend(pretrained: Path, model: Path, seed: int) -> None:
    if model.exists():
        return
    from trainer.demo.distance import extend_by_distance  # imports torch, which takes seconds

    done = extend_by_distance(pretrained, model, seed)
    print(f"      {done.tokens} tokens added; mean norm of the English rows {done.mean_norm:.2f}")


def _run_branches(stage: Stage, log: Path) -> None:
    """Run the branches in parallel, at most one per core; raises InputError with the log of a failed command."""
    for branch in stage.branches:
        for words in branch:
            print(f"      $ python -m {shlex.join(words)}", flush=True)
    if not stage.branches:
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    cores = max(1, min(len(stage.branches), os.cpu_count() or 1))
    logs = [log.with_suffix(f".{number}.log") for number in range(1, len(stage.branches) + 1)]
    children = _Children()
    with ThreadPoolExecutor(cores) as pool:
        try:
            results = list(pool.map(children.run_branch, stage.branches, logs, [stage.shown] * len(logs)))
        except KeyboardInterrupt:  # from here on the pool waits for its threads, and these for what they have started
            children.end()
            raise
    for failed, file in zip(results, logs, strict=True):
        if failed is not None:
            tail = file.read_text(encoding="utf-8").strip().split("\n")[-1] if not stage.shown else ""
            raise InputError(f"`python -m {shlex.join(failed)}` failed: {tail} (all of it in {file})")


class _Children:
    """Running commands, each in a process group of its own, so that Ctrl-C in a terminal reaches only the demo."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = Lock()
        self._ending = False

    def run_branch(self, branch: Sequence[Sequence[str]], log: Path, shown: bool) -> Sequence[str] | None:
        """Run the commands of one branch; return the one that failed, or None."""
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        with log.open("a", encoding="utf-8") as stream:  # a later life of the demo adds to its logs
            for words in branch:
                output = None if shown else stream
                with self._lock:
                    if self._ending:
                        return words
                    child = subprocess.Popen([sys.executable, "-m", CHILD, str(os.getpid()), *words], env=environment,
                                             stdout=output, stderr=None if shown else subprocess.STDOUT,
                                             process_group=0)
                    self._running.add(child)
                code = child.wait()
                with self._lock:
                    self._running.discard(child)
                if code:
                    return words
        return None

    def end(self) -> None:
        """Start no more commands, and terminate the running ones; training saves a checkpoint first."""
        with self._lock:
            self._ending = True
            for child in self._running:
                child.terminate()
