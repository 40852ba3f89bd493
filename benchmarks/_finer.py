"""Maps of ``layer="finer"`` beside the map that `split` finds by itself: insertion less deletion on the same photos."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _rows import Row
from torch import Tensor

import likethat as lt
from likethat import metrics
from likethat.functional.spreading import spread
from likethat.metrics.attributions import Replacement
from likethat.models import _mixed_search
from likethat.models._frozen_search import FrozenReader
from likethat.sources import ImageSource

REPLACEMENTS: tuple[Replacement, ...] = ("mean", "blur")
N_STEPS = 12  # of each curve: finer steps move both maps alike
CHECKED = 3  # photos on which the one-class maps below are compared with the model's own


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """A weight of the finer map, and by how much it is spread."""

    weight: float
    sigma: float


CHOSEN = Mixture(weight=_mixed_search._OF_FINER, sigma=_mixed_search._SIGMA)  # what ``layer="finer"`` is


class Maps:
    """What each cell gives to one logit, of both parts of a mixture: one pass back instead of a pass a cell."""

    def __init__(self, model: lt.SplitModel) -> None:
        self.model = model
        reader: Any = model._reader
        (self.weight, self._coarse), (_, self._finer) = reader.parts
        assert isinstance(self._finer, FrozenReader)

    def of(self, view: Tensor) -> tuple[int, Tensor, Tensor]:
        """Return the predicted class, and the two maps (height, width) times their number of cells."""
        inputs = self.model._inputs(view[None])
        with torch.no_grad():
            output = self._coarse.read(inputs)
            raw, _, _ = self._finer._run(inputs)
        target = int(output.logits.argmax())
        row = self.model.head.weight[target]
        tail = self._finer._tail(inputs, raw)
        own = tail.run(raw)
        gradient = torch.func.vjp(lambda given: tail.frozen(given, own), raw)[1](row)[0]
        finer = (gradient * raw)[0].sum(0).detach()
        return target, torch.einsum("d,dhw->hw", row, output.feature_map[0]), finer * finer.numel()

    def mixed(self, coarse: Tensor, finer: Tensor, mixture: Mixture | None) -> Tensor:
        """Return the map of a mixture; None for the coarse one alone."""
        if mixture is None:
            return coarse
        size = (finer.shape[0], finer.shape[1])
        fine = spread(finer, size, sigma=mixture.sigma)
        return (1 - mixture.weight) * spread(coarse, size) + mixture.weight * fine

    @torch.no_grad()
    def gap(self, view: Tensor, mixture: Mixture) -> float:
        """Return how far the map above is from the model's own, of its largest cell."""
        target, coarse, finer = self.of(view)
        own = torch.einsum("d,dhw->hw", self.model.head.weight[target], self.model.features(view[None])[0])
        return float((own - self.mixed(coarse, finer, mixture)).abs().max() / own.abs().max())


def scores(
    maps: Maps, source: ImageSource, rows: Sequence[int], mixtures: Sequence[Mixture | None], store: Path
) -> np.ndarray:
    """Return (photo, mixture, replacement) insertion less deletion; photos of a stopped run are read."""
    known = [json.loads(line) for line in store.read_text("utf-8").splitlines()] if store.exists() else []
    store.parent.mkdir(exist_ok=True)
    for row in rows[len(known) :]:
        view = maps.model.preprocess.view(source[row].image)
        target, coarse, finer = maps.of(view)
        known.append([_curves(maps.model, view, target, maps.mixed(coarse, finer, one)) for one in mixtures])
        with store.open("a", encoding="utf-8") as file:
            file.write(json.dumps(known[-1]) + "\n")
    return np.array(known[: len(rows)])


@torch.no_grad()
def _curves(model: lt.SplitModel, view: Tensor, target: int, heat: Tensor) -> list[float]:
    """Return insertion less deletion for each replacement; a grid's values are interpolated to pixels."""
    pixels = torch.nn.functional.interpolate(
        heat[None, None], size=list(view.shape[1:]), mode="bilinear", align_corners=False
    )[0, 0].numpy()

    def ask(images: Tensor) -> Tensor:
        return model.network(model.preprocess.normalise(images)).softmax(1)  # type: ignore[no-any-return]

    found = []
    for way in REPLACEMENTS:
        rng = torch.Generator().manual_seed(0)
        both = metrics.insertion_deletion(
            ask, view, np.ascontiguousarray(pixels), target, replacement=way, n_steps=N_STEPS, rng=rng
        )
        found.append(both.insertion - both.deletion)
    return found


def compared(values: np.ndarray) -> Row:
    """Return, for (photo, map, replacement) of the coarse map and another, both means and the paired gain."""
    row: Row = {"photos": len(values)}
    for place, way in enumerate(REPLACEMENTS):
        gain = values[:, 1, place] - values[:, 0, place]
        half = 1.96 * gain.std(ddof=1) / len(gain) ** 0.5
        row |= {
            f"last map, {way}": f"{values[:, 0, place].mean():.3f}",
            f"finer, {way}": f"{values[:, 1, place].mean():.3f}",
            f"gain, {way}": f"{gain.mean():+.3f} ± {half:.3f}",
        }
    return row
