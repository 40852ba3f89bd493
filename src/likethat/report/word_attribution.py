"""The page and the figure of a text's attribution: the text with its words coloured, and a table of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from likethat._checks import require
from likethat.explanations.word_attribution import WordAttribution
from likethat.report.attribution import colours_of, headline_of, what_model_says
from likethat.report.pages import Page
from likethat.report.palette import AGAINST, FOR
from likethat.report.sheet import PictureSheet
from likethat.report.text import clean, duration, for_matplotlib, percent, shorten, signed

_ROWS = 24  # of the table: more than a sentence has words that matter
_LONGEST = 20_000  # characters of a text on a page
_PALEST = 6  # percent of colour below which a word is left uncoloured


@dataclass(frozen=True, kw_only=True)
class ColouredPiece:
    """A stretch of a text as it is shown.

    Attributes:
        text: of it.
        side: "for" or "against"; "" without a colour.
        strength: percent of the colour.
        says: value and standard error; "" without a colour.
    """

    text: str
    side: str = ""
    strength: int = 0
    says: str = ""


def coloured(found: WordAttribution) -> list[ColouredPiece]:
    """Return a text in pieces, each with the colour of its value; what stands between words has none."""
    top = max(float(np.abs(found.values).max(initial=0)), 1e-12)
    shown, place = [], 0
    for start, stop, value, error in zip(found.starts, found.stops, found.values, found.error, strict=True):
        if start > place:
            shown.append(ColouredPiece(text=clean(found.text[place:start])))
        strength = round(70 * abs(float(value)) / top) if np.isfinite(error) else 0
        says = f"{signed(float(value))} ± {float(error):.2f}"
        side = ("for" if value > 0 else "against") if strength >= _PALEST else ""
        shown.append(ColouredPiece(text=clean(found.text[start:stop]), side=side, strength=strength, says=says))
        place = int(stop)
    return [*shown, ColouredPiece(text=clean(found.text[place:]))]


def word_attribution_page(found: WordAttribution) -> Page:
    """Lay a text's attribution out as a page."""
    title = headline_of(found)
    order = np.argsort(-np.abs(found.values), kind="stable")[:_ROWS]
    pieces, clear = found.pieces, found.is_clear
    view = {
        "headline": title,
        "eyebrow": ("Attribution", "words", shorten(found.model, 80)),
        "lead": (
            f"{what_model_says(found)} After {found.queries} questions "
            f"{int(clear.sum())} of {len(pieces)} words or groups of words have a clear sign."
        ),
        "warnings": () if found.status else (shorten(str(found.status), 1000),),
        "pieces": coloured(found) if len(found.text) <= _LONGEST else [],
        "rows": [
            (shorten(pieces[at], 80), signed(float(found.values[at])), f"{found.error[at]:.2f}", bool(clear[at]))
            for at in order
        ],
        "n_more": len(pieces) - len(order),
        "hidden_share": percent(found.hidden_share),
        "colours": colours_of(found)[:1].upper() + colours_of(found)[1:],
        "adds": _unit_of(found),
        "facts": _facts(found),
    }
    return Page("words.html.jinja", PictureSheet(1), {"title": title, "view": view})


def word_attribution_figure(found: WordAttribution) -> Any:
    """Return a `matplotlib.figure.Figure`: a bar for each of the strongest words, with its error."""
    require("matplotlib", purpose="figure()")
    from matplotlib.figure import Figure

    order = np.argsort(-np.abs(found.values), kind="stable")[:_ROWS][::-1]
    figure = Figure(figsize=(6, 1 + 0.24 * len(order)), layout="constrained")
    figure.suptitle(for_matplotlib(headline_of(found)), fontsize=11)
    axes = figure.add_subplot()
    colours = [FOR if found.values[at] > 0 else AGAINST for at in order]
    error = np.where(np.isfinite(found.error), found.error, 0)
    axes.barh(range(len(order)), found.values[order], xerr=2 * error[order], color=colours, ecolor="#777777")
    axes.set_yticks(range(len(order)), [for_matplotlib(shorten(found.pieces[at], 40)) for at in order], fontsize=8)
    axes.set_xlabel(for_matplotlib(f"{_unit_of(found)}, with two standard errors"), fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _unit_of(found: WordAttribution) -> str:
    """Return what values are shares of: log-odds, or the number explained."""
    is_odds = found.measured is None or found.measured.is_probability
    return "log-odds" if is_odds else shorten(found.target_name, 40)


def _facts(found: WordAttribution) -> tuple[tuple[str, str], ...]:
    finite = found.error[np.isfinite(found.error)]
    told = {
        "model": shorten(found.model, 80),
        "queries": f"{found.queries:,}",
        "left out each time": percent(found.hidden_share) + " of the words",
        "time": duration(found.seconds),
        "seed": str(found.seed),
        "mean standard error": f"{float(finite.mean()):.3g}" if len(finite) else "unknown",
    }
    return (*told.items(), *(("note", shorten(note, 300)) for note in found.notes))
