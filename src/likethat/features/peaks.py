"""The peak cells of selected images, and what lies there."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

_GROUP = 2**22  # numbers of peak vectors held at a time: 16 MiB


@dataclass(frozen=True, kw_only=True, eq=False)
class Peaks:
    """Peaks of the selected images of every unit.

    Attributes:
        cells: (unit, rank) flat index of the peak cell.
        values: (unit, rank) the unit's activation there.
        lengths: (unit, rank) of the vector there.
    """

    cells: Int[Tensor, "unit rank"]
    values: Float[Tensor, "unit rank"]
    lengths: Float[Tensor, "unit rank"]

    @property
    def purity(self) -> Float[Tensor, "unit rank"]:
        """The cosine between each vector and its unit's direction, where directions have length 1; 0 for no vector."""
        return (self.values / self.lengths.clamp_min(torch.finfo(self.lengths.dtype).tiny)).clamp(-1, 1)


def read_peaks(
    maps: Float[Tensor, "map channel cell"],
    rows: Int[Tensor, "unit rank"],
    detectors: Float[Tensor, "unit channel"],
) -> Peaks:
    """Find each unit's peak cell on each of its selected images.

    Goes through the maps image by image, so that each map is read once however many units selected it.

    Args:
        maps: feature maps on the CPU.
        rows: for each unit, rows of `maps`.
        detectors: for each unit, the direction whose inner product with a cell is its activation.
    """
    flat = rows.reshape(-1).numpy()
    order = np.argsort(flat, kind="stable")
    units = order // rows.shape[1]
    cells = np.empty(flat.shape, dtype=np.int64)
    values, lengths = np.empty((2, *flat.shape), dtype=np.float32)
    source, directions = maps.numpy(), detectors.float().numpy()
    is_own = torch.equal(detectors, torch.eye(maps.shape[1], dtype=detectors.dtype))  # a channel is its own activation
    images, starts = np.unique(flat[order], return_index=True)
    for image, start, stop in zip(images, starts, [*starts[1:], len(flat)], strict=True):
        seen, places = source[image], order[start:stop]
        activation = seen[units[start:stop]] if is_own else directions[units[start:stop]] @ seen  # (unit, cell)
        peak = activation.argmax(axis=1)
        cells[places], values[places] = peak, activation[np.arange(len(peak)), peak]
        lengths[places] = np.sqrt(np.einsum("ck,ck->k", seen, seen))[peak]
    return Peaks(
        cells=torch.from_numpy(cells).reshape(rows.shape),
        values=torch.from_numpy(values).reshape(rows.shape),
        lengths=torch.from_numpy(lengths).reshape(rows.shape),
    )


def mean_unit_patches(
    maps: Float[Tensor, "map channel cell"],
    rows: Int[Tensor, "unit rank"],
    cells: Int[Tensor, "unit rank"],
    *,
    basis: Float[Tensor, "channel channel"] | None = None,
) -> Float[Tensor, "unit channel"]:
    """Return the mean of the vectors in each unit's cells, each scaled to length 1; cells of several units once.

    Args:
        maps: feature maps on the CPU.
        rows: for each unit, rows of `maps`.
        cells: for each unit, a cell on each of them.
        basis: applied to each vector before it is scaled; none for the identity.
    """
    places, which = torch.unique(rows * maps.shape[2] + cells, return_inverse=True)
    sums = torch.zeros(len(rows), maps.shape[1], dtype=torch.float32)
    most = max(1, _GROUP // maps.shape[1])
    for start in range(0, len(places), most):
        of = places[start : start + most]
        patches = maps[of // maps.shape[2], :, of % maps.shape[2]]
        patches = patches if basis is None else patches @ basis.T
        patches /= torch.linalg.vector_norm(patches, dim=1, keepdim=True).clamp_min(torch.finfo(patches.dtype).tiny)
        is_here = (which >= start) & (which < start + most)
        bags = nn.functional.pad(is_here.sum(1).cumsum(0), (1, 0))[:-1]
        sums += nn.functional.embedding_bag(which[is_here] - start, patches, bags, mode="sum")
    return sums / rows.shape[1]
