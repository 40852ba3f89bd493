"""The page and the figure of an attribution: the heat map over the picture, and how sure it is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from likethat._checks import require
from likethat.explanations.attribution import EXACTLY, Attribution
from likethat.explanations.word_attribution import WordAttribution
from likethat.report.pages import Page
from likethat.report.pixels import colour_heat, data_uri, encode, shrink, to_picture
from likethat.report.sheet import PIXELATED_UP_TO, PictureSheet
from likethat.report.text import duration, for_matplotlib, percent, shorten

_LIMIT = 384  # pixels a side of a picture on the page


def attribution_page(found: Attribution) -> Page:
    """Lay an attribution out as a page."""
    title = headline_of(found)
    panels = tuple((name, data_uri(*encode(shrink(picture, _LIMIT))), words) for name, picture, words in _panels(found))
    told = (str(found.status),) if not found.status else ()
    view = {
        "headline": title,
        "eyebrow": ("Attribution", shorten(found.method, 40), shorten(found.model, 80)),
        "lead": _lead(found),
        "warnings": tuple(shorten(text, 1000) for text in told),
        "panels": panels,
        "is_pixelated": max(found.heat_map.shape) <= PIXELATED_UP_TO,
        "facts": _facts(found),
        "is_exact": found.method == EXACTLY,
    }
    sheet = PictureSheet(_LIMIT)
    return Page("attribution.html.jinja", sheet, {"title": title, "view": view})


def attribution_figure(found: Attribution) -> Any:
    """Return a `matplotlib.figure.Figure`: the picture, the heat map, and where it is clear."""
    require("matplotlib", purpose="figure()")
    from matplotlib.figure import Figure

    panels = _panels(found)
    figure = Figure(figsize=(2.7 * len(panels), 3.2), layout="constrained")
    figure.suptitle(for_matplotlib(headline_of(found)), fontsize=11)
    for axes, (name, picture, _) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axes.imshow(picture, interpolation="nearest" if max(picture.shape[:2]) <= PIXELATED_UP_TO else "antialiased")
        axes.set_title(name, fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


def what_model_says(found: Attribution | WordAttribution) -> str:
    """Return the sentence of what the model answered: a percentage of a class, or the number explained."""
    if found.measured is not None and found.value is not None:
        name = shorten(found.measured.name, 60)
        return f"Its {name} is {shorten(found.measured.number(found.value), 40)}, as the model has it."
    return f"The model gives it {percent(float(found.probabilities[found.target]))}."


def colours_of(found: Attribution | WordAttribution) -> str:
    """Return what blue and orange say."""
    if found.measured is not None and not found.measured.is_label:
        return "blue raises it, orange lowers it"
    return "blue speaks for the class, orange against it"


def headline_of(found: Attribution | WordAttribution) -> str:
    """Return what an attribution is about: what speaks for a class, or what raises a number."""
    does = "speaks for" if found.measured is None or found.measured.is_label else "raises"
    return f"What {does} “{shorten(found.target_name, 50)}”"


def _panels(found: Attribution) -> tuple[tuple[str, NDArray[np.uint8], str], ...]:
    picture = to_picture(found.image)
    top = float(np.quantile(np.abs(found.heat_map), 0.99))
    shown = (
        ("the picture", picture, "as the model was given it"),
        ("what each place adds", _on_paper(picture, found.heat_map, top), colours_of(found)),
    )
    if found.method == EXACTLY:
        return shown
    error = np.where(np.isfinite(found.error), found.error, 0).astype(np.float32)
    clear = np.where(found.is_clear, found.heat_map, 0).astype(np.float32)
    return (
        *shown,
        ("of that, what is clear", _on_paper(picture, clear, top), "further than two standard errors from nothing"),
        ("how unsure it is", _on_paper(picture, error, top, ink=(70, 60, 90)), "the standard error, on the same scale"),
    )


def _on_paper(
    picture: NDArray[np.uint8], heat: NDArray[np.float32], top: float, *, ink: tuple[int, int, int] | None = None
) -> NDArray[np.uint8]:
    """Return a heat map over a pale grey print of the picture, whose own colours would be taken for the map's.

    Args:
        picture: (height, width, 3).
        heat: of its pixels.
        top: magnitude that is fully opaque.
        ink: one colour for all values; blue and orange by sign when None.
    """
    grey = picture.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    paper = (255 - 0.35 * (255 - grey))[..., None]
    coloured = colour_heat(heat.astype(np.float64), top)
    alpha = 0.9 * coloured[..., 3:]
    colours = 255 * coloured[..., :3] if ink is None else np.array(ink, dtype=np.float64)
    shown: NDArray[np.uint8] = np.round((1 - alpha) * paper + alpha * colours).astype(np.uint8)
    return shown


def _lead(found: Attribution) -> str:
    if found.method == EXACTLY:
        return f"{what_model_says(found)} What each cell of its map adds to the logit, in one pass and exactly."
    share = float(found.is_clear.mean())
    return f"{what_model_says(found)} After {found.queries} questions {percent(share)} of the pixels have a clear sign."


def _facts(found: Attribution) -> tuple[tuple[str, str], ...]:
    told = {
        "model": shorten(found.model, 80),
        "method": found.method,
        "time": duration(found.seconds),
    }
    if found.method != EXACTLY:
        told |= {
            "generator": shorten(found.generator, 80),
            "queries": f"{found.queries:,}",
            "seed": str(found.seed),
            "mean standard error": f"{float(found.error.mean()):.3g}",
        }
    return (*told.items(), *(("note", shorten(note, 300)) for note in found.notes))
