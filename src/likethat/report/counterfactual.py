"""The page and the figure of a counterfactual: source, change, result, how the search went, and the film."""

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from likethat._checks import require
from likethat.explanations.counterfactual import Counterfactual, Edit
from likethat.report.diffs import Stretch, diff
from likethat.report.pages import Page
from likethat.report.pixels import colour_heat, data_uri, encode, shrink, to_picture
from likethat.report.search_path import PathView, path_view
from likethat.report.sheet import PIXELATED_UP_TO, PictureSheet
from likethat.report.text import clean, count, duration, for_matplotlib, percent, shorten, signed

_PICTURE_LIMIT, _FILM_LIMIT = 384, 256  # pixels a side; films have many frames
_FRAME_MS, _REST_MS = 90, 700  # long enough to see a change, and to rest at both ends
_WORDS = 160  # characters of a change in a figure, which does not scroll
_CHARACTERS = 20_000  # of a text on a page: twice the longest review of the film data base


@dataclass(frozen=True, kw_only=True)
class EditView:
    """One counterfactual as it is shown.

    Attributes:
        title: what the model says of it.
        facts: distance and probability.
        picture: data URI, or "".
        difference: data URI of what became brighter and darker, or "".
        changes: (column, before, after) of a table, as printed; of a text (how it reads, before, after).
        text: of a text, or "".
        diff: of a text: what stayed, went and came.
    """

    title: str
    facts: str
    picture: str
    difference: str
    changes: tuple[tuple[str, str, str], ...]
    text: str
    diff: tuple[Stretch, ...] = ()


def counterfactual_page(found: Counterfactual) -> Page:
    """Lay a counterfactual out as a page."""
    view = counterfactual_view(found)
    sheet = PictureSheet(_PICTURE_LIMIT)
    return Page("counterfactual.html.jinja", sheet, view)


def counterfactual_view(found: Counterfactual) -> dict[str, Any]:
    """Lay a counterfactual out for its template."""
    is_image = found.kind == "image"
    headline = _headline(found)
    source = _array(found.source) if is_image else None
    view = {
        "headline": headline,
        "lead": _lead(found),
        "eyebrow": ("Counterfactual", shorten(found.generator, 60), shorten(found.model, 80)),
        "warnings": _warnings(found),
        "is_image": is_image,
        "is_text": found.kind == "text",
        "is_pixelated": source is not None and max(source.shape[1:]) <= PIXELATED_UP_TO,
        "source": data_uri(*encode(shrink(to_picture(source), _PICTURE_LIMIT))) if source is not None else "",
        "source_title": _says_source(found),
        "edits": tuple(_edit_view(found, edit) for edit in (found.edits or (found.best,))),
        "mean": _edit_view(found, found.mean) if found.mean is not None else None,
        "real": _edit_view(found, found.real) if found.real is not None else None,
        "film": _film_uris(found) if is_image else None,
        "path": _path(found),
        "path_is": "probability of what was wanted" if found.measured is None else shorten(found.measured.name, 60),
        "curve": tuple((percent(at.confidence), f"{at.n_columns}", f"{at.l1:.3g}") for at in found.curve),
        "demand": _demand(found),
        "facts": _facts(found),
    }
    return {"title": headline, "view": view}


def film_of(frames: NDArray[np.float32]) -> bytes:
    """Return an animated PNG that goes through the frames and back, and rests at both ends."""
    pictures = [Image.fromarray(shrink(to_picture(frame), _FILM_LIMIT)) for frame in frames]
    rounds = [*pictures, *pictures[-2:0:-1]]
    times = [_FRAME_MS] * len(rounds)
    times[0] = times[len(pictures) - 1] = _REST_MS
    buffer = io.BytesIO()
    rounds[0].save(buffer, format="PNG", save_all=True, append_images=rounds[1:], duration=times, loop=0)
    return buffer.getvalue()


def counterfactual_figure(found: Counterfactual) -> Any:
    """Return a `matplotlib.figure.Figure`: source, counterfactual and difference; of a table its columns."""
    require("matplotlib", purpose="figure()")
    from matplotlib.figure import Figure

    if found.kind != "image":
        lines = [shorten(str(change), _WORDS) for change in found.best.changes] or ["nothing changed"]
        figure = Figure(figsize=(7, 0.8 + 0.3 * len(lines)), layout="constrained")
        figure.suptitle(for_matplotlib(_headline(found)), fontsize=11)
        axes = figure.add_subplot()
        axes.set_axis_off()
        axes.text(0, 1, for_matplotlib("\n".join(lines)), va="top", fontsize=9)
        return figure
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    figure.suptitle(for_matplotlib(_headline(found)), fontsize=11)
    pictures = (to_picture(_array(found.source)), to_picture(_array(found.best.input)), _difference(found, found.best))
    titles = (
        _says_source(found),
        _says(found, found.best),
        "blue is brighter, orange darker",
    )
    for axes, picture, title in zip(figure.subplots(1, 3), pictures, titles, strict=True):
        axes.imshow(picture, interpolation="nearest" if max(picture.shape[:2]) <= PIXELATED_UP_TO else "antialiased")
        axes.set_title(for_matplotlib(shorten(title, 34)), fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


def _headline(found: Counterfactual) -> str:
    source, target = (shorten(name, 40) for name in (found.source_name, found.target_name))
    if found.measured is not None:
        wanted = shorten(str(found.measured), 80)
        return f"What makes it “{wanted}”" if found.edits else f"It did not become “{wanted}”"
    if not found.edits:
        return f"“{source}” did not become “{target}”"
    if found.target is None:
        return f"What makes it {target}"
    return f"What would make this “{source}” a “{target}”"


def _lead(found: Counterfactual) -> str:
    if not found.edits:
        return "The nearest attempt is shown below."
    best = found.best
    if found.kind == "image":
        share = float((np.abs(found.difference()).max(axis=0) > 0.02).mean())
        what = f"{percent(share)} of its pixels change, on average by {best.l1:.3f} of the way from black to white"
    elif found.kind == "table":
        what = f"{len(best.changes)} of {len(found.source.columns)} columns change"  # type: ignore[union-attr]
    elif best.changes and best.changes[0].place >= 0:
        what = f"{_sentence(count(len(best.changes), 'edit'))}, {percent(max(1 - best.l1, 0.0))} of the words stay"
    else:
        what = f"{percent(min(best.l1, 1.0))} of its words change"
    return f"{what}; the model was asked {found.queries} times."


def _demand(found: Counterfactual) -> str:
    """Say what was asked for, where the record knows."""
    asked = found.options.get("confidence")
    return f"At least {percent(float(asked))} of the target against the next class was asked for." if asked else ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _warnings(found: Counterfactual) -> tuple[str, ...]:
    said = found.status.advice if found.status else str(found.status)
    return (shorten(said, 1000),) if said else ()


def _says(found: Counterfactual, edit: Edit) -> str:
    """Return what the model says of an edit: its class, or the number that was asked about."""
    if found.measured is not None and edit.value is not None:
        return shorten(f"{found.measured.name} {found.measured.number(edit.value)}", 80)
    predicted = f"{shorten(found.class_names[edit.predicted], 40)}, {percent(float(edit.probabilities.max()))}"
    wanted = "" if found.target == edit.predicted else f"; {percent(found.probability(edit))} {found.target_name}"
    return predicted + shorten(wanted, 80)


def _says_source(found: Counterfactual) -> str:
    if found.measured is not None:
        return shorten(found.source_name, 80)
    p = found.source_probabilities
    return f"{shorten(found.class_names[int(p.argmax())], 40)}, {percent(float(p.max()))}"


def _edit_view(found: Counterfactual, edit: Edit) -> EditView:
    is_image = found.kind == "image"
    return EditView(
        title=_says(found, edit),
        facts=_distance(found, edit) + _likely(found, edit),
        picture=data_uri(*encode(shrink(to_picture(_array(edit.input)), _PICTURE_LIMIT))) if is_image else "",
        difference=data_uri(*encode(shrink(_difference(found, edit), _PICTURE_LIMIT))) if is_image else "",
        changes=tuple(_change(item) for item in edit.changes),
        text=shorten(edit.input[0], _CHARACTERS) if isinstance(edit.input, list) else "",
        diff=_diff(found.source, edit.input),
    )


def _distance(found: Counterfactual, edit: Edit) -> str:
    if found.kind == "text":
        return f"{percent(min(edit.l1, 1.0))} of the words differ"
    return f"distance L1 {edit.l1:.3g}, L2 {edit.l2:.3g}"


def _likely(found: Counterfactual, edit: Edit) -> str:
    """Say how it fits among real rows."""
    said = ""
    if edit.share_as_odd is not None:
        said += f"; {percent(edit.share_as_odd)} of real rows are as unlikely or more"
    if found.n_dependences:
        broken = f"breaks {len(edit.broken)}, as the source does: {shorten('; '.join(edit.broken), 300)}"
        said += f"; of {found.n_dependences} dependences it " + (broken if edit.broken else "keeps all")
    return said


def _diff(source: Any, changed: Any) -> tuple[Stretch, ...]:
    if not isinstance(source, list) or len(source[0]) > _CHARACTERS:
        return ()
    return tuple(replace(part, text=clean(part.text)) for part in diff(source[0], changed[0]))


def _change(change: Any) -> tuple[str, str, str]:
    name = change.name if change.place < 0 else _reads(change.oddness)
    return shorten(name, 60), *(_value(value) for value in (change.before, change.after))  # type: ignore[return-value]


def _reads(oddness: float | None) -> str:
    """Say how a text reads with an edit; differences under a nat nobody sees."""
    if oddness is None:
        return ""
    how = "better" if oddness < 0 else "worse"
    return "as before" if abs(oddness) < 1 else f"{how} by {abs(oddness):.1f} nats"


def _value(value: Any) -> str:
    if value is None:
        return "missing"
    return f"{value:,.4g}" if isinstance(value, float) else shorten(str(value), 80)


def _difference(found: Counterfactual, edit: Edit) -> NDArray[np.uint8]:
    """Return what became brighter in blue and what became darker in orange, on white, at the largest channel."""
    change = found.difference(edit)
    largest = np.take_along_axis(change, np.abs(change).argmax(axis=0)[None], axis=0)[0]
    coloured = colour_heat(largest.astype(np.float64))
    alpha = coloured[..., 3:]
    shown: NDArray[np.uint8] = np.round(255 * (alpha * coloured[..., :3] + 1 - alpha)).astype(np.uint8)
    return shown


def _film_uris(found: Counterfactual) -> tuple[str, str]:
    """Return the film, and the still for readers who prefer that nothing moves."""
    frames = found.frames()
    return data_uri("png", film_of(frames)), data_uri(*encode(shrink(to_picture(frames[-1]), _FILM_LIMIT)))


def _path(found: Counterfactual) -> PathView:
    measured = found.measured
    if measured is None:
        return path_view(
            found.path.queries, found.path.probability, name=f"probability of {shorten(found.target_name, 40)}"
        )
    return path_view(
        found.path.queries,
        found.path.probability,
        name=shorten(measured.name, 60),
        show=lambda value: shorten(measured.number(value), 24),
        bounds=(0.0, 1.0) if measured.is_probability else None,
        is_falling=measured.low is None,
    )


def _facts(found: Counterfactual) -> tuple[tuple[str, str], ...]:
    measured, change = found.measured, found.probability(found.best) - float(found.path.probability[0])
    told = {
        "model": shorten(found.model, 80),
        "generator": shorten(found.generator, 80),
        "algorithm": found.rule,
        "queries": f"{found.queries:,}",
        "time": duration(found.seconds),
        "seed": str(found.seed),
        "ended": found.status.reason,
        f"change of the {'probability' if measured is None else shorten(measured.name, 40)}": (
            signed(change)
            if measured is None or measured.is_probability
            else f"{change:+.4g} {shorten(measured.unit, 12)}"
        ).strip(),
    }
    return (*told.items(), *(("note", shorten(note, 300)) for note in found.notes))


def _array(batch: Any) -> NDArray[np.float32]:
    assert isinstance(batch, Tensor)
    array: NDArray[np.float32] = batch[0].float().cpu().numpy()
    return array
