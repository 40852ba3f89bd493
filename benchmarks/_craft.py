"""Concepts of a class by non-negative factors of its cells, as in CRAFT, for the judges that parts have.

Source:
    Fel, Picard, Bethune, Boissin, Vigouroux, Colin, Cadène, Serre (2023), CRAFT: Concept Recursive Activation
    FacTorization for Explainability.

Differs:
    Cells of the last map take the place of crops of the image; the head is linear in their mean, so what a concept
    supplies is exact and takes the place of Sobol indices; no recursion to earlier layers.
"""

import dataclasses
import warnings

import torch
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from likethat.coordinates import HeadParts
from likethat.features import Features
from likethat.fitting.held_out import FEWEST, Estimate

__all__ = ["Concepts"]

_ITERATIONS = 300  # of the factors; more change the third digit


class Concepts:
    """Factors of the cells of each class's photos: cells are sums of concepts, none less than nothing.

    Args:
        features: of the photos that are fitted to, with labels.
        head: (class, channel).
        n: concepts a class.
    """

    def __init__(self, features: Features, head: Tensor, *, n: int) -> None:
        self._head, self._n = head.double(), n
        classes = features.labels[features.kept]
        self._factors = [self._of(features.maps[classes == target]) for target in range(len(head))]
        self.looks = torch.stack([torch.from_numpy(each.components_) for each in self._factors]).double()

    def _of(self, maps: Tensor) -> NMF:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return NMF(self._n, init="nndsvda", max_iter=_ITERATIONS).fit(_cells(maps).numpy())

    def amounts(self, maps: Tensor, target: int) -> Tensor:
        """Return (image, concept, cell): how much of each concept of a class a cell has, by least squares."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = self._factors[target].transform(_cells(maps).numpy())
        return torch.from_numpy(found).double().reshape(len(maps), -1, self._n).transpose(1, 2)

    def purity(self, features: Features) -> Estimate:
        """Return the mean cosine of each concept with its strongest cell, in the five photos of its class with most."""
        found = []
        for target in range(len(self._head)):
            maps = features.maps[features.labels[features.kept] == target]
            amounts = self.amounts(maps, target)
            for place, look in enumerate(self.looks[target]):
                rows = amounts[:, place].mean(1).topk(FEWEST).indices
                vectors = maps[rows, :, amounts[rows, place].argmax(1)].double()
                found.append(torch.nn.functional.cosine_similarity(vectors, look[None], dim=1).mean())
        return Estimate.of(torch.stack(found))

    def coverage(self, features: Features) -> Estimate:
        """Return the share of the positive evidence that the concepts hold: what they leave of a cell is one more."""
        parts, seen = self.as_parts(), self.amounts_of(features)
        found = []
        for row, slot in enumerate(features.kept.tolist()):
            target = int(features.predicted[slot])
            supplied = parts.supplied(target, seen.pooled[slot])
            rest = self._head[target] @ features.maps[row].double().mean(1) - supplied.sum()
            shown = supplied.clamp_min(0).sum()
            found.append(shown / (shown + rest.clamp_min(0)))
        return Estimate.of(torch.stack(found))

    def as_parts(self) -> HeadParts:
        """Return coordinates over amounts of concepts, one channel a concept."""
        values = (self.looks * self._head[:, None]).sum(2)  # (class, concept): what one of it supplies
        head = torch.block_diag(*values[:, None])
        class_of = torch.arange(len(values)).repeat_interleave(self._n)
        every = torch.eye(values.numel())
        return HeadParts(torch.diag(values.flatten()), class_of, head, centroids=every, detectors=every)

    def amounts_of(self, features: Features) -> Features:
        """Return the photos with amounts of the predicted class's concepts in place of channels."""
        predicted = features.predicted[features.kept]
        maps = torch.zeros(len(features.maps), len(self._head) * self._n, features.maps.shape[2])
        for target in sorted(set(predicted.tolist())):
            own = predicted == target
            found = self.amounts(features.maps[own], target).float()
            maps[own, target * self._n : (target + 1) * self._n] = found
        return dataclasses.replace(features, maps=maps, pooled=maps.mean(2), means=maps.mean(2))


def _cells(maps: Tensor) -> Tensor:
    """Return (cell, channel) of all images, none below zero."""
    return maps.transpose(1, 2).reshape(-1, maps.shape[1]).double().clamp_min(0)
