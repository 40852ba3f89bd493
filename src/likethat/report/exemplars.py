"""Pages of exemplars: what a model takes for each target, how sure it is, and how plausible that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from likethat._inputs import Inputs, join_inputs
from likethat.explanations.exemplars import REAL_TEXTS, ExemplarSet
from likethat.report.exemplar_columns import ColumnView, column_views
from likethat.report.exemplar_film import Curve, animated, curve
from likethat.report.pages import Page
from likethat.report.pixels import to_picture
from likethat.report.sheet import PictureSheet, Sprite
from likethat.report.text import clean, count, duration, in_prose, percent, shorten
from likethat.report.word_attribution import ColouredPiece, coloured

_PICTURE_LIMIT = 256  # pixels a side: several stand beside one another
_MOST_FRAMES = 12  # of a film that is a table or texts


@dataclass(frozen=True, kw_only=True)
class ItemView:
    """An exemplar as it is shown.

    Attributes:
        sprite: its picture; None for tables and texts.
        text: of a text.
        answer: the model's answer in words.
        facts: how plausible it is, short.
        is_reached: whether it is within the tolerance.
        pieces: of a text, coloured by what speaks for the target; empty where that was not asked.
    """

    sprite: Sprite | None
    text: str
    answer: str
    facts: str
    is_reached: bool
    pieces: tuple[ColouredPiece, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FrameView:
    """A moment of the search: how many answers there were, the error, and the input where it is no picture."""

    query: int
    error: str
    text: str


@dataclass(frozen=True, kw_only=True)
class SetView:
    """A target as it is shown.

    Attributes:
        name: of the target.
        lead: what was found, at what cost.
        warning: what was not, and what to try; or "".
        items: the exemplars.
        columns: of a table, the most telling first.
        n_more_columns: left out.
        curve: of the least error.
        film: address of the animation; "" where the inputs are no pictures.
        still: its last picture.
        frames: the moments of the film.
    """

    name: str
    lead: str
    warning: str
    items: tuple[ItemView, ...]
    columns: tuple[ColumnView, ...]
    n_more_columns: int
    curve: Curve
    film: str
    still: str
    frames: tuple[FrameView, ...]


def exemplars_page(sets: Sequence[ExemplarSet]) -> Page:
    """Lay exemplars of one or several targets out as a page."""
    sheet = PictureSheet(_PICTURE_LIMIT)
    return Page("exemplars.html.jinja", sheet, exemplars_view(sets, sheet))


def exemplars_view(sets: Sequence[ExemplarSet], sheet: PictureSheet) -> dict[str, Any]:
    """Lay exemplars out for their template.

    Args:
        sets: one a target.
        sheet: takes their pictures.
    """
    pictures: dict[str, NDArray[np.uint8]] = {}
    views = [_set_view(item, number, sets, pictures, sheet) for number, item in enumerate(sets)]
    name = in_prose(shorten(sets[0].description, 60)) if len(sets) == 1 else count(len(sets), "target")
    title = f"Exemplars of {name}"
    return {
        "title": title,
        "views": views,
        "kind": _shown_kind(sets[0]),
        "are_real": sets[0].method == REAL_TEXTS,
        "figures": _figures(sets),
        "has_real": any(item.distance_to_real is not None for item in sets),
        "made": _made(sets),
    }


def _figures(sets: Sequence[ExemplarSet]) -> list[tuple[str, str]]:
    reached = sum(int(item.reached.sum()) for item in sets)
    wanted = sum(int(item.options.get("n", len(item))) for item in sets)
    queries = sum(item.queries for item in sets)
    each = [(f"{queries / reached:.1f}", "queries each")] if reached else []
    return [
        (f"{reached} of {wanted}", "exemplars found"),
        (f"{queries:,}", "queries"),
        *each,
        (duration(sum(item.seconds for item in sets)), "of search"),
    ]


def _made(sets: Sequence[ExemplarSet]) -> list[tuple[str, str]]:
    first = sets[0]
    options = [(name.replace("_", " "), str(value)) for name, value in first.options.items()]
    return [("algorithm", first.method), ("seed", str(first.seed)), *options]


def _set_view(
    item: ExemplarSet,
    number: int,
    sets: Sequence[ExemplarSet],
    pictures: dict[str, NDArray[np.uint8]],
    sheet: PictureSheet,
) -> SetView:
    kind = _shown_kind(item)
    columns, n_more = _columns(item, sets) if kind == "table" else ((), 0)
    frames = _pictures(item.film.inputs) if kind == "image" else []
    sprites: list[Sprite | None] = [None] * len(item)
    if kind == "image":
        for place, picture in enumerate(_pictures(item.inputs)):
            pictures[f"{number}-{place}"] = picture
            sprites[place] = sheet.add(pictures, f"{number}-{place}")
    goal = item.options.get("tolerance") if item.wanted is not None else None
    return SetView(
        name=shorten(item.description, 80),
        lead=_lead(item),
        warning="" if item.status else _sentence(clean(item.status.advice)),
        items=tuple(_item_view(item, place, sprites[place]) for place in range(len(item))),
        columns=columns,
        n_more_columns=n_more,
        curve=curve(item.curve, goal=goal, shared=item.shared_queries),
        film=animated(frames) if len(frames) > 1 else "",
        still=animated(frames[-1:]) if len(frames) > 1 else "",
        frames=_frames(item, kind),
    )


def _lead(item: ExemplarSet) -> str:
    reached = int(item.reached.sum())
    words = [f"{count(reached, 'exemplar')} with {item.queries:,} queries"]
    if item.shared_queries:
        words.append(f"after {item.shared_queries:,} answers shared with other targets")
    sentence = ", ".join(words)
    apart = f" They lie {item.diversity:.2f} times as far apart as inputs drawn at random do." if len(item) > 1 else ""
    return f"{_sentence(sentence)}.{apart}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _item_view(item: ExemplarSet, place: int, sprite: Sprite | None) -> ItemView:
    share = percent(float(item.prior_quantile[place]))
    facts = [
        f"reads better than {share} of the texts" if item.method == REAL_TEXTS else f"prior\u00a0rank\u00a0{share}"
    ]
    if item.distance_to_real is not None:
        facts.append(f"real\u00a0×\u00a0{float(item.distance_to_real[place]):.2g}")
    return ItemView(
        sprite=sprite,
        text=shorten(item.inputs[place], 1500) if isinstance(item.inputs, list) else "",
        answer=_answer(item, place),
        facts=" · ".join(facts),
        is_reached=bool(item.reached[place]) or item.wanted is None,
        pieces=tuple(coloured(item.attributions[place])) if item.attributions else (),
    )


def _answer(item: ExemplarSet, place: int) -> str:
    """Return the probabilities that the target speaks of, and the highest where that is another's."""
    given = item.probabilities[place]
    if item.measured is not None and item.values is not None:
        return shorten(item.measured.number(float(item.values[place])), 40)
    if item.wanted is None:
        named = [int(given.argmax())]
    else:
        named = [int(index) for index in item.wanted.nonzero()[:, 0]]
        named += [int(given.argmax())] if int(given.argmax()) not in named else []
    if item.target >= 0 and len(named) == 1:
        return percent(float(given[named[0]]))
    return ", ".join(f"{shorten(item.class_names[index], 24)} {percent(float(given[index]))}" for index in named[:4])


def _shown_kind(item: ExemplarSet) -> str:
    is_flat = isinstance(item.inputs, Tensor) and item.inputs.ndim != 4
    return "table" if is_flat else item.kind


def _pictures(inputs: Inputs) -> list[NDArray[np.uint8]]:
    assert isinstance(inputs, Tensor)
    return [to_picture(image.float().numpy()) for image in inputs]


def _columns(item: ExemplarSet, sets: Sequence[ExemplarSet]) -> tuple[tuple[ColumnView, ...], int]:
    others = [other.inputs for other in sets if other is not item]
    return column_views(_frame(item.inputs), _frame(join_inputs([item.typical, *others])))


def _frame(inputs: Inputs) -> Any:
    if not isinstance(inputs, Tensor):
        return inputs
    import pandas as pd

    flat = torch.flatten(inputs, 1)
    return pd.DataFrame(flat.numpy(), columns=[f"value {place}" for place in range(flat.shape[1])])


def _frames(item: ExemplarSet, kind: str) -> tuple[FrameView, ...]:
    film = item.film
    rows = list(range(len(film)))
    if kind != "image":
        rows = rows[:1] + rows[1:][1 - _MOST_FRAMES :] if len(rows) > _MOST_FRAMES else rows
    return tuple(
        FrameView(
            query=int(film.queries[row]),
            error=f"{float(film.errors[row]):.3f}",
            text=shorten(film.inputs[row], 300) if isinstance(film.inputs, list) else "",
        )
        for row in rows
    )
