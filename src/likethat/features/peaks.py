"""The peak cells of selected images, read image by image."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

_GROUP = 2**22  # numbers of peak vectors held at a time: 16 MiB


@dataclass(frozen=True, kw_only=True, eq=False)
class Peaks:
    """Peaks of the selected images of every unit.

    Attributes:
        cells: (unit, rank) flat index of the peak cell.
        values: (unit, rank) the unit's activation there.
        mean_unit_patches: (unit, channel) mean of the peak vectors, each scaled to length 1 (after `basis`).
    """

    cells: Int[Tensor, "unit rank"]
    values: Float[Tensor, "unit rank"]
    mean_unit_patches: Float[Tensor, "unit channel"]


def read_peaks(
    maps: Float[Tensor, "map channel cell"],
    rows: Int[Tensor, "unit rank"],
    detectors: Float[Tensor, "unit channel"],
    *,
    basis: Float[Tensor, "channel channel"] | None = None,
) -> Peaks:
    """Find each unit's peak cell on each of its selected images, and the mean of the unit vectors found there.

    Goes through the maps image by image, so that each map is read once however many units selected it.

    Args:
        maps: feature maps on the CPU.
        rows: for each unit, rows of `maps`.
        detectors: for each unit, the direction whose inner product with a cell is its activation.
        basis: applied to each peak vector before it is scaled to length 1; none for the identity.
    """
    n_units, n_ranks = rows.shape
    flat = rows.reshape(-1).numpy()
    order = np.argsort(flat, kind="stable")
    units = np.repeat(np.arange(n_units), n_ranks)[order]
    cells = np.empty(flat.shape, dtype=np.int64)
    values = np.empty(flat.shape, dtype=np.float32)
    sums = torch.zeros(n_units, maps.shape[1], dtype=torch.float32)
    source, directions = maps.numpy(), detectors.float().numpy()
    change = None if basis is None else basis.float().numpy().T
    for spans in _groups(flat[order], most=max(1, _GROUP // maps.shape[1])):
        first, last = spans[0][1], spans[-1][2]
        patches = np.empty((last - first, maps.shape[1]), dtype=np.float32)
        for image, start, stop in spans:
            activation = directions[units[start:stop]] @ source[image]  # (unit, cell)
            peak = activation.argmax(axis=1)
            patches[start - first : stop - first] = source[image].take(peak, axis=1).T
            cells[order[start:stop]] = peak
            values[order[start:stop]] = activation[np.arange(len(peak)), peak]
        patches = _unit_length(patches if change is None else patches @ change)
        sums.index_add_(0, torch.from_numpy(units[first:last]), torch.from_numpy(patches))
    return Peaks(
        cells=torch.from_numpy(cells).reshape(rows.shape),
        values=torch.from_numpy(values).reshape(rows.shape),
        mean_unit_patches=sums / n_ranks,
    )


def _groups(images: NDArray[np.int64], *, most: int) -> Iterator[list[tuple[int, int, int]]]:
    """Yield (image, start, stop) of each image's run in a sorted array, in groups of about `most` entries."""
    found, starts = np.unique(images, return_index=True)
    stops = np.append(starts[1:], len(images))[: len(found)]
    group: list[tuple[int, int, int]] = []
    for span in zip(found.tolist(), starts.tolist(), stops.tolist(), strict=True):
        group.append(span)
        if span[2] - group[0][1] >= most:
            yield group
            group = []
    if group:
        yield group


def _unit_length(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    vectors /= np.maximum(norms, np.finfo(np.float32).tiny)[:, None]
    return vectors
