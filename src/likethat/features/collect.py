"""The pass itself: a model over a source, in chunks of a fixed size."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import Tensor

from likethat._checkpoint import Checkpoint
from likethat._documents import Damaged, going_on_from, typed
from likethat._progress import Clock, Stage, Watcher
from likethat._vectors import Vectors
from likethat._workers import Cluster, as_workers
from likethat.errors import InputError
from likethat.features.data import describe, remarks
from likethat.features.features import Features
from likethat.features.going_on import check_same, looked_at
from likethat.features.labels import match_labels
from likethat.features.looking import Chunk, Forward, Seen, chunks, look
from likethat.features.rows import Keeper, Rows
from likethat.features.shards import read_shards, write_shard
from likethat.features.spread import There, looked_at_there, read_there
from likethat.models import SplitModel
from likethat.sources import Batch, ImageFolder, Images, IterableSource, read
from likethat.sources.base import ImageSource, Skipped, class_names_of, reading_of


def collect(
    model: SplitModel,
    source: ImageSource | IterableSource,
    *,
    seed: int = 0,
    memory_budget: int = 2 * 2**30,
    batch_size: int = 32,
    workers: int | str | Cluster = 0,
    checkpoint: Checkpoint | None = None,
    with_sketches: bool = False,
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
        workers: threads that decode, or workers that Ray runs (see `as_workers`); no influence on the result.
        checkpoint: where to leave the pass when it is interrupted, and go on from.
        with_sketches: keep each image small and grey, for who compares pictures.
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
        is_kept=checkpoint is not None,
        with_sketches=with_sketches,
    )
    if checkpoint:
        work.load(checkpoint)
        checkpoint.unwritten = lambda: work.leave(checkpoint)
    stage = Stage("reading images", watch, total=total, done=work.stop)
    try:
        with _looking(work, source, batch_size, as_workers(workers)) as seen:
            for each in seen:
                work.fold(each)
                del each  # its maps' memory serves the next chunk: held, it is asked of the system anew for each
                stage(work.stop)
                if checkpoint and checkpoint.is_due():
                    work.leave(checkpoint)
    except BaseException:
        if checkpoint:
            work.leave(checkpoint)
        raise
    return work.features(seconds=clock.seconds)


@contextmanager
def _looking(
    work: "_Pass", source: ImageSource | IterableSource, batch_size: int, workers: int | Cluster
) -> Iterator[Iterator[Seen]]:
    """Run the model over what is not done yet, here or in workers, and hand out what was seen, in order."""
    view = _view_for(work.model, source)
    # Asked of work that goes on alone: a signature may be a digest of all pixels.
    again = looked_at(work.done) if work.done and not hasattr(source, "signature") else []
    reads = partial(read, source, view=view, batch_size=batch_size, again=again)
    if not isinstance(workers, Cluster):
        batches = check_same(reads(workers=workers, start=work.stop, skipped=work.skipped), work.done, again)
        yield (look(work.forward, chunk) for chunk in chunks(batches, lambda: work.forward.chunk))
        return
    behind: list[Skipped] = []
    there = There(model=work.model, source=source if view and isinstance(source, ImageSource) else None, view=view)
    with workers.opened(there, needs_gpu=work.model.device.type == "cuda") as crew:
        if there.source is None:
            sent = _sent(work, partial(reads, start=work.stop, skipped=behind), again, behind)
            yield _in_order(looked_at_there(crew, sent), behind, work.skipped)
            return
        if not work.stop and isinstance(source, ImageFolder):
            work.skipped += source.left_out
        for _ in check_same(reads(start=len(there.source)), work.done, again) if again else ():
            pass  # what is read again is compared
        span = {"start": work.stop, "stop": len(there.source), "size": work.forward.chunk}
        read_by_them = read_there(crew, **span, behind=behind, on_gpu=work.is_made)
        yield _in_order(looked_at_there(crew, read_by_them), behind, work.skipped)


def _in_order(seen: Iterator[Seen], behind: list[Skipped], skipped: list[Skipped]) -> Iterator[Seen]:
    """List what could not be read behind the last chunk once all chunks were dealt with: reading runs ahead."""
    yield from seen
    skipped += behind


def _sent(
    work: "_Pass", reads: Callable[[], Iterator[Batch]], again: Collection[int], unread: list[Skipped]
) -> Iterator[Chunk]:
    """Read here, where no file has to be opened or nobody else can; what could not be read goes with its chunk."""
    for chunk in chunks(check_same(reads(), work.done, again), lambda: work.forward.chunk):
        chunk.unread, unread[:] = [*unread], []
        yield chunk.to_send()


def _view_for(model: SplitModel, source: ImageSource | IterableSource) -> Callable[[Tensor], Tensor] | None:
    """Return what prepares each image; None for a stack of images that the model takes as they are."""
    first = source.batch(0, 1) if isinstance(source, Images) else None
    if first is not None and model.preprocess.view(first) is first:
        return None
    return model.preprocess.view


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
    is_kept: bool = False  # there is a checkpoint, which `fresh` is left in
    with_sketches: bool = False
    means: Vectors = field(default_factory=Vectors)
    pooled: Vectors = field(default_factory=Vectors)  # where they are not the means
    done: list[Rows] = field(default_factory=list)
    fresh: list[Rows] = field(default_factory=list)  # since the last shard
    skipped: list[Skipped] = field(default_factory=list)
    keeper: Keeper | None = None
    grid: tuple[int, int] = (0, 0)
    backbone_seconds: float = 0.0
    start: int = 0  # of what is not on disk yet
    stop: int = 0

    def fold(self, seen: Seen) -> None:
        """Keep what a chunk leaves."""
        self.model.follow(seen.size)
        self.skipped += seen.skipped
        self.grid, self.forward.notes = seen.grid, seen.notes or self.forward.notes
        self.backbone_seconds += seen.seconds
        if self.keeper is None or self.keeper.wants(seen.rows.indices):
            maps, pixels = seen.held()
            self._keeper_for(maps, pixels).put(seen.rows.indices, maps, pixels)
        self._hold(seen.rows)
        rows = seen.rows if self.with_sketches else replace(seen.rows, sketches=seen.rows.sketches[:, :0].clone())
        self.fresh.append(rows if self.is_kept else rows.light())
        self.stop = seen.stop

    def _hold(self, rows: Rows) -> None:
        """Keep the vectors of images."""
        self.means.add(rows.means)
        if not self.model.spatially_additive:
            self.pooled.add(rows.pooled)

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
            self.done.append(rows.light())
            self.fresh, self.start = [], self.stop

    def load(self, checkpoint: Checkpoint) -> None:
        """Go on from what an interrupted pass left."""
        with going_on_from(checkpoint.folder):
            for rows, held, about in read_shards(checkpoint):
                if rows.means.shape[1:] != (self.model.n_channels,) or rows.pooled.ndim != 2:
                    raise Damaged("its vectors are of another model")
                self._hold(rows)
                self.done.append(rows.light())
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
        parts = [rows.light() for rows in [*self.done, *self.fresh] if rows.names]
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
        means = self.means.all()
        data = describe(rows, self.skipped, n_channels=means.shape[1], view=size)
        return Features(
            means=means,
            pooled=means if self.model.spatially_additive else self.pooled.all(),
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
            backbone_seconds=self.backbone_seconds,
            notes=self.forward.notes,
            data=data | {"labels": labels.row} | ({"reading": self.reading} if self.reading else {}),
            remarks=[*labels.notes, *([labels.warning] if labels.warning else []), *remarks(data)],
            warning=labels.warning,
            is_made=self.is_made,
            facts=rows.facts,
            sketches=rows.sketches if self.with_sketches else None,
        )
