"""Drift, drawn. Needs matplotlib (extra ``train``)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bonafide.evaluation.figures import svg
from bonafide.monitoring.drift import FALSE_ALARM, Window

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMALLEST = 1e-12  # p-value that is drawn as such


def drift_figure(windows: Sequence[Window]) -> str:
    """Return how far each statistic moved, window by window.

    Parameters
    ----------
    windows : sequence of Window
        At least one, in the order of time.

    Returns
    -------
    str
        An ``<svg>`` element: a line for each statistic, higher where its p-value is smaller, with
        a ring where it alarms.
    """

    def draw(axes: "Axes") -> None:
        numbers = np.arange(1, len(windows) + 1)
        for name in (each.name for each in windows[0].statistics):
            moved = [{each.name: each for each in window.statistics}[name] for window in windows]
            height = -np.log10(np.maximum([each.p for each in moved], SMALLEST))
            (line,) = axes.plot(numbers, height, label=name, marker=".", linewidth=1)
            alarmed = np.array([each.alarms for each in moved])
            (ring,) = axes.plot(numbers[alarmed], height[alarmed], "o", fillstyle="none")
            ring.set(color=line.get_color(), markersize=9)
        level = -np.log10(FALSE_ALARM / len(windows[0].statistics))
        axes.axhline(level, color="#999", linewidth=0.7, linestyle=":")
        axes.locator_params(axis="x", integer=True)
        axes.set(xlabel="window, the newest last", ylabel="$-\\log_{10}\\,p$", ylim=(0, None))
        axes.set_xlim(0.5, len(windows) + 0.5)
        axes.legend(fontsize=8, frameon=False, loc="upper left")

    return svg(draw, width=7.2)
