"""The prototypes of every unit of a coordinate system, chosen among all images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from likethat._progress import Stage, Watcher
from likethat._vectors import rows_of
from likethat.coordinates import Units
from likethat.errors import UnreadableImageError
from likethat.explanations import ImageStore, Prototype
from likethat.explanations.records import Original, region_of
from likethat.features import Features, Forward
from likethat.functional import cell_box
from likethat.models import SplitModel
from likethat.search import top_rows, varying_units
from likethat.sources import IterableSource
from likethat.sources.base import ImageSource


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Units and the images they choose from: rows of the features."""

    units: Int[Tensor, " unit"]
    rows: Int[Tensor, " row"]


def gather_prototypes(
    model: SplitModel,
    source: ImageSource | IterableSource,
    features: Features,
    coordinates: Units,
    *,
    n: int,
    among: Sequence[Candidates] | None = None,
    with_negative: bool = True,
    prefix: str = "image",
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
        among: which images some units choose from (the parts of a class: its images); all units from all when None.
        with_negative: whether the images of lowest activation are wanted too.
        prefix: of the pictures' keys, where a bank has pictures of several sources.
        watch: called as images go through the network again.

    Returns:
        Prototypes, by unit, kind and rank; and their pictures. Units that never vary have none, unless `among` says
        where they choose.
    """
    work = _Gathering(model=model, source=source, features=features, coordinates=coordinates)
    choices = work.choose(n, among, kinds=(True, False) if with_negative else (True,))
    prototypes: list[Prototype] = []
    pictures = ImageStore()
    for seen in look(model, source, features, sorted(choices), watch=watch):
        named = replace(seen, key=prefix + seen.key.removeprefix("image"))
        pictures.add(named.key, as_picture(named.view))
        prototypes += work.describe(named, choices[seen.row])
    prototypes.sort(key=lambda item: (item.unit, item.kind == "negative", item.rank))
    return prototypes, pictures


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """A unit that chose an image."""

    unit: int
    rank: int
    is_positive: bool
    activation: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """An image looked at again: its row in the features, its map (channel, cell) and its 8-bit view."""

    row: int
    key: str
    feature_map: Tensor
    view: Tensor


def look(
    model: SplitModel,
    source: ImageSource | IterableSource,
    features: Features,
    rows: Sequence[int],
    *,
    watch: Watcher | None = None,
) -> Iterator[Seen]:
    """Yield the map and the view of rows of the features, from the cache or by a second forward pass.

    Raises:
        UnreadableImageError: an image has gone since the first pass.
    """
    slots = {row: slot for slot, row in enumerate(features.kept.tolist())}
    held, missing = [row for row in rows if row in slots], [row for row in rows if row not in slots]
    stage = Stage("looking at prototypes", watch, total=len(rows))
    for done, row in enumerate(held, start=1):
        yield seen_of(features, row, features.maps[slots[row]], features.views[slots[row]])
        if done % 100 == 0 or done == len(rows):
            stage(done)
    forward, start = Forward(model), 0
    while start < len(missing):
        part = missing[start : start + forward.chunk]
        views = torch.stack([read_view(model, source, int(features.indices[row])) for row in part])
        maps = forward(views).feature_map.flatten(2)
        for row, feature_map, view in zip(part, maps, views, strict=True):
            yield seen_of(features, row, feature_map, view.mul(255).round().clamp(0, 255).to(torch.uint8).cpu())
        start += len(part)
        stage(len(held) + start)


def seen_of(features: Features, row: int, feature_map: Tensor, view: Tensor) -> Seen:
    """Return an image of the features with its map and its view."""
    key = f"image-{int(features.indices[row]):07d}"
    return Seen(row=row, key=key, feature_map=feature_map, view=view)


def read_view(model: SplitModel, source: ImageSource | IterableSource, index: int) -> Tensor:
    """Return an image of a source as the network sees it, read again."""
    if not isinstance(source, ImageSource):
        raise TypeError("a stream cannot be read twice")
    try:
        return model.preprocess.view(source[index].image)
    except UnreadableImageError as error:
        raise UnreadableImageError(
            f"{error} It was readable when the fit began: keep the images in place until it is done."
        ) from error


@dataclass(frozen=True, kw_only=True, eq=False)
class _Gathering:
    """What the choice of prototypes is made from."""

    model: SplitModel
    source: ImageSource | IterableSource
    features: Features
    coordinates: Units

    def choose(
        self, n: int, among: Sequence[Candidates] | None, *, kinds: tuple[bool, ...]
    ) -> dict[int, list[_Choice]]:
        """Return the choices by row of the features."""
        can_read_again = isinstance(self.source, ImageSource)
        within = None if can_read_again else self.features.kept
        choices: dict[int, list[_Choice]] = {}
        if among is None:
            units = torch.arange(self.coordinates.n_units)
            varies = varying_units(self._means(within), self.coordinates.detectors(units))
            live = varies.nonzero()[:, 0].tolist()
            self._choose(choices, units, live, within, n=n, kinds=kinds)
        for group in among or ():
            rows = group.rows if within is None else group.rows[torch.isin(group.rows, within)]
            if len(rows):
                self._choose(choices, group.units, list(range(len(group.units))), rows, n=n, kinds=kinds)
        return choices

    def _choose(
        self,
        choices: dict[int, list[_Choice]],
        units: Tensor,
        live: list[int],
        among: Tensor | None,
        *,
        n: int,
        kinds: tuple[bool, ...],
    ) -> None:
        means, detectors = self._means(among), self.coordinates.detectors(units)
        for is_positive in kinds:
            rows, values = top_rows(means, detectors, n, lowest=not is_positive)
            for place in live:
                unit = int(units[place])
                chosen = rows[place] if among is None else among[rows[place]]
                pairs = zip(chosen.tolist(), values[place].tolist(), strict=True)
                for rank, (row, value) in enumerate(pairs):
                    choice = _Choice(unit=unit, rank=rank, is_positive=is_positive, activation=value)
                    choices.setdefault(row, []).append(choice)

    def _means(self, among: Tensor | None) -> Tensor:
        """Return the means of some images; of all, which may be more than the memory holds, without a copy."""
        return self.features.means if among is None else rows_of(self.features.means, among)

    def describe(self, seen: Seen, choices: list[_Choice]) -> list[Prototype]:
        """Find each unit's peak on an image and make its record."""
        features = self.features
        units = torch.tensor([choice.unit for choice in choices])
        is_positive = torch.tensor([choice.is_positive for choice in choices], dtype=torch.bool)
        activation = self.coordinates.detectors(units) @ seen.feature_map
        peaks = torch.where(is_positive, activation.argmax(1), activation.argmin(1))
        purities = self.coordinates.purity(seen.feature_map[:, peaks].T, units)
        values = activation.gather(1, peaks[:, None])[:, 0]
        about = facts_of(self.model, features, seen)
        found = zip(choices, peaks.tolist(), values.tolist(), purities.tolist(), activation, strict=True)
        return [
            prototype_of(
                self.source,
                features,
                seen,
                about,
                unit=choice.unit,
                rank=choice.rank,
                kind="positive" if choice.is_positive else "negative",
                cell=cell,
                activation=choice.activation,
                peak=peak,
                purity=purity,
                activations=own,
            )
            for choice, cell, peak, purity, own in found
        ]


def facts_of(model: SplitModel, features: Features, seen: Seen) -> dict[str, Any]:
    """Return what all prototypes that are one image have in common."""
    label = int(features.labels[seen.row])
    return {
        "source": features.names[seen.row],
        "index": int(features.indices[seen.row]),
        "image": seen.key,
        "label": label if label >= 0 else None,
        "predicted": _given(model, features, seen.row),
        "label_name": features.label_names[seen.row] if features.label_names else None,
        "original": _original(model, features, seen.row),
    }


def prototype_of(
    source: object,
    features: Features,
    seen: Seen,
    about: Mapping[str, Any],
    *,
    cell: int,
    activations: Tensor,
    **rest: Any,
) -> Prototype:
    """Return the record of an image as a prototype of a unit, strongest in a cell (its flat index)."""
    place = (cell // features.grid[1], cell % features.grid[1])
    size = (seen.view.shape[1], seen.view.shape[2])
    box = cell_box(place, grid=features.grid, size=size)
    part = _true_part(source, about["index"], box, size)
    region = region_of(activations.float().reshape(features.grid).numpy(), float(activations[cell]))
    return Prototype(cell=place, box=box, true_part=part, region=region, **about, **rest)


def _original(model: SplitModel, features: Features, row: int) -> Original | None:
    """Return the picture that was read of an image; None where none was."""
    if features.is_made or features.facts is None:
        return None
    height, width = features.facts[row, 1:3].long().tolist()
    return Original(width=width, height=height, frame=model.preprocess.frame(height, width))


def _given(model: SplitModel, features: Features, row: int) -> int | None:
    """Return the class that the model gives an image; None where it gives it none of its labels."""
    predicted = int(features.predicted[row])
    if model.outputs == "softmax":
        return predicted
    head = model.head
    vector = rows_of(features.pooled, torch.tensor([row], dtype=torch.long))[0]
    logit = float(vector @ head.weight[predicted].cpu()) + float(head.bias[predicted])
    return predicted if logit > 0 else None


def as_picture(view: Tensor) -> NDArray[np.uint8]:
    """Return an 8-bit view as a picture: grey, or its first three channels."""
    return view[0].numpy() if view.shape[0] < 3 else view[:3].permute(1, 2, 0).numpy()


def _true_part(source: object, index: int, box: tuple[int, int, int, int], size: tuple[int, int]) -> str | None:
    """Ask a drawn source which part stands in a box, where its pictures and the views are the same pixels."""
    true_part = getattr(source, "true_part", None)
    if true_part is None or not getattr(source, "size", None) == size[0] == size[1]:
        return None
    part: str | None = true_part(index, box)
    return part or "surroundings"
