"""Tables as LaTeX (booktabs), to be copied from the page into a paper."""

from __future__ import annotations

from trainer.report.document import Entry, Table

_SPECIAL = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
            "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
            ">": r"\textgreater{}", "±": r"$\pm$", "−": "$-$", "†": r"$^\dagger$", "→": r"$\rightarrow$",
            "×": r"$\times$", "≥": r"$\geq$", "≤": r"$\leq$", "–": "--", "\u00a0": "~", "\n": " "}


def table(block: Table) -> str:
    """A whole `table` environment; needs the package booktabs. Bold: the best number of a column, gains and losses."""
    align = "".join("l" if position < block.text_columns else "r" for position in range(len(block.columns)))
    lines = [_line([escape(column.text) for column in block.columns]), r"\midrule",
             *(_line([_entry(entry) for entry in row]) for row in block.rows)]
    notes = f" {escape(' '.join(block.notes))}" if block.notes else ""
    return "\n".join([r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{{align}}}", r"\toprule", *lines,
                      r"\bottomrule", r"\end{tabular}", rf"\caption{{{escape(block.title)}.{notes}}}", r"\end{table}",
                      ""])


def escape(text: str) -> str:
    """`text` with LaTeX's special characters escaped."""
    return "".join(_SPECIAL.get(character, character) for character in text)


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _entry(entry: Entry) -> str:
    text = escape(entry.text)
    if entry.best or entry.tone in ("gain", "loss"):
        text = rf"\textbf{{{text}}}"
    return f"{text} {escape(entry.below)}".strip()
