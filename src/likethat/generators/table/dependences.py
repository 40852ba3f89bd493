"""What always holds between columns of a table: one says another, or is never above it."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from likethat._documents import typed
from likethat.generators.table.columns import Column, Scalar
from likethat.generators.table.scale import Scale

if TYPE_CHECKING:
    import pandas as pd

Places: TypeAlias = Mapping[Any, Float[np.ndarray, " n"]]
"""Positions (`Scale.positions`) of some rows, by column."""

_MOST_LEVELS = 128  # a column of more values has none that comes often enough to say something
_FEWEST = 8  # rows that must agree: six or seven agree by chance in some pair of most tables
_NATS = 25.0  # of surprise, were the columns unrelated: one chance in 7e10, for some 1e5 pairs of values in a table
_EXCEPTIONS = 1e-3  # real tables hold slips: one husband of 13,193 is a woman
_MOST_ROWS = 20_000  # of a longer table an even choice is looked through
_GONE = -math.inf  # stands for a missing value among positions


@dataclass(frozen=True, kw_only=True)
class Dependence:
    """What the rows of a table have in common.

    Attributes:
        kind: "says": `first` says what `second` is; "below": it is nowhere above `second`.
        first: column.
        second: column.
        pairs: position of `first` and the one of `second` that belongs to it; None where it is missing.
        by_gap: whether `first` speaks by being missing (0) or not (1); those are in `pairs` then.
        on_gap: whether it says only that `second` is missing (0) or not (1).
        rows: in which it was seen.
        exceptions: rows that break it.
    """

    kind: Literal["says", "below"]
    first: Scalar
    second: Scalar
    pairs: tuple[tuple[float | None, float | None], ...] = ()
    by_gap: bool = False
    on_gap: bool = False
    rows: int = 0
    exceptions: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return plain values that `from_json` builds it from."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "Dependence":
        """Build it again.

        Raises:
            Damaged: a value of another type.
        """
        return typed(values, cls)

    def describe(self, scales: Mapping[Scalar, Scale]) -> str:
        """Return it in words.

        Example:
            >>> Dependence(kind="below", first="jail_in", second="jail_out", rows=900).describe({})
            'jail_in is never above jail_out (900 rows)'
        """
        seen = f"({self.rows:,} rows{f', {self.exceptions} exceptions' if self.exceptions else ''})"
        if self.kind == "below":
            return f"{self.first} is never above {self.second} {seen}"
        if len(self.pairs) > 1:
            by, on = ("whether there is " if gap else "" for gap in (self.by_gap, self.on_gap))
            many = "" if self.by_gap else f", for {len(self.pairs)} of its values"
            return f"{by}{self.first} says {on}{self.second}{many} {seen}"
        where, what = self.pairs[0]
        condition = f"where {self.first} {_word(scales, self.first, where, gap=self.by_gap)}"
        return f"{condition}, {self.second} {_word(scales, self.second, what, gap=self.on_gap)} {seen}"


def _word(scales: Mapping[Scalar, Scale], name: Scalar, position: float | None, *, gap: bool) -> str:
    if position is None or (gap and position == 0):
        return "is missing"
    return "is filled in" if gap else f"is {scales[name].values(np.array([position])).iloc[0]}"


def learn_dependences(columns: Sequence[Column], frame: "pd.DataFrame") -> tuple[Dependence, ...]:
    """Return what always holds between two columns of a table, and would not if they were unrelated."""
    rows = np.linspace(0, len(frame) - 1, min(len(frame), _MOST_ROWS)).astype(int)
    part = frame.iloc[rows]
    varying = [column for column in columns if column.kind not in ("constant", "missing") and not column.is_identifier]
    scales = {column.name: Scale(column) for column in varying}
    places = {name: scale.positions(part[name]) for name, scale in scales.items()}
    return (*_says(places), *_below(scales, places))


def _says(places: Places) -> list[Dependence]:
    """Return what values, and gaps, of one column say of another's."""
    values = {name: level for name, at in places.items() if (level := _Levels.of(at)) is not None}
    gaps = {name: _Levels.gaps(at) for name, at in places.items() if np.isnan(at).any()}
    found: list[Dependence] = []
    for first, second in itertools.permutations(places, 2):
        speakers = [(False, values[first])] if first in values else []
        speakers += [(True, gaps[first])] if first in gaps and first not in values else []
        for by_gap, level in speakers:
            said: list[Dependence] = []
            if second in values:
                said += _said(first, level, second, values[second], by_gap=by_gap, on_gap=False)
            if second in gaps:
                said += _said(first, level, second, gaps[second], by_gap=by_gap, on_gap=True)
            found += said[:1] if len(said) > 1 and _says_as_much(*said) else said
    return found


def _says_as_much(each: Dependence, other: Dependence) -> bool:
    return {pair[0] for pair in other.pairs} <= {pair[0] for pair in each.pairs}


@dataclass(frozen=True, kw_only=True)
class _Levels:
    """A column's values by number; the last is that it is missing, where it ever is."""

    codes: np.ndarray
    values: tuple[float | None, ...]

    @classmethod
    def of(cls, positions: np.ndarray) -> "_Levels | None":
        keys, codes = np.unique(np.nan_to_num(positions, nan=_GONE), return_inverse=True)
        if not 1 < len(keys) <= _MOST_LEVELS:
            return None
        return cls(codes=codes, values=tuple(None if key == _GONE else float(key) for key in keys))

    @classmethod
    def gaps(cls, positions: np.ndarray) -> "_Levels":
        return cls(codes=np.isfinite(positions).astype(int), values=(0.0, 1.0))


def _said(
    first: Scalar, level: _Levels, second: Scalar, other: _Levels, *, by_gap: bool, on_gap: bool
) -> list[Dependence]:
    """Return for which values of the first column the second is always the same."""
    n_levels, n_others = len(level.values), len(other.values)
    counts = np.bincount(level.codes * n_others + other.codes, minlength=n_levels * n_others)
    counts = counts.reshape(n_levels, n_others)
    n, most, which = counts.sum(axis=1), counts.max(axis=1), counts.argmax(axis=1)
    share = counts.sum(axis=0) / counts.sum()
    is_one = (n - most <= _EXCEPTIONS * n) & (n >= _FEWEST)
    nats = -most * np.log(np.maximum(share[which], 1e-300))
    holds = np.flatnonzero(is_one & (nats >= _NATS))
    is_all = bool(((n - most) <= _EXCEPTIONS * n).all()) and len(holds) > 1
    holds = np.arange(n_levels) if is_all else holds
    if not len(holds):
        return []
    pairs = tuple((level.values[at], other.values[which[at]]) for at in holds)
    rows, exceptions = int(n[holds].sum()), int((n - most)[holds].sum())
    about: dict[str, Any] = {"by_gap": by_gap, "on_gap": on_gap, "rows": rows, "exceptions": exceptions}
    return [Dependence(kind="says", first=first, second=second, pairs=pairs, **about)]


def _below(scales: Mapping[Scalar, Scale], places: Places) -> list[Dependence]:
    """Return pairs of numbers, or of dates, of which one is never above the other though their ranges overlap."""
    found = []
    for kind in ("number", "date"):
        sizes = {
            name: scale.sizes(places[name])
            for name, scale in scales.items()
            if scale.column.kind == kind and np.isfinite(places[name]).sum() >= _FEWEST
        }
        families = {name: scales[name].column.dtype.partition("[")[0] for name in sizes} if kind == "date" else {}
        for first, second in itertools.permutations(sizes, 2):
            both = np.isfinite(sizes[first]) & np.isfinite(sizes[second])
            if families.get(first) != families.get(second) or both.sum() < _FEWEST:
                continue
            a, b = sizes[first][both], sizes[second][both]
            above = int((a > b).sum())
            if above > _EXCEPTIONS * len(a) or (a == b).all():
                continue
            unrelated = float(np.searchsorted(np.sort(b), a, "left").mean() / len(b))  # share with a > b
            if -len(a) * math.log(max(1 - unrelated, 1e-300)) >= _NATS:
                found.append(Dependence(kind="below", first=first, second=second, rows=len(a), exceptions=above))
    return found


def broken_by(
    dependences: Sequence[Dependence], scales: Mapping[Any, Scale], places: Places, n: int
) -> Bool[np.ndarray, "n dependence"]:
    """Return which dependences each row breaks.

    Args:
        dependences: of the table.
        scales: of its columns.
        places: positions of the rows in all columns that the dependences name.
        n: how many rows.
    """
    broken = np.zeros((n, len(dependences)), dtype=bool)
    for at, each in enumerate(dependences):
        first, second = places[each.first], places[each.second]
        if each.kind == "below":
            with np.errstate(invalid="ignore"):
                broken[:, at] = scales[each.first].sizes(first) > scales[each.second].sizes(second)
            continue
        said, is_said = _required(each, first)
        broken[:, at] = is_said & (said != _read(second, gap=each.on_gap))
    return broken


def _read(positions: np.ndarray, *, gap: bool) -> np.ndarray:
    return np.isfinite(positions).astype(float) if gap else np.nan_to_num(positions, nan=_GONE)


def _required(each: Dependence, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what the second column must be, and where the first says so."""
    keys = np.array([_GONE if key is None else key for key, _ in each.pairs])
    values = np.array([_GONE if value is None else value for _, value in each.pairs])
    order = np.argsort(keys)
    own = _read(first, gap=each.by_gap)
    at = np.searchsorted(keys[order], own).clip(0, len(keys) - 1)
    return values[order][at], keys[order][at] == own


def repaired(
    dependences: Sequence[Dependence],
    scales: Mapping[Any, Scale],
    places: Mapping[Any, np.ndarray],
    *,
    free: Sequence[Any],
    ignored: Bool[np.ndarray, " dependence"] | None = None,
    rounds: int = 3,
) -> dict[Any, np.ndarray]:
    """Return rows in which what a column says of another holds, wherever one value says it.

    Args:
        dependences: of the table.
        scales: of its columns.
        places: positions of the rows; they stay as they are.
        free: columns that may be set.
        ignored: dependences that need not hold.
        rounds: one value that is set may say the next.
    """
    found = {name: np.array(values) for name, values in places.items()}
    n = len(next(iter(found.values()))) if found else 0
    work = _Repair(scales, found, settled={name: np.full(n, name not in free) for name in found})
    for _ in range(rounds):
        clean = True
        for at, each in enumerate(dependences):
            rows = broken_by([each], scales, found, n)[:, 0]
            if (ignored is None or not ignored[at]) and rows.any():
                clean = False
                work.below(each, rows) if each.kind == "below" else work.says(each, rows)
        if clean:
            break
    return found


@dataclass(frozen=True, kw_only=False)
class _Repair:
    """Rows on the way to hold together; what was once decided of a row stays, so that no two columns take turns."""

    scales: Mapping[Any, Scale]
    found: dict[Any, np.ndarray]
    settled: dict[Any, np.ndarray]

    def says(self, each: Dependence, rows: np.ndarray) -> None:
        """Set what is said; where that is settled otherwise, let the speaker say something else."""
        obeys, second = rows & ~self.settled[each.second], self.found[each.second]
        said = _required(each, self.found[each.first])[0]
        if each.on_gap:  # what a value that was missing should be, nobody says
            obeys = obeys & (said == 0)
            said = np.full(len(said), _GONE)
        second[obeys] = np.where(said == _GONE, np.nan, said)[obeys]
        for name in (each.first, each.second):
            self.settled[name] |= obeys
        self._say_otherwise(each, rows & ~obeys & ~self.settled[each.first])

    def _say_otherwise(self, each: Dependence, rows: np.ndarray) -> None:
        scale, first = self.scales[each.first], self.found[each.first]
        if scale.column.kind != "category":
            return
        others = scale.snap(scale.positions_of_choices())  # the most frequent first
        for row in np.flatnonzero(rows):
            tried = {each.first: others, each.second: np.full(len(others), self.found[each.second][row])}
            fits = np.flatnonzero(~broken_by([each], self.scales, tried, len(others))[:, 0])
            if len(fits):
                first[row] = others[fits[0]]
                self.settled[each.first][row] = True

    def below(self, each: Dependence, rows: np.ndarray) -> None:
        """Lower the first to the second; where it cannot go so low, raise the second to it."""
        for low, high, down in ((each.first, each.second, True), (each.second, each.first, False)):
            rows = rows & broken_by([each], self.scales, self.found, len(rows))[:, 0]
            moves = rows & ~self.settled[low]
            limit = self.scales[low].at_size(self.scales[high].sizes(self.found[high][moves]))
            if self.scales[low].column.step:
                limit = np.floor(limit) if down else np.ceil(limit)
            self.found[low][moves] = self.scales[low].snap(limit)
