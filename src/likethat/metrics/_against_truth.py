"""Measures of a bank on drawn pictures, where it is known which part is where."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from likethat.errors import InputError
from likethat.explanations import Bank, Contribution, Explanation
from likethat.features import Features, read_peaks
from likethat.functional import cell_box
from likethat.metrics.parts import (
    box_match,
    huang_consistency,
    huang_stability,
    part_consistency,
    parts_in_windows,
    pip_net_purity,
)
from likethat.metrics.single_deletion import importance_of, single_deletion
from likethat.metrics.truth import EditableSource, PartTruth
from likethat.models import SplitModel
from likethat.search import top_rows, varying_units

_WINDOW, _PATCH = 72 / 224, 32 / 224  # of the picture's side, as the papers have them at 224 pixels


@dataclass(kw_only=True)
class Explained:
    """Explanations, and the numbers of their images."""

    indices: list[int] = field(default_factory=list)
    explanations: list[Explanation] = field(default_factory=list)

    def add(self, index: int, why: Explanation) -> None:
        """Add one."""
        self.indices.append(index)
        self.explanations.append(why)

    def rows(self) -> Iterable[tuple[int, Contribution]]:
        """Return every shown row with the number of its image."""
        for index, why in zip(self.indices, self.explanations, strict=True):
            for row in why.rows:
                yield index, row


@torch.no_grad()
def remove_parts(model: SplitModel, source: EditableSource, truth: PartTruth, explained: Explained, *, n: int) -> float:
    """Draw the first `n` pictures again without each of their visible parts; return the agreement (`single_deletion`).

    A part's importance is what the shown rows together locate on it. (All rows together are the same heat map in any
    exact coordinates, and say nothing of the bank.)
    """
    importances, drops = [], []
    for index, why in list(zip(explained.indices, explained.explanations, strict=True))[:n]:
        masks = truth.masks(index)
        drawn = {part: _without(source, index, part) for part in masks}
        removable = {part: picture for part, picture in drawn.items() if picture is not None}
        if len(removable) < 2:
            continue
        logits = model.logits(torch.stack(list(removable.values())))[:, why.target].cpu()
        heat_map = np.sum([row.heat_map for row in why.rows], axis=0)
        importances.append([importance_of(heat_map, masks[part]) for part in removable])
        drops.append((why.logit - logits).tolist())
    return single_deletion(importances, drops)


def _without(source: EditableSource, index: int, part: str) -> Tensor | None:
    try:
        return source.without(index, part).image
    except InputError:  # other parts hang on it
        return None


def part_measures(
    bank: Bank, features: Features, truth: PartTruth, explained: Explained, *, seed: int
) -> dict[str, float]:
    """Return what can be measured once it is known which part is where."""
    size = (int(features.views.shape[-2]), int(features.views.shape[-1]))
    units, rows, cells = _top_peaks(bank, features, n=10)
    consistency = part_consistency(_shown(features, truth, units, rows, cells, size=size))
    lowest = part_consistency(_shown(features, truth, *_top_peaks(bank, features, n=5, lowest=True), size=size))
    modal = consistency.modal | {~unit: part for unit, part in lowest.modal.items()}
    patches = _inside(truth, features, rows.flatten(), cells.flatten(), size=size, share=_PATCH)
    return {
        "part_consistency": consistency.consistent,
        "modal_share": consistency.modal_share,
        "surroundings": consistency.surroundings,
        "box_match": box_match([(_unit_of(row), truth.at(index, row.box)) for index, row in explained.rows()], modal),
        "pip_net_purity": pip_net_purity(units.flatten().numpy(), patches),
        **_huang(bank, features, truth, explained, size=size, seed=seed),
    }


def _unit_of(row: Contribution) -> int:
    """Return a row's unit, or ~unit where the unit supplies by a negative activation: it shows something else then."""
    return ~row.unit if row.is_low else row.unit


def _shown(
    features: Features, truth: PartTruth, units: Tensor, rows: Tensor, cells: Tensor, *, size: tuple[int, int]
) -> dict[int, list[str]]:
    """Return the parts at the peaks of each unit's five strongest images."""
    parts: dict[int, list[str]] = {}
    for rank_units, rank_rows, rank_cells in zip(units.T[:5], rows.T[:5], cells.T[:5], strict=True):
        for unit, row, cell in zip(rank_units.tolist(), rank_rows.tolist(), rank_cells.tolist(), strict=True):
            place = (cell // features.grid[1], cell % features.grid[1])
            box = cell_box(place, grid=features.grid, size=size)
            parts.setdefault(unit, []).append(truth.at(int(features.indices[features.kept[row]]), box))
    return parts


def _top_peaks(bank: Bank, features: Features, *, n: int, lowest: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Return units, rows of the maps and peak cells of each unit's top (or lowest) images, all (unit, rank)."""
    detectors = bank.coordinates.detectors(torch.arange(bank.n_units))
    live = varying_units(features.kept_means, detectors).nonzero()[:, 0]
    rows, _ = top_rows(features.kept_means, detectors[live], n, lowest=lowest)
    cells = read_peaks(features.maps, rows, -detectors[live] if lowest else detectors[live]).cells
    return live[:, None].expand_as(rows), rows, cells


def _inside(
    truth: PartTruth, features: Features, rows: Tensor, cells: Tensor, *, size: tuple[int, int], share: float
) -> NDArray[np.bool_]:
    indices = features.indices[features.kept[rows]].tolist()
    peaks = _centres_of_cells(cells.numpy(), features.grid, size)
    return parts_in_windows(peaks, truth.centres_of(indices), window=share * min(size))


def _centres_of_cells(
    cells: NDArray[np.int64], grid: tuple[int, int], size: tuple[int, int]
) -> Float[NDArray[np.float32], "pair 2"]:
    rows, columns = np.divmod(cells, grid[1])
    return np.stack([(columns + 0.5) * size[1] / grid[1], (rows + 0.5) * size[0] / grid[0]], axis=1).astype(np.float32)


def _huang(
    bank: Bank, features: Features, truth: PartTruth, explained: Explained, *, size: tuple[int, int], seed: int
) -> dict[str, float]:
    """Windows round the peaks of the shown units, on the images as they are and under noise."""
    shown = list(explained.rows())
    units = np.array([_unit_of(row) for _, row in shown])
    cells = np.array([row.cell[0] * features.grid[1] + row.cell[1] for _, row in shown])
    centres = truth.centres_of([index for index, _ in shown])
    inside = parts_in_windows(_centres_of_cells(cells, features.grid, size), centres, window=_WINDOW * min(size))
    noisy = _cells_under_noise(bank, explained, seed)
    inside_noisy = parts_in_windows(_centres_of_cells(noisy, features.grid, size), centres, window=_WINDOW * min(size))
    visible = ~np.isnan(centres[:, :, 0])
    return {
        "huang_consistency": huang_consistency(units, inside, visible),
        "huang_stability": huang_stability(inside, inside_noisy),
    }


@torch.no_grad()
def _cells_under_noise(bank: Bank, explained: Explained, seed: int) -> NDArray[np.int64]:
    """Return the peak cells of the shown units with noise N(0, 0.2), clipped at 0.25, on the normalised views.

    Differs:
        Views are kept in [0, 1] under the noise, since that is what a model takes.
    """
    rng = torch.Generator().manual_seed(seed)
    model = bank.model
    cells: list[int] = []
    for why in explained.explanations:
        view = torch.from_numpy(why.image)
        noise = (0.2 * torch.randn(view.shape, generator=rng, dtype=torch.float32)).clamp(-0.25, 0.25)
        std = torch.as_tensor(model.preprocess.std or (1.0,), dtype=torch.float32)[:, None, None]
        features = model.features((view + noise * std).clamp(0, 1)[None])[0].cpu().flatten(1)
        detectors = bank.coordinates.detectors(torch.tensor([row.unit for row in why.rows]))
        signs = torch.tensor([-1.0 if row.is_low else 1.0 for row in why.rows], dtype=detectors.dtype)
        cells += (signs[:, None] * (detectors @ features)).argmax(1).tolist()
    return np.array(cells)
