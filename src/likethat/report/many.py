"""The page and the figure of many results: a table with a link to each, what went wrong first."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from likethat._checks import require
from likethat.explanations.many import Many, Row
from likethat.report.pages import Page
from likethat.report.sheet import PictureSheet
from likethat.report.text import clean, for_matplotlib, percent, shorten

_KINDS = {
    "Explanation": "by parts or channels",
    "Counterfactual": "by what would change the answer",
    "Attribution": "by a heat map",
    "WordAttribution": "by words",
}
_COLUMNS = {"probability": "probability", "changed": "changed", "coverage": "shown", "queries": "questions"}
_MOST = 24  # bars of the figure


@dataclass(frozen=True, kw_only=True)
class RowView:
    """One input as it is shown: its page below the folder, or "", and its cells."""

    name: str
    page: str
    target: str
    cells: tuple[str, ...]
    status: str
    is_wrong: bool


def save_many(found: Many, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write the table of many results as one HTML file, which links to their pages where they lie beside it."""
    is_beside = found.folder is not None and Path(path).parent.resolve() == found.folder.resolve()
    shown = [name for name in _COLUMNS if any(getattr(row, name) is not None for row in found.rows)]
    views = [_view(row, found.page_of(place) if is_beside else "", shown) for place, row in enumerate(found.rows)]
    done = sum(bool(row.kind) for row in found.rows)
    headline = f"{done:,} of {len(found.rows):,} inputs explained"
    context = {
        "title": headline,
        "headline": headline,
        "lead": _lead(found),
        "columns": [_COLUMNS[name] for name in shown],
        "rows": [*(view for view in views if view.is_wrong), *(view for view in views if not view.is_wrong)],
        "is_interrupted": found.is_interrupted,
    }
    return Page("many.html.jinja", PictureSheet(1), context).write(path, overwrite=overwrite)


def _lead(found: Many) -> str:
    kinds = Counter(row.kind for row in found.rows if row.kind)
    statuses = Counter(row.status for row in found.rows if row.kind and row.status)
    how = "; ".join(f"{n:,} {_KINDS.get(kind, kind)}" for kind, n in kinds.most_common())
    ends = ", ".join(f"{n:,} {shorten(status, 40)}" for status, n in statuses.most_common(6))
    return f"{how}.{f' Searches ended: {ends}.' if ends else ''}" if how else "No input could be explained."


def _view(row: Row, page: str, shown: list[str]) -> RowView:
    return RowView(
        name=shorten(row.name, 80),
        page=page,
        target=shorten(row.target, 60),
        cells=tuple(_cell(name, getattr(row, name)) for name in shown),
        status=shorten(row.status, 300),
        is_wrong=not row.kind and bool(row.status),
    )


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "coverage":
        return percent(min(1.0, value))
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}"


def many_figure(found: Many) -> Any:
    """Draw how often each class was explained (needs ``likethat[figures]``)."""
    require("matplotlib", purpose="figures")
    from matplotlib.figure import Figure

    counted = Counter(row.target for row in found.rows if row.kind).most_common(_MOST)
    figure = Figure(figsize=(6, 1 + 0.3 * max(1, len(counted))), layout="constrained")
    axes = figure.add_subplot()
    names = [for_matplotlib(clean(shorten(name, 40))) for name, _ in counted]
    axes.barh(names[::-1], [n for _, n in counted][::-1], color="#4c6f91")
    axes.set_xlabel("inputs explained, by class")
    return figure
