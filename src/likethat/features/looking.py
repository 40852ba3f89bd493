"""The network on chunks of one size, and what is noted of each chunk."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._progress import Clock
from likethat._workers import Held, packed, unpacked
from likethat.features.rows import SKETCH, Rows, as_bytes, digests_of
from likethat.models import SplitModel, SplitOutput
from likethat.sources import Batch
from likethat.sources.base import Skipped

CHUNK = 32
"""Images in one forward pass, whatever ``batch_size`` is: rounding depends on the shape of a batch, and the same
seed must give the same bank. The last chunk is padded."""
CHUNK_ON_GPU = 128  # images at a time: keeps a card busy where a processor is with fewer


class Forward:
    """The network on chunks of one size, results on the CPU.

    A chunk is padded to the full size, and halved where a GPU's memory does not hold it.
    """

    def __init__(self, model: SplitModel) -> None:
        self.model = model
        self.chunk = CHUNK_ON_GPU if model.device.type == "cuda" else CHUNK
        self.seconds = 0.0
        self.notes: list[str] = []

    @torch.no_grad()
    def __call__(self, views: Float[Tensor, "image channel height width"]) -> SplitOutput:
        """Return map, pooled vectors and logits of up to a chunk of views."""
        n = len(views)
        if n > self.chunk:
            return self._in_parts(views)
        clock = Clock()
        padded = torch.cat([views, views[-1:].expand(self.chunk - n, *views.shape[1:])]) if n < self.chunk else views
        try:
            output = self.model.forward(padded)
        except torch.OutOfMemoryError:
            if self.chunk == 1:
                raise
            return self._halved(views)
        result = SplitOutput(
            feature_map=output.feature_map[:n].cpu(), pooled=output.pooled[:n].cpu(), logits=output.logits[:n].cpu()
        )
        self.seconds += clock.seconds
        return result

    def _halved(self, views: Tensor) -> SplitOutput:
        self.chunk //= 2
        self.notes = [f"The GPU's memory held {self.chunk} images at a time; the last digits may differ elsewhere."]
        return self._in_parts(views)

    def _in_parts(self, views: Tensor) -> SplitOutput:
        parts = [self(part) for part in views.split(self.chunk)]
        return SplitOutput(
            feature_map=torch.cat([part.feature_map for part in parts]),
            pooled=torch.cat([part.pooled for part in parts]),
            logits=torch.cat([part.logits for part in parts]),
        )


@dataclass(kw_only=True, eq=False)
class Chunk:
    """Views that go through the network together."""

    views: list[Tensor] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    label_names: list[str | None] = field(default_factory=list)
    shapes: list[tuple[int, int, int]] = field(default_factory=list)
    stacked: Tensor | None = None  # the views in one piece, where they came so
    sent: Any = None  # the same, packed for a worker
    pieces: list[tuple[Held, int, int]] = field(default_factory=list)  # of what workers read, from an image to another
    unread: list[Skipped] = field(default_factory=list)  # images before the last one, in a pass that splits

    def extend(self, batch: Batch, which: slice) -> None:
        """Note what is known of some images of a batch."""
        self.indices += batch.indices[which]
        self.names += batch.names[which]
        self.labels += [-1 if label is None else label for label in batch.labels[which]]
        self.label_names += batch.label_names[which]
        self.shapes += batch.shapes[which]

    def images(self) -> Tensor:
        """Return the views in one piece."""
        if self.pieces:
            parts = [unpacked(held.get())[first:last] for held, first, last in self.pieces]
            return parts[0] if len(parts) == 1 else torch.cat(parts)
        if self.sent is not None:
            return unpacked(self.sent)
        return torch.stack(self.views) if self.stacked is None else self.stacked

    def to_send(self) -> "Chunk":
        """Return it with its views as they travel."""
        return replace(self, views=[], stacked=None, sent=packed(self.images()))


def chunks(batches: Iterable[Batch], size: Callable[[], int]) -> Iterator[Chunk]:
    """Regroup batches of any size into chunks of the network's size."""
    chunk = Chunk()
    for batch in batches:
        if not chunk.views and len(batch.indices) == size():
            chunk.extend(batch, slice(None))
            chunk.stacked = batch.images
            yield chunk
            chunk = Chunk()
            continue
        for place, view in enumerate(batch.images):
            chunk.views.append(view)
            chunk.extend(batch, slice(place, place + 1))
            if len(chunk.views) >= size():
                yield chunk
                chunk = Chunk()
    if chunk.views:
        yield chunk


@dataclass(kw_only=True, eq=False)
class Seen:
    """What a chunk leaves.

    Attributes:
        rows: vectors of its images.
        skipped: images that could not be used, in order.
        grid: rows and columns of the map.
        size: height and width of what the network saw.
        stop: where the next chunk begins in the source.
        notes: sentences for the report.
        seconds: inside the network.
        held: gives the maps (image, channel, cell) and the views in 8 bits, which may lie elsewhere.
    """

    rows: Rows
    skipped: list[Skipped]
    grid: tuple[int, int]
    size: tuple[int, int]
    stop: int
    notes: list[str]
    seconds: float
    held: Callable[[], tuple[Tensor, Tensor]]


def look(forward: Forward, chunk: Chunk) -> Seen:
    """Run the network on a chunk; what it gives for each image, whoever asks and wherever it runs."""
    views, before = chunk.images(), forward.seconds
    size = (views.shape[-2], views.shape[-1])
    forward.model.follow(size)
    output = forward(views)
    means = output.feature_map.flatten(2).mean(2)
    finite = torch.isfinite(means.sum(1) + output.pooled.sum(1) + output.logits.sum(1))
    reason = "the model's features or logits for it are NaN or infinite"
    good = slice(None) if bool(finite.all()) else finite  # a slice copies nothing
    pixels, fine = as_bytes(views[good]), finite.tolist()
    sketches = _sketched(views)
    rows = Rows(
        names=[*compress(chunk.names, fine)],
        label_names=[*compress(chunk.label_names, fine)],
        indices=torch.tensor(chunk.indices)[good],
        labels=torch.tensor(chunk.labels)[good],
        predicted=output.logits.argmax(1)[good],
        means=means[good],
        pooled=means[good] if forward.model.spatially_additive else output.pooled[good],
        facts=_facts(chunk.shapes, views, sketches)[good],
        digests=digests_of(pixels),
        sketches=as_bytes(sketches.flatten(1))[good],
    )
    return Seen(
        rows=rows,
        skipped=chunk.unread
        + [Skipped(name=name, reason=reason) for name, ok in zip(chunk.names, fine, strict=True) if not ok],
        grid=(output.feature_map.shape[2], output.feature_map.shape[3]),
        size=size,
        stop=chunk.indices[-1] + 1,
        notes=forward.notes,
        seconds=forward.seconds - before,
        held=lambda: (output.feature_map.flatten(2)[good], pixels),
    )


def _sketched(views: Tensor) -> Tensor:
    """Return (image, 1, SKETCH, SKETCH): each view grey and small, a cell the mean of its pixels."""
    return torch.nn.functional.adaptive_avg_pool2d(views.float().mean(1, keepdim=True), SKETCH)


def _facts(shapes: list[tuple[int, int, int]], views: Tensor, sketches: Tensor) -> Tensor:
    """Return (image, 9): channels, height and width as they came; of the views what `FACTS` names."""
    low, high = views.flatten(2).float().cpu().aminmax(dim=2)  # (image, channel)
    grey = views.float().mean(1, keepdim=True)
    mean, contrast = views.flatten(1).float().mean(1).cpu(), (high - low).amax(1)
    shown = torch.nn.functional.interpolate(sketches, size=grey.shape[2:])
    detail = (grey - shown).square().flatten(1).mean(1).sqrt().cpu()
    colour = (views.amax(1) - views.amin(1)).float().flatten(1).mean(1).cpu()
    seen = torch.stack([low.amin(1), high.amax(1), mean, contrast, detail, colour], dim=1)
    return torch.cat([torch.tensor(shapes, dtype=torch.float32), seen], dim=1)
