"""From a few marked images to which part every cell of a class shows."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from likethat.errors import InputError
from likethat.explainers.parts.marked import MarkedPicture, find_marked
from likethat.features import Features
from likethat.fitting.prototypes import look
from likethat.functional.probe import Probe, fit_probe
from likethat.models import SplitModel
from likethat.sources import IterableSource
from likethat.sources.base import ImageSource
from likethat.sources.marks.marks import Marks
from likethat.sources.marks.records import SURROUNDINGS

_FAR = 3  # cells from every point, from which a cell of a point-marked image counts as surroundings
_LEAST = 0.1  # share of a cell that parts must cover for the cell to be theirs


@dataclass(frozen=True, kw_only=True, eq=False)
class NamedParts:
    """What the marks taught: names, surroundings last, a probe that spreads them, and what was assumed of them."""

    names: tuple[str, ...]
    probe: Probe
    n_images: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Lesson:
    """Cells whose part is known."""

    cells: Float[Tensor, "cell channel"]
    targets: Float[Tensor, "cell name"]
    images: Int[Tensor, " cell"]


def learn_names(
    model: SplitModel,
    source: ImageSource | IterableSource,
    features: Features,
    marks: Marks,
    skipped: list[tuple[str, str]],
) -> NamedParts:
    """Learn the marked parts from the cells of the marked images.

    Args:
        model: what is explained.
        source: the images; it must be readable twice.
        features: of one pass over them.
        marks: of parts on some of them.
        skipped: takes (name, reason) of marks that cannot be used.

    Raises:
        InputError: a stream, or no mark that can be used.
    """
    if not isinstance(source, ImageSource):
        raise InputError(
            "`images` must be readable twice for algorithm='named', got a stream. Give a folder or a list."
        )
    skipped += marks.skipped
    shares, notes = _shares_by_row(model, source, features, marks, skipped)
    names = (*sorted({name for row in shares.values() for name in row if name != SURROUNDINGS}), SURROUNDINGS)
    if len(names) < 2:
        first = f" First: {skipped[0][0]}: {skipped[0][1]}." if skipped else ""
        raise InputError(f"`parts` must mark at least one part on one of the images, got none that can be used.{first}")
    lesson = _lesson(model, source, features, shares, names)
    return NamedParts(
        names=names, probe=fit_probe(lesson.cells, lesson.targets, lesson.images), n_images=len(shares), notes=notes
    )


def _shares_by_row(
    model: SplitModel, source: ImageSource, features: Features, marks: Marks, skipped: list[tuple[str, str]]
) -> tuple[dict[int, dict[str, Tensor]], tuple[str, ...]]:
    found, notes = find_marked(source, features, marks, skipped)
    shares: dict[int, dict[str, Tensor]] = {}
    for one in found:
        seen = marked_shares(model, one, features.grid, problems=skipped)
        if seen:
            shares[one.row] = seen
    return shares, notes


def marked_shares(
    model: SplitModel,
    found: MarkedPicture,
    grid: tuple[int, int],
    *,
    problems: list[tuple[str, str]],
) -> dict[str, Float[Tensor, " cell"]]:
    """Return which share of each cell of the feature map each marked part covers; surroundings where they are known.

    Args:
        model: whose view of the image the cells stand on.
        found: a picture and its marks.
        grid: rows and columns of the map.
        problems: takes (name, reason) of marks that cannot be used.
    """
    marked, size = found.marked, found.size
    drawn = marked.drawn(*size, problems, orientation=found.orientation, frame=found.frame or "upright")
    blank = model.preprocess.view(torch.zeros(model.in_channels, *size, dtype=torch.float32))[0]
    covered: dict[str, Tensor] = {}
    for name, mask in drawn.items():
        pixels = torch.from_numpy(mask).float().expand(model.in_channels, *size)
        seen = model.preprocess.view(pixels)[0] - blank
        cells = torch.nn.functional.adaptive_avg_pool2d(seen[None, None], grid).flatten()
        if float(cells.max()) > 0:
            covered[name] = cells
        else:
            problems.append((str(marked.image), f"the mark of {name!r} lies outside what the network sees"))
    if not covered:
        return {}
    return _of_points(covered, grid) if marked.has_only_points else _of_areas(covered)


def _of_areas(covered: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parts share the cells that they touch; all others are surroundings."""
    parts = {name: cells for name, cells in covered.items() if name != SURROUNDINGS}
    total = torch.stack([*parts.values(), torch.zeros_like(next(iter(covered.values())))]).sum(0)
    theirs = total >= _LEAST
    shares = {name: torch.where(theirs, cells / total.clamp_min(_LEAST), 0.0) for name, cells in parts.items()}
    return shares | {SURROUNDINGS: (~theirs).float()}


def _of_points(covered: dict[str, Tensor], grid: tuple[int, int]) -> dict[str, Tensor]:
    """A point says what its cell shows; cells far from all points are surroundings where none is marked."""
    touched = torch.stack(list(covered.values()))
    largest = touched == touched.amax(1, keepdim=True)
    shares = {name: largest[place].float() for place, name in enumerate(covered)}
    if SURROUNDINGS not in shares:
        near = torch.nn.functional.max_pool2d(
            largest.any(0).float().view(1, 1, *grid), 2 * _FAR - 1, stride=1, padding=_FAR - 1
        )
        shares[SURROUNDINGS] = 1 - near.flatten()
    total = torch.stack(list(shares.values())).sum(0)
    return {name: cells / total.clamp_min(1.0) for name, cells in shares.items()}


def _lesson(
    model: SplitModel,
    source: ImageSource,
    features: Features,
    shares: dict[int, dict[str, Tensor]],
    names: Sequence[str],
) -> _Lesson:
    cells, targets, images = [], [], []
    for seen in look(model, source, features, sorted(shares)):
        row = shares[seen.row]
        table = torch.stack(
            [row.get(name, torch.zeros(seen.feature_map.shape[1], dtype=torch.float32)) for name in names], dim=1
        )
        known = table.sum(1) > 0.5
        cells.append(seen.feature_map.T[known])
        targets.append(table[known] / table[known].sum(1, keepdim=True))
        images.append(torch.full((int(known.sum()),), seen.row))
    return _Lesson(cells=torch.cat(cells), targets=torch.cat(targets), images=torch.cat(images))
