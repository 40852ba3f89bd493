"""What may change in a row of a table, how far a row is from another, and one row made of two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from likethat._checks import check_choice
from likethat.errors import InputError
from likethat.explainers.freemcg.components import Pieces

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Columns", "Limits"]

_FEW = 12  # a number with so few values is a code: there is nothing between two of them


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What of a row may change.

    Attributes:
        immutable: columns that keep the source's value.
        ranges: lowest and highest value of a column.
        directions: ``"up"`` or ``"down"``: a column that may only rise, or only fall.
    """

    immutable: Sequence[str] = ()
    ranges: Mapping[str, tuple[float, float]] | None = None
    directions: Mapping[str, str] | None = None

    def __bool__(self) -> bool:
        return bool(self.immutable or self.ranges or self.directions)


class Columns:
    """A source row with its limits.

    Args:
        source: a table of one row.
        typical: rows as the generator makes them: they give each column's scale.
        limits: what may change.

    Raises:
        InputError: a limit names no column, or excludes the source itself.
    """

    def __init__(self, source: "pd.DataFrame", typical: "pd.DataFrame", limits: Limits) -> None:
        self.source = source.reset_index(drop=True)
        self.names = [str(name) for name in source.columns]
        self.numeric = [_is_numeric(source[name]) for name in source.columns]
        missing = [name for name in typical.columns if name not in source.columns]
        if missing:
            raise InputError(f"`source` must have the generator's columns, and {_listed(missing)} is not there.")
        self.scales = [
            _scale(typical[name]) if numeric and name in typical.columns else 1.0
            for name, numeric in zip(source.columns, self.numeric, strict=True)
        ]
        self._divisible = [
            numeric and name in typical.columns and typical[name].nunique() > _FEW
            for name, numeric in zip(source.columns, self.numeric, strict=True)
        ]
        self._limits = limits
        self._check()

    def constrained(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Return rows with the source's columns, in its order and types, within the limits."""
        columns = {}
        for place, name in enumerate(self.source.columns):
            own = self.source[name].iloc[0]
            if name not in frame.columns or name in self._limits.immutable:
                columns[name] = self._column(place, [own] * len(frame))
                continue
            values = list(frame[name])
            if self.numeric[place]:
                values = list(self._within(str(name), own, np.asarray(values, dtype=np.float64)))
            columns[name] = self._column(place, values)
        return self._frame(columns)

    def distances(self, frame: "pd.DataFrame") -> Float[Tensor, "n column"]:
        """Return how far each value is from the source's: in units of the column's spread; 1 for another category."""
        found = np.zeros((len(frame), len(self.names)))
        for place, name in enumerate(self.source.columns):
            own, values = self.source[name].iloc[0], list(frame[name])
            same = np.array([_same(value, own) for value in values])
            far = np.ones(len(values))
            if self.numeric[place] and not _is_missing(own):
                gap = np.abs(np.asarray(values, dtype=np.float64) - float(own)) / self.scales[place]
                far = np.where(np.isfinite(gap), gap, 1.0)
            found[:, place] = np.where(same, 0.0, far)
        return torch.from_numpy(found)

    def pieces(self, changed: "pd.DataFrame") -> Pieces:
        """Cut the change of a row into its columns; each numeric one can also go part of the way."""

        def compose(stay: Float[Tensor, "n piece"]) -> Any:
            weight = stay.double().numpy()
            columns = {}
            for place, name in enumerate(self.source.columns):
                own, other = self.source[name].iloc[0], changed[name].iloc[0]
                columns[name] = self._column(
                    place, [self._between(place, own, other, float(share)) for share in weight[:, place]]
                )
            return self._frame(columns)

        return Pieces(sizes=self.distances(changed)[0], compose=compose)

    def _between(self, place: int, own: Any, other: Any, share: float) -> Any:
        if share == 0 or _same(own, other):
            return own
        if share >= 1 or not self._divisible[place] or _is_missing(own) or _is_missing(other):
            return other
        return float(own) + share * (float(other) - float(own))

    def _column(self, place: int, values: Sequence[Any]) -> Any:
        import pandas as pd

        dtype = self.source.dtypes.iloc[place]
        if self.numeric[place] and pd.api.types.is_integer_dtype(dtype):
            values = [value if _is_missing(value) else round(float(value)) for value in values]
        return pd.Series(values, dtype=dtype)

    def _frame(self, columns: Mapping[Any, Any]) -> "pd.DataFrame":
        import pandas as pd

        return pd.DataFrame(columns, columns=self.source.columns)

    def _within(self, name: str, own: Any, values: Any) -> Any:
        low, high = (self._limits.ranges or {}).get(name, (-np.inf, np.inf))
        way = (self._limits.directions or {}).get(name)
        low = max(low, float(own)) if way == "up" else low
        high = min(high, float(own)) if way == "down" else high
        kept: Any = np.clip(values, low, high)
        return kept

    def _check(self) -> None:
        limits = self._limits
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
                words = [name for name in names if not self.numeric[self.names.index(name)]]
                if words:
                    raise InputError(f"`{what}` must be of numeric columns, and {words[0]!r} holds categories.")
        for name, (low, high) in (limits.ranges or {}).items():
            own = float(self.source[name].iloc[0])
            if not low <= own <= high:
                raise InputError(
                    f"`ranges` must hold the source's own value, got [{low:g}, {high:g}] for {name!r}, "
                    f"which is {own:g}."
                )
        for name, way in (limits.directions or {}).items():
            check_choice(way, name=f"directions[{name!r}]", choices=("up", "down"))


def _is_numeric(column: "pd.Series[Any]") -> bool:
    import pandas as pd

    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)


def _is_missing(value: Any) -> bool:
    return value is None or bool(value != value)  # noqa: PLR0124  # NaN


def _same(value: Any, own: Any) -> bool:
    return (_is_missing(value) and _is_missing(own)) or bool(value == own)


def _scale(column: "pd.Series[Any]") -> float:
    spread = float(np.nanstd(np.asarray(column, dtype=np.float64)))
    return spread if np.isfinite(spread) and spread > 0 else 1.0


def _listed(names: Sequence[Any]) -> str:
    return ", ".join(repr(name) for name in names[:3]) + (", …" if len(names) > 3 else "")
