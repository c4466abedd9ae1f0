"""A report's figures and means as TensorBoard events. torch is imported when asked for, nowhere else in reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainer.report.data.collect import Section
from trainer.report.data.compare import means_over
from trainer.report.document import Document
from trainer.statistics.summary import summarise


def write(folder: Path, document: Document, sections: Sequence[Section]) -> bool:
    """Write one event file under `folder`; False, and nothing written, where torch or tensorboard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return False
    writer = SummaryWriter(log_dir=str(folder))
    for drawing in document.drawings():
        writer.add_figure(f"report/{drawing.name}", drawing.figure, close=False)
    for section in sections:
        for grid in (section.standard, section.generalized):
            for label in grid.labels:
                scalars = {_cell_name(cell): grid.values(label, cell) for cell in grid.scored}
                scalars |= {f"mean, {name}": grid.means(label, cells)
                            for name, cells in means_over(grid, grid.shared).items()}
                for name, values in scalars.items():
                    if values:
                        writer.add_scalar(f"{section.task}-{section.split}-{grid.setting}/{name}/{label}",
                                          summarise(values).mean, 0)
    writer.close()
    return True


def _cell_name(cell: tuple[str, str]) -> str:
    return cell[0] if cell[0] == cell[1] else f"{cell[0]}-{cell[1]}"
