"""How close a made table is to real rows: by column, in how columns hang together, and to a classifier."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from likethat.generators.comparing import largest_gap, told_apart
from likethat.generators.table.columns import Column

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, eq=False)
class TableQuality:
    """How far two tables are from each other; read it beside that of two real halves.

    Attributes:
        columns: by name, the largest difference of the two distributions, missing values included: 0 for the same, 1
            for nothing in common (Kolmogorov-Smirnov for numbers and dates, total variation for categories).
        correlation_error: mean absolute difference of the rank correlations between columns, categories one by one;
            0 for the same.
        pairs: by two names, the largest of these differences between the two columns.
        detection: area under the ROC curve of a classifier that learns to tell the two apart, cross-validated; 0.5
            for one that cannot.
        detection_error: its standard error.
    """

    columns: Mapping[str, float]
    correlation_error: float
    pairs: Mapping[tuple[str, str], float]
    detection: float
    detection_error: float

    @property
    def column_distance(self) -> float:
        """Mean over the columns."""
        return float(np.mean(list(self.columns.values()))) if self.columns else 0.0


def compare_tables(
    first: "pd.DataFrame", second: "pd.DataFrame", columns: Sequence[Column], *, seed: int = 0
) -> TableQuality:
    """Measure how far two tables are from each other.

    Args:
        first: real rows that were not learned from, say.
        second: made rows.
        columns: what their columns are: ``generator.columns``.
        seed: of the classifier.
    """
    varying = varying_columns(columns)
    numbers = [(column.to_numbers(first[column.name]), column.to_numbers(second[column.name])) for column in varying]
    features = [_features(column, *pair) for column, pair in zip(varying, numbers, strict=True)]
    a, b = (np.concatenate([pair[side] for pair in features], axis=1) for side in (0, 1))
    apart = np.abs(_rank_correlations(a) - _rank_correlations(b))
    widths = [pair[0].shape[1] for pair in features]
    area, error = told_apart(np.stack([x for x, _ in numbers], 1), np.stack([x for _, x in numbers], 1), seed=seed)
    return TableQuality(
        columns={str(column.name): _distance(column, *pair) for column, pair in zip(varying, numbers, strict=True)},
        correlation_error=float(apart.mean()),
        pairs=_pairs([str(column.name) for column in varying], apart, widths),
        detection=area,
        detection_error=error,
    )


def varying_columns(columns: Sequence[Column]) -> list[Column]:
    """Return the columns in which something varies that means something."""
    return [column for column in columns if column.kind not in ("constant", "missing") and not column.is_identifier]


def _pairs(
    names: Sequence[str], apart: Float[np.ndarray, "feature feature"], widths: Sequence[int]
) -> dict[tuple[str, str], float]:
    """Return the largest difference in the block of each two columns."""
    ends = np.cumsum(widths)
    spans = [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]
    return {
        (names[i], names[j]): float(apart[spans[i], spans[j]].max())
        for i, j in itertools.combinations(range(len(names)), 2)
        if widths[i] and widths[j]
    }


def is_valid(frame: "pd.DataFrame", columns: Sequence[Column]) -> bool:
    """Return whether every value of every column is one that could stand there."""
    if list(frame.columns) != [column.name for column in columns]:
        return False
    return all(_is_valid_column(frame[column.name], column) for column in columns)


def _is_valid_column(series: "pd.Series", column: Column) -> bool:
    dtype = "category" if str(series.dtype) == "category" else str(series.dtype)
    present = series[series.notna()]
    if dtype != column.dtype or (len(present) < len(series) and not column.can_miss):
        return False
    if column.kind == "missing":
        return not len(present)
    if column.kind in ("category", "constant"):
        return set(present.unique()) <= set(column.choices)
    numbers = column.to_numbers(present)
    if column.step:
        low, high = 0.0, (column.high - column.low) / column.step
        return bool((numbers == np.round(numbers)).all() and (numbers >= low).all() and (numbers <= high).all())
    if column.decimals is not None and not (np.round(numbers, column.decimals) == numbers).all():
        return False
    return bool((numbers >= column.low).all() and (numbers <= column.high).all())


def _distance(column: Column, a: np.ndarray, b: np.ndarray) -> float:
    gone = abs(float(np.isnan(a).mean() - np.isnan(b).mean()))
    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    if not len(a) or not len(b):
        return max(gone, float(len(a) != len(b)))
    if column.kind != "category":
        return max(gone, largest_gap(a, b))
    codes = np.unique(np.concatenate([a, b]), return_inverse=True)[1]
    shares = [np.bincount(some, minlength=codes.max() + 1) / len(some) for some in np.split(codes, [len(a)])]
    return max(gone, float(0.5 * np.abs(shares[0] - shares[1]).sum()))


def _features(column: Column, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return columns to correlate: the number; the most frequent categories, one by one."""
    if column.kind != "category":
        middle = np.nanmedian(np.concatenate([a, b]))
        return np.nan_to_num(a, nan=middle)[:, None], np.nan_to_num(b, nan=middle)[:, None]
    places = np.arange(min(8, len(column.choices) - (len(column.choices) == 2)))
    return (a[:, None] == places).astype(float), (b[:, None] == places).astype(float)


def _rank_correlations(features: Float[np.ndarray, "n feature"]) -> Float[np.ndarray, "feature feature"]:
    from scipy.stats import rankdata

    ranks = rankdata(features, axis=0)
    ranks = ranks - ranks.mean(0)
    spread = np.sqrt((ranks**2).mean(0))
    standard = ranks / np.where(spread > 0, spread, 1.0)
    return standard.T @ standard / len(ranks)
