"""The page and the figure of a comparison: what is new or lost, which units changed, what flipped."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from likethat._checks import require
from likethat.explanations.comparison import ComparedPicture, ComparedUnit, Comparison, Evidence, Flip
from likethat.report.pages import Page
from likethat.report.sheet import PictureSheet, Sprite
from likethat.report.text import count, for_matplotlib, percent, shorten, signed
from likethat.report.views import class_name, provenance_view

_LIMIT = 192  # pixels a side of a picture on the page
_CLASSES = 3  # named beside a direction: those it speaks for most
_LITTLE = 0.2  # of a direction, below which the other model is said to hardly see it
_ROWS = 200  # of the table of units; the .csv has all
_COLOURS = {
    "new": "#2166ac", "lost": "#c2590c", "stronger": "#00796b", "weaker": "#a3399e", "matched": "#455a64",
    "shared": "#b0b6bd",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _PictureView:
    sprite: Sprite
    alt: str
    caption: str
    full_source: str
    is_wrong: bool


@dataclass(frozen=True, kw_only=True)
class _EvidenceView:
    title: str
    is_clear: bool
    sentence: str
    facts: tuple[tuple[str, str], ...]
    most: tuple[_PictureView, ...]
    least: tuple[_PictureView, ...]


@dataclass(frozen=True, kw_only=True)
class _UnitView:
    state: str
    name: str
    partner: str
    cells: tuple[str, ...]
    prototypes: tuple[Sprite, ...]


@dataclass(frozen=True, kw_only=True)
class _FlipView:
    picture: _PictureView
    title: str
    rows: tuple[tuple[str, str], ...]
    along: str


def comparison_page(found: Comparison) -> Page:
    """Lay a comparison out as a page."""
    sheet = PictureSheet(_LIMIT)
    units = [_unit_view(found, one, sheet) for one in found.units]
    shown = found.clear or found.directions[:1]
    title = summary(found)
    view = {
        "headline": title,
        "models": [shorten(name, 60) for name in found.models],
        "n_images": f"{found.provenance.n_images:,}",
        "lead": _lead(found),
        "directions": [_evidence_view(found, one, sheet) for one in shown],
        "changed": [one for one in units if one.prototypes],
        "units": units[:_ROWS],
        "n_more": max(0, len(units) - _ROWS),
        "clear_from": f"{found.clear_from:.2f}",
        "flips": [_flip_view(found, one, sheet) for one in found.flips],
        "n_flips": f"{found.n_flips:,}",
        "names": [(shorten(name, 60), unit) for unit, name in found.names.items()],
        "warnings": [*filter(None, [found.provenance.warning]), *found.provenance.notes],
        "made": provenance_view(found.provenance),
    }
    return Page("comparison.html.jinja", sheet, {"title": title, "view": view})


def summary(found: Comparison) -> str:
    """Return what became of a model, as a headline."""
    n, new, lost = found.n_flips, *(sum(one.side == side for one in found.clear) for side in ("new", "lost"))
    flipped = f"{count(n, 'prediction')} of {found.provenance.n_images:,} flipped" if n else "No prediction flipped"
    said = [f"the model now goes by {count(new, 'thing')} that it did not go by before"] if new else []
    said += [f"it no longer goes by {count(lost, 'thing')} that it went by" if new else
             f"the model no longer goes by {count(lost, 'thing')} that it went by"] if lost else []  # fmt: skip
    said = said or ["the model goes by nothing new and has lost nothing"]
    states = [one.state for one in found.units]
    changed = [(state, states.count(state)) for state in ("new", "lost", "stronger", "weaker")]
    units = ", ".join(f"{amount:,} {state}" for state, amount in changed if amount)
    joined = "; ".join([flipped, *said, *([f"of its {found.provenance.unit}s: {units}"] if units else [])])
    return joined[:1].upper() + joined[1:]


def evidence_sentence(found: Comparison, one: Evidence) -> str:
    """Return what a direction is, in words: for which class it speaks, and how many flips hang on it."""
    most, least = int(one.speaks_for.argmax()), int(one.speaks_for.argmin())
    names = [shorten(class_name(found.class_names, at), 40) for at in (most, least)]
    which, other = ("second", "first") if one.side == "new" else ("first", "second")
    return (
        f"{percent(min(max(one.share, 0.0), 1.0))} of what tells the {which} model’s classes apart is no evidence to "
        f"the {other}, {_seen(one.foretold)}: it speaks for “{names[0]}” and against “{names[1]}”; "
        f"{count(one.n_flips, 'flipped prediction')} {'hangs' if one.n_flips == 1 else 'hang'} on it."
    )


def _seen(foretold: float) -> str:
    """Say how much of a direction the other model's features hold."""
    if foretold < _LITTLE:
        return "which hardly sees it"
    return f"whose features foretell {percent(foretold)} of it"


def _lead(found: Comparison) -> str:
    if not found.n_labelled:
        return "The pictures have no labels, so nothing says which of the two is right more often."
    before, after = (percent(right / found.n_labelled) for right in found.n_right)
    return (
        f"Of {found.n_labelled:,} labelled pictures {before} were right before and {after} are right now: "
        f"{count(found.n_broken, 'picture')} {'was' if found.n_broken == 1 else 'were'} right and "
        f"{'is' if found.n_broken == 1 else 'are'} wrong, {count(found.n_fixed, 'picture')} the other way round."
    )


def _evidence_view(found: Comparison, one: Evidence, sheet: PictureSheet) -> _EvidenceView:
    order = [int(at) for at in (-one.speaks_for).argsort() if one.speaks_for[at] > 0]
    names = [shorten(class_name(found.class_names, at), 40) for at in order[:_CLASSES]]
    place = "b" if one.side == "new" else "a"
    called = {getattr(unit, place): getattr(unit, f"name_{place}") for unit in found.units}
    carriers = [
        f"{shorten(called.get(unit) or f'unit {unit}', 40)} ({percent(min(share, 1.0))})"
        for unit, share in zip(one.units, one.carries, strict=True)
        if share > 0
    ]
    return _EvidenceView(
        title=one.side.capitalize() if one.is_clear else "Looked at, and not above a mere retraining",
        is_clear=one.is_clear,
        sentence=evidence_sentence(found, one),
        facts=(
            ("share of what tells the classes apart", f"{_share(one.share)} ({_share(one.interval[0])} to "
             f"{_share(one.interval[1])})"),
            ("speaks most for", ", ".join(names)),
            ("carried most by", ", ".join(carriers)),
            ("foretold by the other model’s features", _share(one.foretold)),
            ("flips that hang on it", f"{one.n_flips:,}"),
        ),
        most=tuple(_picture_view(found, picture, sheet) for picture in one.most),
        least=tuple(_picture_view(found, picture, sheet) for picture in one.least),
    )  # fmt: skip


def _share(value: float) -> str:
    return percent(min(max(value, 0.0), 1.0))


def _picture_view(found: Comparison, picture: ComparedPicture, sheet: PictureSheet) -> _PictureView:
    before, after = (shorten(class_name(found.class_names, at), 30) for at in (picture.before, picture.after))
    said = f"said {before}" if before == after else f"said {before}, now {after}"
    label = None if picture.label is None else shorten(class_name(found.class_names, picture.label), 30)
    return _PictureView(
        sprite=sheet.add(found.images, picture.image),
        alt=f"{shorten(picture.source, 80)}: {said}",
        caption=said if label is None else f"{label}: {said}",
        full_source=shorten(picture.source, 300),
        is_wrong=picture.label is not None and picture.label != picture.after,
    )


def _unit_view(found: Comparison, one: ComparedUnit, sheet: PictureSheet) -> _UnitView:
    has_partner = one.a is not None and one.b is not None
    use = [
        percent(min(value, 1.0)) if number is not None else "–"
        for value, number in ((one.use_a, one.a), (one.use_b, one.b))
    ]
    ratio = "–" if math.isnan(one.ratio) else f"{one.ratio:.2f} ({_ends(one.ratio_interval)})"
    low, high = (_share(end) for end in one.unforeseen_interval)
    return _UnitView(
        state=one.state,
        name=shorten(one.name, 60),
        partner=f"{shorten(one.name_a, 40)}, r {one.correlation:.2f}" if has_partner else "",
        cells=(*use, ratio, f"{_share(one.unforeseen)} ({low} to {high})", f"{one.n_flips:,}"),
        prototypes=tuple(sheet.add(found.images, key) for key in one.prototypes),
    )


def _ends(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.2f} to {interval[1]:.2f}"


def _flip_view(found: Comparison, flip: Flip, sheet: PictureSheet) -> _FlipView:
    before, after = (shorten(class_name(found.class_names, at), 40) for at in (flip.picture.before, flip.picture.after))
    rows = [(f"“{after}” less “{before}”, before", signed(flip.before))]
    for row in flip.rows:
        unit = found.units[row.unit]
        rows.append((f"{shorten(unit.name, 40)} ({unit.state})", signed(row.after - row.before)))
    rows += [("the other units", signed(flip.others)), ("shared, in other coordinates", signed(flip.shared))]
    rows += [("biases", signed(flip.bias)), (f"“{after}” less “{before}”, now", signed(flip.after))]
    clear = [
        f"{signed(value)} along what is {one.side}"
        for one, value in zip(found.directions, flip.along, strict=True)
        if one.is_clear
    ]
    return _FlipView(
        picture=_picture_view(found, flip.picture, sheet),
        title=f"{before} → {after}",
        rows=tuple(rows),
        along=f"In all: {', '.join(clear)}." if clear else "",
    )


def comparison_figure(found: Comparison) -> Any:
    """Return a `matplotlib.figure.Figure`: each unit's share of the evidence before and after, by what became of it."""
    require("matplotlib", purpose="figure()")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.subplots()
    figure.suptitle(for_matplotlib(summary(found)), fontsize=10, wrap=True)
    for state, colour in _COLOURS.items():
        some = [one for one in found.units if one.state == state]
        if some:
            _drawn(axes, some, label=f"{state} ({len(some)})", colour=colour)
    most = 100 * max((max(one.use_a, one.use_b) for one in found.units), default=1.0)
    axes.plot([0, most], [0, most], color="#999999", linewidth=0.8, zorder=0)
    axes.set_xlabel("% of the evidence before")
    axes.set_ylabel("% of the evidence now")
    axes.legend(fontsize=8, loc="best")
    return figure


def _drawn(axes: Any, some: Sequence[ComparedUnit], *, label: str, colour: str) -> None:
    before, after = [100 * one.use_a for one in some], [100 * one.use_b for one in some]
    axes.scatter(before, after, s=22, color=colour, label=label, alpha=0.85)
    for one, x, y in zip(some[:3], before, after, strict=False):
        if one.state not in ("matched", "shared"):
            axes.annotate(for_matplotlib(shorten(one.name, 24)), (x, y), fontsize=7, xytext=(4, 2),
                          textcoords="offset points")  # fmt: skip
