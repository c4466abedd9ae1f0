"""Files of XGLUE's pairs (Liang et al. 2020, arXiv 2004.01401): tables without a header, answer last.

Names and columns are those that XGLUE's own baseline reads (microsoft/Unicoder), texts joined as it joins them. Its
test files may lack the answer. There is no source on the hub that loads without a script.
"""

from __future__ import annotations

from typing import Any

from data_prep.tasks.task import LANGUAGE, Layout


def xglue_pairs(name: str, *columns: str) -> Layout:
    """`xglue.<name>.en.train` and its dev and test files, below the folder that the archive has them in."""
    folder = rf"(?:(?:xglue_full_dataset/)?{name.upper()}/)?"
    return Layout(rf"{folder}xglue\.{name}\.{LANGUAGE}\.(?P<split>train|dev|test)", f"xglue.{name}.en.train",
                  columns={column: at for at, column in enumerate(columns)})


def title_and_text(values: dict[str, Any]) -> dict[str, Any]:
    """`title` and `text` joined as the second text."""
    values["second"] = f"{values.pop('title')} {values.pop('text')}"
    return values
