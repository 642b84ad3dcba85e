"""Plots for a page, as SVG by matplotlib."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ramen.extras import needing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "ramen",  # equal plots are equal files
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
}
# Distinguishable for colour-blind readers (Wong, Nature Methods 2011), and by dashes.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)))


def check_plots() -> None:
    """Raise before the work if matplotlib is not installed.

    Raises:
        InputError: with the command to install it.
    """
    with needing("plot", "a page"):
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401


def drawn(*panels: Callable[[Axes], None]) -> str:
    """Return the panels next to each other, each drawn by its function, as a ``data:`` URL of SVG."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(4.8 * len(panels), 3.4), layout="constrained")
        for axes, panel in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
            panel(axes)
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode()


def curves(
    of: Mapping[str, Sequence[float]], at: Sequence[float], x: str, y: str, ticks: Sequence[str] = ()
) -> Callable[[Axes], None]:
    """Return a panel with one line per name over the same x values."""

    def panel(axes: Axes) -> None:
        for number, (name, values) in enumerate(of.items()):
            style: Any = _DASHES[number % len(_DASHES)]
            colour = _COLOURS[number % len(_COLOURS)]
            # The first line on top, as equal lines would hide it.
            axes.plot(
                at, values, color=colour, linestyle=style, marker="o", markersize=3, label=name, zorder=9 - number
            )
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.set_ylim(bottom=0)
        axes.set_xticks(at, ticks or [f"{place:g}" for place in at], rotation=40 if ticks else 0, fontsize="small")
        if len(of) > 1:
            axes.legend(fontsize="small")

    return panel


def lines(of: Mapping[str, tuple[Sequence[float], Sequence[float]]], x: str, y: str) -> Callable[[Axes], None]:
    """Return a panel with one line per name, each over x values of its own.

    Args:
        of: by name the x and the y values, equally many.
        x: name of the x axis.
        y: name of the y axis.

    Example:
        ``drawn(lines({"without graphs": ([1, 2, 3], [2.8, 2.1, 1.9])}, "epoch", "loss"))``
    """

    def panel(axes: Axes) -> None:
        for number, (name, (at, values)) in enumerate(of.items()):
            style: Any = _DASHES[number % len(_DASHES)]
            colour = _COLOURS[number % len(_COLOURS)]
            axes.plot(at, values, color=colour, linestyle=style, marker="o" if len(at) < 30 else "", markersize=3,
                      label=name)  # fmt: skip
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.locator_params(axis="x", integer=True)
        if len(of) > 1:
            axes.legend(fontsize="small")

    return panel


def diagonal(bins: Sequence[Mapping[str, float]]) -> Callable[[Axes], None]:
    """Return a reliability diagram: share right over predicted probability, with the diagonal."""

    def panel(axes: Axes) -> None:
        predicted, right = ([one[key] for one in bins] for key in ("probability", "right"))
        most = max((one["pairs"] for one in bins), default=1)
        axes.plot([0, 1], [0, 1], color="#999999", linestyle=":")
        axes.plot(predicted, right, color=_COLOURS[0])
        axes.scatter(predicted, right, [10 + 150 * one["pairs"] / most for one in bins], color=_COLOURS[0], zorder=3)
        axes.set_xlabel("probability")
        axes.set_ylabel("share right")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)

    return panel


def ranked_counts(counts: np.ndarray, x: str, y: str) -> Callable[[Axes], None]:
    """Return a panel of descending positive counts, both axes logarithmic."""

    def panel(axes: Axes) -> None:
        ordered = np.sort(counts[counts > 0])[::-1]
        # A million places draw as a thousand: the curve is the same.
        at = np.unique(np.geomspace(1, max(1, len(ordered)), 1000).astype(int)) - 1
        axes.loglog(at + 1, ordered[at] if len(ordered) else at, color=_COLOURS[0], marker="." if len(at) < 30 else "")
        axes.set_xlabel(x)
        axes.set_ylabel(y)

    return panel


def histogram(of: Mapping[str, np.ndarray], x: str, y: str) -> Callable[[Axes], None]:
    """Return a step histogram per name; the last step holds all counts above the 99th percentile."""

    def panel(axes: Axes) -> None:
        most = max([1, *(int(np.percentile(counts, 99)) for counts in of.values() if len(counts))])
        edges = np.unique(np.linspace(0, most + 1, min(most + 1, 40) + 1).astype(int))
        for number, (name, counts) in enumerate(of.items()):
            heights = np.histogram(np.minimum(counts, most), edges)[0] * 100.0 / max(1, len(counts))
            style: Any = _DASHES[number % len(_DASHES)]
            axes.stairs(heights, edges, color=_COLOURS[number % len(_COLOURS)], linestyle=style, label=name)
        axes.set_xlabel(f"{x} (last step: {edges[-2]} or more)")
        axes.set_ylabel(y)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize="small")

    return panel
