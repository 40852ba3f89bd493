"""Everything that can be measured of a bank, given what is known of the images."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from likethat._checks import check_count
from likethat._progress import Progress, Watcher
from likethat.errors import InputError
from likethat.explanations import Bank, Explanation
from likethat.features import Features, collect, read_peaks
from likethat.functional import cell_box
from likethat.metrics.channels import held_out_purity
from likethat.metrics.deletion import delete_rows
from likethat.metrics.parts import (
    box_match,
    huang_consistency,
    huang_stability,
    part_consistency,
    parts_in_windows,
    pip_net_purity,
)
from likethat.metrics.truth import PartTruth
from likethat.search import top_rows, varying_units
from likethat.sources import as_source
from likethat.sources.base import ImageSource

__all__ = ["Measures", "evaluate"]

_WINDOW, _PATCH = 72 / 224, 32 / 224


@dataclass(frozen=True, kw_only=True)
class Measures:
    """How good a bank's prototypes and explanations are on images it was not fitted on; None where not measurable.

    Attributes:
        n_images: explained.
        purity: mean purity of each unit's five top images, in [-1, 1].
        coverage: mean share of the positive evidence that the shown rows carry.
        gap: largest relative difference between a logit and the sum of its terms.
        deletion_agreement: Spearman between shown contributions and the drops when their windows are blanked.
        deletion_drop: mean drop of the logit for a shown window.
        random_drop: mean drop for a random window of the same area.
        part_consistency: share of units whose top images' boxes show one true part (80 % of them).
        modal_share: mean share of a unit's top images that show its most frequent part.
        surroundings: share of the units' boxes that show no part.
        box_match: share of shown rows whose box shows the part that the unit's top images show.
        pip_net_purity: mean share of a unit's ten top patches that hold one part's centre.
        huang_consistency: share of units with one part in their window in 80 % of the images that show them.
        huang_stability: share of (unit, image) pairs whose parts stay the same under noise.
    """

    n_images: int
    purity: float
    coverage: float
    gap: float
    deletion_agreement: float
    deletion_drop: float
    random_drop: float
    part_consistency: float | None = None
    modal_share: float | None = None
    surroundings: float | None = None
    box_match: float | None = None
    pip_net_purity: float | None = None
    huang_consistency: float | None = None
    huang_stability: float | None = None

    def row(self) -> dict[str, float | None]:
        """Return the measures by name."""
        return asdict(self)


def evaluate(
    bank: Bank,
    images: Any,
    *,
    top: int = 4,
    n_explained: int = 200,
    n_deleted: int = 100,
    seed: int = 0,
    watch: Watcher | None = None,
) -> Measures:
    """Measure a bank on images that it was not fitted on.

    Args:
        bank: with its model.
        images: whatever `likethat` takes as images; parts are measured where the source knows them
            (`likethat.creatures`, at the size the model sees).
        top: rows an explanation.
        n_explained: images that are explained, the first ones.
        n_deleted: of these, how many take part in the deletion test.
        seed: of the random windows and the noise.
        watch: called as the work goes on.

    Raises:
        BankError: the bank has no model.
        InputError: the images are a stream.
    """
    check_count(n_explained, name="n_explained")
    source = as_source(images)
    if not isinstance(source, ImageSource):
        raise InputError("`images` must be numbered, got a stream. Put them in a list or a folder.")
    features = collect(bank.model, source, watch=watch)
    explained = _Explained()
    for place, index in enumerate(features.indices[:n_explained].tolist()):
        explained.add(index, bank.explain(source[index], top=top))
        if watch:
            watch(Progress(stage="explaining", done=place + 1, total=min(n_explained, len(features))))
    rng = np.random.default_rng(seed)
    deletions = [delete_rows(bank.model, why, rng=rng) for why in explained.explanations[:n_deleted]]
    truth = _truth(source, features)
    return Measures(
        n_images=len(explained.indices),
        purity=held_out_purity(features, bank.coordinates),
        coverage=float(np.mean([why.coverage for why in explained.explanations])),
        gap=max(abs(why.gap()) for why in explained.explanations),
        deletion_agreement=float(np.mean([item.agreement for item in deletions])),
        deletion_drop=float(np.mean([item.shown_drop for item in deletions])),
        random_drop=float(np.mean([item.random_drop for item in deletions])),
        **(_part_measures(bank, features, truth, explained, seed) if truth else {}),
    )


@dataclass(kw_only=True)
class _Explained:
    """Explanations, and the (image, unit, peak) triples they show."""

    indices: list[int] = field(default_factory=list)
    explanations: list[Explanation] = field(default_factory=list)

    def add(self, index: int, why: Explanation) -> None:
        self.indices.append(index)
        self.explanations.append(why)

    def rows(self) -> Iterable[tuple[int, Any]]:
        for index, why in zip(self.indices, self.explanations, strict=True):
            for row in why.rows:
                yield index, row


def _truth(source: Any, features: Features) -> PartTruth | None:
    """Return the source's truth, where its pictures and the views are the same pixels."""
    height, width = features.views.shape[-2:]
    if not getattr(source, "size", None) == height == width:
        return None
    try:
        return PartTruth(source)
    except InputError:
        return None


def _part_measures(
    bank: Bank, features: Features, truth: PartTruth, explained: _Explained, seed: int
) -> dict[str, float]:
    size = (int(features.views.shape[-2]), int(features.views.shape[-1]))
    units, rows, cells = _top_peaks(bank, features, n=10)
    parts: dict[int, list[str]] = {}
    for rank_units, rank_rows, rank_cells in zip(units.T[:5], rows.T[:5], cells.T[:5], strict=True):
        for unit, row, cell in zip(rank_units.tolist(), rank_rows.tolist(), rank_cells.tolist(), strict=True):
            place = (cell // features.grid[1], cell % features.grid[1])
            box = cell_box(place, grid=features.grid, size=size)
            parts.setdefault(unit, []).append(truth.at(int(features.indices[features.kept[row]]), box))
    consistency = part_consistency(parts)
    patches = _inside(truth, features, rows.flatten(), cells.flatten(), size=size, share=_PATCH)
    return {
        "part_consistency": consistency.consistent,
        "modal_share": consistency.modal_share,
        "surroundings": consistency.surroundings,
        "box_match": box_match(
            [(row.unit, truth.at(index, row.box)) for index, row in explained.rows()], consistency.modal
        ),
        "pip_net_purity": pip_net_purity(units.flatten().numpy(), patches),
        **_huang(bank, features, truth, explained, size=size, seed=seed),
    }


def _top_peaks(bank: Bank, features: Features, *, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return units, rows of the maps and peak cells of each unit's top images, all (unit, rank)."""
    readers = bank.coordinates.readers(torch.arange(bank.n_units))
    live = varying_units(features.kept_means, readers).nonzero()[:, 0]
    rows, _ = top_rows(features.kept_means, readers[live], n)
    cells = read_peaks(features.maps, rows, readers[live]).cells
    return live[:, None].expand_as(rows), rows, cells


def _inside(
    truth: PartTruth, features: Features, rows: Tensor, cells: Tensor, *, size: tuple[int, int], share: float
) -> NDArray[np.bool_]:
    indices = features.indices[features.kept[rows]].tolist()
    peaks = _centres_of_cells(cells.numpy(), features.grid, size)
    centres = np.stack([truth.centres(index) for index in indices])
    return parts_in_windows(peaks, centres, window=share * min(size))


def _centres_of_cells(
    cells: NDArray[np.int64], grid: tuple[int, int], size: tuple[int, int]
) -> Float[NDArray[np.float32], "pair 2"]:
    rows, columns = np.divmod(cells, grid[1])
    return np.stack([(columns + 0.5) * size[1] / grid[1], (rows + 0.5) * size[0] / grid[0]], axis=1).astype(np.float32)


def _huang(
    bank: Bank, features: Features, truth: PartTruth, explained: _Explained, *, size: tuple[int, int], seed: int
) -> dict[str, float]:
    """Windows round the peaks of the shown units, on the images as they are and under noise."""
    shown = list(explained.rows())
    units = np.array([row.unit for _, row in shown])
    cells = np.array([row.cell[0] * features.grid[1] + row.cell[1] for _, row in shown])
    centres = np.stack([truth.centres(index) for index, _ in shown])
    inside = parts_in_windows(_centres_of_cells(cells, features.grid, size), centres, window=_WINDOW * min(size))
    noisy = _cells_under_noise(bank, explained, seed)
    inside_noisy = parts_in_windows(_centres_of_cells(noisy, features.grid, size), centres, window=_WINDOW * min(size))
    visible = ~np.isnan(centres[:, :, 0])
    return {
        "huang_consistency": huang_consistency(units, inside, visible),
        "huang_stability": huang_stability(inside, inside_noisy),
    }


@torch.no_grad()
def _cells_under_noise(bank: Bank, explained: _Explained, seed: int) -> NDArray[np.int64]:
    """Return the peak cells of the shown units with noise N(0, 0.2), clipped at 0.25, on the normalised views.

    Differs:
        Views are kept in [0, 1] under the noise, since that is what a model takes.
    """
    rng = torch.Generator().manual_seed(seed)
    model = bank.model
    cells: list[int] = []
    for why in explained.explanations:
        view = torch.from_numpy(why.image)
        noise = (0.2 * torch.randn(view.shape, generator=rng)).clamp(-0.25, 0.25)
        std = torch.as_tensor(model.preprocess.std or (1.0,))[:, None, None]
        features = model.features((view + noise * std).clamp(0, 1)[None])[0].cpu().flatten(1)
        readers = bank.coordinates.readers(torch.tensor([row.unit for row in why.rows]))
        cells += (readers @ features).argmax(1).tolist()
    return np.array(cells)
