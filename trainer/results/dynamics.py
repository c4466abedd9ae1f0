"""Training dynamics (Swayamdipta et al. 2020, "Dataset Cartography", arXiv 2009.10795), a row per training example.

`<run>/dynamics/epoch-0001.parquet`, ... hold the probability of the gold label after each epoch;
`<run>/dynamics.parquet` holds their summary, which `python -m data_prep select` reads and the data map is drawn from
(`trainer.plots.data_map`).
Shapes: N examples, E epochs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.base.errors import InputError
from data_prep.base.files import working_file

FILE, FOLDER = "dynamics.parquet", "dynamics"
TEXT, FLOAT, COUNT = pa.string(), pa.float64(), pa.int64()
EPOCH = pa.schema({"cell": TEXT, "id": COUNT, "probability": FLOAT, "correct": FLOAT})
"""Of one epoch. probability: of the gold label, in a row of words their mean. correct: 1, 0, or the share of words."""
SUMMARY = pa.schema({"cell": TEXT, "id": COUNT, "confidence": FLOAT, "variability": FLOAT, "correctness": FLOAT,
                     "epochs": COUNT})
"""cell: `task/split/language`. id: of the row in the cell. confidence and variability: mean and standard deviation of
the gold label's probability over epochs (equations of section 2.1). correctness: mean of `correct`."""

Columns = Mapping[str, npt.NDArray[Any]]


def epoch_file(run: Path, epoch: int) -> Path:
    """File of the end of epoch `epoch`, counted from 1."""
    return run / FOLDER / f"epoch-{epoch:04d}.parquet"


def write_epoch(run: Path, epoch: int, columns: Columns) -> None:
    """Write the columns of EPOCH; an earlier file of this epoch is replaced."""
    epoch_file(run, epoch).parent.mkdir(exist_ok=True)
    _write(epoch_file(run, epoch), columns, EPOCH)


def write_summary(run: Path, epochs: Sequence[int]) -> Columns:
    """Summarise these epochs in `dynamics.parquet`, and return its columns."""
    found = [pq.read_table(epoch_file(run, epoch), schema=EPOCH) for epoch in epochs]
    probability_EN, correct_EN = (np.stack([table[name].to_numpy() for table in found])
                                  for name in ("probability", "correct"))
    columns = {
        "cell": found[0]["cell"].to_numpy(), "id": found[0]["id"].to_numpy(),
        "confidence": probability_EN.mean(axis=0), "variability": probability_EN.std(axis=0),
        "correctness": correct_EN.mean(axis=0), "epochs": np.full(found[0].num_rows, len(epochs))}
    _write(run / FILE, columns, SUMMARY)
    return columns


def read_summary(path: Path) -> Columns:
    """Columns of a `dynamics.parquet`. Raises InputError where it is missing, damaged or something else."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read ({str(error).splitlines()[0][:200]}); expected the training dynamics "
                         "of a run with logging.dynamics") from None
    if not table.schema.equals(SUMMARY):
        raise InputError(f"{path}: columns {', '.join(table.column_names)[:200]}, expected {', '.join(SUMMARY.names)}, "
                         "the training dynamics of a run with logging.dynamics")
    return {name: table[name].to_numpy() for name in SUMMARY.names}


def _write(path: Path, columns: Columns, schema: pa.Schema) -> None:
    with working_file(path, "training dynamics") as temporary:
        pq.write_table(pa.table(dict(columns), schema=schema), temporary)
