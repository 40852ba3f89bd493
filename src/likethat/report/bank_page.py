"""A bank, laid out for its template."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from likethat.explanations.records import Prototype, Provenance
from likethat.report.made import ControlsView, MadeUnits, controls_view, made_figures, made_reading, made_units
from likethat.report.pixels import close_up, data_uri, encode_small, strip
from likethat.report.sheet import PictureSheet
from likethat.report.text import percent, shorten
from likethat.report.views import (
    ProvenanceView,
    Tile,
    class_name,
    label_of,
    noun_of,
    provenance_view,
    tally,
    tile,
)

_MOST_POSITIVE = 10  # pictures a channel: a row
_MOST_NEGATIVE = 5  # pictures a channel: they are of less interest
_IN_A_LINE, _LINE_SIDE = 3, 48  # pictures of a unit that is not shown in full, at most, and their pixels a side
_ON_ALL_LINES = 4000  # pictures: some 2 MB of photographs
_CUT_FROM = 96  # pixels a side of pictures whose close-up still shows something at that size
_CLASSES_OF_A_UNIT = 3  # that the index lists it under: those most frequent among its prototypes


class BankLike(Protocol):
    """What a page needs of a bank."""

    @property
    def provenance(self) -> Provenance:
        """How it was made."""
        ...

    @property
    def class_names(self) -> Sequence[str]:
        """Of the model."""
        ...

    @property
    def prototypes(self) -> Sequence[Prototype]:
        """Of all units."""
        ...

    @property
    def images(self) -> Mapping[str, NDArray[np.uint8]]:
        """The prototypes' pictures."""
        ...

    @property
    def unit_names(self) -> Sequence[str]:
        """What to call each unit."""
        ...

    @property
    def unit_purity(self) -> Float[NDArray[np.float32], " unit"]:
        """Mean purity of each unit's prototypes; NaN where it has none."""
        ...

    @property
    def usage(self) -> Float[NDArray[np.float32], " unit"]:
        """Mean absolute contribution of each unit to the predicted class; may be empty."""
        ...

    @property
    def n_units(self) -> int:
        """How many units there are."""
        ...


@dataclass(frozen=True, kw_only=True)
class UnitView:
    """One unit as it is shown.

    Attributes:
        unit: its number.
        name: of the unit.
        number: "unit 12", where people named it: by that number it is named again; or "".
        place: by usage, from 1.
        usage: mean absolute contribution, or "".
        bar: usage in percent of the largest.
        share: of all usage, or "".
        purity: mean over its prototypes.
        classes: of its prototypes.
        parts: true parts of its prototypes, or "".
        mark: that its prototypes were made for it, or "".
        positive: prototypes.
        negative: prototypes of the lowest activation.
    """

    unit: int
    name: str
    number: str
    place: int
    usage: str
    bar: float
    share: str
    purity: str
    classes: str
    parts: str
    mark: str
    positive: tuple[Tile, ...]
    negative: tuple[Tile, ...]


@dataclass(frozen=True, kw_only=True)
class UnitGroup:
    """Units under one heading.

    Attributes:
        heading: above them.
        units: as shown.
    """

    heading: str
    units: tuple[UnitView, ...]


@dataclass(frozen=True, kw_only=True)
class UnitLine:
    """One unit that is not shown in full.

    Attributes:
        unit: its number.
        name: of the unit.
        facts: usage and purity, in words.
        classes: of its prototypes.
        strip: its first prototypes beside each other, as a data URI; "" without any.
        n_pictures: on the strip.
        side: of each of them, in pixels.
    """

    unit: int
    name: str
    facts: str
    classes: str
    strip: str
    n_pictures: int
    side: int = _LINE_SIDE


@dataclass(frozen=True, kw_only=True)
class ClassEntry:
    """A class in the index, with the (number, name) of the units whose prototypes are of it."""

    name: str
    units: tuple[tuple[int, str], ...]


@dataclass(frozen=True, kw_only=True)
class BankView:
    """A bank as it is shown.

    Attributes:
        headline: what it is.
        lead: how much of it is shown.
        model: that it explains.
        method: that made it.
        noun: what a unit is called.
        figures: (number, what it counts).
        controls: purities of a bank made without data beside its controls'; None for others.
        groups: units shown in full.
        lines: the other units.
        index: all units by class; empty where all are shown in full.
        reading: how to read them.
        provenance: how it was made.
    """

    headline: str
    lead: str
    model: str
    method: str
    noun: str
    figures: tuple[tuple[str, str], ...]
    controls: ControlsView | None
    groups: tuple[UnitGroup, ...]
    lines: tuple[UnitLine, ...]
    index: tuple[ClassEntry, ...]
    reading: tuple[str, ...]
    provenance: ProvenanceView


def units_by_usage(bank: BankLike) -> list[int]:
    """Return the units that have prototypes, the most used first; by purity where usage is not known.

    Those that prototypes were made for come before all others.
    """
    units = sorted({prototype.unit for prototype in bank.prototypes})
    values = bank.usage if len(bank.usage) else bank.unit_purity
    made = _made(bank)
    first = made.units if made else frozenset()
    return sorted(units, key=lambda unit: (unit not in first, -float(np.nan_to_num(values[unit], nan=-np.inf)), unit))


def bank_view(bank: BankLike, sheet: PictureSheet, *, limit: int) -> BankView:
    """Lay a bank out for its template.

    Args:
        bank: what is shown.
        sheet: takes its pictures.
        limit: units shown in full at most; the others have a line each.
    """
    noun, made = noun_of(bank.provenance), _made(bank)
    units = units_by_usage(bank)
    model = shorten(bank.provenance.model, 80)
    return BankView(
        headline=f"What {model} looks for",
        lead=_lead(bank, units, min(limit, len(units)), noun, made),
        model=model,
        method=shorten(bank.provenance.method, 40),
        noun=noun,
        figures=_figures(bank, units, noun, made),
        controls=None if made is None else controls_view(bank.provenance),
        groups=_groups(bank, units[:limit], noun, sheet, made),
        lines=_lines(bank, units[limit:]),
        index=_index(bank, units) if len(units) > limit else (),
        reading=_reading(noun, _explained(bank))
        if made is None
        else made_reading(noun, _explained(bank), has_climbed=bool(made.units)),
        provenance=provenance_view(bank.provenance),
    )


def _made(bank: BankLike) -> MadeUnits | None:
    if not bank.provenance.is_made:
        return None
    return made_units(bank.provenance, bank.prototypes, bank.class_names)


def _by_unit(bank: BankLike, units: Sequence[int]) -> dict[int, list[Prototype]]:
    """Return the prototypes of each unit, best first."""
    found: dict[int, list[Prototype]] = {unit: [] for unit in units}
    for prototype in sorted(bank.prototypes, key=lambda item: item.rank):
        if prototype.unit in found:
            found[prototype.unit].append(prototype)
    return found


def _lines(bank: BankLike, units: Sequence[int]) -> tuple[UnitLine, ...]:
    most = min(_IN_A_LINE, max(1, _ON_ALL_LINES // max(1, len(units))))
    return tuple(_line(bank, unit, prototypes, most) for unit, prototypes in _by_unit(bank, units).items())


def _line(bank: BankLike, unit: int, prototypes: Sequence[Prototype], most: int) -> UnitLine:
    positive = [item for item in prototypes if item.kind == "positive"]
    shown = [_cut(bank.images[item.image], item) for item in positive[:most]]
    facts = _facts(bank, unit)
    return UnitLine(
        unit=unit,
        name=shorten(bank.unit_names[unit], 60),
        facts=", ".join(f"{word} {number}" for word, number in zip(("usage", "purity"), facts, strict=True) if number),
        classes=tally([name for item in positive if (name := _class_of(item, bank.class_names)) is not None]),
        strip=data_uri(*encode_small(strip(shown, _LINE_SIDE))) if shown else "",
        n_pictures=len(shown),
    )


def _facts(bank: BankLike, unit: int) -> tuple[str, str]:
    """Return the usage and the purity of a unit, each "" where it is not known."""
    usage = f"{float(bank.usage[unit]):#.3g}" if len(bank.usage) and float(bank.usage.max(initial=0.0)) else ""
    purity = float(bank.unit_purity[unit])
    return usage, "" if np.isnan(purity) else f"{purity:.2f}".replace("-", "−")


def _cut(picture: NDArray[np.uint8], prototype: Prototype) -> NDArray[np.uint8]:
    """Return the close-up of a prototype's box, or the whole of a picture that is too small for one."""
    if max(picture.shape[:2]) < _CUT_FROM:
        return picture
    left, top, right, bottom = close_up(prototype.box, (picture.shape[0], picture.shape[1]))
    return picture[top:bottom, left:right]


def _index(bank: BankLike, units: Sequence[int]) -> tuple[ClassEntry, ...]:
    """List units under the classes of their prototypes, classes by name."""
    found: dict[str, list[tuple[int, str]]] = {}
    for unit, prototypes in _by_unit(bank, units).items():
        names = Counter(_class_of(item, bank.class_names) for item in prototypes if item.kind == "positive")
        for name, _ in names.most_common(_CLASSES_OF_A_UNIT):
            if name is not None:
                found.setdefault(shorten(name, 60), []).append((unit, shorten(bank.unit_names[unit], 60)))
    order = sorted(found, key=lambda name: (name.casefold(), name))
    return tuple(ClassEntry(name=name, units=tuple(found[name])) for name in order)


def _class_of(item: Prototype, class_names: Sequence[str]) -> str | None:
    return label_of(item, class_names) or _predicted(item, class_names)


def _groups(
    bank: BankLike, shown: list[int], noun: str, sheet: PictureSheet, made: MadeUnits | None
) -> tuple[UnitGroup, ...]:
    """Return the units shown; those that prototypes were made for stand apart."""
    own = _by_unit(bank, shown)
    first = made.units if made else frozenset()
    views = {
        unit: unit_view(
            bank, unit, place, own[unit], sheet, mark=shorten(made.mark, 80) if made and unit in first else ""
        )
        for place, unit in enumerate(shown, start=1)
    }
    if made is None or not made.units:
        return (UnitGroup(heading=f"What each {noun} responds to", units=tuple(views.values())),)
    parts = (
        (made.heading, [views[unit] for unit in shown if unit in first]),
        (made.rest, [views[unit] for unit in shown if unit not in first]),
    )
    return tuple(UnitGroup(heading=heading, units=tuple(part)) for heading, part in parts if part)


def _lead(bank: BankLike, units: list[int], n_shown: int, noun: str, made: MadeUnits | None) -> str:
    if not units:
        return f"None of its {bank.n_units:,} {noun}s has a prototype."
    best = "most used" if len(bank.usage) else "purest"
    order = f"those that climbed first, then the {best}" if made and made.units else f"{best} first"
    if n_shown < len(units):
        start = f"{n_shown}" if made and made.units else f"The {n_shown} {best}"
        total = float(np.abs(bank.usage).sum()) if len(bank.usage) else 0.0
        share = float(np.abs(bank.usage[units[:n_shown]]).sum()) / total if total else 0.0
        carry = f"; they carry {percent(min(share, 1.0))} of all contributions" if share else ""
        return (
            f"{start} of {len(units):,} {noun}s in full, {order}{carry}. The others have a line each, below; classes "
            "have an index, and the browser's own search finds any name."
        )
    return f"All {len(units):,} {noun}s that have prototypes, {order}.{_idle(bank.n_units - len(units), noun, made)}"


def _idle(n: int, noun: str, made: MadeUnits | None) -> str:
    """Say why the others have no prototypes; a part has none, too, where its class has no image."""
    if n == 0:
        return ""
    one = n == 1
    silent = f"{'is' if one else 'are'} silent on all that the generator makes"
    never = f"never {'varies' if one else 'vary'} on this data"
    if noun == "part":
        never = f"{'is of a class' if one else 'are of classes'} without images here, or {never},"
    return f" {n:,} more {silent if made else never} and {'has' if one else 'have'} none."


def _figures(bank: BankLike, units: list[int], noun: str, made: MadeUnits | None) -> tuple[tuple[str, str], ...]:
    figures = [(f"{len(units):,}", f"{noun}s with prototypes"), (f"{len(bank.class_names):,}", "classes")]
    if made and "generator_calls" in bank.provenance.measures:
        return (*figures, *made_figures(bank.provenance.measures))
    figures.append((f"{bank.provenance.n_images:,}", "samples made, no image was opened" if made else "images seen"))
    purities = bank.unit_purity[~np.isnan(bank.unit_purity)]
    if len(purities):
        figures.append((f"{float(purities.mean()):.2f}".replace("-", "−"), "mean purity"))
    return tuple(figures)


def _explained(bank: BankLike) -> str:
    """Return what usage is about: nothing is "the predicted class" where there are labels, or one logit."""
    if getattr(bank, "outputs", "softmax") == "softmax":
        return "predicted class"
    return "logit" if len(bank.class_names) == 1 else "label of the highest logit"


def _reading(noun: str, explained: str) -> tuple[str, ...]:
    card = (
        f"Each card is one {noun} of the network's last feature map. Its pictures are those among all seen that "
        "activate it most; the frame marks where."
    )
    if noun == "region":  # of a picture: it has that picture alone
        card = (
            "Each card is one region of a picture: cells that look alike to the network. The frame marks its strongest."
        )
    return (
        card,
        f"Usage is how much the {noun} contributes to the {explained}, for or against, on average over the data.",
        f"Purity says how much of what the network sees in the frame is this {noun} alone: 1 is nothing else.",
        "Hold the pointer on a picture for its source and classes.",
    )


def _predicted(prototype: Prototype, class_names: Sequence[str]) -> str | None:
    return None if prototype.predicted is None else class_name(class_names, prototype.predicted)


def unit_view(
    bank: BankLike, unit: int, place: int, prototypes: Sequence[Prototype], sheet: PictureSheet, *, mark: str = ""
) -> UnitView:
    """Lay one unit out; `prototypes` are its own, `place` is by usage, from 1."""
    ordered = sorted(prototypes, key=lambda item: item.rank)
    name = shorten(bank.unit_names[unit], 60)
    tiles = {
        kind: tuple(
            tile(item, sheet, bank.images, class_names=bank.class_names, unit_name=name)
            for item in [item for item in ordered if item.kind == kind][:most]
        )
        for kind, most in (("positive", _MOST_POSITIVE), ("negative", _MOST_NEGATIVE))
    }
    positive = [item for item in ordered if item.kind == "positive"]
    classes = [_class_of(item, bank.class_names) for item in positive]
    usage = float(bank.usage[unit]) if len(bank.usage) else 0.0
    largest = float(bank.usage.max(initial=0.0)) if len(bank.usage) else 0.0
    total = float(bank.usage.sum()) if len(bank.usage) else 0.0
    shown_usage, purity = _facts(bank, unit)
    return UnitView(
        unit=unit,
        name=name,
        number=f"unit {unit}" if unit in getattr(bank, "named", ()) else "",
        place=place,
        usage=shown_usage,
        bar=round(100 * usage / largest, 2) if largest else 0.0,
        share=percent(min(usage / total, 1.0)) if total else "",
        purity=purity,
        classes=tally([name for name in classes if name is not None]),
        parts=tally([item.true_part for item in positive if item.true_part]),
        mark=mark,
        positive=tiles["positive"],
        negative=tiles["negative"],
    )
