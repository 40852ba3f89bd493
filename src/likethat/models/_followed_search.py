"""Class tokens located: what each patch gives to the tokens that a head reads, followed through the layers."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat.models._facing import UPRIGHT
from likethat.models._followed import FollowedTokens
from likethat.models._frozen import NotFrozenError
from likethat.models._frozen_search import Counting, shares_in_words
from likethat.models._measured import MeasuredReader, Part, joined
from likethat.models._probe import Probes
from likethat.models._readers import HookReader, LibraryReader
from likethat.models._search import Found
from likethat.models._trace import relative_error
from likethat.models.readings import Reading, token_grid
from likethat.models.split_model import Head, SplitOutput

Inner = HookReader | LibraryReader | MeasuredReader


class _Stream:
    """How the tokens of one place become some channels of the pooled vector, and what each patch gives them.

    Args:
        form: how a split reads the place.
        channels: of the pooled vector.
        located: (channel,) 1 for those of the map, 0 for those of tokens.
    """

    def __init__(self, form: Reading | Part, channels: slice, located: Tensor) -> None:
        self.channels, self._layout, self._located = channels, form.layout, located[channels]
        self._steps = form.steps if isinstance(form, Reading) else ()
        self._facing = form.facing if isinstance(form, Part) else UPRIGHT
        if isinstance(form, Part):
            self._blocks: tuple[int | None, ...] = (*form.tokens, *([None] if form.located else []))
        else:
            self._blocks = tuple(0 if weight == 0 else None for weight in form.pool.weights)
        self.has_tokens = bool((self._located == 0).any())
        self.n_channels = len(self._located)

    @property
    def tokens(self) -> tuple[int, ...]:
        """Numbers of the tokens that are read."""
        return tuple(block for block in self._blocks if block is not None)

    def map(self, raw: Tensor, rows: Mapping[int, Tensor], feature_map: Tensor) -> Tensor:
        """Return (channel, height, width): what patches give, and the map as it is where no token is read.

        Args:
            raw: (1, token, channel) the tokens of an image.
            rows: (token, channel) what comes to each token that is read.
            feature_map: of the split.
        """
        n_cells = feature_map[0].numel()
        feature_map = self._facing.own(feature_map[None])[0]
        blocks = []
        for token in self._blocks:
            given = torch.zeros_like(raw[0]) if token is None else rows[token]
            blocks.append(self._on_grid(given[self._layout.prefix :].T * n_cells, feature_map))
        cells = self._stepped(torch.cat(blocks), raw, adds=False).reshape(-1, *feature_map.shape[1:])
        found = torch.where(self._located.to(cells)[:, None, None] > 0, feature_map, cells)
        return self._facing.upright(found[None])[0]

    @staticmethod
    def _on_grid(cells: Tensor, feature_map: Tensor) -> Tensor:
        """Return (channel, place) on the map's grid: what a coarser one has in a cell is spread over all it covers."""
        if cells.shape[1] == feature_map[0].numel():
            return cells
        grid = token_grid(cells.shape[1], (feature_map.shape[1], feature_map.shape[2]))
        if grid is None:
            raise NotFrozenError(f"the {cells.shape[1]} tokens that attention brings are no grid of the map")
        coarse = cells.reshape(1, -1, *grid) * (cells.shape[1] / feature_map[0].numel())
        return joined([coarse, feature_map[None]])[0, : len(cells)].flatten(1)

    def constant(self, tail: FollowedTokens, own: Any) -> Float[Tensor, " channel"]:
        """Return what no content of a token gives."""
        raw = own[tail.result]
        parts = [torch.zeros_like(raw[0, 0]) if token is None else tail.constant(own, token) for token in self._blocks]
        found = self._stepped(torch.cat(parts)[:, None], raw, adds=True)[:, 0]
        return found * (1 - self._located.to(found))

    def vector(self, raw: Tensor) -> Tensor:
        """Return the channels of the pooled vector."""
        vector = self._pooled(raw)
        for step in self._steps:
            vector = step(vector[..., None], vector)[..., 0]
        return vector

    def _stepped(self, cells: Tensor, raw: Tensor, *, adds: bool) -> Tensor:
        """Take (channel, place) through the steps between tokens and head, with or without what those add."""
        vector, cells = self._pooled(raw), cells[None].float()
        for step in self._steps:
            nothing = 0.0 if adds else step(torch.zeros_like(cells[..., :1]), vector)
            cells = step(cells, vector) - nothing
            vector = step(vector[..., None], vector)[..., 0]
        return cells[0]

    def _pooled(self, raw: Tensor) -> Tensor:
        """Return the vector before the steps."""
        patches = raw[:, self._layout.prefix :].float().mean(1)
        return torch.cat([patches if token is None else raw[:, token].float() for token in self._blocks], dim=1)


class FollowedReader:
    """Puts what each patch gives to a token in the place of patches that the head never reads.

    Args:
        inner: a verified split whose pooled vector holds tokens of the layers that it reads.
        n_channels: of the vector.
    """

    how = "followed"
    is_linear = True
    spatially_additive = False
    rule = "shared out to where the content came from"  # goes into the fingerprint: banks of another rule are refused

    def __init__(self, network: nn.Module, inner: Inner, n_channels: int) -> None:
        self.network, self.inner, self.layer = network, inner, inner.layer
        self.end = getattr(inner, "end", None)
        self.pooling = f"{inner.pooling}, followed"
        self.remainder_name = f"{inner.remainder_name} and constant"
        self._streams: list[_Stream] = []
        located, start = inner.spatial_weight(n_channels), 0
        for form in _forms(inner):
            width = form.weight.shape[1] if isinstance(form, Part) else n_channels
            self._streams.append(_Stream(form, slice(start, start + width), located))
            start += width
        self._tails: dict[Any, FollowedTokens] = {}
        self.shares = ""  # of the logit, in words
        self.forwards = 1.0  # that reading an image costs, by count of products

    @property
    def held(self) -> str:
        """What is held as it is on each image."""
        return f"attention and gates of the {self.inner.remainder_name}"

    @property
    def note(self) -> str:
        """What is exact here, and what it costs."""
        return (
            f"Exact for each image, with {self.held} held as on it: what patches give in all layers, what tokens have "
            f"of their own and a constant add up to the logit; with other pixels it would be otherwise. {self.shares} "
            f"Reading an image costs {self.forwards:.1f} forwards."
        )

    def spatial_weight(self, n_channels: int) -> Float[Tensor, " channel"]:
        """Return ones: the vector is the sum of what patches give, and a remainder."""
        return torch.ones(n_channels, dtype=torch.float32)

    def read(self, inputs: Tensor) -> SplitOutput:
        """Return what patches give (times their number), the vector they add up to, and the logits.

        The first place's steps are those of the whole network, so that one pass shows all: logits are the network's to
        rounding, for attention is written out.
        """
        return self._read(inputs)[0]

    def _read(self, inputs: Tensor) -> tuple[SplitOutput, list[list[dict[int, Tensor]]]]:
        """Return the output, and of each place and image what comes from every token to each of those that are read."""
        maps: list[Tensor] = []
        output: SplitOutput | None = None
        brought = []
        for number, stream in self._followed():
            seen, rows = self._tail(number, inputs).followed(inputs, stream.tokens)
            if output is None:
                maps, output = self.inner.parts_of(seen, inputs)
            raw = seen[number if len(seen) > 1 else 0]
            given = [dict(zip(stream.tokens, each, strict=True)) for each in zip(*rows, strict=True)]
            each = zip(raw.split(1), given, maps[number], strict=True)
            maps[number] = torch.stack([stream.map(*one) for one in each])
            brought.append(given)
        assert output is not None
        return replace(output, feature_map=joined(maps)), brought

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the logits alone: one pass."""
        return self.inner.read(inputs).logits

    def replay(self, feature_map: Tensor, inputs: Tensor | None) -> Tensor:  # noqa: ARG002
        """Never called: a linear split is replayed through its head."""
        raise AssertionError("a linear split is replayed through its head")

    def error(self, inputs: Tensor) -> tuple[SplitOutput, float]:
        """Return the output, and the largest error of three: of the split, of the pass, of the sum of its parts."""
        _, wrong = self.inner.error(inputs)
        output, _, error = self.checked(inputs)
        return output, max(wrong, error)

    def checked(self, inputs: Tensor) -> tuple[SplitOutput, Float[Tensor, "batch channel"], float]:
        """Return the output, what of its vector no content of a token gives, and the error of pass and sum.

        What a token keeps of its own and the constant come from runs of their own, so that the sum could miss
        something.
        """
        output, brought = self._read(inputs)
        plain, constant = self.inner.read(inputs), torch.zeros_like(output.pooled)
        errors = [relative_error(output.logits, plain.logits)]
        for (number, stream), given in zip(self._followed(), brought, strict=True):
            tail = self._tail(number, inputs)
            for row, (image, each) in enumerate(zip(inputs.split(1), given, strict=True)):
                own = tail.run(image)
                raw = own[tail.result]
                constant[row, stream.channels] = stream.constant(tail, own)
                for token in stream.tokens:
                    whole = each[token].sum(0) + tail.kept(own, token) + tail.constant(own, token)
                    errors.append(relative_error(whole, raw[0, token]))
                errors.append(relative_error(stream.vector(raw)[0], plain.pooled[row, stream.channels]))
        return output, constant, max(errors)

    def constant(self, inputs: Tensor) -> Float[Tensor, "batch channel"]:
        """Return what of the pooled vector no content of a token gives."""
        found = inputs.new_zeros(len(inputs), sum(stream.n_channels for stream in self._streams), dtype=torch.float32)
        for number, stream in self._followed():
            tail = self._tail(number, inputs)
            for row, own in enumerate(map(tail.run, inputs.split(1))):
                found[row, stream.channels] = stream.constant(tail, own)
        return found

    def count(self, inputs: Tensor) -> None:
        """Count what reading an image costs, in forwards of the network."""
        for number, _ in self._followed():
            self._tail(number, inputs)  # tails are followed before anything is counted
        with Counting() as whole:
            self.inner.read(inputs[:1])
        with Counting() as counted:
            self.read(inputs[:1])
        self.forwards = counted.total / max(1, whole.total)

    def _followed(self) -> list[tuple[int, _Stream]]:
        """Return the places with tokens that are followed, by number."""
        return [(number, stream) for number, stream in enumerate(self._streams) if stream.has_tokens]

    def _tail(self, number: int, inputs: Tensor) -> FollowedTokens:
        """Return the steps of a place for images like these; they are followed once for each size."""
        key = (number, inputs.shape[1:], inputs.dtype, inputs.device)
        if key not in self._tails:
            self._tails = {known: tail for known, tail in self._tails.items() if known[3] == inputs.device}
            seen, is_first = self.inner.seen, number == self._followed()[0][0]
            self._tails[key] = FollowedTokens(
                lambda images: seen(images) if is_first else [seen(images)[number]],
                inputs[:1].detach().clone(),
                number if is_first else 0,
            )
        return self._tails[key]


def _forms(reader: Any) -> tuple[Reading | Part, ...]:
    """Return how a split reads each place, where it reads tokens that stand before patches; else nothing."""
    if isinstance(reader, HookReader | LibraryReader):
        return (reader.reading,) if reader.reading.pool.needs_prefix else ()
    parts: tuple[Part, ...] = reader.parts if isinstance(reader, MeasuredReader) else ()
    has_tokens = [part for part in parts if part.tokens]
    return parts if has_tokens and all(part.cells is None for part in has_tokens) else ()


def find_followed(network: nn.Module, probes: Probes, found: Found, head: Head) -> tuple[Found | None, str]:
    """Return the split in which tokens are followed to the patches, or why there is none; "" where none are read.

    Args:
        network: in evaluation mode.
        probes: the steps are followed on an image of the first batch, and must hold on the second.
        found: a verified split.
        head: its head.
    """
    if not _forms(found.reader):
        return None, ""
    reader = FollowedReader(network, found.reader, found.output.pooled.shape[1])
    try:
        reader.count(probes.first)
        output, constant, error = reader.checked(probes.second)
    except (NotFrozenError, RuntimeError) as refused:  # a step that does not take a token's coefficients
        return None, str(refused)
    if not error <= probes.tolerance:
        return None, f"what the patches give is off by {error:.1e}"
    if not bool(output.feature_map.any()):
        return None, "no attention brings it anything behind the place where tokens are first seen"
    reader.shares = shares_in_words(output, {"a constant": constant}, head, rest="tokens")
    return replace(found, reader=reader, output=output, error=max(error, found.error)), ""
