"""Class tokens located: what each patch gives to the tokens that a head reads, followed through the layers."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat.errors import ModelError
from likethat.models._followed import FollowedTokens
from likethat.models._frozen import NotFrozenError
from likethat.models._frozen_search import Counting, shares_in_words
from likethat.models._measured import MeasuredReader, Part
from likethat.models._probe import Probes
from likethat.models._readers import HookReader, LibraryReader
from likethat.models._search import Found
from likethat.models._trace import capturing, relative_error
from likethat.models.readings import Reading
from likethat.models.split_model import Head, SplitOutput

Inner = HookReader | LibraryReader | MeasuredReader


class FollowedReader:
    """Puts what each patch gives to a token in the place of patches that the head never reads.

    Args:
        inner: a verified split whose pooled vector holds tokens of the layer that it reads.
        form: how it reads that layer.
    """

    how = "followed"
    is_linear = True
    spatially_additive = False

    def __init__(self, network: nn.Module, inner: Inner, form: Reading | Part) -> None:
        self.network, self.inner, self.layer = network, inner, inner.layer
        self.end = getattr(inner, "end", None)
        self.pooling = f"{inner.pooling}, followed"
        self.remainder_name = f"{inner.remainder_name} and constant"
        self._layout = form.layout
        self._steps = form.steps if isinstance(form, Reading) else ()
        self._blocks = _blocks(form)
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
        output = self.inner.read(inputs)
        tail = self._tail(inputs)
        maps = [
            self._map(tail, own, feature_map)
            for own, feature_map in zip(map(tail.run, inputs.split(1)), output.feature_map, strict=True)
        ]
        return SplitOutput(feature_map=torch.stack(maps), pooled=output.pooled, logits=output.logits)

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the logits alone: one pass."""
        return self.inner.read(inputs).logits

    def replay(self, feature_map: Tensor, inputs: Tensor | None) -> Tensor:  # noqa: ARG002
        """Never called: a linear split is replayed through its head."""
        raise AssertionError("a linear split is replayed through its head")

    def error(self, inputs: Tensor) -> tuple[SplitOutput, float]:
        """Return the output, and the largest error of three: of the split, of the pass, of the sum of its parts.

        What a token keeps of its own and the constant come from runs of their own, so that the sum could miss
        something.
        """
        output, wrong = self.inner.error(inputs)
        tail, maps, errors = self._tail(inputs), [], [wrong]
        for number, image in enumerate(inputs.split(1)):
            own = tail.run(image)
            raw = own[tail.result]
            maps.append(self._map(tail, own, output.feature_map[number]))
            for token in [block for block in self._blocks if block is not None]:
                whole = tail.given(own, token).sum(0) + tail.kept(own, token) + tail.constant(own, token)
                errors.append(relative_error(whole, raw[0, token]))
            errors.append(relative_error(self._vector(raw), output.pooled[number : number + 1]))
        found = SplitOutput(feature_map=torch.stack(maps), pooled=output.pooled, logits=output.logits)
        return found, max(errors)

    def constant(self, inputs: Tensor) -> Float[Tensor, "batch channel"]:
        """Return what of the pooled vector no content of a token gives."""
        tail, found = self._tail(inputs), []
        for image in inputs.split(1):
            own = tail.run(image)
            raw = own[tail.result]
            parts = [torch.zeros_like(raw[0, 0]) if t is None else tail.constant(own, t) for t in self._blocks]
            found.append(self._stepped(torch.cat(parts)[:, None], raw, adds=True)[:, 0])
        constant = torch.stack(found)
        return constant * self._is_token(constant.shape[1], constant)

    def count(self, inputs: Tensor) -> None:
        """Count what reading an image costs, in forwards of the network."""
        self._tail(inputs)
        with Counting() as whole:
            self.inner.read(inputs[:1])
        with Counting() as counted:
            self.read(inputs[:1])
        self.forwards = counted.total / max(1, whole.total)

    def _map(self, tail: FollowedTokens, own: Any, feature_map: Tensor) -> Tensor:
        """Return (channel, height, width): what patches give, and the map as it is where no token is read."""
        raw, n_cells = own[tail.result], feature_map[0].numel()
        blocks = []
        for token in self._blocks:
            rows = torch.zeros_like(raw[0]) if token is None else tail.given(own, token)
            blocks.append(rows[self._layout.prefix :].T * n_cells)
        given = self._stepped(torch.cat(blocks), raw, adds=False).reshape(-1, *feature_map.shape[1:])
        return torch.where(self._is_token(len(feature_map), given)[:, None, None] > 0, given, feature_map)

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

    def _vector(self, raw: Tensor) -> Tensor:
        """Return the vector that enters the head."""
        vector = self._pooled(raw)
        for step in self._steps:
            vector = step(vector[..., None], vector)[..., 0]
        return vector

    def _is_token(self, n_channels: int, like: Tensor) -> Tensor:
        """Return 1 for the channels of tokens, 0 for those of the map."""
        return 1 - self.inner.spatial_weight(n_channels).to(like)

    def _tail(self, inputs: Tensor) -> FollowedTokens:
        """Return the steps for images like these; they are followed once for each size."""
        key = (inputs.shape[1:], inputs.dtype, inputs.device)
        if key not in self._tails:
            self._tails = {known: tail for known, tail in self._tails.items() if known[2] == inputs.device}
            self._tails[key] = FollowedTokens(self._tokens(), inputs[:1].detach().clone())
        return self._tails[key]

    def _tokens(self) -> Callable[[Tensor], Tensor]:
        """Return the function from the images to the tokens that the split reads."""
        network: Any = self.network
        if isinstance(self.inner, LibraryReader):
            return lambda inputs: network.forward_features(inputs)  # noqa: PLW0108 - a bound method's other arguments would be followed
        place = self.inner.place if isinstance(self.inner, HookReader) else self.inner.parts[0].place

        def tokens(inputs: Tensor) -> Tensor:
            with capturing(place.module, place.index, clone=True) as layer:
                network(inputs)
            if layer.output is None:
                raise ModelError(f"`{self.layer}` gave no tokens. Use images of one size.")
            return layer.output

        return tokens


def _blocks(form: Reading | Part) -> tuple[int | None, ...]:
    """Return the number of the token in each block of the pooled vector; None for the mean of the patches."""
    if isinstance(form, Part):
        return (*form.tokens, *([None] if form.located else []))
    return tuple(0 if weight == 0 else None for weight in form.pool.weights)


def _forms(reader: Any) -> Iterator[Reading | Part]:
    """Yield how a split reads tokens, where it does and they stand before patches."""
    if isinstance(reader, HookReader | LibraryReader) and reader.reading.pool.needs_prefix:
        yield reader.reading
    elif isinstance(reader, MeasuredReader) and len(reader.parts) == 1:
        yield from (part for part in reader.parts if part.tokens and part.cells is None)


def find_followed(network: nn.Module, probes: Probes, found: Found, head: Head) -> tuple[Found | None, str]:
    """Return the split in which tokens are followed to the patches, or why there is none; "" where none are read.

    Args:
        network: in evaluation mode.
        probes: the steps are followed on an image of the first batch, and must hold on the second.
        found: a verified split.
        head: its head.
    """
    for form in _forms(found.reader):
        reader = FollowedReader(network, found.reader, form)
        try:
            reader.count(probes.first)
            output, error = reader.error(probes.second)
            constant = reader.constant(probes.second)
        except (NotFrozenError, RuntimeError) as refused:  # a step that does not take a token's coefficients
            return None, str(refused)
        if not error <= probes.tolerance:
            return None, f"what the patches give is off by {error:.1e}"
        reader.shares = shares_in_words(output, {"a constant": constant}, head, rest="tokens")
        return replace(found, reader=reader, output=output, error=max(error, found.error)), ""
    return None, ""
