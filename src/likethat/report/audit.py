"""The page and the figure of an audit: each finding in a sentence, with its numbers and pictures of both states."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from likethat._checks import require
from likethat.explanations.audit import NO_LABELS, Audit, AuditedPicture, Finding, Shortcut
from likethat.report.findings import FindingText, doubt_facts, finding_text
from likethat.report.pages import Page
from likethat.report.sheet import PIXELATED_UP_TO, PictureSheet, Sprite
from likethat.report.text import count, for_matplotlib, percent, shorten
from likethat.report.views import class_name, provenance_view

_LIMIT = 192  # pixels a side of a picture on the page
_CLASSES = 8  # rows of the table of shares: those that differ most from the mean


@dataclass(frozen=True, kw_only=True)
class _PictureView:
    sprite: Sprite
    alt: str
    caption: str
    full_source: str
    is_wrong: bool


@dataclass(frozen=True, kw_only=True)
class _ShareView:
    name: str
    share: str
    percent: float
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class _ShortcutView:
    title: str
    is_clear: bool
    sentence: str
    cost: str
    facts: tuple[tuple[str, str], ...]
    shares: tuple[_ShareView, ...]
    n_more: int
    on: tuple[_PictureView, ...]
    off: tuple[_PictureView, ...]
    kind: str = "shortcut"


@dataclass(frozen=True, kw_only=True)
class _FindingView:
    text: FindingText
    is_clear: bool
    on: tuple[_PictureView, ...]
    off: tuple[_PictureView, ...]
    kind: str = "finding"


@dataclass(frozen=True, kw_only=True)
class _LabelsView:
    n: int
    facts: tuple[tuple[str, str], ...]
    is_clear: bool
    pictures: tuple[tuple[_PictureView, str, str], ...]
    kind: str = "labels"


def audit_page(found: Audit) -> Page:
    """Lay an audit out as a page."""
    sheet = PictureSheet(_LIMIT)
    title, sections = summary(found), _sections(found, sheet)
    view = {
        "headline": title,
        "model": shorten(found.provenance.model, 80),
        "n_images": f"{found.provenance.n_images:,}",
        "found": sections,
        "n_clear": sum(one.is_clear for one in sections),
        "warnings": [*filter(None, [found.provenance.warning]), *found.provenance.notes],
        "made": provenance_view(found.provenance),
    }
    return Page("audit.html.jinja", sheet, {"title": title, "view": view})


def _sections(found: Audit, sheet: PictureSheet) -> list[Any]:
    """Return what was found in the order of the page: clear, then by how many predictions hang on it."""
    views: list[tuple[bool, int, Any]] = []
    for one in found.ranked:
        if not one.pictures or (isinstance(one, Finding) and one.kind == "labels"):
            continue
        view = _shortcut_view(found, one, sheet) if isinstance(one, Shortcut) else _finding_view(found, one, sheet)
        views.append((not one.is_clear, -one.n_predictions, view))
    if found.doubtful:
        labels = _labels_view(found, sheet)
        views.append((not labels.is_clear, -found.n_doubtful, labels))
    return [view for _, _, view in sorted(views, key=lambda each: each[:2])]


def _labels_view(found: Audit, sheet: PictureSheet) -> _LabelsView:
    pictures = [
        (_picture_view(found, one.picture, sheet), percent(one.own), percent(one.other)) for one in found.doubtful
    ]
    weighed = next((one for one in found.findings if one.kind == "labels"), None)  # none in files of earlier versions
    return _LabelsView(
        n=found.n_doubtful,
        facts=() if weighed is None else doubt_facts(weighed),
        is_clear=weighed is None or weighed.is_clear,
        pictures=tuple(pictures),
    )


def summary(found: Audit) -> str:
    """Return what an audit found, as a headline."""
    n = len(found.clear)
    shortcuts = f"{count(n, 'shortcut')} found" if n else "No shortcut found"
    if NO_LABELS in found.provenance.notes:
        return f"{shortcuts} in {count(found.provenance.n_images, 'picture')} without labels"
    said = f"{shortcuts}, {count(found.n_doubtful, 'doubtful label') if found.n_doubtful else 'no doubtful label'}"
    said += " (no more than chance)" if any(one.kind == "labels" and not one.is_clear for one in found.findings) else ""
    n_others = sum(one.is_clear for one in found.findings if one.kind != "labels")
    said += f", {count(n_others, 'other finding')}" if n_others else ""
    return said[:1].upper() + said[1:]


def shortcut_sentence(found: Audit, one: Shortcut) -> str:
    """Return what a direction is, in words: which classes have the state, and how many predictions hang on it."""
    order = sorted(_seen(one), key=lambda at: -float(one.share[at]))
    names = found.class_names
    most, least = order[0], order[-1]
    said = (
        f"A state that {percent(float(one.share[most]))} of “{shorten(class_name(names, most), 40)}” have and "
        f"{percent(float(one.share[least]))} of “{shorten(class_name(names, least), 40)}”"
    )
    return f"{said}: {count(one.n_predictions, 'prediction')} of {found.provenance.n_images:,} hang on it."


def _seen(one: Shortcut) -> list[int]:
    """Return the classes that have pictures."""
    return [at for at, share in enumerate(one.share.tolist()) if not math.isnan(share)]


def _cost(one: Shortcut) -> str:
    """Say what taking it out does, before anybody does it."""
    (before, after), (worst_before, worst_after) = one.accuracy, one.worst
    even = one.balanced
    if not one.counts.any():
        return "Without labels nobody knows what taking it out would cost."
    said = (
        f"Taken out, accuracy on {int(one.counts.sum()):,} pictures kept back goes from {percent(before)} to "
        f"{percent(after)}"
    )
    if math.isnan(worst_before):
        return f"{said}."
    return (
        f"{said}; where each class has both states as often, from {percent(even[0])} to {percent(even[1])}, and that "
        f"of the worst class and state from {percent(worst_before)} to {percent(worst_after)}."
    )


def _finding_view(found: Audit, one: Finding, sheet: PictureSheet) -> _FindingView:
    pictures = [(picture.is_on, _picture_view(found, picture, sheet)) for picture in one.pictures]
    return _FindingView(
        text=finding_text(found, one),
        is_clear=one.is_clear,
        on=tuple(view for is_on, view in pictures if is_on),
        off=tuple(view for is_on, view in pictures if not is_on),
    )


def _shortcut_view(found: Audit, one: Shortcut, sheet: PictureSheet) -> _ShortcutView:
    middle = float(np.nanmean(one.share))
    shares = sorted(_seen(one), key=lambda at: -abs(float(one.share[at]) - middle))
    shown = sorted(shares[:_CLASSES], key=lambda at: -float(one.share[at]))
    pictures = [(picture.is_on, _picture_view(found, picture, sheet)) for picture in one.pictures]
    return _ShortcutView(
        title="Likely shortcut" if one.is_clear else "A direction",
        is_clear=one.is_clear,
        sentence=shortcut_sentence(found, one),
        cost=_cost(one),
        facts=(
            ("score on other pictures", f"{one.score:.2f} ({one.interval[0]:.2f} to {one.interval[1]:.2f})"),
            ("score of features without states", f"{one.null:.2f}"),
            ("distance of the states", f"{one.separation:.1f} standard deviations"),
            ("same state when found again", percent(one.agreement)),
            ("pictures that are on", f"{one.n_on:,}"),
        ),
        shares=tuple(_share_view(found, one, at) for at in shown),
        n_more=len(shares) - len(shown),
        on=tuple(view for is_on, view in pictures if is_on),
        off=tuple(view for is_on, view in pictures if not is_on),
    )


def _share_view(found: Audit, one: Shortcut, at: int) -> _ShareView:
    def said(right: Any) -> str:
        cells = [
            f"{percent(float(right[at, state] / one.counts[at, state]))}" if one.counts[at, state] else "–"
            for state in (1, 0)
        ]
        return " / ".join(cells)

    share = float(one.share[at])
    return _ShareView(
        name=shorten(class_name(found.class_names, at), 60),
        share=percent(share),
        percent=round(100 * share, 1),
        before=said(one.right_before),
        after=said(one.right_after),
    )


def _picture_view(found: Audit, picture: AuditedPicture, sheet: PictureSheet) -> _PictureView:
    said = shorten(class_name(found.class_names, picture.predicted), 40)
    label = None if picture.label is None else shorten(class_name(found.class_names, picture.label), 40)
    is_wrong = picture.label is not None and picture.label != picture.predicted
    caption = f"{label}, model says {said}" if is_wrong else label or f"model says {said}"
    return _PictureView(
        sprite=sheet.add(found.images, picture.image),
        alt=f"{shorten(picture.source, 80)}: {caption}",
        caption=caption,
        full_source=shorten(picture.source, 300),
        is_wrong=is_wrong,
    )


def audit_figure(found: Audit) -> Any:
    """Return a `matplotlib.figure.Figure`: a row a shortcut, pictures that are on and pictures that are off."""
    require("matplotlib", purpose="figure()")
    from matplotlib.figure import Figure

    rows = [_both_states(one) for one in found.shortcuts]
    n_columns = max((len(row) for row in rows), default=1) or 1
    figure = Figure(figsize=(1.3 * n_columns + 0.6, 1.9 * max(len(rows), 1) + 0.8), layout="constrained")
    figure.suptitle(for_matplotlib(f"{summary(found)}: {shorten(found.provenance.model, 60)}"), fontsize=11)
    axes = figure.subplots(max(len(rows), 1), n_columns, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    for line, (one, row) in enumerate(zip(found.shortcuts, rows, strict=True)):
        for column, picture in enumerate(row):
            _drawn(axes[line][column], found, picture)
        axes[line][0].set_title(for_matplotlib(shortcut_sentence(found, one)), fontsize=8, loc="left")
    return figure


def _both_states(one: Shortcut) -> Sequence[AuditedPicture]:
    return [picture for state in (True, False) for picture in one.pictures if picture.is_on == state]


def _drawn(axes: Any, found: Audit, picture: AuditedPicture) -> None:
    pixels = found.images[picture.image]
    small = max(pixels.shape[:2]) <= PIXELATED_UP_TO
    grey = {"cmap": "gray", "vmin": 0, "vmax": 255} if pixels.ndim == 2 else {}
    axes.imshow(pixels, interpolation="nearest" if small else "antialiased", **grey)
    name = shorten(class_name(found.class_names, picture.predicted), 16)
    axes.text(0.5, -0.04, for_matplotlib(f"{'on' if picture.is_on else 'off'}: {name}"), fontsize=7, ha="center",
              va="top", transform=axes.transAxes)  # fmt: skip
