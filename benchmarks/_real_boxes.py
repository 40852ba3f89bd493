"""Heat maps of a detector's box beside D-RISE's, on mosaics of four photos each that no design was chosen on.

The detector is what a two-stage one is behind its proposals: the published ResNet-20 reads a mosaic once, each of 25
windows has the mean of its features, and the windows that pass a threshold and a suppression are its detections.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from _freemcg_methods import random_masks
from _real import CIFAR_MEAN, CIFAR_STD, ResNet20, cifar_folder, resnet20
from _real_maps import FILLS, Scores, order
from torch import Tensor, nn

import likethat as lt
from likethat import metrics
from likethat.metrics.attributions import Replacement
from likethat.sources import as_source

__all__ = ["METHODS", "OURS", "scores_of"]

_SIDE, _STRIDE = 32, 8  # pixels of a window, as the network was trained; and from one to the next
_CELL = 4  # pixels of one cell of the network's last map
_LEAST = 0.5  # of a detection's score
_OVERLAP = 0.5  # from which on the weaker of two boxes is suppressed
_GRID = 16  # cells a side of D-RISE's masks, as in its paper
_N_POINTS = 8  # of insertion's and deletion's curves

Found = list[tuple[Tensor, Tensor]]
"""For each image the boxes (n, 4) that were found, and their probabilities (n, class)."""


class Windows:
    """A detector of ten kinds of things, in pictures of twice the network's side."""

    def __init__(self) -> None:
        self.network: ResNet20 = resnet20()
        places = [(x, y) for y in range(0, _SIDE + 1, _STRIDE) for x in range(0, _SIDE + 1, _STRIDE)]
        self.boxes = torch.tensor([(x, y, x + _SIDE, y + _SIDE) for x, y in places], dtype=torch.float32)

    def __call__(self, images: Tensor) -> Found:
        """Return what is detected in each."""
        with torch.no_grad():
            return [self._kept(rows) for batch in images.float().split(32) for rows in self._read(batch)]

    def _read(self, images: Tensor) -> Tensor:
        """Return the probabilities (image, window, class)."""
        mean, std = (torch.tensor(each, dtype=torch.float32)[:, None, None] for each in (CIFAR_MEAN, CIFAR_STD))
        net = self.network
        x = torch.relu(net.bn1(net.conv1((images - mean) / std)))
        maps = net.layer3(net.layer2(net.layer1(x)))
        pooled = nn.functional.avg_pool2d(maps, _SIDE // _CELL, stride=_STRIDE // _CELL)
        probabilities: Tensor = net.linear(pooled.flatten(2).mT).softmax(2)
        return probabilities

    def _kept(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the windows above the threshold, without those that overlap a stronger one too much."""
        scores, kept = rows.max(dim=1).values, []
        for place in scores.argsort(descending=True).tolist():
            others = self.boxes[kept]
            if scores[place] >= _LEAST and not bool((overlaps(others, self.boxes[place]) > _OVERLAP).any()):
                kept.append(place)
        return self.boxes[kept], rows[kept]


def overlaps(boxes: Tensor, box: Tensor) -> Tensor:
    """Return the intersection over the union of each of (n, 4) with one."""
    sides = (torch.minimum(boxes[:, 2:], box[2:]) - torch.maximum(boxes[:, :2], box[:2])).clamp(min=0)
    shared, area = sides.prod(1), (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return shared / (area + (box[2:] - box[:2]).prod() - shared)


@dataclass(frozen=True, kw_only=True, eq=False)
class Wanted:
    """One detection that is explained: its box, and its probabilities."""

    box: Tensor
    row: Tensor

    def score(self, found: Found) -> Tensor:
        """Return D-RISE's similarity of the best matching detection: overlap times cosine; 0 where nothing is."""
        return torch.stack(
            [
                (overlaps(boxes, self.box) * nn.functional.cosine_similarity(rows, self.row[None])).max()
                if len(boxes)
                else torch.zeros(())
                for boxes, rows in found
            ]
        )


Map = Callable[[Tensor, Wanted, int], np.ndarray]


def _ours(detector: Windows) -> Map:
    def make(image: Tensor, wanted: Wanted, seed: int) -> np.ndarray:
        score = lt.Response(wanted.score, name="score of the box")
        return lt.FreeMCG(seed=seed).attribute(detector, image, score, budget=128).heat_map

    return make


def _d_rise(detector: Windows, budget: int) -> Map:
    """D-RISE (Petsiuk et al. 2021): masks as RISE's, hidden is black, weights are the similarities.

    Differs: the sum is divided by how often a pixel was shown, which few masks need; the paper takes 5,000.
    """

    def make(image: Tensor, wanted: Wanted, seed: int) -> np.ndarray:
        masks = random_masks((image.shape[1], image.shape[2]), budget=budget, seed=seed, cells=_GRID)
        weight = wanted.score(detector(masks[:, None] * image))
        heat: np.ndarray = ((weight[:, None, None] * masks).sum(0) / masks.sum(0)).numpy()
        return heat

    return make


OURS = "FreeMCG.attribute, 128"
METHODS: dict[str, Callable[[Windows], Map]] = {
    OURS: _ours,
    "D-RISE, 128": lambda detector: _d_rise(detector, 128),
    "D-RISE, 512": lambda detector: _d_rise(detector, 512),
}


def _mosaics(n: int) -> list[Tensor]:
    """Return pictures of four test photos each."""
    source = as_source(cifar_folder("test"))
    rows = order(len(source))[: 4 * n]
    photos = torch.stack([source[row].image for row in rows]).reshape(n, 2, 2, 3, _SIDE, _SIDE)
    return list(photos.permute(0, 3, 1, 4, 2, 5).reshape(n, 3, 2 * _SIDE, 2 * _SIDE))


def scores_of(name: str, n: int) -> Scores:
    """Judge one method: of every mosaic the strongest detection."""
    detector, scores, seconds = Windows(), [], 0.0
    make = METHODS[name](detector)
    for index, image in enumerate(_mosaics(n)):
        boxes, rows = detector(image[None])[0]
        if not len(boxes):
            continue
        wanted = Wanted(box=boxes[0], row=rows[0])
        started = time.perf_counter()
        heat = make(image, wanted, index)
        seconds += time.perf_counter() - started
        scores.append([_judged(detector, image, wanted, heat, index, fill) for fill in FILLS])
    return Scores(values=np.array(scores), seconds=seconds / len(scores))


def _judged(detector: Windows, image: Tensor, wanted: Wanted, heat: np.ndarray, index: int, fill: Replacement) -> float:
    """Return insertion less deletion of the box's score."""

    def ask(images: Tensor) -> Tensor:
        return wanted.score(detector(images))[:, None]

    rng = torch.Generator().manual_seed(index)
    return metrics.insertion_deletion(ask, image, heat, 0, replacement=fill, n_steps=_N_POINTS, rng=rng).score
