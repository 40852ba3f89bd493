"""An explanation, laid out for its template."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from likethat.explanations.explanation import Explanation
from likethat.explanations.records import Contribution
from likethat.report.palette import row_colour
from likethat.report.pixels import close_up, data_uri, encode, outline, overlay, shrink, to_picture
from likethat.report.sentences import (
    headline,
    lead,
    part_sentence,
    share_sentence,
    surroundings_sentence,
    truth_sentence,
    unlocated_sentence,
)
from likethat.report.sheet import PIXELATED_UP_TO, PictureSheet, Sprite
from likethat.report.text import count, shorten, signed
from likethat.report.views import BoxView, ProvenanceView, Tile, class_name, noun_of, provenance_view, tile
from likethat.report.waterfall import Waterfall, waterfall

_HEAT_LIMIT = 384  # pixels a side: a heat map has few cells
_MOST_PROTOTYPES = 12  # a unit; all of them are in the bank


@dataclass(frozen=True, kw_only=True)
class RowView:
    """One row as it is shown.

    Attributes:
        number: from 1.
        colour: of its box and frame.
        name: of the unit.
        printed: its contribution.
        bar: (width in percent of the largest, sign, hatched percent of that width).
        share: of the evidence.
        unlocated: what of the contribution has no place, or "".
        purity: at the peak.
        heat: data URI of the picture under the heat map.
        heat_alt: what a reader who cannot see it is told.
        heat_note: what the colours mean.
        box: on the picture.
        outline: SVG path round where the unit is at least half as strong as at its peak, in percent of the picture.
        window: the close-up's left, top, width and height in pixels.
        part: the sentence about true parts.
        tiles: prototypes.
        n_more: prototypes not shown.
    """

    number: int
    colour: str
    name: str
    printed: str
    bar: tuple[float, str, float]
    share: str
    unlocated: str
    purity: str
    heat: str
    heat_alt: str
    heat_note: str
    box: BoxView
    outline: str
    window: tuple[int, int, int, int]
    part: str
    tiles: tuple[Tile, ...]
    n_more: int


@dataclass(frozen=True, kw_only=True)
class ExplanationView:
    """An explanation as it is shown.

    Attributes:
        headline: what it is about.
        lead: what the rows amount to.
        source: where the picture came from.
        model: whose logit it is.
        method: that made the prototypes.
        noun: what a unit is called.
        picture: data URI.
        sprite: the same, on the page's sheet.
        picture_alt: what a reader who cannot see it is told.
        size: width and height of the picture, in pixels.
        is_pixelated: whether to enlarge it without smoothing.
        boxes: of the rows.
        sum_label: what the steps add up to.
        waterfall: the steps.
        rows: as shown.
        truth: where the explanation is right, or "".
        unlocated: what hatched bars mean, or "".
        warnings: sentences.
        provenance: how it was made.
    """

    headline: str
    lead: str
    source: str
    model: str
    method: str
    noun: str
    picture: str
    sprite: Sprite
    picture_alt: str
    size: tuple[int, int]
    is_pixelated: bool
    boxes: tuple[BoxView, ...]
    sum_label: str
    waterfall: Waterfall
    rows: tuple[RowView, ...]
    truth: str
    unlocated: str
    warnings: tuple[str, ...]
    provenance: ProvenanceView


def explanation_view(explanation: Explanation, sheet: PictureSheet) -> ExplanationView:
    """Lay an explanation out for its template; `sheet` takes the prototypes' pictures."""
    noun = noun_of(explanation.provenance)
    steps = waterfall(explanation, noun)
    picture = to_picture(explanation.image)
    height, width = picture.shape[:2]
    sprite = sheet.add_own(picture)
    boxes = box_views(explanation)
    source = shorten(explanation.source, 120)
    numbered = count(len(boxes), "numbered box").replace("boxs", "boxes")
    return ExplanationView(
        headline=headline(explanation),
        lead=lead(explanation, steps.decimals) + surroundings_sentence(explanation),
        source=source,
        model=shorten(explanation.provenance.model, 80),
        method=shorten(explanation.provenance.method, 40),
        noun=noun,
        picture=sprite.address,
        sprite=sprite,
        picture_alt=f"{source or 'the picture'}, as the network saw it, with {numbered}",
        size=(width, height),
        is_pixelated=max(width, height) <= PIXELATED_UP_TO,
        boxes=boxes,
        sum_label=_sum_label(explanation),
        waterfall=steps,
        rows=tuple(
            _row_view(explanation, row, box, steps, sheet) for row, box in zip(explanation.rows, boxes, strict=True)
        ),
        truth=truth_sentence(explanation),
        unlocated=unlocated_sentence(explanation),
        warnings=tuple(shorten(warning, 1000) for warning in explanation.warnings),
        provenance=provenance_view(explanation.provenance),
    )


def box_views(explanation: Explanation) -> tuple[BoxView, ...]:
    """Return the rows' boxes in percent of the picture; boxes with one corner count each other."""
    height, width = explanation.image.shape[1:]
    seen: Counter[tuple[int, int]] = Counter()
    views = []
    for place, row in enumerate(explanation.rows):
        left, top, right, bottom = row.box
        views.append(
            BoxView(
                number=place + 1,
                colour=row_colour(place),
                left=round(100 * left / width, 3),
                top=round(100 * top / height, 3),
                width=round(100 * (right - left) / width, 3),
                height=round(100 * (bottom - top) / height, 3),
                shift=seen[left, top],
            )
        )
        seen[left, top] += 1
    return tuple(views)


def _sum_label(explanation: Explanation) -> str:
    target = shorten(class_name(explanation.class_names, explanation.target), 40)
    if explanation.against is None:
        return f"logit of “{target}”"
    against = shorten(class_name(explanation.class_names, explanation.against), 40)
    return f"logit of “{target}” less that of “{against}”"


def _row_view(
    explanation: Explanation, row: Contribution, box: BoxView, steps: Waterfall, sheet: PictureSheet
) -> RowView:
    picture = to_picture(explanation.image)
    name = shorten(row.name, 60)
    tiles = _tiles(explanation, row, sheet)
    left, top, right, bottom = close_up(row.box, (picture.shape[0], picture.shape[1]))
    heat, note = _heat(row)
    return RowView(
        number=box.number,
        colour=box.colour,
        name=name,
        printed=steps.printed_rows[box.number - 1],
        bar=_bar(explanation, row),
        share=share_sentence(explanation, row),
        unlocated=_unlocated(row, steps.decimals),
        purity=f"{row.purity:.2f}".replace("-", "−"),
        heat=data_uri(*encode(overlay(shrink(picture, min(_HEAT_LIMIT, sheet.own)), heat))),
        heat_alt=f"{note}: {name}, strongest in box {box.number}",
        heat_note=note,
        box=box,
        outline=outline(-row.activation_map if row.is_low else row.activation_map),
        window=(left, top, right - left, bottom - top),
        part=part_sentence(explanation, row),
        tiles=tiles,
        n_more=len(row.prototypes) - len(tiles),
    )


def _tiles(explanation: Explanation, row: Contribution, sheet: PictureSheet) -> tuple[Tile, ...]:
    return tuple(
        tile(
            prototype,
            sheet,
            explanation.images,
            class_names=explanation.class_names,
            unit_name=row.name,
            true_part=row.true_part,
        )
        for prototype in row.prototypes[:_MOST_PROTOTYPES]
    )


def _unlocated(row: Contribution, decimals: int) -> str:
    if not row.unlocated:
        return ""
    if not row.contribution:
        return "none of it has a place in the picture"
    return f"{signed(row.unlocated, decimals)} of it is not localised in the picture"


def _heat(row: Contribution) -> tuple["np.ndarray[tuple[int, ...], np.dtype[np.float32]]", str]:
    """Return the map to show: where the evidence is, or where the unit is active if the head reads no place."""
    if np.any(row.heat_map):
        return row.heat_map, "where its evidence is"
    return row.activation_map, "where it is active"


def _bar(explanation: Explanation, row: Contribution) -> tuple[float, str, float]:
    largest = max(abs(item.total) for item in explanation.rows) or 1.0
    same_way = row.contribution * row.unlocated >= 0 and row.total != 0
    hatched = 100 * row.unlocated / row.total if same_way else 0.0
    return round(100 * abs(row.total) / largest, 2), "for" if row.total >= 0 else "against", round(hatched, 2)
