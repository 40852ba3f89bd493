"""A marked part of a picture, laid out for its template."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likethat.explanations.explanation import Explanation
from likethat.explanations.regions import LooksLike, Region
from likethat.report.pixels import close_up
from likethat.report.sheet import PictureSheet, Sprite
from likethat.report.text import decimals_for, rounded_to_sum, shorten, signed
from likethat.report.views import BoxView, class_name, classes_of

_COLOUR = "#c2185b"  # of the mark, as of the first row of an explanation


@dataclass(frozen=True, kw_only=True)
class UnitRow:
    """A unit in a region as it is shown.

    Attributes:
        unit: its number; None for all others together.
        name: of the unit.
        there: what it adds from the region.
        everywhere: from the whole map; "" for the others.
        bar: width in percent of the largest, and its sign.
    """

    unit: int | None
    name: str
    there: str
    everywhere: str
    bar: tuple[float, str]


@dataclass(frozen=True, kw_only=True)
class AlikeView:
    """A place that looks like the region, as it is shown.

    Attributes:
        image: key of its picture.
        sprite: its picture.
        box: left, top, width and height in the picture's pixels.
        window: the close-up, likewise.
        alt: what a reader who cannot see it is told.
        source: where the picture came from, shortened.
        classes: its label and predicted class.
        similarity: in [-1, 1].
    """

    image: str
    sprite: Sprite
    box: tuple[int, int, int, int]
    window: tuple[int, int, int, int]
    alt: str
    source: str
    classes: str
    similarity: str


@dataclass(frozen=True, kw_only=True)
class RegionView:
    """A region as it is shown.

    Attributes:
        lead: what it adds.
        total: the same as a number.
        box: of its cells, in percent of the picture.
        rows: of units, and of the others together.
        alike: places that look like it.
        looked: how many pictures were looked at, in words.
        is_partly: whether there was no time for some.
    """

    lead: str
    total: str
    box: BoxView
    rows: tuple[UnitRow, ...]
    alike: tuple[AlikeView, ...]
    looked: str
    is_partly: bool


def region_view(region: Region, explanation: Explanation, sheet: PictureSheet) -> RegionView:
    """Lay a region out for its template.

    Args:
        region: of the picture that is explained.
        explanation: of it, for the same logit.
        sheet: takes the pictures of what looks like it.
    """
    height, width = explanation.image.shape[1:]
    left, top, right, bottom = region.box
    box = BoxView(
        number=1,
        colour=_COLOUR,
        left=100 * left / width,
        top=100 * top / height,
        width=100 * (right - left) / width,
        height=100 * (bottom - top) / height,
    )
    decimals = decimals_for([region.contribution, *(one.contribution for one in region.units)])
    return RegionView(
        lead=_lead(region, explanation, decimals),
        total=signed(region.contribution, decimals),
        box=box,
        rows=_rows(region, decimals, explanation.provenance.unit),
        alike=tuple(_alike(one, explanation, sheet) for one in region.alike),
        looked=_looked(region, explanation.provenance.unit),
        is_partly=region.n_left > 0,
    )


def _lead(region: Region, explanation: Explanation, decimals: int) -> str:
    target = shorten(class_name(explanation.class_names, explanation.target), 40)
    of = f"the logit of “{target}”"
    if explanation.against is not None:
        against = shorten(class_name(explanation.class_names, explanation.against), 40)
        of = f"the difference of “{target}” and “{against}”"
    part = "cell adds" if region.n_cells == 1 else "cells add"
    return (
        f"{region.n_cells:,} of the {region.n_all:,} {part} {signed(region.contribution, decimals)} to {of}; "
        f"all of them add {signed(region.everywhere, decimals)}, and with what has no place and the bias it is "
        f"{signed(region.logit, decimals)}."
    )


def _rows(region: Region, decimals: int, noun: str) -> tuple[UnitRow, ...]:
    values = [*(one.contribution for one in region.units), region.rest]
    printed = rounded_to_sum(values, decimals)
    largest = max(map(abs, values)) or 1.0
    bars = [(round(100 * abs(value) / largest, 2), "for" if value >= 0 else "against") for value in values]
    rows = [
        UnitRow(
            unit=one.unit,
            name=shorten(one.name, 60),
            there=signed(printed[place], decimals),
            everywhere=signed(one.everywhere, decimals),
            bar=bars[place],
        )
        for place, one in enumerate(region.units)
    ]
    rest = UnitRow(
        unit=None, name=f"all other {noun}s", there=signed(printed[-1], decimals), everywhere="", bar=bars[-1]
    )
    return (*rows, rest)


def _looked(region: Region, noun: str) -> str:
    if region.n_looked >= region.n_pictures - 1:  # a kept picture is not compared with itself
        return f"All {region.n_looked:,} pictures of the bank were looked through."
    sofar = f" so far; there was no time yet for {region.n_left:,} more" if region.n_left else ""
    return (
        f"{region.n_looked:,} of the bank's {region.n_pictures:,} pictures were looked through{sofar}: prototypes of "
        f"the {noun}s that are most active in the mark."
    )


def _alike(one: LooksLike, explanation: Explanation, sheet: PictureSheet) -> AlikeView:
    images: Mapping[str, NDArray[np.uint8]] = explanation.images
    item, (left, top, right, bottom) = one.prototype, one.box
    sprite = sheet.add(images, item.image)
    x, y, end, low = close_up(one.box, (sprite.height, sprite.width))
    similarity = f"{one.similarity:.2f}".replace("-", "−")
    source, classes = (
        shorten(item.source.replace("\\", "/").rsplit("/", 1)[-1], 40),
        classes_of(item, explanation.class_names),
    )
    return AlikeView(
        image=item.image,
        sprite=sprite,
        box=(left, top, right - left, bottom - top),
        window=(x, y, end - x, low - y),
        alt=f"{source or 'a picture of the bank'}, similarity {similarity}{f' ({classes})' if classes else ''}",
        source=source,
        classes=classes,
        similarity=similarity,
    )
