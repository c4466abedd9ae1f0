"""`python -m trainer predict RUN --text "..." [--text_pair "..."]`, `... --file lines.tsv`: predictions on sentences.

Input: a finished run, and texts on the command line or in a file. Output: predictions with probabilities in the
terminal, or as JSON Lines with --out. Writes nothing else and downloads nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from data_prep.base.errors import InputError
from data_prep.base.files import write_text
from trainer.predict.lines import STDIN, Lines, read_texts
from trainer.predict.load import load_run
from trainer.predict.model import TaskModel
from trainer.predict.perturbation import Turn
from trainer.predict.rows import LANGUAGE, TEXT, TEXT_PAIR, OwnRow
from trainer.predict.show import about_turns, json_line, show

MOST_STEPS = 1000
MOST_ATTACKED = 16  # texts at once, so that the bar moves


def predict(
    run: str, *, text: str | None = None, text_pair: str | None = None, file: str | None = None,
    language: str | None = None, task: str | None = None, weights: str = "best", perturb: bool = False,
    perturb_steps: int = 10, out: str | None = None, batch_size: int = 64,
) -> int:
    """Predict on sentences of one's own with a RUN: classes with probabilities, scores, tags or answers.

    text, text_pair: premise and hypothesis, question and paragraph, or one sentence (of a tagger, words with spaces
    between). file: instead, a table (.tsv) or JSON Lines (.jsonl), - for standard input: a header or keys name the
    columns (text, text_pair, language, or the task's own such as premise and hypothesis); a table without a header has
    a text, perhaps a second, perhaps a language. language: of texts that name none. task: of a run of several tasks,
    the one whose head predicts. weights: best, or average (of `trainer average`).

    perturb: also look for the smallest perturbation at the run's robust.site that turns each decision, by
    perturb_steps steps of projected gradient ascent in balls of bisected radii: an upper bound, in units of the mean
    norm of a token there, as robust.epsilon is. It costs up to 16 times perturb_steps training passes per text.

    out: write JSON Lines to this file, - for standard output, instead of tables.
    """
    if (text is None) == (file is None) or (text_pair is not None and text is None):
        raise InputError("name the texts: --text, with --text_pair where the task takes two, or a --file")
    for name, value, most in (("batch_size", batch_size, 2**31), ("perturb_steps", perturb_steps, MOST_STEPS)):
        if not 1 <= value <= most:
            raise InputError(f"--{name} must lie from 1 to {most}, found {value}")
    if file not in (None, STDIN) and not Path(str(file)).is_file():  # before a model is loaded
        raise InputError(f"--file {file}: no such file; expected a .tsv or .jsonl file, or - for standard input")
    model = load_run(run, task=task, weights=weights)
    if perturb:
        model.check_turnable()
    lines = _lines(model, text, text_pair, file, language)
    for note in lines.notes:
        print(f"note: {note}", file=sys.stderr)
    rows = model.rows.read(lines.rows, lines.where)
    predictions = model.predict_read(rows, batch_size)
    turns = _turns(model, rows, perturb_steps, batch_size) if perturb else None
    if out is not None:
        written = "".join(json_line(one, turns[number] if turns else None, perturb) + "\n"
                          for number, one in enumerate(predictions))
        if out == STDIN:
            sys.stdout.write(written)
        else:
            write_text(Path(out), written)
            print(f"{out}: {len(predictions)} predictions")
        return 0
    console = Console(highlight=False)
    show(predictions, turns, console)
    if perturb:
        console.print(about_turns(model, perturb_steps, turns or []), markup=False, highlight=False)
    return 0


def _turns(model: TaskModel, rows: Sequence[OwnRow], steps: int, batch_size: int) -> list[Turn | None]:
    """The smallest perturbations found, with a progress bar on a terminal."""
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("perturbing", total=len(rows))
        return model.turns_of(rows, steps, min(batch_size, MOST_ATTACKED), lambda done: progress.advance(task, done))


def _lines(model: TaskModel, text: str | None, text_pair: str | None, file: str | None, language: str | None) -> Lines:
    """The rows that the flags name, with the language of --language where they have none."""
    if file is None:
        found = Lines([{TEXT: text, **({TEXT_PAIR: text_pair} if text_pair is not None else {})}], ["--text"])
    else:
        found = read_texts(file, model.rows)
    if language is not None:
        found.rows = [row if row.get(LANGUAGE) else {**row, LANGUAGE: language} for row in found.rows]
    return found
