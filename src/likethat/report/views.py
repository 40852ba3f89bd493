"""What the templates read: each picture, row and table of a page, in the words it is shown with."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from likethat.explanations.records import Box, Prototype, Provenance
from likethat.report.data import data_rows
from likethat.report.pixels import close_up, outline
from likethat.report.sheet import PictureSheet, Sprite
from likethat.report.text import duration, in_prose, shorten


@dataclass(frozen=True, kw_only=True)
class BoxView:
    """A box on a picture, in percent of it.

    Attributes:
        number: printed beside it.
        colour: of the frame.
        left: of the picture's width.
        top: of its height.
        width: of its width.
        height: of its height.
        shift: how many boxes with the same corner come before it: their numbers stand side by side.
    """

    number: int
    colour: str
    left: float
    top: float
    width: float
    height: float
    shift: int = 0


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A prototype as it is shown.

    Attributes:
        image: key of its picture in the bank.
        sprite: its picture.
        box: left, top, width and height, in the picture's pixels.
        window: the close-up, likewise.
        region: (row, column) where the unit is at least half as strong as in the box; empty where it is not known.
        alt: what a reader who cannot see it is told.
        source: where it came from, shortened.
        full_source: the same in full.
        classes: its label and predicted class.
        part: the true part under the box, or "".
        is_same_part: whether that is the explained picture's part.
        activation: the unit's mean activation there.
        purity: at the peak.
    """

    image: str
    sprite: Sprite
    box: tuple[int, int, int, int]
    window: tuple[int, int, int, int]
    region: NDArray[np.bool_]
    alt: str
    source: str
    full_source: str
    classes: str
    part: str
    is_same_part: bool
    activation: str
    purity: str

    @property
    def outline(self) -> str:
        """SVG path round its region, in percent of the picture, or ""; made where it is shown."""
        return outline(self.region.astype(np.float32)) if self.region.size else ""


@dataclass(frozen=True, kw_only=True)
class ProvenanceView:
    """How a page was made.

    Attributes:
        facts: (name, value, value in full or "").
        measures: (name, value).
        skipped: (name, reason).
        notes: sentences.
        is_made: whether no image was opened for it.
        data: (name, value) of what the images were like.
        warning: a sentence to put before all else, or "".
    """

    facts: tuple[tuple[str, str, str], ...]
    measures: tuple[tuple[str, str], ...]
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    is_made: bool
    data: tuple[tuple[str, str], ...] = ()
    warning: str = ""


def tile(
    prototype: Prototype,
    sheet: PictureSheet,
    images: Mapping[str, NDArray[np.uint8]],
    *,
    class_names: Sequence[str],
    unit_name: str,
    true_part: str | None = None,
) -> Tile:
    """Return a prototype as it is shown.

    Args:
        prototype: what is shown.
        sheet: takes its picture.
        images: the store it is in.
        class_names: of the model.
        unit_name: of its channel or part.
        true_part: of the explained picture's box, where known.
    """
    sprite = sheet.add(images, prototype.image)
    classes = classes_of(prototype, class_names)
    part = prototype.true_part or ""
    about = ", ".join(filter(None, [classes, f"the box is on: {shorten(part, 40)}" if part else ""]))
    name = f"{prototype.kind} prototype {prototype.rank + 1} of {shorten(unit_name, 40)}"
    return Tile(
        image=prototype.image,
        sprite=sprite,
        box=_sides(prototype.box),
        window=_sides(close_up(prototype.box, (sprite.height, sprite.width))),
        region=prototype.cells(),
        alt=f"{name}: {shorten(prototype.source, 60)}{f' ({about})' if about else ''}",
        source=shorten(prototype.source.replace("\\", "/").rsplit("/", 1)[-1] or prototype.source, 40),
        full_source=shorten(prototype.source, 400),
        classes=classes,
        part=shorten(part, 40),
        is_same_part=bool(part) and part == true_part,
        activation=f"{prototype.activation:#.3g}".replace("-", "−"),
        purity=f"{prototype.purity:.2f}".replace("-", "−"),
    )


def _sides(box: Box) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    return left, top, right - left, bottom - top


def class_name(class_names: Sequence[str], index: int) -> str:
    """Return a class's name, or its number where it has none.

    Example:
        >>> class_name(["owl"], 0), class_name([], 7), class_name(["  "], 0)
        ('owl', 'class 7', 'class 0')
    """
    name = class_names[index] if 0 <= index < len(class_names) else ""
    return name if name.strip() else f"class {index}"


def label_of(prototype: Prototype, class_names: Sequence[str]) -> str | None:
    """Return what the data calls a prototype's class, with the model's word for it where that is another.

    Example:
        >>> make = lambda label, name: Prototype(
        ...     unit=0, rank=0, kind="positive", source="", index=0, image="", cell=(0, 0), box=(0, 0, 1, 1),
        ...     activation=0.0, peak=0.0, purity=0.0, label=label, label_name=name)
        >>> label_of(make(1, "n02510455"), ["owl", "giant panda"]), label_of(make(0, "owl"), ["owl"])
        ('n02510455 (giant panda)', 'owl')
        >>> label_of(make(None, "yeti"), ["owl"]), label_of(make(None, None), ["owl"])
        ('yeti', None)
    """
    ours = None if prototype.label is None else class_name(class_names, prototype.label)
    theirs = prototype.label_name
    if theirs is None or ours is None or theirs.casefold().replace("_", " ") == ours.casefold().replace("_", " "):
        return theirs or ours
    return f"{shorten(theirs, 32)} ({shorten(ours, 32)})"


def classes_of(prototype: Prototype, class_names: Sequence[str]) -> str:
    """Return what a prototype's picture shows: its label, and the predicted class where that is another."""
    named = label_of(prototype, class_names)
    label = None if named is None else shorten(named, 70)
    predicted = None if prototype.predicted is None else shorten(class_name(class_names, prototype.predicted), 32)
    if label is not None and predicted is not None and prototype.label != prototype.predicted:
        return f"{label}, model says {predicted}"
    return label or (f"model says {predicted}" if predicted else "")


def tally(names: Sequence[str], most: int = 3) -> str:
    """Return how often each name occurs, the most frequent first.

    Example:
        >>> tally(["owl", "owl", "gull"])
        '2 × owl, 1 × gull'
    """
    counted = Counter(names).most_common()
    listed = ", ".join(f"{n} × {in_prose(shorten(name, 32))}" for name, n in counted[:most])
    return f"{listed}, …" if len(counted) > most else listed


def noun_of(provenance: Provenance) -> str:
    """Return what a unit of the bank is called."""
    return provenance.unit


def provenance_view(provenance: Provenance) -> ProvenanceView:
    """Return how a bank was made, as a table."""
    options = ", ".join(f"{name} = {value}" for name, value in provenance.options.items())
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions.items())
    short = f"{provenance.fingerprint[:12]}…" if len(provenance.fingerprint) > 12 else provenance.fingerprint
    facts = [
        ("Method", provenance.method, ""),
        ("Model", provenance.model, ""),
        ("Model fingerprint", short, provenance.fingerprint),
        ("Options", options, ""),
        ("Seed", str(provenance.seed), ""),
        ("Samples made" if provenance.is_made else "Images", f"{provenance.n_images:,}", ""),
        ("Created", _date(provenance.created), provenance.created),
        ("Fit time", duration(provenance.seconds) if provenance.seconds else "", ""),
        ("Versions", versions, ""),
    ]
    return ProvenanceView(
        facts=tuple((name, shorten(value, 400), shorten(full, 400)) for name, value, full in facts if value),
        measures=measure_rows(provenance.measures),
        skipped=tuple((shorten(name, 200), shorten(reason, 300)) for name, reason in provenance.skipped),
        notes=tuple(
            shorten(note, 1000) for note in provenance.notes if note not in provenance.warning
        ),  # that stands above
        is_made=provenance.is_made,
        data=tuple((name, shorten(value, 600)) for name, value in data_rows(provenance.data)),
        warning=shorten(provenance.warning, 1000),
    )


_ROUNDING = 1e-6  # of a figure: an error below it is rounding, and reads as a figure of its own


def measure_rows(measures: Mapping[str, float]) -> tuple[tuple[str, str], ...]:
    """Return figures as a reader should see them, with the standard error of those that have one.

    Example:
        >>> measure_rows({"own_purity": 0.4125, "own_purity_error": 0.02, "images": 3.0})
        (('own purity', '0.4125 ± 0.02'), ('images', '3'))
        >>> measure_rows({"coverage": 1.0, "coverage_error": 1e-17})
        (('coverage', '1 ± 0'),)
    """
    shown = []
    for name, value in measures.items():
        error = measures.get(f"{name}_error")
        if error is not None and abs(error) < _ROUNDING * abs(value):
            error = 0.0
        text = f"{value:.4g}" if error is None else f"{value:.4g} ± {error:.1g}"
        if name.removesuffix("_error") not in measures.keys() - {name}:
            shown.append((shorten(name.replace("_", " "), 80), text.replace("-", "−")))
    return tuple(shown)


def _date(created: str) -> str:
    try:
        return datetime.fromisoformat(created).strftime("%d %B %Y, %H:%M %Z").strip(" ,").lstrip("0")
    except ValueError:
        return created
