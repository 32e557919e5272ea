"""The curve of privacy loss over rounds against the cap, as an inline SVG that is the same bytes each time.

Only drawing: the points are those of the record. Text stays text, for search and screen readers;
the SVG refers to nothing outside of itself.
"""

import io
import re
from collections.abc import Iterator
from typing import Any

from privacy.digest import Json

_INK, _SOFT, _CAP = "#1d2733", "#5c6875", "#a3262a"
_LINES = ("#0b6e6e", "#b4541a", "#5b4a9c", "#2f7d32", "#8a6d00", "#1f5fa8", "#8c2f6b", "#4a4a4a")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_NAMED = len(_LINES)
"""More curves than this are drawn alike and without names."""


Curve = tuple[tuple[tuple[int, float], ...], float | None]
"""Points of one cohort, (charge, epsilon), and its cap."""


def curves(silos: Json) -> str:
    """The SVG element, or nothing when no cohort has a finite figure.

    Cohorts with equal curves and caps share one line. `silos` is that part of a record.
    """
    groups: dict[Curve, list[str]] = {}
    for label, points, cap in _labelled(silos):
        if points:
            groups.setdefault((points, cap), []).append(label)
    return _draw(groups) if groups else ""


def _labelled(silos: Any) -> Iterator[tuple[str, tuple[tuple[int, float], ...], float | None]]:
    for silo in silos:
        for cohort in silo["cohorts"]:
            label = silo["name"] if len(silo["cohorts"]) == 1 else f"{silo['name']} / {cohort['names'][0]}"
            # An infinite epsilon is a text in a record.
            points = ((point["charge"], point["epsilon"]) for point in cohort["series"])
            yield label, tuple(point for point in points if not isinstance(point[1], str)), cohort["cap"]


def _draw(groups: dict[Curve, list[str]]) -> str:
    # Imported here: `--help` need not wait for matplotlib.
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with mpl.rc_context():
        mpl.rcParams.update({"svg.hashsalt": "collegium", "svg.fonttype": "none", "font.family": "sans-serif"})
        figure = Figure(figsize=(8.6, 3.5), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        last = max(points[-1][0] for points, _ in groups)
        for number, ((points, _), names) in enumerate(groups.items()):
            few = len(groups) <= _NAMED
            axes.plot(
                [0, *(charge for charge, _ in points)],
                [0.0, *(epsilon for _, epsilon in points)],
                color=_LINES[number] if few else _SOFT,
                marker=_MARKERS[number] if few else "",
                markersize=4.5,
                linewidth=1.8 if few else 0.8,
                label=_text(names) if few else "_",
                clip_on=False,
            )
        caps: dict[float, list[str]] = {}
        for (_, cap), names in groups.items():
            if cap is not None:
                caps.setdefault(cap, []).extend(names)
        for cap, names in caps.items():
            axes.axhline(cap, color=_CAP, linestyle=(0, (6, 3)), linewidth=1.4)
            whose = f" of {_text(names)}" if 1 < len(caps) <= _NAMED else ""
            axes.annotate(
                f"cap {cap:g}{whose}", (1, cap), xycoords=("axes fraction", "data"), xytext=(0, 4),
                textcoords="offset points", ha="right", va="bottom", color=_CAP, weight="bold",
            )  # fmt: skip
        top = max([cap or 0.0 for _, cap in groups] + [points[-1][1] for points, _ in groups])
        axes.set_ylim(0, top * 1.14)
        axes.set_xlim(0, last)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
        axes.set_xlabel("rounds charged to the cohort", color=_SOFT)
        axes.set_ylabel("privacy loss \N{GREEK SMALL LETTER EPSILON}", color=_SOFT)
        axes.tick_params(colors=_INK, length=0)
        axes.grid(axis="y", color="#d9dde1", linewidth=0.7)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(_SOFT)
        if len(groups) <= _NAMED:
            axes.legend(frameon=False, loc="lower right", labelcolor=_INK)
        target = io.StringIO()
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    return _inline(target.getvalue())


def _text(names: list[str]) -> str:
    """Names as text: a dollar sign would begin a formula."""
    return ", ".join(names).replace("$", r"\$")


def _inline(document: str) -> str:
    """The svg element alone, without prologue, metadata and fixed size."""
    element = document[document.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>\s*", "", element, flags=re.DOTALL)
    element = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", element, count=1)
    element = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", element, count=1)
    return element.replace("<svg", '<svg role="img" aria-labelledby="plot-caption"', 1)
