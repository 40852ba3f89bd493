"""What may change in a row of a table, how far a row is from another, and one row made of two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from likethat._checks import check_choice
from likethat._options import shown
from likethat.errors import InputError
from likethat.explainers.freemcg.components import Components
from likethat.explanations.counterfactual import Change
from likethat.generators.table.columns import Column, plain
from likethat.generators.table.dependences import broken_by, learn_dependences, repaired
from likethat.generators.table.scale import Scale, as_learned
from likethat.generators.table.schema import learn_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Columns", "Limits", "as_generated"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What of a row may change.

    Attributes:
        immutable: columns that keep the source's value.
        ranges: lowest and highest value of a column.
        directions: ``"up"`` or ``"down"``: a column that may only rise, or only fall.
    """

    immutable: Sequence[str] = ()
    ranges: Mapping[str, tuple[Any, Any]] | None = None
    directions: Mapping[str, str] | None = None

    def __bool__(self) -> bool:
        return bool(self.immutable or self.ranges or self.directions)


def as_generated(source: "pd.DataFrame", generator: Any) -> "pd.DataFrame":
    """Return a row in the types of the table that a generator learned, wherever that loses nothing."""
    return as_learned(source, _columns_of(generator) or ())


def _columns_of(generator: Any) -> tuple[Column, ...] | None:
    columns = getattr(generator, "columns", None)
    is_ours = isinstance(columns, tuple) and all(isinstance(column, Column) for column in columns)
    return columns if is_ours else None


class Columns:
    """A source row with its limits, and the one gate through which every row goes before a model sees it.

    A column of a row that comes out has the source's value, bit for bit, or one that is valid in the generator's
    column and within the limits.

    Args:
        source: a table of one row.
        typical: rows as the generator makes them: they give each column's scale.
        limits: what may change.
        generator: whose columns they are; of one that does not say, what `typical` holds is valid.

    Raises:
        InputError: a limit names no column, or excludes the source itself.
    """

    def __init__(self, source: "pd.DataFrame", typical: "pd.DataFrame", limits: Limits, generator: Any = None) -> None:
        self.source = source.reset_index(drop=True)
        self.names = [str(name) for name in source.columns]
        columns = _columns_of(generator) or learn_columns(typical)
        missing = [column.name for column in columns if column.name not in source.columns]
        if missing:
            raise InputError(f"`source` must have the generator's columns, and {_listed(missing)} is not there.")
        self._scales = {column.name: Scale(column, typical[column.name]) for column in columns}
        self._own = {name: float(scale.positions(self.source[name])[0]) for name, scale in self._scales.items()}
        self._limits = limits
        self.identifiers = tuple(str(column.name) for column in columns if column.is_identifier)
        self._bounds = self._check()
        self.dependences = getattr(generator, "dependences", None) or learn_dependences(columns, typical)
        own = {name: np.array([value]) for name, value in self._own.items()}
        self._active = ~broken_by(self.dependences, self._scales, own, 1)[0]

    def constrained(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Return rows with the source's columns, in its order and types, valid and within the limits."""
        fixed = {*self._limits.immutable, *self.identifiers}
        free = [name for name in self._scales if name in frame.columns and str(name) not in fixed]
        return self._rows({name: self._scales[name].positions(frame[name]) for name in free}, len(frame))

    def distances(self, frame: "pd.DataFrame") -> Float[Tensor, "n column"]:
        """Return how far each value is from the source's: in units of the column's spread; 1 for another category."""
        found = np.zeros((len(frame), len(self.names)))
        for place, name in enumerate(self.source.columns):
            if name not in self._scales:
                continue
            scale, far = self._scales[name], np.ones(len(frame))
            same = self._is_own(frame[name], name)
            if scale.is_ordered and not same.all():
                gap = np.abs(scale.positions(frame[name]) - self._own[name]) / scale.spread
                far = np.where(np.isfinite(gap), gap, 1.0)
            found[:, place] = np.where(same, 0.0, far)
        return torch.from_numpy(found)

    def changes(self, changed: "pd.DataFrame") -> tuple[Change, ...]:
        """Return the columns of one row that differ from the source's, in the order of the table."""
        places = np.flatnonzero(self.distances(changed)[0].numpy() > 0)
        return tuple(self._change(self.source.columns[place], changed) for place in places)

    def _change(self, name: Any, changed: "pd.DataFrame") -> Change:
        scale, way = self._scales[name], ""
        after = float(scale.positions(changed[name])[0])
        if scale.is_ordered and np.isfinite(after) and np.isfinite(self._own[name]):
            ways = ("earlier", "later") if scale.column.kind == "date" else ("down", "up")
            way = ways[after > self._own[name]]
        before, now = (_told(frame[name].iloc[0]) for frame in (self.source, changed))
        return Change(name=str(name), before=before, after=now, way=way)

    def components(self, changed: "pd.DataFrame") -> Components:
        """Cut the change of a row into its columns; each numeric one can also go part of the way."""
        other = {name: float(scale.positions(changed[name])[0]) for name, scale in self._scales.items()}
        places = {name: place for place, name in enumerate(self.source.columns)}
        is_changed = self.distances(changed)[0].numpy() > 0

        def compose(stay: Float[Tensor, "n component"]) -> Any:
            weight = stay.double().numpy()
            return self._rows(
                {
                    name: self._between(name, other[name], weight[:, places[name]])
                    for name in self._scales
                    if is_changed[places[name]]
                },
                len(weight),
                stays={name: weight[:, place] == 0 for name, place in places.items()},
            )

        return Components(sizes=self.distances(changed)[0], compose=compose)

    def _between(self, name: Any, other: float, share: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        own, scale = self._own[name], self._scales[name]
        if not scale.is_divisible or not np.isfinite(own) or not np.isfinite(other):
            return np.full(len(share), other)
        return np.where(share >= 1, other, own + share * (other - own))

    def _rows(
        self, positions: Mapping[Any, np.ndarray], n: int, *, stays: Mapping[Any, Bool[np.ndarray, " n"]] | None = None
    ) -> "pd.DataFrame":
        """Return rows of the source with other values in some columns: the gate."""
        import pandas as pd

        at: dict[Any, np.ndarray] = {}
        keeps: dict[Any, np.ndarray] = {}
        for name, position in positions.items():
            held, lost = self._within(name, position)
            at[name] = self._scales[name].snap(held)
            keeps[name] = lost | self._is_at_home(name, at[name]) | (False if stays is None else stays[name])
        self._hold_together(at, keeps, n, repair=stays is None)
        columns = {}
        for name in self.source.columns:
            own = self.source[name]
            places = np.zeros(n, dtype=np.int64)
            if name in at:
                places = np.where(keeps[name], 0, 1 + np.arange(n))
                own = pd.concat([own, self._scales[name].values(at[name]).astype(own.dtype)], ignore_index=True)
            columns[name] = own.take(places).reset_index(drop=True)
        return pd.DataFrame(columns, columns=self.source.columns, index=pd.RangeIndex(n))

    def _is_at_home(self, name: Any, positions: np.ndarray) -> Bool[np.ndarray, " n"]:
        return np.equal(positions, self._own[name]) | (np.isnan(positions) & np.isnan(self._own[name]))

    def _hold_together(self, at: dict[Any, np.ndarray], keeps: dict[Any, np.ndarray], n: int, *, repair: bool) -> None:
        """Let columns that say each other change together, or go back to the source together, in place.

        What the source itself breaks need not hold. The source breaks nothing else, so that giving back ends.
        """

        def rows() -> dict[Any, np.ndarray]:
            own = {name: np.full(n, value) for name, value in self._own.items()}
            return own | {name: np.where(keeps[name], own[name], at[name]) for name in at}

        if not self._active.any():
            return
        if repair:
            free = [name for name in at if name not in self._bounds]
            held = repaired(self.dependences, self._scales, rows(), free=free, ignored=~self._active)
            for name in free:
                at[name], keeps[name] = held[name], self._is_at_home(name, held[name])
        while (broken := self._broken(rows(), n)).any():
            for place in np.flatnonzero(broken.any(axis=0)):
                for name in (self.dependences[place].first, self.dependences[place].second):
                    if name in keeps:
                        keeps[name] = keeps[name] | broken[:, place]

    def _broken(self, rows: Mapping[Any, np.ndarray], n: int) -> Bool[np.ndarray, "n dependence"]:
        found: np.ndarray = broken_by(self.dependences, self._scales, rows, n) & self._active
        return found

    def broken(self, frame: "pd.DataFrame") -> tuple[str, ...]:
        """Return the dependences that one row breaks, in words."""
        places = {name: scale.positions(frame[name]) for name, scale in self._scales.items()}
        found = broken_by(self.dependences, self._scales, places, 1)[0]
        return tuple(self.dependences[place].describe(self._scales) for place in np.flatnonzero(found))

    def _is_own(self, values: "pd.Series", name: Any) -> Bool[np.ndarray, " n"]:
        """Tell where values are the source's own; a missing one is the same as a missing one."""
        own = self.source[name].iloc[0]
        gone = values.isna().to_numpy(dtype=bool)
        if _is_missing(own):
            return gone
        return np.array([not lost and value == own for value, lost in zip(values, gone, strict=True)], dtype=bool)

    def _within(self, name: Any, positions: np.ndarray) -> tuple[np.ndarray, Bool[np.ndarray, " n"]]:
        """Return positions within the limits, and where none can take the source's place."""
        if name not in self._bounds:
            return positions, np.zeros(len(positions), dtype=bool)
        is_missing = np.isnan(positions)  # it would be a way round the limit
        held = self._scales[name].within(np.nan_to_num(positions), *self._bounds[name])
        return held, is_missing | np.isnan(held)

    def _check(self) -> dict[Any, tuple[float, float]]:
        """Check the limits; return between which positions each limited column may be."""
        limits, by_name = self._limits, {str(name): name for name in self.source.columns}
        for what, names in (
            ("immutable", list(limits.immutable)),
            ("ranges", list(limits.ranges or {})),
            ("directions", list(limits.directions or {})),
        ):
            strange = [name for name in names if name not in self.names]
            if strange:
                known = ", ".join(map(repr, self.names[:8])) + (", …" if len(self.names) > 8 else "")
                raise InputError(f"`{what}` must name columns of the source, got {strange[0]!r}. It has {known}.")
            if what != "immutable":
                words = [name for name in names if not self._is_ordered(by_name[name])]
                if words:
                    raise InputError(
                        f"`{what}` must be of columns with an order (numbers, dates, ordered categories), and "
                        f"{words[0]!r} holds {'categories' if by_name[words[0]] in self._scales else 'no values'}. "
                        f"Keep it with immutable=[{words[0]!r}]."
                    )
        free = [name for name in self._scales if str(name) not in self.identifiers]
        if all(str(name) in limits.immutable for name in free):
            raise InputError(f"`immutable` must leave a column that may change, got all {len(free)}. Name fewer.")
        bounds = {by_name[name]: self._range(by_name[name], ends) for name, ends in (limits.ranges or {}).items()}
        for name, way in (limits.directions or {}).items():
            bounds[by_name[name]] = self._towards(by_name[name], way, bounds.get(by_name[name], (-np.inf, np.inf)))
        return bounds

    def _is_ordered(self, name: Any) -> bool:
        return name in self._scales and self._scales[name].is_ordered

    def _range(self, name: Any, ends: Any) -> tuple[float, float]:
        """Return the positions of the ends of a range; a missing value is in every range, and is filled in within."""
        if isinstance(ends, str) or not isinstance(ends, Sequence) or len(ends) != 2:
            raise InputError(f"`ranges` must be (lowest, highest) of {str(name)!r}, got {shown(ends)}.")
        low, high = (self._scales[name].place_of(end, name="ranges") for end in ends)
        own = self._own[name]
        if not np.isnan(own) and not low <= own <= high:
            raise InputError(
                f"`ranges` must hold the source's own value, got [{_number(ends[0])}, {_number(ends[1])}] for "
                f"{str(name)!r}, which is {_number(self.source[name].iloc[0])}."
            )
        return low, high

    def _towards(self, name: Any, way: str, bounds: tuple[float, float]) -> tuple[float, float]:
        check_choice(way, name=f"directions[{str(name)!r}]", choices=("up", "down"))
        own, (low, high) = self._own[name], bounds
        if np.isnan(own):
            raise InputError(
                f"`directions` must be of columns in which the source has a value, and {str(name)!r} is missing: "
                "nothing is above or below it. Give ranges={...}, or keep it with immutable=[...]."
            )
        return (max(low, own), high) if way == "up" else (low, min(high, own))


def _is_missing(value: Any) -> bool:
    import pandas as pd

    return bool(pd.isna(value))


def _told(value: Any) -> Any:
    """Return a value as Python's own, None where it is missing; dates as text, without a time that is midnight."""
    if _is_missing(value):
        return None
    value = plain(value)
    return value if isinstance(value, str | int | float | bool) else str(value).removesuffix(" 00:00:00")


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float | np.number) else str(value)


def _listed(names: Sequence[Any]) -> str:
    return ", ".join(repr(name) for name in names[:3]) + (", …" if len(names) > 3 else "")
