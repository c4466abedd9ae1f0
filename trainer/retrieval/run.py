"""`python -m trainer retrieve MODEL --tasks tatoeba [--layer K] [--prefix "query: "] [--out FOLDER]`.

Inputs: a run, or any encoder, and built cells of kind retrieval. Outputs, below `eval/` of the run or of --out:
predictions in XTREME's formats, outcomes per example, and one row per cell and metric in `results.jsonl`, which
`python -m trainer report` takes like those of a run. All inputs are checked before the first sentence is encoded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_prep.base.errors import InputError
from data_prep.shards.manifest import Manifest
from data_prep.shards.read import Cell, find_cells
from data_prep.shards.tokenizers import read_tokenizer, tokenizer_dir
from data_prep.suggest import near_or_built
from trainer.evaluate.inputs import cell_of, comma_list
from trainer.evaluate.join import joined_by
from trainer.evaluate.outputs import describe_means, describe_rows
from trainer.metrics import METRICS
from trainer.results.outcomes import outcomes_path, write_outcomes
from trainer.results.predictions import predictions_path, replace_file
from trainer.results.scores import NO_LABEL, RESULTS_FILE, ResultRow, merge_rows, read_rows, recipe_digest
from trainer.retrieval import score
from trainer.retrieval.encoder import Encoder
from trainer.retrieval.score import Found, Side
from trainer.retrieval.source import Origin, check_tokenizers, find_origin, load_encoder, open_searched

QUERY, CANDIDATE = 0, 1
SIMILARITIES = ("margin", "cosine")


def retrieve(
    model: str, *, tasks: str, shards: str | None = None, languages: str | None = None, splits: str = "test",
    layer: int | None = None, prefix: str = "", candidate_prefix: str | None = None, similarity: str = "margin",
    out: str | None = None, revision: str | None = None, batch_size: int = 64, precision: str = "fp32",
) -> int:
    """Score sentence retrieval without training: Tatoeba, BUCC, LAReQA, Mewsli-X, or data of one's own.

    MODEL is a run, or an encoder: a folder, or a name on the hub at --revision. A sentence's vector is the mean over
    all its tokens, special ones included, of the output of --layer, counted from 1 (default: the last). XTREME's
    scripts use layer 8 of base models and layer 14 of XLM-R large (7 and 13 counted from 0). prefix: put before every
    text, "query: " for E5; candidate_prefix: another one before candidates. similarity: of mined pairs, margin or
    cosine; their threshold is tuned on the dev cell of the same language. Settings other than the defaults are part of
    the recipe, so that a run's results with them go to --out.
    """
    asked = {"retrieval.layer": layer, "retrieval.prefix": prefix or None,
             "retrieval.candidate_prefix": candidate_prefix if candidate_prefix != prefix else None,
             "retrieval.similarity": similarity if similarity != SIMILARITIES[0] else None}
    changed = {name: value for name, value in asked.items() if value is not None}
    if similarity not in SIMILARITIES or batch_size < 1:
        raise InputError(f"--similarity must be one of {', '.join(SIMILARITIES)}, --batch_size at least 1; found "
                         f"{similarity} and {batch_size}")
    origin = find_origin(model, revision, shards, out, changed, precision)
    _refuse_other_rows(origin)
    groups = [_Group.open(origin.shards, task, split, comma_list(languages or ""))
              for task in comma_list(tasks) for split in comma_list(splits)]
    cells = list({cell.path: cell for group in groups for cell in group.all_cells}.values())
    check_tokenizers(origin, cells)
    prefixes = (prefix, prefix if candidate_prefix is None else candidate_prefix)
    ids = _prefix_ids(origin.shards, cells[0].manifest, prefixes)
    longest = max(cell.manifest.max_length for cell in cells) + max(map(len, ids))
    encoder = load_encoder(origin, layer, precision, longest, batch_size)
    sides = _Sides(encoder, ids)
    rows: list[ResultRow] = []
    for group in groups:
        for cell in group.cells:
            found = _search(group, cell, sides, similarity == SIMILARITIES[0])
            rows += _write(origin, cell, found, precision)
    merge_rows(origin.out / "eval" / RESULTS_FILE, rows)
    for line in (*describe_rows(rows), *describe_means(origin.out, rows)):
        print(line)
    return 0


@dataclasses.dataclass(frozen=True)
class _Group:
    """The cells of one task and split."""

    cells: list[Cell]
    """Cells to score, which have queries."""
    pool: list[Cell]
    """Cells whose candidates are searched together; empty where each cell is searched for itself."""
    dev: dict[str, Cell]
    """Cells, by language, that thresholds are tuned on."""

    @property
    def all_cells(self) -> list[Cell]:
        return [*self.cells, *self.pool, *self.dev.values()]

    @classmethod
    def open(cls, root: Path, task: str, split: str, languages: Sequence[str]) -> _Group:
        """Open the cells. Raises InputError where one is missing, or is of a task that no search is for."""
        built = {path.name: open_searched(path) for path in find_cells(root, task, split)}
        languages = [cell_of(language, built) for language in languages]
        missing = [language for language in languages if language not in built]
        if missing or not built:
            name = f"{task}/{split}/{missing[0] if missing else '*'}"
            raise InputError(f"{root}: no finished cell {name}{near_or_built(root, name, built)}; build it with "
                             "`python -m data_prep build`")
        manifest = next(iter(built.values())).manifest
        if (search := score.SEARCHES.get(manifest.metric)) is None:
            raise InputError(f"{root}/{task}: metric {manifest.metric} is of no search; metrics of searches: "
                             f"{', '.join(score.SEARCHES)}; score it with `python -m trainer evaluate`")
        with_queries = {name: cell for name, cell in built.items() if (cell.table["side"].to_numpy() == QUERY).any()}
        chosen = [cell for name, cell in with_queries.items() if not languages or name in languages]
        if not chosen:
            raise InputError(f"{root}/{task}/{split}: no queries, only candidates; name a language with queries")
        pool: list[Cell] = []
        if search in score.POOLED:  # of this split; else those that all splits share
            others = [open_searched(path) for path in find_cells(root, task) if path.parent.name != split]
            pool = next((found for cells in (built.values(), others) if (found := [
                cell for cell in cells if (cell.table["side"].to_numpy() == CANDIDATE).any()])), [])
            if not pool:
                raise InputError(f"{root}/{task}: no cell with candidates; build it too")
        dev: dict[str, Cell] = {}
        if search in score.TUNED:
            dev = {path.name: open_searched(path) for path in find_cells(root, task, "dev")}
            if lacking := [cell for cell in chosen if not (
                    cell.manifest.language in dev and dev[cell.manifest.language].manifest.has_labels)]:
                raise InputError(f"{root}/{task}/dev/{lacking[0].manifest.language}: no cell with gold pairs, on which "
                                 "the threshold is tuned; build it too")
        return cls(chosen, pool, dev)


class _Sides:
    """Queries and candidates with their vectors; a cell is encoded once."""

    def __init__(self, encoder: Encoder, prefixes: tuple[list[int], ...]) -> None:
        self.encoder = encoder
        self.prefixes = prefixes
        self._known: dict[Path, tuple[Side, Side]] = {}
        self._pools: dict[tuple[Path, ...], Side] = {}

    def of(self, cell: Cell) -> tuple[Side, Side]:
        """(queries, candidates) of a cell."""
        if cell.path not in self._known:
            vectors = self.encoder.vectors(cell, self.prefixes)
            self._known[cell.path] = (score.side_of(cell, vectors, QUERY), score.side_of(cell, vectors, CANDIDATE))
        return self._known[cell.path]

    def pool(self, cells: Sequence[Cell]) -> Side:
        """The candidates of several cells."""
        paths = tuple(cell.path for cell in cells)
        if paths not in self._pools:
            self._pools[paths] = score.pool_of([self.of(cell)[1] for cell in cells])
        return self._pools[paths]


def _search(group: _Group, cell: Cell, sides: _Sides, margin: bool) -> Found:
    """Search one cell. Prints how many queries have no match in the pool, and the threshold of mined pairs."""
    manifest, device = cell.manifest, sides.encoder.device
    queries, own = sides.of(cell)
    pool = sides.pool(group.pool) if group.pool else own
    relevant = score.relevant_of(queries, pool) if manifest.has_labels else None
    name = "/".join(cell.path.parts[-3:])
    search = score.SEARCHES[manifest.metric]
    if search not in score.TUNED:
        if relevant is not None and (alone := sum(not len(one) for one in relevant.positions)):
            print(f"{name}: {alone:,} of {len(queries):,} queries have no match among {len(pool):,} candidates; they "
                  "score 0")
        return search(queries, pool, relevant, device)
    tuning = group.dev[manifest.language]
    dev = sides.of(tuning)
    threshold = score.tune_threshold(*dev, score.relevant_of(*dev), device, margin)
    print(f"{name}: threshold {threshold:.4f}, tuned on {'/'.join(tuning.path.parts[-3:])}")
    return search(queries, pool, relevant, device, threshold, margin)


def _write(origin: Origin, cell: Cell, found: Found, precision: str) -> list[ResultRow]:
    """Write the files of one cell; returns a row per metric of its task.

    Rows that were left out of a cell would shift the lines of its prediction file, so it then has none.
    """
    manifest, folder = cell.manifest, origin.out / "eval"
    names = (manifest.task, manifest.split, manifest.language)
    predicted_file = None
    if not manifest.skipped:
        predicted_file = predictions_path(*names, extension=found.extension)
        replace_file(folder / predicted_file, found.predictions.encode())
    else:
        print(f"{'/'.join(names)}: {sum(manifest.skipped.values()):,} rows were left out of the cell, so no prediction "
              "file is written")
    rows = []
    for number, name in enumerate(manifest.metrics):
        value, note, outcome_file, outcome = None, NO_LABEL, None, found.outcomes.get(name)
        if outcome is not None:
            counts = METRICS[name].counts(outcome.predicted, outcome.gold)
            value, note = METRICS[name].score(counts), ""
            outcome_file = outcomes_path(*names, metric=name if number else "")
            write_outcomes(folder / outcome_file, outcome.keys, counts, largest=METRICS[name].largest_count)
        rows.append(ResultRow(**{
            **origin.identity, "task": manifest.task, "kind": manifest.kind, "metric": name, "split": manifest.split,
            "language": manifest.language, "language_2": manifest.language, "value": value, "note": note,
            "n": len(outcome.keys) if outcome else _queries(cell), "predictions": predicted_file,
            "outcomes": outcome_file, "language_info": manifest.language_info.model_dump(),
            "cell_sha256": manifest.rows_sha256, "precision": precision, "joined_by": joined_by(cell),
            "chance": outcome.chance if outcome else None}))
    return rows


def _queries(cell: Cell) -> int:
    return int((cell.table["side"].to_numpy() == QUERY).sum())


def _prefix_ids(root: Path, manifest: Manifest, prefixes: tuple[str, str]) -> tuple[list[int], ...]:
    """Token ids of both prefixes, by the tokenizer beside the cells. Raises InputError where it is missing."""
    if not any(prefixes):
        return [], []
    folder = tokenizer_dir(root, manifest.tokenizer.fingerprint)
    try:
        tokenizer: Any = read_tokenizer(str(folder))
    except (OSError, ValueError) as error:
        raise InputError(f"--prefix needs the tokenizer in {folder}, which cannot be read ({error}); build the cells "
                         "again") from None
    return tuple(tokenizer(text.rstrip(), add_special_tokens=False)["input_ids"] if text else [] for text in prefixes)


def _refuse_other_rows(origin: Origin) -> None:
    """Raise InputError where the result file is damaged or holds rows of another model or of other settings."""
    if not (written := origin.out / "eval" / RESULTS_FILE).exists():
        return
    ours = origin.identity["checkpoint"], recipe_digest(origin.identity["settings"])
    for row in read_rows(written):
        if row.checkpoint not in ("", ours[0]) or row.recipe not in ("", ours[1]):
            raise InputError(f"{written} holds rows of another model or of other settings; choose another --out")
