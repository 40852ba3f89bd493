"""A weighted mean of the exact splits of several layers: exact too, and finer than the last map alone."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat._options import shown
from likethat.errors import InputError, ModelError
from likethat.functional.spreading import spread
from likethat.models._ends import ENDS
from likethat.models._frozen_search import Counting, shares_in_words
from likethat.models._probe import Probes
from likethat.models._replay_search import deciding_places
from likethat.models._search import Found
from likethat.models._trace import relative_error
from likethat.models.split_model import Head, SplitOutput

FINER = "finer"
# Chosen on photos that the table of benchmarks/results/real.md does not see (`python benchmarks/real.py finer`).
_OF_FINER = 0.2  # weight of the finer map
_SIGMA = math.sqrt(2)  # finer cells, by which that map is spread: gates of many layers make its cells noisy
_TIMES_CELLS = 3  # as many cells at least make a finer map: twice a side is four times
_MOST_TRIED = 3  # layers of that grid


@dataclass(frozen=True, kw_only=True)
class Share:
    """A layer's share of a mixture.

    Attributes:
        weight: above 0; they are divided by their sum.
        layer: dotted name of the module; None for the map that `split` finds.
    """

    weight: float
    layer: str | None


def shares_of(layer: str) -> list[Share] | None:
    """Return the shares that a text such as ``"0.8 layer3 + 0.2 layer2"`` names; None for one that names no weights.

    Raises:
        InputError: a weight that is no number above 0, or a piece that is no weight and name.
    """
    pieces = [piece.split() for piece in layer.split(" + ")]
    if len(pieces) == 1:
        return None
    found = [_share(piece) for piece in pieces]
    good = [share for share in found if share is not None]
    if len(good) < len(found):
        raise InputError(
            f"`layer` must be a module's name, {FINER!r}, or weights above 0 and names, such as '0.8 layer3 + 0.2 "
            f"layer2', got {shown(layer)}. Write each summand as a number, a space and a name."
        )
    return good


def _share(piece: list[str]) -> Share | None:
    if len(piece) != 2 or not re.fullmatch(r"\d*\.?\d+(e-?\d+)?", piece[0]):  # a positive number as people write it
        return None
    weight = float(piece[0])
    return Share(weight=weight, layer=piece[1]) if 0 < weight < math.inf else None


class MixedReader:
    """Reads several splits that share a head, and lays their maps over the finest grid among them.

    Args:
        network: in evaluation mode.
        parts: weights, which add up to 1, and verified readers of one vector.
        layer: how the mixture is written.
    """

    how = "mixed"
    is_linear = True

    def __init__(self, network: nn.Module, parts: list[tuple[float, Any]], layer: str) -> None:
        self.network, self.parts, self.layer = network, parts, layer
        readers = [reader for _, reader in parts]
        self.end = getattr(readers[0], "end", None) or ENDS[0]
        self.pooling = " + ".join(dict.fromkeys(reader.pooling for reader in readers))
        self.spatially_additive = all(reader.spatially_additive for reader in readers)
        names = [name for reader in readers for name in re.split(" and |, ", reader.remainder_name) if name]
        *first, last = dict.fromkeys(names) or [""]
        self.remainder_name = f"{', '.join(first)} and {last}" if first else last
        self.shares = ""  # of the logit, in words
        self.forwards = 1.0  # that reading an image costs, by count of products

    @property
    def held(self) -> str:
        """What is held as it is on each image."""
        return " and ".join(dict.fromkeys(filter(None, (getattr(reader, "held", "") for _, reader in self.parts))))

    @property
    def note(self) -> str:
        """What is exact here, and what it costs."""
        words = ", ".join(f"{weight:.0%} from `{reader.layer}`" for weight, reader in self.parts)
        exact = (
            f"Exact for each image, with {self.held} held as on it: with other pixels it would be otherwise. "
            if self.held
            else ""
        )
        return (
            f"Each cell's contribution is the weighted mean of exact splits: {words}. {exact}{self.shares} Reading an "
            f"image costs {self.forwards:.1f} forwards."
        )

    def spatial_weight(self, n_channels: int) -> Float[Tensor, " channel"]:
        """Return ones: the vector is the sum of the cells' vectors, and a remainder."""
        return torch.ones(n_channels, dtype=torch.float32)

    def read(self, inputs: Tensor) -> SplitOutput:
        """Return the mixed map, and the vector and logits of the network."""
        return self._mixed([reader.read(inputs) for _, reader in self.parts])

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the logits alone: one pass of the first split."""
        return self.parts[0][1].read(inputs).logits

    def replay(self, feature_map: Tensor, inputs: Tensor | None) -> Tensor:  # noqa: ARG002
        """Never called: a linear split is replayed through its head."""
        raise AssertionError("a linear split is replayed through its head")

    def error(self, inputs: Tensor) -> tuple[SplitOutput, float]:
        """Return the output, and the largest error: of each split, between their vectors, of the mixture's mean."""
        outputs, errors = zip(*(reader.error(inputs) for _, reader in self.parts), strict=True)
        mixed, vector = self._mixed(list(outputs)), outputs[0].pooled
        apart = [relative_error(output.pooled, vector) for output in outputs]
        located = [output.feature_map.mean(dim=(2, 3)) for output in outputs]
        mean = sum(weight * part for (weight, _), part in zip(self.parts, located, strict=True))
        off = mixed.feature_map.mean(dim=(2, 3)) - mean
        return mixed, max(*errors, *apart, relative_error(vector + off, vector))

    def constant(self, inputs: Tensor) -> Float[Tensor, "batch channel"]:
        """Return what of the vector no content of the image gives: the mean of what the splits say."""
        found = [weight * reader.constant(inputs) for weight, reader in self.parts if getattr(reader, "held", "")]
        return torch.stack(found).sum(0)

    def count(self, inputs: Tensor) -> None:
        """Count what reading an image costs, in forwards of the network."""
        with Counting() as whole:
            self.network(inputs[:1])
        with Counting() as counted:
            self.read(inputs[:1])
        self.forwards = counted.total / max(1, whole.total)

    def _mixed(self, outputs: list[SplitOutput]) -> SplitOutput:
        maps = [output.feature_map for output in outputs]
        size = max(part.shape[2] for part in maps), max(part.shape[3] for part in maps)
        fewest = min(part[0, 0].numel() for part in maps)
        spreads = [
            weight * spread(part, size, sigma=_SIGMA if part[0, 0].numel() > fewest else 0.0)
            for (weight, _), part in zip(self.parts, maps, strict=True)
        ]
        mixed = torch.stack(spreads).sum(0)
        return SplitOutput(feature_map=mixed, pooled=outputs[0].pooled, logits=outputs[0].logits)


def finer_shares(network: nn.Module, probes: Probes, found: Found, find: Callable[[str], Found]) -> list[Share]:
    """Return the shares of ``layer="finer"``: the map that is found, and the last one of the next finer grid.

    Args:
        network: in evaluation mode.
        probes: two batches.
        found: the split that `split` finds.
        find: the split of a named layer.

    Raises:
        ModelError: there is no finer map that decides the logits.
    """
    base, why = found.output.feature_map[0, 0].numel(), "no finer map decides its logits"
    for name in islice(_finer_layers(network, probes, base), _MOST_TRIED):
        try:
            find(name)
        except ModelError as refused:
            why = str(refused)
        else:
            return [Share(weight=1 - _OF_FINER, layer=found.reader.layer), Share(weight=_OF_FINER, layer=name)]
    raise ModelError(
        f"`layer` must name a module, as this network has no map that is finer than that of `{found.reader.layer}` "
        f"and could be mixed with it: {why}. Leave `layer` out."
    )


def _finer_layers(network: nn.Module, probes: Probes, base: int) -> Iterator[str]:
    """Yield the modules whose map alone decides the logits, on the next finer grid, the closest to the logits first."""
    places = [(name, cells) for name, cells in deciding_places(network, probes) if cells >= _TIMES_CELLS * base]
    fewest = min((cells for _, cells in places), default=0)
    yield from dict.fromkeys(name for name, cells in places if cells == fewest)


def find_mixed(network: nn.Module, probes: Probes, layer: str, parts: list[tuple[Share, Found]], head: Head) -> Found:
    """Return the verified mixture of splits.

    Args:
        network: in evaluation mode.
        probes: the mixture is checked on the second batch.
        layer: how it is written.
        parts: shares, and the split of each layer.
        head: of the first.

    Raises:
        ModelError: a split without a map that the head reads, or with another vector than the first's.
    """
    total = sum(share.weight for share, _ in parts)
    for _, found in parts:
        if not bool((found.reader.spatial_weight(found.output.feature_map.shape[1]) == 1).all()):
            raise ModelError(
                f"`layer` must mix maps that the head reads, and of `{found.reader.layer}` it reads tokens that are "
                "not followed to the map. Leave that layer out."
            )
        if found.output.pooled.shape != parts[0][1].output.pooled.shape:
            raise ModelError(
                f"`layer` must mix splits of one vector, and those of `{parts[0][1].reader.layer}` and "
                f"`{found.reader.layer}` have {parts[0][1].output.pooled.shape[1]} and {found.output.pooled.shape[1]} "
                "channels. Mix layers in front of one head."
            )
    reader = MixedReader(network, [(share.weight / total, found.reader) for share, found in parts], layer)
    output, error = reader.error(probes.second)
    if not error <= probes.tolerance:
        raise ModelError(f"the splits of `{layer}` must add up to one vector, got an error of {error:.1e}. Mix others.")
    reader.count(probes.second)
    reader.shares = shares_in_words(output, {}, head, rest=reader.remainder_name or "rounding")
    return Found(reader=reader, output=output, error=max(error, *(found.error for _, found in parts)))
