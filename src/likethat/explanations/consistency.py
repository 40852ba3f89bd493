"""What the types of a record do not say: classes, units and pictures that there are, shares, batches that fit."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likethat._documents import Damaged, typed
from likethat._inputs import kind_of
from likethat.explanations.rows import check_place, check_prototype

_BATCHES = {"source", "input", "inputs", "typical"}
"""Fields of records that hold a batch of inputs, whose type no annotation can check."""
_SHARES = {
    "probabilities",
    "source_probabilities",
    "probability",
    "prior_quantile",
    "surroundings",
    "share",
    "agreement",
    "foretold",
}
"""Fields of records that lie in [0, 1]."""
_ANSWERS = {"probabilities", "source_probabilities", "probability"}
"""Fields that hold what a model answered."""
_ROUNDING = 1e-4  # of a share, and of a heat map's sum relative to its largest terms; float32 leaves 1e-7 to 1e-6


@dataclass(frozen=True, kw_only=True)
class _Options:
    """What pages read of a record's options, which are else any plain values."""

    n: int = 0
    tolerance: float = 0.0


def check_record(result: Any) -> None:
    """Check that all of a record belongs together.

    Raises:
        Damaged: something does not; its place is named.
    """
    n_classes = len(result.class_names)
    _check_classes(result, n_classes)
    _check_values(result, are_shares=getattr(result, "measured", None) is None)
    _check_measured(result)
    if hasattr(result, "rows"):
        _check_rows(result, n_classes)
    if hasattr(result, "shortcuts"):
        _check_findings(result, n_classes)
    if hasattr(result, "flips"):
        _check_comparison(result, n_classes)
    typed(dict(getattr(result, "options", {})), _Options)
    _check_batches(result)


def _check_classes(result: Any, n_classes: int) -> None:
    classes = [getattr(result, name, None) for name in ("target", "against", "predicted")]
    chances = [getattr(result, name, None) for name in ("probabilities", "source_probabilities")]
    chances += [edit.probabilities for edit in (*getattr(result, "edits", ()), getattr(result, "best", None)) if edit]
    lowest = -1 if hasattr(result, "film") else 0  # exemplars of a mixture have no one class
    if not all(one is None or lowest <= one < n_classes for one in classes):
        raise Damaged(f"it names a class that is none of its {n_classes}")
    if not all(one is None or one.shape[-1] in (n_classes, 0) for one in chances):
        raise Damaged(f"its probabilities are not those of {n_classes} classes")


def _check_values(value: Any, *, are_shares: bool) -> None:
    """Check single fields; the answers of a model that was asked about a number need not be shares."""
    for name, one in _fields(value):
        if name == "image" and isinstance(one, np.ndarray) and not one.size:
            raise Damaged("its image is empty")
        if name == "reached" and isinstance(one, Tensor) and one.dtype != torch.bool:
            raise Damaged("what it says is reached is neither yes nor no")
        if name in _SHARES and isinstance(one, float | np.ndarray | Tensor):
            numbers = np.asarray(one)
            if not are_shares and name in _ANSWERS:
                if not bool(np.isfinite(numbers).all()):
                    raise Damaged(f"its {name.replace('_', ' ')} must be finite")
                continue
            is_none = np.isnan(numbers) if name == "share" else False  # of a class without pictures
            if not bool(np.all(is_none | ((numbers >= -_ROUNDING) & (numbers <= 1 + _ROUNDING)))):
                raise Damaged(f"its {name.replace('_', ' ')} must lie in [0, 1]")


def _check_measured(result: Any) -> None:
    """Check that a number is there wherever one was asked about, and nowhere else."""
    is_asked = getattr(result, "measured", None) is not None
    edits = [*getattr(result, "edits", ()), *(getattr(result, name, None) for name in ("best", "mean", "real"))]
    held = [edit.value for edit in edits if edit is not None]
    own = "values" if hasattr(result, "film") else "value"
    held += [getattr(result, own)] if hasattr(result, own) else []
    if any((one is not None) != is_asked for one in held):
        raise Damaged("it has the number that was asked about in some places, and in others not")
    if not all(one is None or bool(np.isfinite(np.asarray(one)).all()) for one in held):
        raise Damaged("the number that was asked about is not finite")


def _check_rows(result: Any, n_classes: int) -> None:
    n_units = len(result.contributions)
    for row in result.rows:
        try:
            check_place(row.cell, row.box)
            if not 0 <= row.unit < n_units:
                raise Damaged(f"has the unit {row.unit}, of {n_units}")
            apart = abs(float(row.heat_map.sum(dtype=np.float64)) - row.contribution)
            if not apart <= _ROUNDING * max(float(np.abs(row.heat_map).sum()), abs(result.logit), result.scale):
                raise Damaged("has a heat map that does not add up to its contribution")
            for prototype in row.prototypes:
                check_prototype(prototype, n_units, n_classes, result.images)
        except Damaged as error:
            raise Damaged(f"one of its rows {error}") from error


def _check_findings(result: Any, n_classes: int) -> None:
    """Check an audit: classes and pictures that there are, counts that can be."""
    for one in result.shortcuts:
        if len(one.cut) != n_classes:
            raise Damaged(f"one of its shortcuts speaks of {len(one.cut)} classes, of {n_classes}")
        hits = np.stack([one.right_before, one.right_after])
        if not bool(np.all((hits >= 0) & (hits <= one.counts))):
            raise Damaged("one of its shortcuts has more right answers than pictures")
    shown = [picture for one in (*result.shortcuts, *result.findings) for picture in one.pictures]
    shown += [one.picture for one in result.doubtful]
    _check_pictures(result, [(one.image, (one.label, one.predicted)) for one in shown], n_classes)


def _check_comparison(result: Any, n_classes: int) -> None:
    """Check a comparison: classes, units and pictures that there are, flips that add up."""
    for one in result.directions:
        if len(one.speaks_for) != n_classes:
            raise Damaged(f"one of its directions speaks of {len(one.speaks_for)} classes, of {n_classes}")
        if len(one.units) != len(one.carries) or min(one.units, default=0) < 0:
            raise Damaged("one of its directions does not say which units it carries")
    for flip in result.flips:
        places = [row.unit for row in flip.rows]
        if not all(0 <= place < len(result.units) for place in places):
            raise Damaged(f"one of its flips has the unit {max(places, key=abs)}, of {len(result.units)}")
        terms = [flip.before, flip.after, flip.others, flip.shared, flip.bias]
        terms += [side for row in flip.rows for side in (row.before, row.after)]
        if not abs(flip.gap) <= _ROUNDING * max(map(abs, terms)):
            raise Damaged("one of its flips has terms that do not add up to its margins")
        if len(flip.along) != len(result.directions):
            raise Damaged("one of its flips speaks of other directions")
    if not all(0 <= right <= result.n_labelled for right in (*result.n_right, result.n_broken, result.n_fixed)):
        raise Damaged("it has more right answers than labels")
    shown = [flip.picture for flip in result.flips]
    shown += [picture for one in result.directions for picture in (*one.most, *one.least)]
    keys: list[tuple[str, tuple[int | None, ...]]] = [(one.image, (one.label, one.before, one.after)) for one in shown]
    keys += [(key, ()) for one in result.units for key in one.prototypes]
    _check_pictures(result, keys, n_classes)


def _check_pictures(result: Any, shown: Sequence[tuple[str, tuple[int | None, ...]]], n_classes: int) -> None:
    """Check pictures by key, each with the classes that are said of it."""
    for key, classes in shown:
        if key not in result.images:
            raise Damaged(f"names the picture {key[:60]!r}, which is not there")
        if not all(one is None or 0 <= one < n_classes for one in classes):
            raise Damaged(f"one of its pictures has a class that is none of its {n_classes}")


def _check_batches(result: Any) -> None:
    """Check that all inputs are of one kind and form, and as many as the record says."""
    is_named = any(hasattr(result, name) for name in ("rows", "shortcuts", "flips"))
    names = _BATCHES - {"source"} if is_named else _BATCHES  # an explanation's source is a name
    batches = [(name, one) for name, one in _fields(result) if name in names]
    if len({kind_of(one) for _, one in batches}) > 1:
        raise Damaged("its inputs are of several kinds")
    if len({_form(one) for _, one in batches}) > 1:
        raise Damaged("its inputs are not of one form")
    if not all(len(one) == 1 for name, one in batches if name in ("source", "input")):
        raise Damaged("it holds several inputs where one belongs")
    holders = [result, getattr(result, "film", None)] if hasattr(result, "film") else []
    if not all(len(holder.inputs) == len(holder) for holder in holders):
        raise Damaged("it holds more or fewer inputs than it says")


def _form(batch: Any) -> Any:
    """Return what all inputs of a record share: shape of an image and whether it is of floats; names of columns."""
    if isinstance(batch, Tensor):
        return batch.shape[1:], batch.is_floating_point()
    return None if isinstance(batch, list) else tuple(batch.columns)


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield names and values of all fields of a record, and of the records within it."""
    if isinstance(value, tuple):
        for one in value:
            yield from _fields(one)
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            inner = getattr(value, field.name)
            yield field.name, inner
            yield from _fields(inner)
