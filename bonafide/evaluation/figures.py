"""Figures of evaluations and of fits, as SVG. Needs matplotlib (extra ``train``)."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bonafide.evaluation.evaluate import DECISION
from bonafide.evaluation.metrics import det_curve
from bonafide.types import AnyFloats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REAL, FAKE = "#1b7f5c", "#c2410c"


def svg(draw: Callable[["Axes"], None], *, width: float = 5.6, height: float = 3.6) -> str:
    """Return a figure as an ``<svg>`` element, the same bytes for the same data.

    Parameters
    ----------
    draw : callable
        Called with matplotlib axes to draw on.
    width, height : float
        Of the figure, in inches.

    Returns
    -------
    str
        The element, without an XML declaration.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="none")
    draw(figure.subplots())
    file = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "bonafide"}):  # ids would be drawn at random
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def det_figure(llr: Mapping[str, AnyFloats], is_spoof: NDArray[np.bool_]) -> str:
    """Return detection error trade-off curves of several systems, on probit axes.

    Parameters
    ----------
    llr : mapping of str to ndarray, shape (n_rows,)
        System -> scores, higher for bona fide; `DECISION` is drawn over the rest.
    is_spoof : ndarray of bool, shape (n_rows,)
        Which rows are spoof.

    Returns
    -------
    str
        An ``<svg>`` element.

    References
    ----------
    Martin et al., "The DET curve in assessment of detection task performance", 1997.
    """
    from scipy.stats import norm

    ticks = np.array([0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6])
    limits = norm.ppf([0.0008, 0.7])

    def draw(axes: "Axes") -> None:
        for name, scores in llr.items():
            false_alarm, miss, _ = det_curve(scores, is_spoof)
            curve = [norm.ppf(np.clip(x, 1e-3, 1 - 1e-3)) for x in (false_alarm, miss)]
            look = {"color": "#111", "linewidth": 2.2} if name == DECISION else {"linewidth": 1}
            axes.plot(*curve, label=name, zorder=3 if name == DECISION else 2, **look)
        axes.plot(limits, limits, color="#999", linewidth=0.7, linestyle=":")
        names = [f"{100 * tick:g}" for tick in ticks]
        axes.set_xticks(norm.ppf(ticks), names)
        axes.set_yticks(norm.ppf(ticks), names)
        axes.set(xlim=limits, ylim=limits)
        axes.set(xlabel="spoofs accepted, %", ylabel="bona fide rejected, %")
        axes.grid(alpha=0.2)
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.legend(fontsize=8, frameon=False, loc="outside right center")

    return svg(draw)


def histogram_figure(llr: AnyFloats, is_spoof: NDArray[np.bool_]) -> str:
    """Return histograms of both classes' scores.

    Parameters
    ----------
    llr : ndarray of float, shape (n_rows,)
        Scores, higher for bona fide.
    is_spoof : ndarray of bool, shape (n_rows,)
        Which rows are spoof.

    Returns
    -------
    str
        An ``<svg>`` element, without the outermost 1 % of the scores.
    """

    def draw(axes: "Axes") -> None:
        low, high = (
            np.percentile(llr, 0.5, method="lower"),
            np.percentile(llr, 99.5, method="higher"),
        )
        bins = np.linspace(low, max(high, low + 1e-3), 40)
        for mask, name, color in ((~is_spoof, "bona fide", REAL), (is_spoof, "spoof", FAKE)):
            axes.hist(llr[mask], bins.tolist(), alpha=0.6, label=name, color=color, density=True)
        axes.axvline(0.0, color="#333", linewidth=0.8)
        axes.set(xlabel="llr (higher: more bona fide)", ylabel="density")
        axes.legend(fontsize=8, frameon=False, loc="upper right")

    return svg(draw)


def curves_figure(history: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Return the training losses of one base model.

    Parameters
    ----------
    history : mapping of str to mapping
        Name of a fit -> its history, with the losses under ``loss``.

    Returns
    -------
    str
        An ``<svg>`` element with a curve for each fit.
    """

    def draw(axes: "Axes") -> None:
        for name, losses in history.items():
            loss = losses.get("loss", ())
            axes.plot(range(1, len(loss) + 1), loss, label=name, marker=".", linewidth=1)
        axes.set(xlabel="epoch or trees", ylabel="training loss")
        axes.legend(fontsize=8, loc="upper right")
        axes.grid(alpha=0.2)

    return svg(draw)
