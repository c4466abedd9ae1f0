"""Data map: training examples by confidence and variability (Swayamdipta et al. 2020, arXiv 2009.10795, figure 1)."""

from __future__ import annotations

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from trainer.plots.palette import SEQUENTIAL
from trainer.plots.style import EDGE, FAINT, NARROW, STYLE, wrapped_title

MOST_POINTS = 25_000  # drawn; more hide each other, and the paper draws as many
Floats = npt.NDArray[np.float64]


def data_map(confidence_N: Floats, variability_N: Floats, correctness_N: Floats, title: str = "",
             narrow: bool = False) -> Figure:
    """Scatter plot of confidence against variability, coloured by correctness, and histograms of all three.

    Of more than MOST_POINTS examples a random sample is drawn, always the same; the histograms count all. The points
    are an image within the SVG, which would else take a megabyte per 10,000.
    """
    total = len(confidence_N)
    shown = np.random.default_rng(0).permutation(total)[:MOST_POINTS]
    with matplotlib.rc_context({**STYLE, "figure.dpi": 150}):
        figure = Figure(figsize=(NARROW, 5.2) if narrow else (6.0, 4.0), layout="constrained")
        grid = (figure.add_gridspec(2, 3, height_ratios=(4, 1)) if narrow else
                figure.add_gridspec(3, 2, width_ratios=(3, 1)))
        axes = figure.add_subplot(grid[0, :] if narrow else grid[:, 0])
        points = axes.scatter(
            variability_N[shown], confidence_N[shown], c=correctness_N[shown], cmap=SEQUENTIAL, vmin=0, vmax=1,
            s=max(4.0, 36 - 0.01 * len(shown)), linewidths=0, alpha=0.8, rasterized=True)
        axes.set_xlim(-0.01, 0.51)  # no standard deviation of shares is above one half
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel("variability")
        axes.set_ylabel("confidence")
        axes.grid(color=FAINT, linewidth=0.6)
        axes.set_title(wrapped_title(title or f"{total:,} examples", 3.4 if narrow else 4.2))
        # Names of the paper's regions, beside them: variability is at most sqrt(c (1 - c)) at confidence c.
        for x, y, name in ((0.28, 0.95, "easy to learn"), (0.4, 0.5, "ambiguous"), (0.28, 0.04, "hard to learn")):
            axes.text(x, y, name, fontsize=9)
        figure.colorbar(points, ax=axes, location="bottom", label="correctness", shrink=0.7, aspect=30)
        columns = {"confidence": (confidence_N, 1.0), "variability": (variability_N, 0.5),
                   "correctness": (correctness_N, 1.0)}
        for row, (name, (values_N, largest)) in enumerate(columns.items()):
            histogram = figure.add_subplot(grid[1, row] if narrow else grid[row, 1])
            histogram.hist(values_N, bins=20, range=(0.0, largest), color=EDGE)
            histogram.set_xlabel(name, fontsize=9)
            histogram.tick_params(labelsize=8)
    return figure
