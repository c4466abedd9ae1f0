"""Predictions for people (percent, one decimal) and as JSON Lines (fractions)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import rich.box
import rich.console
import rich.table
from rich.markup import escape

from trainer.predict.model import Prediction, TaskModel
from trainer.predict.perturbation import LADDER, Turn

MOST_COLUMNS = 6  # classes that a table has a column for; of more, the predicted one only
TEXT_WIDTH = 40
Turns = Sequence[Turn | None] | None


def json_line(prediction: Prediction, turn: Turn | None, asked: bool) -> str:
    """One line of --out. asked: whether perturbations were looked for."""
    row: dict[str, Any] = {"row": prediction.number, **prediction.texts, "language": prediction.language or None,
                           "prediction": prediction.value, "probability": prediction.probability}
    if prediction.probabilities is not None:
        row["probabilities"] = prediction.probabilities
    if asked:
        row["perturbation"] = None if turn is None else {"epsilon": turn.epsilon, "length": turn.length, "to": turn.to}
    return json.dumps(row, ensure_ascii=False)


def show(predictions: Sequence[Prediction], turns: Turns, console: rich.console.Console) -> None:
    """Print one prediction as a block, several as a table, and their means per language where languages are known."""
    if len(predictions) == 1 or isinstance(predictions[0].value, list):
        for number, prediction in enumerate(predictions):
            _show_one(prediction, turns, number, console)
    else:
        _show_table(predictions, turns, console)
    if len(predictions) > 1 and any(prediction.language for prediction in predictions):
        _show_languages(predictions, turns, console)


def about_turns(model: TaskModel, steps: int, turns: Sequence[Turn | None]) -> str:
    """Meaning of the norms of perturbations, in a line or two."""
    ball = model.ball
    norm = {"l2": "L2", "linf": "L-infinity"}[ball.norm]
    unit = "as measured in training" if model.site_norm is not None else "of these texts"
    if found := next((turn for turn in turns if turn is not None and turn.epsilon > 0), None):
        unit = f"{found.length / found.epsilon:.3g} {unit}"
    # of a method that has no ball, or an absolute one, there is no such number
    trained = f" The run was trained within epsilon {ball.epsilon:g}." if model.site_norm is not None else ""
    return (f"epsilon: the largest {norm} norm of a {ball.scope}'s perturbation at {ball.site}, in units of the mean "
            f"norm there ({unit}). It is an upper bound of the smallest one that turns the decision: the smallest that "
            f"{steps} steps of gradient ascent found within radii up to {LADDER[-1]:g}.{trained}")


def _show_one(prediction: Prediction, turns: Turns, number: int, console: rich.console.Console) -> None:
    def line(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    language = f" [{prediction.language}]" if prediction.language else ""
    if isinstance(prediction.value, list):
        tagged = zip(prediction.texts["words"], prediction.value, prediction.probability, strict=True)
        line(f"{number + 1}{language}  " + "  ".join(f"{word}/{tag} {100 * p:.1f} %" for word, tag, p in tagged))
    else:
        line(" | ".join(map(_text, prediction.texts.values())) + language)
        score = "score " * isinstance(prediction.value, float)
        for name, p in (prediction.probabilities or {score + _value(prediction): prediction.probability}).items():
            line(f"  {name:<20} {'' if p is None else f'{100 * p:5.1f} %'}".rstrip())
    if turns is not None:
        line("  " + _turn(turns[number], prediction.value))


def _show_table(predictions: Sequence[Prediction], turns: Turns, console: rich.console.Console) -> None:
    # choices are the row's own, so that they have no columns
    names = sorted(predictions[0].probabilities or ())
    shared = all(sorted(one.probabilities or ()) == names for one in predictions) and len(names) <= MOST_COLUMNS
    names = names if shared and len(predictions) > 1 else []
    with_languages = any(one.language for one in predictions)
    with_probability = not names and any(one.probability is not None for one in predictions)
    columns = ["", "text", *["language"] * with_languages, "prediction", *(f"{name} %" for name in names),
               *["probability %"] * with_probability, *["epsilon", "turns to"] * (turns is not None)]
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        is_text = column in ("text", "language", "prediction", "turns to")
        table.add_column(escape(column), justify="left" if is_text else "right")
    for number, one in enumerate(predictions):
        turn = turns[number] if turns is not None else None
        cells = [str(one.number + 1), " | ".join(map(_text, one.texts.values())),
                 *[one.language] * with_languages, _value(one),
                 *(f"{100 * (one.probabilities or {})[name]:.1f}" for name in names),
                 *["" if one.probability is None else f"{100 * one.probability:.1f}"] * with_probability]
        if turns is not None:
            cells += ["none found", ""] if turn is None else [f"{turn.epsilon:.3g}", str(turn.to)]
        table.add_row(*map(escape, cells))
    console.print(table)


def _show_languages(predictions: Sequence[Prediction], turns: Turns, console: rich.console.Console) -> None:
    """Means per language: share and mean probability of each class, mean score or probability, median epsilon."""
    table = rich.table.Table(title="by language", title_justify="left", box=rich.box.SIMPLE_HEAD, pad_edge=False,
                             header_style="bold")
    groups: dict[str, list[int]] = {}
    for place, one in enumerate(predictions):
        groups.setdefault(one.language or "not given", []).append(place)
    rows = [_of_language([predictions[place] for place in places],
                         None if turns is None else [turns[place] for place in places]) for places in groups.values()]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    for column in ("language", *columns):
        table.add_column(escape(column), justify="left" if column == "language" else "right")
    for language, row in zip(groups, rows, strict=True):
        table.add_row(escape(language), *(row.get(name, "") for name in columns))
    console.print(table)


def _of_language(predictions: Sequence[Prediction], turns: Turns) -> Mapping[str, str]:
    found = {"rows": str(len(predictions))}
    names = sorted({name for one in predictions for name in one.probabilities or ()})
    shared = all(set(one.probabilities or ()) == set(names) for one in predictions)
    if names and shared and len(names) <= MOST_COLUMNS:
        chosen = Counter(one.value for one in predictions)
        for name in names:
            found[f"{name}, predicted %"] = f"{100 * chosen[name] / len(predictions):.1f}"
        for name in names:
            mean = sum((one.probabilities or {})[name] for one in predictions) / len(predictions)
            found[f"{name}, mean %"] = f"{100 * mean:.1f}"
    elif predictions[0].probability is None:
        found["mean score"] = f"{sum(one.value for one in predictions) / len(predictions):.3f}"
    else:
        of_words = [p for one in predictions for p in (
            one.probability if isinstance(one.probability, list) else [one.probability])]
        found["mean probability %"] = f"{100 * sum(of_words) / len(of_words):.1f}"
    if turns is not None:
        sizes = sorted(turn.epsilon for turn in turns if turn is not None)
        found["turned"] = f"{len(sizes)} of {len(turns)}"
        found["mean epsilon"] = f"{sum(sizes) / len(sizes):.3g}" if sizes else ""
    return found


def _turn(turn: Turn | None, value: Any) -> str:
    if turn is None:
        return f"no perturbation found up to epsilon {LADDER[-1]:g} that turns the decision"
    changed = turn.to if not isinstance(value, list) else ", ".join(
        f"word {place + 1}: {old} to {new}" for place, (old, new) in enumerate(zip(value, turn.to, strict=True))
        if old != new)
    return f"turns {'' if isinstance(value, list) else 'to '}{changed} at epsilon {turn.epsilon:.3g}"


def _value(prediction: Prediction) -> str:
    if isinstance(prediction.value, float):
        return f"{prediction.value:.3f}"
    return prediction.value or "(no answer)"


def _text(value: Any) -> str:
    text = " / ".join(value) if isinstance(value, list) else str(value)
    return text if len(text) <= TEXT_WIDTH else text[: TEXT_WIDTH - 3] + "..."
