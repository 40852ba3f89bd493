"""Exemplars that are rows of a table, with the columns that tell them from others."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from likethat.report.text import shorten

if TYPE_CHECKING:
    import pandas as pd

_MARKED_FROM = 0.8  # standard deviations of the typical rows, or difference of shares
_MOST = 60  # columns drawn; the rest is counted


@dataclass(frozen=True, kw_only=True)
class ColumnView:
    """A column as it is shown.

    Attributes:
        name: of the column.
        cells: one an exemplar.
        typical: what rows from the generator's prior have there.
        mark: "high", "low" or "other" where the exemplars differ from those, else "".
        distance: how much they differ: columns are shown in that order.
    """

    name: str
    cells: tuple[str, ...]
    typical: str
    mark: str
    distance: float


def column_views(rows: "pd.DataFrame", typical: "pd.DataFrame") -> tuple[tuple[ColumnView, ...], int]:
    """Return the columns, the most telling first, and how many were left out.

    Args:
        rows: exemplars.
        typical: rows of the prior and of other targets.
    """
    views = sorted((_view(str(name), rows[name], typical[name]) for name in rows.columns), key=lambda v: -v.distance)
    return tuple(views[:_MOST]), max(0, len(views) - _MOST)


def _view(name: str, made: "pd.Series", others: "pd.Series") -> ColumnView:
    import pandas as pd

    is_number = pd.api.types.is_numeric_dtype(made) and not pd.api.types.is_bool_dtype(made)
    shown, distance, mark = _numbers(made, others) if is_number else _names(list(made), list(others))
    return ColumnView(
        name=shorten(name, 40),
        cells=tuple(_cell(value) for value in made),
        typical=shown,
        mark=mark if distance >= _MARKED_FROM else "",
        distance=distance,
    )


def _numbers(made: "pd.Series", others: "pd.Series") -> tuple[str, float, str]:
    ours, theirs = (part.to_numpy(np.float64, na_value=np.nan) for part in (made, others))
    if np.isnan(theirs).all():
        return "missing", 0.0, ""
    middle, spread = float(np.nanmean(theirs)), float(np.nanstd(theirs))
    decimals = max(0, 1 - math.floor(math.log10(spread))) if spread > 0 else 2
    typical = f"{middle:,.{min(decimals, 9)}f} ± {spread:,.{min(decimals, 9)}f}"
    if np.isnan(ours).all():
        return typical, 0.0, ""
    away = (float(np.nanmean(ours)) - middle) / spread if spread > 0 else 0.0
    return typical, abs(away), "high" if away > 0 else "low"


def _names(made: Sequence[Any], others: Sequence[Any]) -> tuple[str, float, str]:
    ours, theirs = Counter(map(str, made)), Counter(map(str, others))
    (usual, count), *_ = theirs.most_common(1)
    shares = [abs(ours[name] / len(made) - theirs[name] / len(others)) for name in ours]
    return f"{shorten(usual, 30)} ({100 * count / len(others):.0f} %)", max(shares) * 1.6, "other"


def _cell(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return "–" if np.isnan(value) else f"{value:.4g}"
    return "–" if value is None else shorten(str(value), 40)
