"""Class tokens located: what each patch gives to the tokens that a head reads, followed through the layers."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat.errors import ModelError
from likethat.models._facing import UPRIGHT
from likethat.models._followed import FollowedTokens
from likethat.models._frozen import NotFrozenError
from likethat.models._frozen_search import Counting, shares_in_words
from likethat.models._measured import MeasuredReader, Part, joined
from likethat.models._probe import Probes
from likethat.models._readers import HookReader, LibraryReader
from likethat.models._search import Found
from likethat.models._trace import capturing, relative_error
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

    @property
    def tokens(self) -> tuple[int, ...]:
        """Numbers of the tokens that are read."""
        return tuple(block for block in self._blocks if block is not None)

    def given(self, tail: FollowedTokens, own: Any) -> dict[int, Tensor]:
        """Return what comes from every token to each of those that are read."""
        return {token: tail.given(own, token) for token in self.tokens}

    def map(self, raw: Tensor, given: Mapping[int, Tensor], feature_map: Tensor) -> Tensor:
        """Return (channel, height, width): what patches give, and the map as it is where no token is read."""
        n_cells = feature_map[0].numel()
        feature_map = self._facing.own(feature_map[None])[0]
        blocks = []
        for token in self._blocks:
            rows = torch.zeros_like(raw[0]) if token is None else given[token]
            blocks.append(self._on_grid(rows[self._layout.prefix :].T * n_cells, feature_map))
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
    """

    how = "followed"
    is_linear = True
    spatially_additive = False
    rule = "shared out to where the content came from"  # goes into the fingerprint: banks of another rule are refused

    def __init__(self, network: nn.Module, inner: Inner) -> None:
        self.network, self.inner, self.layer = network, inner, inner.layer
        self.end = getattr(inner, "end", None)
        self.pooling = f"{inner.pooling}, followed"
        self.remainder_name = f"{inner.remainder_name} and constant"
        self._streams: list[_Stream] = []
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
        """Return what patches give (times their number), the vector they add up to, and the logits."""
        return self._mapped(*self._plain(inputs), inputs)

    def _mapped(self, maps: list[Tensor], output: SplitOutput, inputs: Tensor) -> SplitOutput:
        for number, stream in self._followed(output):
            tail = self._tail(number, inputs)
            runs = zip(map(tail.run, inputs.split(1)), maps[number], strict=True)
            rows = [stream.map(own[tail.result], stream.given(tail, own), cells) for own, cells in runs]
            maps[number] = torch.stack(rows)
        return replace(output, feature_map=joined(maps))

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
        maps, output = self._plain(inputs)
        constant, errors = torch.zeros_like(output.pooled), [0.0]
        for number, stream in self._followed(output):
            tail, rows = self._tail(number, inputs), []
            for row, image in enumerate(inputs.split(1)):
                own = tail.run(image)
                raw, given = own[tail.result], stream.given(tail, own)
                constant[row, stream.channels] = stream.constant(tail, own)
                rows.append(stream.map(raw, given, maps[number][row]))
                for token in stream.tokens:
                    whole = given[token].sum(0) + tail.kept(own, token) + tail.constant(own, token)
                    errors.append(relative_error(whole, raw[0, token]))
                errors.append(relative_error(stream.vector(raw)[0], output.pooled[row, stream.channels]))
            maps[number] = torch.stack(rows)
        return replace(output, feature_map=joined(maps)), constant, max(errors)

    def constant(self, inputs: Tensor) -> Float[Tensor, "batch channel"]:
        """Return what of the pooled vector no content of a token gives."""
        found = torch.zeros_like((output := self._plain(inputs)[1]).pooled)
        for number, stream in self._followed(output):
            tail = self._tail(number, inputs)
            for row, own in enumerate(map(tail.run, inputs.split(1))):
                found[row, stream.channels] = stream.constant(tail, own)
        return found

    def count(self, inputs: Tensor) -> None:
        """Count what reading an image costs, in forwards of the network."""
        with Counting() as whole:
            maps, output = self._plain(inputs[:1])
        for number, _ in self._followed(output):
            self._tail(number, inputs)  # tails are followed before anything is counted
        with Counting() as counted:
            self._mapped(maps, output, inputs[:1])
        self.forwards = 1 + counted.total / max(1, whole.total)

    def _plain(self, inputs: Tensor) -> tuple[list[Tensor], SplitOutput]:
        """Return the map of each place that the split reads, and its output."""
        if isinstance(self.inner, MeasuredReader):
            maps, output = self.inner.read_parts(inputs)
            return maps, output
        output = self.inner.read(inputs)
        return [output.feature_map], output

    def _followed(self, output: SplitOutput) -> list[tuple[int, _Stream]]:
        """Return the places with tokens that are followed, by number."""
        if not self._streams:
            located, start = self.inner.spatial_weight(output.pooled.shape[1]), 0
            for form in _forms(self.inner):
                width = form.weight.shape[1] if isinstance(form, Part) else len(located)
                self._streams.append(_Stream(form, slice(start, start + width), located))
                start += width
        return [(number, stream) for number, stream in enumerate(self._streams) if stream.has_tokens]

    def _tail(self, number: int, inputs: Tensor) -> FollowedTokens:
        """Return the steps of a place for images like these; they are followed once for each size."""
        key = (number, inputs.shape[1:], inputs.dtype, inputs.device)
        if key not in self._tails:
            self._tails = {known: tail for known, tail in self._tails.items() if known[3] == inputs.device}
            self._tails[key] = FollowedTokens(self._tokens(number), inputs[:1].detach().clone())
        return self._tails[key]

    def _tokens(self, number: int) -> Callable[[Tensor], Tensor]:
        """Return the function from the images to the tokens that the split reads at a place."""
        network: Any = self.network
        if isinstance(self.inner, LibraryReader):
            return lambda inputs: network.forward_features(inputs)  # noqa: PLW0108 - a bound method's other arguments would be followed
        place = self.inner.place if isinstance(self.inner, HookReader) else self.inner.parts[number].place

        def tokens(inputs: Tensor) -> Tensor:
            with capturing(place.module, place.index, clone=True) as layer:
                network(inputs)
            if layer.output is None:
                raise ModelError(f"`{self.layer}` gave no tokens. Use images of one size.")
            return layer.output

        return tokens


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
    reader = FollowedReader(network, found.reader)
    try:
        reader.count(probes.first)
        output, constant, error = reader.checked(probes.second)
    except (NotFrozenError, RuntimeError) as refused:  # a step that does not take a token's coefficients
        return None, str(refused)
    if not error <= probes.tolerance:
        return None, f"what the patches give is off by {error:.1e}"
    reader.shares = shares_in_words(output, {"a constant": constant}, head, rest="tokens")
    return replace(found, reader=reader, output=output, error=max(error, found.error)), ""
