"""What may change in a row of a table, how far a row is from another, and one row made of two."""

from collections.abc import Callable, Mapping, Sequence
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
from likethat.generators.table.writer import Rows, Writer, is_missing

if TYPE_CHECKING:
    import pandas as pd


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
        self._writer = Writer(self.source, columns)
        spread = self._writer.positions(typical).T
        self._scales = {column.name: Scale(column, at) for column, at in zip(columns, spread, strict=True)}
        self._place = {name: place for place, name in enumerate(self._scales)}
        among = [self._place.get(name, -1) for name in self.source.columns]
        self._shown = np.flatnonzero(np.array(among) >= 0)  # columns of the source that the generator has too
        self._among = np.array(among, dtype=np.int64)[self._shown]
        scales = list(self._scales.values())
        self._is_line = np.array([scale.is_ordered for scale in scales], dtype=bool)
        self._is_divisible = np.array([scale.is_divisible for scale in scales], dtype=bool)
        self._spread = np.array([scale.spread for scale in scales])
        self._own = self._writer.own.positions[0]
        self._read = self._writer.own
        self._far: tuple[Rows | None, Tensor] = (None, torch.zeros(0, dtype=torch.float32))
        self._limits = limits
        self.identifiers = tuple(str(column.name) for column in columns if column.is_identifier)
        self._bounds = self._check()
        fixed = {*limits.immutable, *self.identifiers}
        self._live = np.array([str(name) not in fixed for name in self._scales], dtype=bool)
        self.dependences = getattr(generator, "dependences", None) or learn_dependences(columns, typical)
        self._linked = list(dict.fromkeys(name for each in self.dependences for name in (each.first, each.second)))
        self._active = ~broken_by(self.dependences, self._scales, self._places(self._own[None]), 1)[0]

    def constrained(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Return rows with the source's columns, in its order and types, valid and within the limits."""
        live = self._live & np.array([name in frame.columns for name in self._scales], dtype=bool)
        if all(name in frame.columns for name in self._scales):
            return self._rows(self._writer.positions(frame), live)
        at = np.tile(self._own, (len(frame), 1))
        for place in np.flatnonzero(live):
            name = self._writer.columns[place].name
            at[:, place] = self._scales[name].positions(frame[name])
        return self._rows(at, live)

    def distances(self, frame: "pd.DataFrame") -> Float[Tensor, "n column"]:
        """Return how far each value is from the source's: in units of the column's spread; 1 for another category."""
        rows, found = self.read(frame), np.zeros((len(frame), len(self.names)))
        if self._far[0] is rows:
            return self._far[1]
        gap = np.abs(rows.positions - self._own) / self._spread
        far = np.where(rows.same, 0.0, np.where(self._is_line & np.isfinite(gap), gap, 1.0))
        found[:, self._shown] = far[:, self._among]
        self._far = rows, torch.from_numpy(found)
        return self._far[1]

    def costs(self, frame: "pd.DataFrame") -> Float[Tensor, " n"]:
        """Return what changes cost: each column 1, or its distance where that is larger; then the mean distance."""
        far = self.distances(frame)
        mean = far.mean(dim=1)
        return torch.where(far > 0, far.clamp_min(1), 0).sum(dim=1) + mean / (1 + mean)

    def read(self, frame: "pd.DataFrame") -> Rows:
        """Return rows as numbers; those made or read last are known."""
        if self._read.frame is not frame:
            self._read = self._writer.read(frame)
        return self._read

    def changes(self, changed: "pd.DataFrame") -> tuple[Change, ...]:
        """Return the columns of one row that differ from the source's, in the order of the table."""
        places = np.flatnonzero(self.distances(changed)[0].numpy() > 0)
        return tuple(self._change(int(place), changed) for place in places)

    def _change(self, at: int, changed: "pd.DataFrame") -> Change:
        name = self.source.columns[at]
        scale, way, place = self._scales[name], "", self._place[name]
        own, after = self._own[place], self.read(changed).positions[0, place]
        if scale.is_ordered and np.isfinite(after) and np.isfinite(own):
            ways = ("earlier", "later") if scale.column.kind == "date" else ("down", "up")
            way = ways[int(after > own)]
        before, now = (_told(frame.iat[0, at]) for frame in (self.source, changed))
        return Change(name=str(name), before=before, after=now, way=way)

    def components(self, changed: "pd.DataFrame") -> Components:
        """Cut the change of a row into its columns; each numeric one can also go part of the way."""
        sizes, other = self.distances(changed)[0], self.read(changed).positions[0]
        is_changed = np.zeros(len(other), dtype=bool)
        is_changed[self._among] = sizes.numpy()[self._shown] > 0
        goes_part = self._is_divisible & np.isfinite(self._own) & np.isfinite(other)

        def compose(stay: Float[Tensor, "n component"]) -> Any:
            share = np.ones((len(stay), len(other)))
            share[:, self._among] = stay.double().numpy()[:, self._shown]
            part = np.where(share >= 1, other, self._own + share * (other - self._own))
            repair = ((share > 0) & (share < 1) & goes_part).any(axis=1)  # a value half way says another of its columns
            return self._rows(np.where(goes_part, part, other), is_changed, stays=share == 0, repair=repair)

        return Components(sizes=sizes, compose=compose)

    def likely(
        self,
        known: "pd.DataFrame",
        gains: Float[np.ndarray, " n"],
        rows: "pd.DataFrame",
        *,
        need: float,
        plausible: Callable[["pd.DataFrame"], Tensor],
        n: int,
    ) -> "pd.DataFrame":
        """Return rows that a linear model of the answers so far gives to the target, with few columns changed.

        Each column is given back while what is left is expected to be enough, and could be real.

        Args:
            known: rows that were asked.
            gains: of their margins, over the source's.
            rows: typical ones to begin with.
            need: the gain wanted.
            plausible: which rows could be real.
            n: of the rows, those that are nearest.

        Source:
            MacKay, "Bayesian interpolation", Neural Computation 1992, for how far effects are shrunk.
        """
        from sklearn.linear_model import BayesianRidge

        effects = BayesianRidge(fit_intercept=False).fit(self._features(known), gains).coef_
        cost = np.where(self._features(rows) @ effects >= need, self.costs(rows), np.inf)
        start = np.argsort(cost, kind="stable")[: min(n, int(np.isfinite(cost).sum()))]
        cost, read = cost[start], self.read(rows)
        at, stays = read.positions[start], read.same[start]

        def tried(row: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            """Return what is left of some rows, what it costs (no end where it will not do), and the gain expected."""
            made = self._rows(at[row], self._live, stays=kept, repair=np.zeros(len(row), dtype=bool))
            gain = self._features(made) @ effects
            spent = np.where((gain >= need) & plausible(made).numpy(), self.costs(made), np.inf)
            return self.read(made).same, spent, gain

        while not stays.all():
            row, column = np.nonzero(~stays)
            alone = stays[row]
            alone[np.arange(len(row)), column] = True
            _, spent, gain = tried(row, alone)
            order = np.lexsort((-gain, row))  # of each row those first without which most is left
            order = order[spent[order] < cost[row[order]]]
            rank = np.arange(len(order)) - np.searchsorted(row[order], row[order])
            halves = [(one, upto) for one in np.unique(row[order]) for upto in _halves(int((row[order] == one).sum()))]
            if not halves:
                break
            which = np.array([one for one, _ in halves])
            kept = stays[which]
            for place, (one, upto) in enumerate(halves):
                kept[place, column[order[(row[order] == one) & (rank < upto)]]] = True
            same, spent, _ = tried(which, kept)
            for one in np.unique(which):
                best = np.flatnonzero(which == one)[spent[which == one].argmin()]
                if spent[best] < cost[one]:
                    cost[one], stays[one] = spent[best], same[best]
        return self._rows(at, self._live, stays=stays, repair=np.zeros(len(at), dtype=bool))

    def _features(self, frame: "pd.DataFrame") -> Float[np.ndarray, "n feature"]:
        """Return the changes of rows as numbers: how far a value moves, or 1 for the category that it becomes."""
        rows, parts = self.read(frame), []
        for place in self._among:
            gap = (rows.positions[:, place] - self._own[place]) / self._spread[place]
            is_gap = self._is_line[place] & np.isfinite(gap)
            parts.append(np.where(is_gap, gap, 0.0)[:, None])
            other = np.where(is_gap | rows.same[:, place], -1, np.nan_to_num(rows.numbers[:, place], nan=-2))
            parts.append(other[:, None] == np.arange(-2, len(self._writer.columns[place].choices))[None] * 1.0)
            parts[-1] = np.delete(parts[-1], 1, axis=1)  # -1: as the source
        return np.concatenate(parts, axis=1).astype(float)

    def _rows(
        self,
        positions: Float[np.ndarray, "n column"],
        live: Bool[np.ndarray, " column"],
        *,
        stays: Bool[np.ndarray, "n column"] | None = None,
        repair: Bool[np.ndarray, " n"] | None = None,
    ) -> "pd.DataFrame":
        """Return rows of the source with other values in some columns: the gate.

        Args:
            positions: of the values.
            live: columns that may have another than the source's.
            stays: where the source's stays; nowhere when None.
            repair: rows in which a column may take a third value, so that it goes together with another; all when None.
        """
        n = len(positions)
        stays = np.zeros(positions.shape, dtype=bool) if stays is None else stays
        at, lost = np.where(live, positions, self._own), np.zeros(positions.shape, dtype=bool)
        for place in self._bounds:
            at[:, place], lost[:, place] = self._within(place, at[:, place])
        at = self._writer.snapped(at, live)
        keeps = lost | ~live | stays | self._is_at_home(at)
        self._hold_together(at, keeps, live, stays=stays, repair=np.ones(n, dtype=bool) if repair is None else repair)
        self._read = self._writer.made(at, keeps)
        return self._read.frame

    def _is_at_home(self, at: Float[np.ndarray, "n column"]) -> Bool[np.ndarray, "n column"]:
        return (at == self._own) | (np.isnan(at) & np.isnan(self._own))

    def _places(self, at: Float[np.ndarray, "n column"]) -> dict[Any, np.ndarray]:
        """Return the positions of the columns that say something of others, by name."""
        return {name: at[:, self._place[name]] for name in self._linked}

    def _hold_together(
        self,
        at: Float[np.ndarray, "n column"],
        keeps: Bool[np.ndarray, "n column"],
        live: Bool[np.ndarray, " column"],
        *,
        stays: Bool[np.ndarray, "n column"],
        repair: Bool[np.ndarray, " n"],
    ) -> None:
        """Let columns that say each other change together, or go back to the source together, in place.

        What the source itself breaks need not hold. The source breaks nothing else, so that giving back ends.
        """
        if not self._active.any():
            return
        if repair.any():
            free = [name for name in self._linked if live[self._place[name]] and self._place[name] not in self._bounds]
            before = self._places(np.where(keeps, self._own, at))
            held = repaired(self.dependences, self._scales, before, free=free, ignored=~self._active)
            for name in free:
                column = self._place[name]
                moves = repair & ~stays[:, column]
                at[moves, column] = held[name][moves]
                keeps[moves, column] = self._is_at_home(at)[moves, column]
        while (broken := self._broken(self._places(np.where(keeps, self._own, at)), len(at))).any():
            for place in np.flatnonzero(broken.any(axis=0)):
                for name in (self.dependences[place].first, self.dependences[place].second):
                    keeps[:, self._place[name]] |= broken[:, place]

    def _broken(self, rows: Mapping[Any, np.ndarray], n: int) -> Bool[np.ndarray, "n dependence"]:
        found: np.ndarray = broken_by(self.dependences, self._scales, rows, n) & self._active
        return found

    def broken(self, frame: "pd.DataFrame") -> tuple[str, ...]:
        """Return the dependences that one row breaks, in words."""
        found = broken_by(self.dependences, self._scales, self._places(self.read(frame).positions), 1)[0]
        return tuple(self.dependences[place].describe(self._scales) for place in np.flatnonzero(found))

    def _within(self, place: int, positions: np.ndarray) -> tuple[np.ndarray, Bool[np.ndarray, " n"]]:
        """Return positions within the limits of a column, and where none can take the source's place."""
        is_missing = np.isnan(positions)  # it would be a way round the limit
        scale = self._scales[self._writer.columns[place].name]
        held = scale.within(np.nan_to_num(positions), *self._bounds[place])
        return held, is_missing | np.isnan(held)

    def _check(self) -> dict[int, tuple[float, float]]:
        """Check the limits; return between which positions each limited column may be, by its place."""
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
        return {self._place[name]: ends for name, ends in bounds.items()}

    def _is_ordered(self, name: Any) -> bool:
        return name in self._scales and self._scales[name].is_ordered

    def _range(self, name: Any, ends: Any) -> tuple[float, float]:
        """Return the positions of the ends of a range; a missing value is in every range, and is filled in within."""
        if isinstance(ends, str) or not isinstance(ends, Sequence) or len(ends) != 2:
            raise InputError(f"`ranges` must be (lowest, highest) of {str(name)!r}, got {shown(ends)}.")
        low, high = (self._scales[name].place_of(end, name="ranges") for end in ends)
        own = self._own[self._place[name]]
        if not np.isnan(own) and not low <= own <= high:
            raise InputError(
                f"`ranges` must hold the source's own value, got [{_number(ends[0])}, {_number(ends[1])}] for "
                f"{str(name)!r}, which is {_number(self.source[name].iloc[0])}."
            )
        return low, high

    def _towards(self, name: Any, way: str, bounds: tuple[float, float]) -> tuple[float, float]:
        check_choice(way, name=f"directions[{str(name)!r}]", choices=("up", "down"))
        own, (low, high) = self._own[self._place[name]], bounds
        if np.isnan(own):
            raise InputError(
                f"`directions` must be of columns in which the source has a value, and {str(name)!r} is missing: "
                "nothing is above or below it. Give ranges={...}, or keep it with immutable=[...]."
            )
        return (max(low, own), high) if way == "up" else (low, min(high, own))


def _halves(n: int) -> list[int]:
    """Return n, half of it, and so on to 1.

    Example:
        >>> _halves(6)
        [6, 3, 1]
    """
    return [n >> times for times in range(n.bit_length())]


def _told(value: Any) -> Any:
    """Return a value as Python's own, None where it is missing; dates as text, without a time that is midnight."""
    if is_missing(value):
        return None
    value = plain(value)
    return value if isinstance(value, str | int | float | bool) else str(value).removesuffix(" 00:00:00")


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float | np.number) else str(value)


def _listed(names: Sequence[Any]) -> str:
    return ", ".join(repr(name) for name in names[:3]) + (", …" if len(names) > 3 else "")
