"""Tails that are affine in a map, measured: the weights are the derivatives of the logits, whatever code applies them.

A head need not be an `nn.Linear`: a temperature, a prior of the classes, ``F.linear``, ``x @ W``, adapters beside the
head, the mean of two heads, of several networks or of an image and its mirror image, flattened maps, sums.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat._double import double
from likethat.errors import ModelError
from likethat.models._ends import End
from likethat.models._facing import UPRIGHT, Facing
from likethat.models._felt import Felt, Logits, Place, derivatives
from likethat.models._probe import chosen_logits, logits_of
from likethat.models._trace import capturing, relative_error
from likethat.models.readings import Layout
from likethat.models.split_model import Head, SplitOutput

_NOTHING = 1e-6  # of the largest derivative: float32's rounding, no dependence
_ALIKE = 1e-4  # of the largest: cells whose derivatives differ by less count alike; the split is checked to 1e-5 then
_MOST = 2**27  # derivatives that are held at once where every cell has its own: half a gigabyte of float32


def before_end(end: End) -> Logits:
    """Return what finds the logits before an end; behind a softmax their mean over the classes is 0."""

    def found(result: Any, n_images: int) -> Tensor:
        logits = end.undo(logits_of(result, n_images))
        return logits - logits.mean(1, keepdim=True) if end.is_blind_to_shifts else logits

    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """One map that enters the logits, with the weights by which it does.

    Attributes:
        place: the call that gives it.
        layout: of what the call gives.
        weight: (class, channel) of the pooled vector.
        tokens: numbers of the tokens before the patches that count; each is a block of the pooled vector.
        located: whether the cells count; their mean is the last block.
        cells: None where all cells count alike; (cell,) by how much each does; (channel, from, cell) weights of its own
            for each.
        beside: (channel, token, from) weights of the tokens before the patches, where cells have their own.
        facing: how the map lies beside the picture.
    """

    place: Place
    layout: Layout
    weight: Float[Tensor, "cls channel"]
    tokens: tuple[int, ...] = ()
    located: bool = True
    cells: Tensor | None = None
    beside: Tensor | None = None
    facing: Facing = UPRIGHT

    @property
    def pooling(self) -> str:
        """How the map becomes the pooled vector, in words."""
        if self.cells is not None:
            return "weighted mean" if self.cells.ndim == 1 else "weights per cell"
        return " + ".join(filter(None, [self.remainder_name, "mean" if self.located else ""]))

    @property
    def remainder_name(self) -> str:
        """What the pooled vector holds beside the map."""
        if not self.tokens:
            return ""
        return "class token" if self.tokens == (0,) else f"{len(self.tokens)} tokens"

    @property
    def leaves_cells_out(self) -> bool:
        """Whether some cells do not count at all, as where a pooling of fixed size does not reach the rim."""
        if self.cells is None:
            return False
        sizes = self.cells.abs().reshape(-1, self.cells.shape[-1]).amax(0)
        return bool((sizes <= _NOTHING * sizes.max()).any())

    def spatial_weight(self) -> Float[Tensor, " channel"]:
        """Return the weight of each channel's mean in the pooled vector."""
        weight = torch.ones(self.weight.shape[1], dtype=torch.float32)
        if self.cells is None and self.tokens:
            blocks = len(self.tokens) + self.located
            weight[: len(weight) // blocks * len(self.tokens)] = 0.0
        return weight

    def apply(self, raw: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor] | None:
        """Return the map (batch, channel, height, width) and the pooled vector, in float32; None for another layout."""
        split = self.layout.split(raw.float(), size)
        if split is None:
            return None
        grid, prefix = split[0].shape[2:], split[1]
        values = split[0].flatten(2)
        if self.cells is not None:
            if self.cells.shape[-1] != values.shape[2]:
                return None
            values, pooled = self._own(values, prefix)
        else:
            blocks = [prefix[:, token] for token in self.tokens] if prefix is not None else []
            blocks += [values.mean(dim=2)] if self.located else []
            values, pooled = torch.cat([values] * len(blocks), dim=1), torch.cat(blocks, dim=1)
        return self.facing.upright(values.reshape(*values.shape[:2], *grid)), pooled

    def _own(self, values: Tensor, prefix: Tensor | None) -> tuple[Tensor, Tensor]:
        assert self.cells is not None
        n_cells = values.shape[2]
        if self.cells.ndim == 1:
            values = values * (self.cells * n_cells)
        else:
            values = torch.einsum("rdj,ndj->nrj", self.cells, values) * n_cells
        pooled = values.mean(dim=2)
        if self.beside is not None and prefix is not None:
            pooled = pooled + torch.einsum("rtd,ntd->nr", self.beside, prefix)
        return values, pooled


def measure_part(network: nn.Module, inputs: Tensor, found: Logits, felt: Felt, layout: Layout) -> Part | None:
    """Measure the weights with which a map enters the logits; None where there are too many to hold.

    Args:
        network: in evaluation mode.
        inputs: one image.
        found: finds the logits in what it returns.
        felt: the map, and the gradient of one combination of the logits, which shows how the cells count.
        layout: of the map.
    """
    split = layout.split(felt.gradient[:1].float(), (inputs.shape[-2], inputs.shape[-1]))
    assert split is not None
    cells, least = split[0][0].flatten(1), _NOTHING * float(felt.gradient.abs().max())
    tokens: tuple[int, ...] = ()
    if split[1] is not None:
        tokens = tuple(token for token, row in enumerate(split[1][0]) if float(row.abs().max()) > least)
    located = float(cells.abs().max()) > least
    part = Part(place=felt.place, layout=layout, weight=cells[:0], tokens=tokens, located=located)
    if not located or relative_error(cells.mean(1, keepdim=True).expand_as(cells), cells) <= _ALIKE:
        return _measured_alike(part, network, inputs, found)
    scales = _common_scales(cells) if not tokens else None
    if scales is not None:
        return _measured_scaled(replace(part, cells=scales), network, inputs, found)
    return _measured_own(part, network, inputs, found)


def _common_scales(cells: Tensor) -> Tensor | None:
    """Return by how much each cell counts where all do with the same weights but for that; they sum to 1."""
    _, sizes, cells_first = torch.linalg.svd(double(cells), full_matrices=False)
    if len(sizes) > 1 and float(sizes[1]) > _ALIKE * float(sizes[0]):
        return None
    scales = cells_first[0]
    total = float(scales.sum())
    return (scales / total).float().to(cells.device) if abs(total) > _ALIKE * float(scales.abs().sum()) else None


def _split_derivatives(part: Part, network: nn.Module, inputs: Tensor, found: Logits) -> Any:
    size = (inputs.shape[-2], inputs.shape[-1])
    for some in derivatives(network, inputs, found, part.place):
        split = part.layout.split(some.float(), size)
        assert split is not None
        yield split[0].flatten(2), split[1]


def _measured_alike(part: Part, network: nn.Module, inputs: Tensor, found: Logits) -> Part:
    rows = []
    for cells, prefix in _split_derivatives(part, network, inputs, found):
        blocks = [prefix[:, token] for token in part.tokens] + ([cells.sum(dim=2)] if part.located else [])
        rows.append(torch.cat(blocks, dim=1))
    return replace(part, weight=torch.cat(rows))


def _measured_scaled(part: Part, network: nn.Module, inputs: Tensor, found: Logits) -> Part:
    assert part.cells is not None
    towards = part.cells / part.cells.square().sum()
    rows = [cells @ towards for cells, _ in _split_derivatives(part, network, inputs, found)]
    return replace(part, weight=torch.cat(rows))


def _measured_own(part: Part, network: nn.Module, inputs: Tensor, found: Logits) -> Part | None:
    """Factor the weights of all cells: as many channels as the derivatives have rank, at most one a class."""
    rows: list[Tensor] = []
    shapes: tuple[torch.Size, torch.Size] | None = None
    for cells, prefix in _split_derivatives(part, network, inputs, found):
        beside = cells.new_zeros(len(cells), 0, cells.shape[1]) if prefix is None else prefix
        shapes = (cells.shape[1:], beside.shape[1:])
        rows.append(torch.cat([cells.flatten(1), beside.flatten(1)], dim=1))
        if sum(row.numel() for row in rows) > _MOST:
            return None
    assert shapes is not None
    left, sizes, right = torch.linalg.svd(torch.cat(rows), full_matrices=False)
    rank = int((sizes > _NOTHING * sizes[0]).sum())
    weighted = sizes[:rank, None] * right[:rank]
    cells, beside = weighted.split([shapes[0].numel(), shapes[1].numel()], dim=1)
    return replace(
        part,
        weight=left[:, :rank].contiguous(),
        cells=cells.reshape(rank, *shapes[0]),
        beside=beside.reshape(rank, *shapes[1]) if part.tokens else None,
    )


class MeasuredReader:
    """Reads the maps of one or several calls in one pass; the weights of the head were measured."""

    how = "measured"
    is_linear = True

    def __init__(self, network: nn.Module, parts: Sequence[Part], *, end: End) -> None:
        self.network, self.parts, self.end = network, tuple(parts), end
        self.layer = " + ".join(dict.fromkeys(part.place.name for part in parts))
        self.pooling = " + ".join(dict.fromkeys(part.pooling for part in parts))
        self.remainder_name = " + ".join(dict.fromkeys(filter(None, (part.remainder_name for part in parts))))
        self.spatially_additive = not any(part.tokens for part in parts)
        self.leaves_cells_out = any(part.leaves_cells_out for part in parts)
        self.head = Head(
            weight=torch.cat([part.weight for part in parts], dim=1),
            bias=parts[0].weight.new_zeros(len(parts[0].weight)),
        )
        self._logits = before_end(end)

    def spatial_weight(self, n_channels: int) -> Float[Tensor, " channel"]:  # noqa: ARG002
        """Return the weight of each channel's mean in the pooled vector."""
        return torch.cat([part.spatial_weight() for part in self.parts]).to(self.head.weight.device)

    def settle(self, inputs: Tensor) -> None:
        """Take for the bias what the maps of these images leave of the logits."""
        output = self.read(inputs)
        left = double(output.logits) - double(output.pooled) @ double(self.head.weight).T
        self.head = replace(self.head, bias=left.mean(0).float().to(self.head.weight.device))

    def read(self, inputs: Tensor) -> SplitOutput:
        """Return map, pooled vector and logits of normalised views."""
        return self.read_parts(inputs)[1]

    def read_parts(self, inputs: Tensor) -> tuple[list[Tensor], SplitOutput]:
        """Return the map of each part, and what `read` makes of them."""
        return self.parts_of(self.seen(inputs), inputs)

    def seen(self, inputs: Tensor) -> list[Tensor]:
        """Return what one pass shows: each part's raw output, and what is returned."""
        with ExitStack() as stack:
            places = [part.place for part in self.parts]
            captured = [stack.enter_context(capturing(one.module, one.index, clone=True)) for one in places]
            result = self.network(inputs)
        found = [one.output for one in captured if one.output is not None]
        if len(found) < len(captured):
            raise ModelError(f"`{self.layer}` gave no map for inputs {tuple(inputs.shape)}. Use images of one size.")
        return [*found, chosen_logits(result, len(inputs))[0]]

    def parts_of(self, seen: list[Tensor], inputs: Tensor) -> tuple[list[Tensor], SplitOutput]:
        """Return the map of each part, and the output, of what a pass shows."""
        size = (inputs.shape[-2], inputs.shape[-1])
        maps, vectors = [], []
        for part, raw in zip(self.parts, seen, strict=False):
            applied = part.apply(raw, size)
            if applied is None:
                raise ModelError(
                    f"the feature map must have the layout that the split was checked with, got {tuple(raw.shape)} for "
                    f"inputs {tuple(inputs.shape)}. Use images of one size."
                )
            maps.append(applied[0])
            vectors.append(applied[1])
        logits = self._logits(seen[-1], len(inputs)).float()
        return maps, SplitOutput(feature_map=joined(maps), pooled=torch.cat(vectors, dim=1), logits=logits)

    def error(self, inputs: Tensor) -> tuple[SplitOutput, float]:
        """Return the output, and how far the logits of its pooled vector are from the network's own."""
        output = self.read(inputs)
        again = nn.functional.linear(output.pooled, self.head.weight, self.head.bias)
        return output, relative_error(again, output.logits)

    def replay(self, feature_map: Tensor, inputs: Tensor | None) -> Tensor:  # noqa: ARG002
        """Never called: a linear split is replayed through its head."""
        raise AssertionError("a linear split is replayed through its head")


def joined(maps: Sequence[Tensor]) -> Tensor:
    """Put maps side by side on the finest grid; a coarse cell's value goes to all it covers, so that means stay."""
    height, width = max(part.shape[2] for part in maps), max(part.shape[3] for part in maps)
    spread = []
    for part in maps:
        down, across = (_cover(part.shape[axis], size, part) for axis, size in ((2, height), (3, width)))
        same = part.shape[2:] == (height, width)
        spread.append(part if same else torch.einsum("yh,nchw,xw->ncyx", down, part, across))
    return torch.cat(spread, dim=1)


def _cover(coarse: int, fine: int, like: Tensor) -> Tensor:
    """Return (fine, coarse) the share of each fine cell that each coarse cell covers."""
    edges = torch.arange(fine + 1, dtype=torch.float64) / fine
    starts = torch.arange(coarse, dtype=torch.float64) / coarse
    upper = torch.minimum(edges[1:, None], starts + 1 / coarse)
    lower = torch.maximum(edges[:-1, None], starts)
    return ((upper - lower).clamp_min(0) * fine).to(like)


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredHead:
    """A vector from which the logits are affine, with the weights that were measured; used like a `HeadCall`.

    Attributes:
        place: where the vector is.
        head: its weights.
        end: how the network ends.
    """

    place: Place
    head: Head
    end: End
    per_cell = False

    @property
    def name(self) -> str:
        """Dotted name of the module that is given the vector, or gives it."""
        return self.place.name

    @property
    def module(self) -> nn.Module:
        """The module that is given the vector, or gives it."""
        return self.place.module

    @property
    def index(self) -> int:
        """Which of the module's calls in a pass."""
        return self.place.index

    @property
    def activated(self) -> str:
        """What the network puts after its logits, or ""."""
        return self.end.name

    def copy(self) -> Head:
        """Return the weights."""
        return self.head

    def vector(self, given: Tensor | None, output: Tensor | None) -> Float[Tensor, "batch channel"]:
        """Return the vector, from what the module was given and gave."""
        values = given if self.place.side == "input" else output
        assert values is not None
        return values.flatten(1).float()

    def logits_behind(self, returned: Tensor, output: Tensor) -> Float[Tensor, "batch cls"]:  # noqa: ARG002
        """Return the logits behind what the network returned."""
        return before_end(self.end)(returned, len(returned))


def measure_head(network: nn.Module, inputs: Tensor, end: End, felt: Felt) -> MeasuredHead:
    """Measure the weights with which a vector enters the logits.

    Args:
        network: in evaluation mode.
        inputs: the images of `felt`.
        end: how the network ends.
        felt: the vector.
    """
    found = before_end(end)
    weight = torch.cat([some.flatten(1) for some in derivatives(network, inputs[:1], found, felt.place)]).float()
    with torch.no_grad():
        logits = found(network(inputs), len(inputs))
    bias = (double(logits) - double(felt.value.flatten(1)) @ double(weight).T).mean(0).float().to(weight.device)
    return MeasuredHead(place=felt.place, head=Head(weight=weight, bias=bias), end=end)
