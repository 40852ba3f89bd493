"""Order, batches, threads and memory."""

import gc
import threading
import weakref
from typing import Any

import pytest
import torch

import likethat as lt
from likethat.errors import InputError, UnreadableImageError
from likethat.sources import DatasetSource, IterableSource, read
from likethat.sources.base import Sample, Skipped


class _Numbered:
    """Item i is a picture of the value i / 100; every seventh does not decode."""

    def __init__(self, n: int, broken: int = 7) -> None:
        self.n, self.broken = n, broken
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Sample:
        self.asked.append(index)
        if index % self.broken == 3:
            raise UnreadableImageError(f"image {index} does not decode (broken)")
        return Sample(image=torch.full((1, 2, 2), index / 100), name=f"image {index}", label=index % 5)


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("batch_size", [1, 8, 100])
def test_in_order_whatever_the_workers(workers: int, batch_size: int) -> None:
    skipped: list[Skipped] = []
    batches = list(read(_Numbered(40), batch_size=batch_size, workers=workers, skipped=skipped))
    indices = [index for batch in batches for index in batch.indices]
    assert indices == [index for index in range(40) if index % 7 != 3]
    assert torch.cat([batch.images for batch in batches])[:, 0, 0, 0].tolist() == pytest.approx(
        [i / 100 for i in indices]
    )
    assert [label for batch in batches for label in batch.labels] == [index % 5 for index in indices]
    assert [item.name for item in skipped] == [f"image {index}" for index in range(3, 40, 7)]
    assert all(len(batch.indices) == batch_size for batch in batches[:-1])


@pytest.mark.parametrize("kind", ["items", "stacked", "stream"])
def test_starts_where_it_is_told(kind: str) -> None:
    numbers = torch.arange(20.0) / 100
    source: Any = {
        "items": _Numbered(20, broken=1000),
        "stacked": lt.Images(numbers[:, None, None, None].expand(20, 1, 2, 2)),
        "stream": IterableSource(torch.full((1, 2, 2), float(value)) for value in numbers),
    }[kind]
    batches = list(read(source, start=13, batch_size=4))
    assert [batch.indices for batch in batches] == [(13, 14, 15, 16), (17, 18, 19)]
    assert float(batches[0].images[0, 0, 0, 0]) == pytest.approx(0.13)
    if kind == "items":
        assert min(source.asked) == 13


def test_the_view_is_applied() -> None:
    batch = next(read(lt.Images(torch.zeros(3, 1, 4, 4)), view=lambda image: image + 0.5))
    assert batch.images.unique().tolist() == [0.5]


def test_sizes_that_differ() -> None:
    with pytest.raises(InputError, match=r"one size once the model has prepared them, got \(1, 2, 2\) .* \(1, 3, 3\)"):
        list(read(lt.Images([torch.zeros(1, 2, 2), torch.zeros(1, 3, 3)])))


def test_errors_in_threads_reach_the_caller_and_threads_end() -> None:
    source = DatasetSource([(torch.zeros(1, 2, 2), 0)] * 30 + [("no picture.xyz", 0)])
    source.dataset[15] = (object(), 0)
    with pytest.raises(InputError, match="image 15 must be a path"):
        list(read(source, workers=3))
    reader = read(_Numbered(500), workers=3)
    next(reader)
    reader.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("likethat-read")]


def test_memory_does_not_grow_with_the_source() -> None:
    alive: set[int] = set()
    most = 0

    class Watched(_Numbered):
        def __getitem__(self, index: int) -> Sample:
            nonlocal most
            sample = Sample(image=torch.zeros(1, 2, 2), name=str(index))
            alive.add(index)
            weakref.finalize(sample.image, alive.discard, index)
            most = max(most, len(alive))
            return sample

    for _ in read(Watched(2000), batch_size=8, workers=2):
        pass
    gc.collect()
    assert most <= 8 * (2 * 2 + 2) + 8


@pytest.mark.parametrize(("option", "value"), [("batch_size", 0), ("workers", -1), ("start", 1.5)])
def test_bad_options(option: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"`{option}` must be a whole number"):
        next(read(_Numbered(3), **{option: value}))
