"""The peak cells of selected images, read image by image."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Peaks", "read_peaks"]


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
    readers: Float[Tensor, "unit channel"],
    *,
    basis: Float[Tensor, "channel channel"] | None = None,
) -> Peaks:
    """Find each unit's peak cell on each of its selected images, and the mean of the unit vectors found there.

    Goes through the maps image by image, so that each map is read once however many units selected it.

    Args:
        maps: feature maps on the CPU.
        rows: for each unit, rows of `maps`.
        readers: for each unit, the direction whose inner product with a cell is its activation.
        basis: applied to each peak vector before it is scaled to length 1; none for the identity.
    """
    n_units, n_ranks = rows.shape
    flat = rows.reshape(-1).numpy()
    order = np.argsort(flat, kind="stable")
    units = np.repeat(np.arange(n_units), n_ranks)[order]
    images, starts = np.unique(flat[order], return_index=True)
    cells = np.empty(flat.shape, dtype=np.int64)
    values = np.empty(flat.shape, dtype=np.float32)
    sums = np.zeros((n_units, maps.shape[1]), dtype=np.float32)
    source, directions = maps.numpy(), readers.float().numpy()
    change = None if basis is None else basis.float().numpy().T
    tiny = np.finfo(np.float32).tiny
    for image, start, stop in zip(images, starts, [*starts[1:], len(flat)], strict=True):
        of_image = units[start:stop]
        activation = directions[of_image] @ source[image]  # (unit, cell)
        peak = activation.argmax(axis=1)
        patches = source[image][:, peak].T  # (unit, channel)
        if change is not None:
            patches = patches @ change
        norms = np.sqrt(np.einsum("ij,ij->i", patches, patches))
        sums[of_image] += patches / np.maximum(norms, tiny)[:, None]  # a unit selects an image once
        cells[order[start:stop]] = peak
        values[order[start:stop]] = activation[np.arange(len(peak)), peak]
    return Peaks(
        cells=torch.from_numpy(cells).reshape(rows.shape),
        values=torch.from_numpy(values).reshape(rows.shape),
        mean_unit_patches=torch.from_numpy(sums / n_ranks),
    )
