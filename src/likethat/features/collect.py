"""The pass itself: a model over a source, in chunks of a fixed size."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._checkpoint import Checkpoint
from likethat._documents import Damaged, going_on_from, typed
from likethat._progress import Clock, Stage, Watcher
from likethat.errors import InputError
from likethat.features.data import describe, remarks
from likethat.features.features import Features
from likethat.features.going_on import check_same, looked_at
from likethat.features.labels import match_labels
from likethat.features.rows import Keeper, Rows, as_bytes, digests_of
from likethat.features.shards import read_shards, write_shard
from likethat.models import SplitModel, SplitOutput
from likethat.sources import Batch, Images, IterableSource, read
from likethat.sources.base import ImageSource, Skipped, class_names_of, reading_of

__all__ = ["Forward", "collect"]

CHUNK = 32
"""Images in one forward pass, whatever ``batch_size`` is: rounding depends on the shape of a batch, and the same
seed must give the same bank. The last chunk is padded."""
CHUNK_ON_GPU = 128  # images at a time: keeps a card busy where a processor is with fewer


def collect(
    model: SplitModel,
    source: ImageSource | IterableSource,
    *,
    seed: int = 0,
    memory_budget: int = 2 * 2**30,
    batch_size: int = 32,
    workers: int = 0,
    checkpoint: Checkpoint | None = None,
    watch: Watcher | None = None,
) -> Features:
    """Run the model once over every image; hold all pooled vectors, and as many maps as the budget allows.

    When the budget is smaller than the data, the images whose maps are held are drawn at random with `seed`.

    Args:
        model: what is explained.
        source: the images.
        seed: of the draw.
        memory_budget: bytes for feature maps and the views beside them.
        batch_size: images decoded at a time; no influence on the result.
        workers: threads that decode; no influence on the result.
        checkpoint: where to leave the pass when it is interrupted, and go on from.
        watch: called after every chunk.

    Raises:
        InputError: no image of the source can be used.
    """
    clock = Clock()
    total = len(source) if isinstance(source, ImageSource) else None
    work = _Pass(
        model=model,
        forward=Forward(model),
        total=total,
        seed=seed,
        budget=memory_budget,
        class_names=class_names_of(source),
        reading=reading_of(source),
        is_made=getattr(source, "is_made", False) is True,
    )
    if checkpoint:
        work.load(checkpoint)
        checkpoint.unwritten = lambda: work.leave(checkpoint)
    again = () if hasattr(source, "signature") else looked_at(work.done)
    batches = read(
        source,
        view=_view_for(model, source),
        batch_size=batch_size,
        workers=workers,
        start=work.stop,
        again=again,
        skipped=work.skipped,
    )
    stage = Stage("reading images", watch, total=total, done=work.stop)
    try:
        for chunk in _chunks(check_same(batches, work.done, again), lambda: work.forward.chunk):
            work.absorb(chunk)
            stage(work.stop)
            if checkpoint and checkpoint.is_due():
                work.leave(checkpoint)
    except BaseException:
        if checkpoint:
            work.leave(checkpoint)
        raise
    return work.features(seconds=clock.seconds)


def _view_for(model: SplitModel, source: ImageSource | IterableSource) -> Callable[[Tensor], Tensor] | None:
    """Return what prepares each image; None for a stack of images that the model takes as they are."""
    first = source.batch(0, 1) if isinstance(source, Images) else None
    if first is not None and model.preprocess.view(first) is first:
        return None
    return model.preprocess.view


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
        clock = Clock()
        n = len(views)
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
        parts = [self(part) for part in views.split(self.chunk)]
        return SplitOutput(
            feature_map=torch.cat([part.feature_map for part in parts]),
            pooled=torch.cat([part.pooled for part in parts]),
            logits=torch.cat([part.logits for part in parts]),
        )


@dataclass(kw_only=True, eq=False)
class _Chunk:
    """Views that go through the network together."""

    views: list[Tensor] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    label_names: list[str | None] = field(default_factory=list)
    shapes: list[tuple[int, int, int]] = field(default_factory=list)
    stacked: Tensor | None = None  # the views in one piece, where they came so

    def extend(self, batch: Batch, which: slice) -> None:
        """Note what is known of some images of a batch."""
        self.indices += batch.indices[which]
        self.names += batch.names[which]
        self.labels += [-1 if label is None else label for label in batch.labels[which]]
        self.label_names += batch.label_names[which]
        self.shapes += batch.shapes[which]

    def images(self) -> Tensor:
        """Return the views in one piece."""
        return torch.stack(self.views) if self.stacked is None else self.stacked


def _chunks(batches: Iterable[Batch], size: Callable[[], int]) -> Iterator[_Chunk]:
    """Regroup batches of any size into chunks of the network's size."""
    chunk = _Chunk()
    for batch in batches:
        if not chunk.views and len(batch.indices) == size():
            chunk.extend(batch, slice(None))
            chunk.stacked = batch.images
            yield chunk
            chunk = _Chunk()
            continue
        for place, view in enumerate(batch.images):
            chunk.views.append(view)
            chunk.extend(batch, slice(place, place + 1))
            if len(chunk.views) >= size():
                yield chunk
                chunk = _Chunk()
    if chunk.views:
        yield chunk


@dataclass(kw_only=True, eq=False)
class _Pass:
    """The state of one pass."""

    model: SplitModel
    forward: Forward
    total: int | None
    seed: int
    budget: int
    class_names: tuple[str, ...] = ()  # of the source
    reading: dict[str, Any] = field(default_factory=dict)  # what was said of its pixels
    is_made: bool = False  # by a generator
    done: list[Rows] = field(default_factory=list)
    fresh: list[Rows] = field(default_factory=list)  # since the last shard
    skipped: list[Skipped] = field(default_factory=list)
    keeper: Keeper | None = None
    grid: tuple[int, int] = (0, 0)
    start: int = 0  # of what is not on disk yet
    stop: int = 0

    def absorb(self, chunk: _Chunk) -> None:
        """Run the network on a chunk and keep what it leaves."""
        views = chunk.images()
        self.model.follow((views.shape[-2], views.shape[-1]))
        output = self.forward(views)
        means = output.feature_map.flatten(2).mean(2)
        finite = torch.isfinite(means.sum(1) + output.pooled.sum(1) + output.logits.sum(1))
        for row in (~finite).nonzero()[:, 0].tolist():
            reason = "the model's features or logits for it are NaN or infinite"
            self.skipped.append(Skipped(name=chunk.names[row], reason=reason))
        good = slice(None) if bool(finite.all()) else finite  # a slice copies nothing
        pixels, fine = as_bytes(views[good]), finite.tolist()
        rows = Rows(
            names=[*compress(chunk.names, fine)],
            label_names=[*compress(chunk.label_names, fine)],
            indices=torch.tensor(chunk.indices)[good],
            labels=torch.tensor(chunk.labels)[good],
            predicted=output.logits.argmax(1)[good],
            means=means[good],
            pooled=means[good] if self.model.spatially_additive else output.pooled[good],
            facts=_facts(chunk.shapes, views)[good],
            digests=digests_of(pixels),
        )
        self.grid = (output.feature_map.shape[2], output.feature_map.shape[3])
        maps = output.feature_map.flatten(2)[good]
        self._keeper_for(maps, views).put(rows.indices, maps, pixels)
        self.fresh.append(rows)
        self.stop = chunk.indices[-1] + 1

    def _keeper_for(self, maps: Tensor, views: Tensor) -> Keeper:
        if self.keeper is None:
            shape, view_shape = (maps.shape[1], maps.shape[2]), tuple(views.shape[1:])
            self.keeper = Keeper.for_shapes(shape, view_shape, total=self.total, seed=self.seed, budget=self.budget)
        return self.keeper

    def leave(self, checkpoint: Checkpoint) -> None:
        """Write what is not on disk yet."""
        if self.fresh and self.keeper is not None:
            rows = Rows.join(self.fresh)
            place = {"number": len(self.done), "start": self.start, "stop": self.stop}
            write_shard(checkpoint, rows, self.keeper, **place, skipped=self.skipped, grid=self.grid)
            self.done.append(rows)
            self.fresh, self.start = [], self.stop

    def load(self, checkpoint: Checkpoint) -> None:
        """Go on from what an interrupted pass left."""
        with going_on_from(checkpoint.folder):
            for rows, held, about in read_shards(checkpoint):
                if rows.means.shape[1:] != (self.model.n_channels,) or rows.pooled.ndim != 2:
                    raise Damaged("its vectors are of another model")
                self.done.append(rows)
                self._keeper_for(held["maps"], held["views"]).put(held["held"], held["maps"], held["views"])
                self.stop, self.grid = typed(about["stop"], int), typed(about["grid"], tuple[int, int])
                skipped = typed(about["skipped"], list[tuple[str, str]])
                self.skipped[:] = [Skipped(name=name, reason=reason) for name, reason in skipped]
        self.start = self.stop

    def features(self, *, seconds: float) -> Features:
        """Join everything.

        Raises:
            InputError: no image could be used.
        """
        parts = [rows for rows in [*self.done, *self.fresh] if rows.names]
        if self.keeper is None or not parts:
            first = f" First: {self.skipped[0].name}: {self.skipped[0].reason}." if self.skipped else ""
            raise InputError(
                f"`images` must hold at least one image that can be used, got none ({len(self.skipped)} skipped)."
                f"{first} Check the folder, and the precision the model runs in."
            )
        rows = Rows.join(parts)
        kept, maps, views = self.keeper.in_order_of(rows.indices)
        labels = match_labels(rows, self.class_names, self.model.class_names)
        size = (views.shape[-2], views.shape[-1])
        data = describe(rows, self.skipped, n_channels=rows.means.shape[1], view=size)
        return Features(
            means=rows.means,
            pooled=rows.means if self.model.spatially_additive else rows.pooled,
            predicted=rows.predicted,
            labels=labels.classes,
            label_names=rows.label_names,
            indices=rows.indices,
            names=rows.names,
            kept=kept,
            maps=maps,
            views=views,
            grid=self.grid,
            skipped=self.skipped,
            seconds=seconds,
            backbone_seconds=self.forward.seconds,
            notes=self.forward.notes,
            data=data | {"labels": labels.row} | ({"reading": self.reading} if self.reading else {}),
            remarks=[*labels.notes, *([labels.warning] if labels.warning else []), *remarks(data)],
            warning=labels.warning,
            is_made=self.is_made,
            sizes=rows.facts[:, 1:3].long(),
        )


def _facts(shapes: list[tuple[int, int, int]], views: Tensor) -> Tensor:
    """Return (image, 7): channels, height and width as they came; of the views lowest, highest, mean and contrast."""
    low, high = views.flatten(2).float().cpu().aminmax(dim=2)  # (image, channel)
    mean, contrast = views.flatten(1).float().mean(1).cpu(), (high - low).amax(1)
    seen = torch.stack([low.amin(1), high.amax(1), mean, contrast], dim=1)
    return torch.cat([torch.tensor(shapes, dtype=torch.float32), seen], dim=1)
