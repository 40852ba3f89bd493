"""The prototypes of every unit of a coordinate system, chosen among all images."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from likethat._progress import Progress, Watcher
from likethat.coordinates import Coordinates
from likethat.errors import UnreadableImageError
from likethat.explanations import ImageStore, Prototype
from likethat.features import Features, Forward
from likethat.functional import cell_box
from likethat.models import SplitModel
from likethat.search import top_rows
from likethat.sources import IterableSource
from likethat.sources.base import ImageSource

__all__ = ["gather_prototypes"]


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """A unit that chose an image."""

    unit: int
    rank: int
    is_positive: bool
    activation: float


def gather_prototypes(
    model: SplitModel,
    source: ImageSource | IterableSource,
    features: Features,
    coordinates: Coordinates,
    *,
    n: int,
    watch: Watcher | None = None,
) -> tuple[list[Prototype], ImageStore]:
    """Choose the images of highest and lowest activation of each unit, and find the peak on each.

    Selection needs only the cached means, so it is among all images. Images whose maps are not held go through the
    network once more; a stream that cannot be read twice offers only the images whose maps are held.

    Args:
        model: what is explained.
        source: the images.
        features: of one pass over them.
        coordinates: whose units prototypes are wanted for.
        n: prototypes of each kind a unit.
        watch: called as images go through the network again.

    Returns:
        Prototypes, by unit, kind and rank; and their pictures. Units that never vary have none.
    """
    can_reread = isinstance(source, ImageSource)
    rows_among = torch.arange(len(features)) if can_reread else features.kept
    means = features.means[rows_among]
    readers = coordinates.readers(torch.arange(coordinates.n_units))
    live = _live_units(means, readers)
    choices: dict[int, list[_Choice]] = {}
    for is_positive in (True, False):
        rows, values = top_rows(means, readers, n, lowest=not is_positive)
        for unit in live:
            for rank, (row, value) in enumerate(zip(rows[unit].tolist(), values[unit].tolist(), strict=True)):
                choice = _Choice(unit=unit, rank=rank, is_positive=is_positive, activation=value)
                choices.setdefault(int(rows_among[row]), []).append(choice)
    prototypes: list[Prototype] = []
    pictures: dict[str, NDArray[np.uint8]] = {}
    for row, feature_map, view in _maps_of(model, source, features, sorted(choices), watch):
        key = f"image-{int(features.indices[row]):07d}"
        pictures[key] = _picture(view)
        prototypes += _on_image(source, features, coordinates, row, key, feature_map, view, choices[row])
    prototypes.sort(key=lambda item: (item.unit, item.kind == "negative", item.rank))
    return prototypes, ImageStore(pictures)


def _picture(view: Tensor) -> NDArray[np.uint8]:
    """Return an 8-bit view as a picture: grey, or its first three channels."""
    return view[0].numpy() if view.shape[0] < 3 else view[:3].permute(1, 2, 0).numpy()


def _live_units(means: Tensor, readers: Tensor) -> list[int]:
    """Return the units whose activation differs between images."""
    activation = means @ readers.T
    spread = activation.std(0, correction=0) if len(means) > 1 else activation.abs()[0]
    return [int(unit) for unit in (spread > 1e-6 * spread.max()).nonzero()[:, 0]]


def _maps_of(
    model: SplitModel,
    source: ImageSource | IterableSource,
    features: Features,
    rows: list[int],
    watch: Watcher | None,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield (row, map (channel, cell), 8-bit view) of each row, from the cache or by a second forward pass."""
    slots = {int(row): slot for slot, row in enumerate(features.kept)}
    missing = [row for row in rows if row not in slots]
    for row in rows:
        if row in slots:
            yield row, features.maps[slots[row]], features.views[slots[row]]
    forward = Forward(model)
    for start in range(0, len(missing), forward.chunk):
        part = missing[start : start + forward.chunk]
        views = torch.stack([_view(model, source, int(features.indices[row])) for row in part])
        maps = forward(views).feature_map.flatten(2)
        for row, feature_map, view in zip(part, maps, views, strict=True):
            yield row, feature_map, view.mul(255).round().clamp(0, 255).to(torch.uint8).cpu()
        if watch:
            watch(Progress(stage="reading the prototypes again", done=start + len(part), total=len(missing)))


def _view(model: SplitModel, source: ImageSource | IterableSource, index: int) -> Tensor:
    if not isinstance(source, ImageSource):
        raise TypeError("a stream cannot be read twice")
    try:
        return model.preprocess.view(source[index].image)
    except UnreadableImageError as error:
        raise UnreadableImageError(
            f"{error} It was readable a moment ago: keep the images in place while fitting."
        ) from error


def _on_image(
    source: ImageSource | IterableSource,
    features: Features,
    coordinates: Coordinates,
    row: int,
    key: str,
    feature_map: Tensor,
    view: Tensor,
    choices: list[_Choice],
) -> list[Prototype]:
    units = torch.tensor([choice.unit for choice in choices])
    signs = torch.tensor([1.0 if choice.is_positive else -1.0 for choice in choices])
    activation = coordinates.readers(units) @ feature_map
    peaks = (activation * signs[:, None]).argmax(1)
    purities = coordinates.purity(feature_map[:, peaks].T, units)
    size = (view.shape[1], view.shape[2])
    label = int(features.labels[row])
    index = int(features.indices[row])
    true_part = getattr(source, "true_part", None)
    found = []
    for place, choice in enumerate(choices):
        peak = int(peaks[place])
        cell = (peak // features.grid[1], peak % features.grid[1])
        box = cell_box(cell, grid=features.grid, size=size)
        found.append(
            Prototype(
                unit=choice.unit,
                rank=choice.rank,
                kind="positive" if choice.is_positive else "negative",
                source=features.names[row],
                index=index,
                image=key,
                cell=cell,
                box=box,
                activation=choice.activation,
                peak=float(activation[place, peak]),
                purity=float(purities[place]),
                label=label if label >= 0 else None,
                predicted=int(features.predicted[row]),
                true_part=true_part(index, box) if true_part is not None and _same_size(source, size) else None,
            )
        )
    return found


def _same_size(source: object, size: tuple[int, int]) -> bool:
    """Whether a drawn source's own pictures have the size of the view, so that boxes mean the same pixels."""
    own = getattr(source, "size", None)
    return own == size[0] == size[1]
