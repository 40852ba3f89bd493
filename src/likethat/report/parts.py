"""Pages of a bank of parts: what the model looks for in each class, part by part."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from likethat._class_names import resolve_target
from likethat.coordinates import HeadParts
from likethat.errors import BankError
from likethat.explanations.bank import Bank
from likethat.report.pages import Page
from likethat.report.sheet import PictureSheet
from likethat.report.text import shorten
from likethat.report.views import ProvenanceView, Tile, class_name, provenance_view, tile

_THUMBNAIL_LIMIT = 128  # pixels a side, for thousands of prototypes on a page
_MOST = 10  # pictures a part: a row
_FIGURES = {
    "residual": "residual",
    "moved": "heat map moved",
    "between_starts": "stable between starts",
    "between_halves": "stable between halves",
    "error_left_out": "error on cells left out",
}


@dataclass(frozen=True, kw_only=True)
class PartView:
    """One part as it is shown.

    Attributes:
        name: of the part.
        usage: mean absolute contribution over all images.
        figures: (name, number) of what was measured.
        near_duplicates: parts of other classes that are nearly the same, or "".
        tiles: prototypes.
    """

    name: str
    usage: str
    figures: tuple[tuple[str, str], ...]
    near_duplicates: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, kw_only=True)
class CurveView:
    """How the number of parts was chosen: a row a number tried.

    Attributes:
        rows: (number, error, agreement between halves, whether it was chosen).
    """

    rows: tuple[tuple[int, str, str, bool], ...]


@dataclass(frozen=True, kw_only=True)
class ClassView:
    """A class as it is shown.

    Attributes:
        name: of the class.
        parts: of it.
        curve: where the number of parts was chosen.
    """

    name: str
    parts: tuple[PartView, ...]
    curve: CurveView | None


def save_classes(
    bank: Bank, path: str | Path, targets: Sequence[int | str] | None = None, *, overwrite: bool = False
) -> Path:
    """Write what the model looks for in some classes as one self-contained HTML file and return its path.

    Args:
        bank: of parts.
        path: where the file goes.
        targets: class indices or names; all classes when None.
        overwrite: replace any file of that name, not only one that likethat wrote.

    Raises:
        InputError: a file stands there that likethat did not write, or that was changed since.
        BankError: the bank holds no parts.
        TargetError: no such class.
        StorageError: the disk did not take it; nothing is left behind.
    """
    if not isinstance(bank.coordinates, HeadParts):
        algorithm = bank.provenance.options.get("algorithm", "")
        of_what = f" ({algorithm})" if bank.provenance.unit != "channel" else ""
        raise BankError(
            f"a bank of {bank.provenance.method}{of_what} has no classes' parts. Fit "
            "likethat.PartPrototypes(algorithm='ownership')."
        )
    every = range(len(bank.class_names))
    wanted = every if targets is None else [resolve_target(target, bank.class_names) for target in targets]
    sheet = PictureSheet(_THUMBNAIL_LIMIT)
    views = [class_view(bank, bank.coordinates, target, sheet) for target in wanted]
    model = shorten(bank.provenance.model, 80)
    made: ProvenanceView = provenance_view(bank.provenance)
    title = f"What {model} looks for, class by class"
    shown = {"title": title, "headline": title, "views": views, "made": made}
    return Page("classes.html.jinja", sheet, shown).write(path, overwrite=overwrite)


def class_view(bank: Bank, parts: HeadParts, target: int, sheet: PictureSheet) -> ClassView:
    """Lay a class out for its template; `sheet` takes the prototypes' pictures."""
    units = parts.units_of(target).tolist()
    return ClassView(
        name=shorten(class_name(bank.class_names, target), 60),
        parts=tuple(_part_view(bank, parts, unit, sheet) for unit in units),
        curve=_curve_view(parts, target, len(units)),
    )


def _part_view(bank: Bank, parts: HeadParts, unit: int, sheet: PictureSheet) -> PartView:
    name = shorten(bank.unit_names[unit], 60)
    figures = [
        (words, f"{float(parts.measures[key][unit]):.2f}")
        for key, words in _FIGURES.items()
        if key in parts.measures and not np.isnan(float(parts.measures[key][unit]))
    ]
    near_duplicates = [bank.unit_names[other] for other in parts.near_duplicates(unit)]
    more = f" and {len(near_duplicates) - 3} more" if len(near_duplicates) > 3 else ""
    return PartView(
        name=name,
        usage=f"{float(bank.usage[unit]):#.3g}",
        figures=tuple(figures),
        near_duplicates=shorten("; ".join(near_duplicates[:3]), 160) + more if near_duplicates else "",
        tiles=tuple(
            tile(item, sheet, bank.images, class_names=bank.class_names, unit_name=name)
            for item in bank.prototypes_of(unit)[:_MOST]
        ),
    )


def _curve_view(parts: HeadParts, target: int, chosen: int) -> CurveView | None:
    if not {"error", "agreement"} <= parts.curves.keys():
        return None
    pairs = zip(parts.curves["error"][target].tolist(), parts.curves["agreement"][target].tolist(), strict=True)
    rows = tuple(
        (count, f"{error:.3f}", "–" if np.isnan(agreement) else f"{agreement:.2f}", count == chosen)
        for count, (error, agreement) in enumerate(pairs, start=1)
        if not np.isnan(error)
    )
    return CurveView(rows=rows) if rows else None
