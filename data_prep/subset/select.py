"""Regions of a data map: examples that are easy, ambiguous or hard to learn (Swayamdipta et al. 2020, arXiv
2009.10795).

Input: a finished cell, and the training dynamics of its examples: mean probability of the gold label over epochs
(confidence) and its standard deviation (variability). Output: a cell with a share of the examples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from data_prep.base.errors import InputError, did_you_mean
from data_prep.base.files import file_sha256
from data_prep.shards.manifest import NO_DYNAMICS
from data_prep.shards.read import Cell
from data_prep.subset.cells import Subset, drawn_order, origin_cells, subset_of, title, write_subsets

COLUMNS = ("cell", "id", "confidence", "variability", "correctness")
MOST_WITHOUT = 0.05  # of a cell's examples: a run leaves out an epoch's last incomplete batch


@dataclass(frozen=True)
class Dynamics:
    """Training dynamics of some examples of a cell; equal lengths, sorted by id."""

    ids: np.ndarray
    confidence: np.ndarray
    variability: np.ndarray
    ranks: np.ndarray
    """Pseudo-random, by the key of each example."""


# region -> what is sorted by, ascending
REGIONS: dict[str, Callable[[Dynamics], np.ndarray]] = {
    "easy": lambda found: -found.confidence,
    "ambiguous": lambda found: -found.variability,
    "hard": lambda found: found.confidence,
    "random": lambda found: found.ranks,
}


def select(
    cell: str, *, dynamics: str, region: str, shards: str, share: float = 0.33, name: str | None = None, seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Write the easy, ambiguous or hard examples of a finished cell, by the training dynamics of a run.

    cell: TASK/SPLIT/LANGUAGE below --shards; the language may be a comma list, or * for all. dynamics: Parquet file
    with the columns cell, id, confidence, variability and correctness, as a training run records it. region: easy
    (highest confidence), hard (lowest confidence), ambiguous (highest variability), or random, a control of the same
    size, drawn with --seed. share: of the examples that have dynamics. name: of the cells, `<task>+<name>`, by default
    the region.
    """
    if region not in REGIONS:
        raise InputError(f"--region {region!r}{did_you_mean(region, REGIONS)}: expected one of {', '.join(REGIONS)}")
    if not 0 < share < 1:
        raise InputError(f"--share must be above 0 and below 1, found {share:g}")
    if seed < 0:
        raise InputError(f"--seed must be at least 0, found {seed}")
    file = Path(dynamics)
    table = read_dynamics(file)
    how = f"select: {region}, share {share:g}, dynamics {file_sha256(file)[:12]}"
    how += f", seed {seed}" if region == "random" else ""
    subsets: list[Subset] = []
    for origin in origin_cells(cell, shards):
        found, without = dynamics_of(origin, table, file, seed)
        number = max(1, round(share * len(found.ids)))
        chosen = found.ids[np.lexsort((found.ids, REGIONS[region](found)))[:number]]
        rows = np.isin(origin.table.column("id").to_numpy(), chosen)
        subsets.append(subset_of(origin, name or region, origin.manifest.split, how, rows, {NO_DYNAMICS: without}))
    write_subsets(subsets, overwrite, Console(highlight=False))


def read_dynamics(file: Path) -> pa.Table:
    """The columns of a file of training dynamics. Raises InputError if it is missing or has others."""
    if not file.is_file():
        raise InputError(f"--dynamics {file}: no such file; expected the Parquet file that a training run recorded")
    try:
        table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"--dynamics {file}: not a Parquet file ({str(error).splitlines()[0][:100]})") from None
    types = {name: table.schema.field(name).type for name in COLUMNS if table.schema.get_field_index(name) >= 0}
    fits = len(types) == len(COLUMNS) and pa.types.is_integer(types["id"]) and all(
        pa.types.is_floating(types[name]) for name in COLUMNS[2:])
    if not fits:
        raise InputError(f"--dynamics {file}: columns {', '.join(table.column_names)}; expected {', '.join(COLUMNS)}: "
                         "text, whole numbers, and three of numbers")
    return table


def dynamics_of(origin: Cell, table: pa.Table, file: Path, seed: int) -> tuple[Dynamics, int]:
    """The dynamics of a cell's examples, and the number of examples without any.

    Raises InputError if they are none, too few, twice there, no numbers, or of rows that the cell does not have.
    """
    names = np.array(table.column("cell").to_pylist(), dtype=object)
    mine = names == title(origin)
    if not mine.any():
        raise InputError(f"--dynamics {file} has no rows of {title(origin)}; cells there: "
                         f"{', '.join(sorted(set(map(str, names)))[:10]) or 'none'}")
    ids, confidence, variability = (table.column(name).to_numpy()[mine] for name in COLUMNS[1:4])
    own, first = np.unique(origin.table.column("id").to_numpy(), return_index=True)
    order = np.argsort(ids, kind="stable")
    ids, confidence, variability = ids[order], confidence[order], variability[order]
    if (np.diff(ids) == 0).any() or not np.isin(ids, own).all():
        raise InputError(f"--dynamics {file}: an id of {title(origin)} is there twice, or the cell has no such row; "
                         "give the file of a run that was trained on this cell")
    if not (np.isfinite(confidence).all() and np.isfinite(variability).all()):
        raise InputError(f"--dynamics {file}: a confidence or variability of {title(origin)} is no finite number")
    without = len(own) - len(ids)
    if without > MOST_WITHOUT * len(own):
        raise InputError(f"--dynamics {file}: {without:,} of {len(own):,} examples of {title(origin)} have none, "
                         f"at most {MOST_WITHOUT:.0%} may lack them; train for a whole epoch or more")
    keys = origin.table.column("key").take(pa.array(first[np.searchsorted(own, ids)])).to_pylist()
    return Dynamics(ids, confidence, variability, drawn_order(keys, seed)), without
