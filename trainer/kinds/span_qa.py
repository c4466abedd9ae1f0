"""Extractive question answering (Devlin et al. 2019, arXiv 1810.04805, section 4.2): start and end of a span.

Each token has a logit for being the start and one for being the end of the answer; a row of a cell is a window of a
paragraph. A window without the answer is trained to point to its first token. Shapes: B windows, L length, N rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional

from data_prep.base.errors import InputError
from data_prep.shards.columns import number_values
from data_prep.shards.manifest import WINDOW, Manifest
from trainer.kinds.batch import Batch
from trainer.kinds.divergence import at_least_fp32, kl_sum
from trainer.kinds.kind import Array, Kind, Rows
from trainer.kinds.sequences import lists
from trainer.metrics.answers import Answers
from trainer.results.predictions import replace_file

NOWHERE = -2  # start and end in a cell: the gold answers do not occur in the paragraph
MISSING = -1  # position in a window whose gold span is not known
N_BEST = 20  # spans per window
LONGEST_ANSWER = 30  # pieces; with N_BEST, XTREME's settings
MASKED = -1e30  # logit of what cannot be chosen; finite, so that 0 * log 0 is 0


def targets(rows: pa.Table, batch: Batch) -> dict[str, Tensor]:
    """start, end: (B,) int64 positions in the input, 0 in windows without the answer, MISSING where it is not known;
    context: (B, 2) int64, the first position of the paragraph and the one behind its last."""
    at, start, end = (number_values(rows[name]) for name in ("context_at", "start", "end"))
    behind = at + np.array([len(pieces) for pieces in lists(rows, "second_ids")])
    if (at + np.maximum(start, end) >= behind).any() or (behind > batch.input_ids.shape[1]).any() or (at < 0).any():
        raise InputError("a labelled span lies outside its window; find the damage with `python -m data_prep verify`")
    known = (number_values(rows["answers"].combine_chunks().value_lengths()) > 0) & (start > NOWHERE)
    found = {"start": start, "end": end}
    return {**{name: torch.from_numpy(np.where(known, np.where(value >= 0, at + value, 0), MISSING))
               for name, value in found.items()}, "context": torch.from_numpy(np.stack([at, behind], axis=1))}


def logits(head: Callable[[Tensor], Tensor], hidden_BLH: Tensor, batch: Batch) -> Tensor:
    """(B, L, 2) logits of start and end, through transformers' own head."""
    return head(hidden_BLH)


def _over_tokens(logits_BL2: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """(B, L) logits of start and of end; padding is not a choice, so that a loss does not depend on it."""
    masked = at_least_fp32(logits_BL2).masked_fill(~batch.attention_mask.unsqueeze(-1), MASKED)
    return masked[..., 0], masked[..., 1]


def losses(logits_BL2: Tensor, batch: Batch) -> Tensor:
    """(B,) cross-entropy over tokens, of start plus end, in nats; 0 where the answer is not known."""
    both = zip(_over_tokens(logits_BL2, batch), ("start", "end"), strict=True)
    return torch.stack([functional.cross_entropy(one_BL, batch.targets[name], reduction="none", ignore_index=MISSING)
                        for one_BL, name in both]).sum(dim=0)


def loss_count(batch: Batch) -> Tensor:
    """Two for each window whose answer is known: per prediction, the loss is the mean that transformers takes."""
    return 2 * (batch.targets["start"] != MISSING).sum()


def divergence(logits_BL2: Tensor, other_BL2: Tensor, batch: Batch) -> Tensor:
    """KL divergence over the tokens of a window, of start plus end, summed over the windows that a loss counts."""
    counted = batch.targets["start"] != MISSING
    pairs = zip(_over_tokens(logits_BL2, batch), _over_tokens(other_BL2, batch), strict=True)
    return torch.stack([kl_sum(one[counted], other[counted], batch) for one, other in pairs]).sum()


def decode(logits_BL2: Tensor, batch: Batch) -> Array:
    """(B, 1 + N_BEST, 3) float64: start, end and score of the best spans of each window.

    Positions are those in the window; a score is the sum of both logits. The first entry is the one of no answer, the
    first token; where there are fewer spans the score is MASKED. Spans lie in the paragraph and have at most
    LONGEST_ANSWER pieces: all of them are compared, where others take starts and ends from two lists of 20.
    """
    start_BL, end_BL = (one.double() for one in _over_tokens(logits_BL2, batch))
    size, length = start_BL.shape
    null_B = start_BL[:, 0] + end_BL[:, 0]
    at_B1, behind_B1 = batch.targets["context"].split(1, dim=1)
    place_L = torch.arange(length, device=start_BL.device)
    outside_BL = (place_L < at_B1) | (place_L >= behind_B1)
    start_BL, end_BL = start_BL.masked_fill(outside_BL, MASKED), end_BL.masked_fill(outside_BL, MASKED)
    widest = min(LONGEST_ANSWER, length)
    ends_BLW = functional.pad(end_BL, (0, widest - 1), value=MASKED).unfold(1, widest, 1)
    scores_BS = (start_BL.unsqueeze(-1) + ends_BLW).clamp_min(MASKED).reshape(size, -1)
    best_BN, spans_BN = scores_BS.topk(min(N_BEST, scores_BS.shape[1]), dim=1)
    starts_BN = torch.div(spans_BN, widest, rounding_mode="floor")
    found = torch.stack([starts_BN - at_B1, starts_BN + spans_BN % widest - at_B1, best_BN], dim=-1).cpu().numpy()
    found[found[..., 2] <= MASKED] = MASKED
    result = np.full((size, 1 + N_BEST, 3), MASKED)
    result[:, 0, 2] = null_B.cpu().numpy()
    result[:, 1 : 1 + found.shape[1]] = found
    return result


def gold(batch: Batch) -> Array:
    """(B,) start positions; the answers themselves are put in by `join`."""
    return batch.targets["start"].cpu().numpy()


def join(predicted: Array, gold_N: Array, table: pa.Table) -> tuple[Array, Array]:
    """Predicted text and gold `Answers` of each question, from the windows of its paragraph.

    The text of the best span over all windows, white space apart; no answer, "", where a task has it and it scores
    higher: its score is the lowest over the windows, as in SQuAD 2.0's baselines, since any may hold the answer.
    """
    texts = np.array([text for text, _ in _chosen(predicted, table)], dtype=object)
    first_rows = table.select(["answers", "language"]).take(pa.array(_firsts(table)))
    answers = np.empty(len(texts), dtype=object)
    columns = (first_rows[name].to_pylist() for name in first_rows.column_names)
    for number, (given, language) in enumerate(zip(*columns, strict=True)):
        answers[number] = Answers(tuple(given), language)
    return texts, answers


def certainty(predicted: Array, table: pa.Table) -> Array:
    """Probability of each question's predicted text: softmax over the scores of all spans that `decode` keeps, and of
    no answer where a task has it (the "probability" of SQuAD's baselines)."""
    return np.array([probability for _, probability in _chosen(predicted, table)])


def _firsts(table: pa.Table) -> Array:
    """Number of the first window of each question."""
    return np.flatnonzero(number_values(table[WINDOW]) == 0)


def _chosen(predicted: Array, table: pa.Table) -> Iterator[tuple[str, float]]:
    """(text, probability) of the best span of each question, or of no answer."""
    firsts = _firsts(table)
    bounds = [*firsts.tolist(), len(predicted)]
    offsets, nullable = lists(table, "offsets"), number_values(table["nullable"])
    for number, context in enumerate(table["context"].take(pa.array(firsts)).to_pylist()):
        windows = range(bounds[number], bounds[number + 1])
        spans = [(score, -window, int(start), int(end)) for window in windows
                 for start, end, score in predicted[window, 1:].tolist() if score > MASKED]
        null = min(predicted[window, 0, 2] for window in windows) if nullable[windows[0]] else -np.inf
        chosen, best = "", null
        for score, window, start, end in sorted(spans, reverse=True):
            if null >= score:
                break
            places = offsets[-window]
            if text := context[places[2 * start] : places[2 * end + 1]].strip():
                chosen, best = text, score
                break
        scores = np.array([null, *(span[0] for span in spans)])
        total = np.logaddexp.reduce(scores) if np.isfinite(scores).any() else np.inf
        yield chosen, float(np.exp(best - total)) if np.isfinite(best) else 0.0


def serialise(predicted_N: Array, rows: Rows, manifest: Manifest, path: Path) -> None:
    """Write a JSON object, question id -> answer, in the order of the publisher's file (SQuAD's and XTREME's format).

    Left out rows are not in it; the official scripts count them as wrong.
    """
    found = dict(zip(rows.keys.tolist(), predicted_N.tolist(), strict=True))
    replace_file(path, (json.dumps(found, ensure_ascii=False, indent=0) + "\n").encode())


KIND = Kind(
    "AutoModelForQuestionAnswering", targets, logits, losses, loss_count, divergence, decode, gold, serialise,
    extension="json", outputs=2, join=join, certainty=certainty, group_column="context",
    metrics=("answer_f1", "exact_match", "mlqa_f1", "mlqa_exact_match", "squad2_f1", "squad2_exact_match"),
    columns=("first_ids", "second_ids", WINDOW, "context_at", "start", "end", "offsets", "context", "answers",
             "language", "nullable"))
