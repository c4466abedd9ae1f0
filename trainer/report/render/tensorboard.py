"""The report's figures and mean values as one TensorBoard event file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainer.report.data.compare import means_over
from trainer.report.data.compute import SectionResult
from trainer.report.document import Document
from trainer.statistics.summary import summarise


def write(folder: Path, document: Document, sections: Sequence[SectionResult]) -> bool:
    """Write an event file to `folder`; False, and nothing written, where tensorboard is not installed."""
    try:
        from trainer.plots.events import EventFile
    except ImportError:
        return False
    with EventFile(folder) as events:
        for drawing in document.drawings():
            events.figure(f"report/{drawing.name}", drawing.figure)
        for section in sections:
            for grid in (section.standard, section.generalized):
                for label in grid.labels:
                    scalars = {_cell_name(cell): grid.values(label, cell) for cell in grid.scored}
                    scalars |= {f"mean, {name}": grid.means(label, cells)
                                for name, cells in means_over(grid, grid.shared).items()}
                    for name, values in scalars.items():
                        if values:
                            events.scalar(f"{section.task}-{section.split}-{grid.setting}/{section.metric}/{name}/{label}",
                                          summarise(values).mean)
    return True


def _cell_name(cell: tuple[str, str]) -> str:
    return cell[0] if cell[0] == cell[1] else f"{cell[0]}-{cell[1]}"
