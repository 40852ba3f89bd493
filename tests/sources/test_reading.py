"""Order, batches, threads and memory."""

import gc
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

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


@pytest.mark.slow
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


def test_a_view_sees_one_image_at_a_time_whatever_the_source() -> None:
    shapes: list[tuple[int, ...]] = []

    def view(image: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(image.shape))
        return image.mean(0, keepdim=True)

    images = torch.rand(5, 3, 4, 4)
    for source in (lt.Images(images), lt.Images(list(images)), IterableSource(images)):
        batches = list(read(source, view=view, batch_size=2))
        torch.testing.assert_close(torch.cat([batch.images for batch in batches]), images.mean(1, keepdim=True))
    assert set(shapes) == {(3, 4, 4)}


def test_the_stacked_and_the_single_way_agree() -> None:
    values = torch.randint(0, 256, (11, 3, 5, 4), dtype=torch.uint8)
    stacked = list(read(lt.Images(values, labels=range(11)), batch_size=4))
    single = list(read(lt.Images(list(values), labels=range(11)), batch_size=4, workers=2))
    for one, other in zip(stacked, single, strict=True):
        assert torch.equal(one.images, other.images)
        assert (one.indices, one.names, one.labels) == (other.indices, other.names, other.labels)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_stacked_images_stream_with_little_work_an_image(dtype: torch.dtype) -> None:
    source, calls = lt.Images(torch.zeros(400, 3, 96, 96, dtype=dtype)), 0

    ours = str(Path(lt.__file__).parent)

    def count(frame: Any, event: str, _: Any) -> None:
        nonlocal calls
        calls += event.endswith("call") and frame.f_code.co_filename.startswith(ours)

    sys.setprofile(count)
    try:
        assert sum(len(batch.indices) for batch in read(source)) == 400
    finally:
        sys.setprofile(None)
    assert calls / 400 < 100  # calls of ours, and what they call directly


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["source", "stream"])
@pytest.mark.parametrize(("workers", "batch_size"), [(0, 4), (1, 4), (3, 2)])
def test_images_alive_at_a_time(kind: str, workers: int, batch_size: int) -> None:
    alive: set[int] = set()
    most = 0

    def made(index: int) -> torch.Tensor:
        nonlocal most
        image = torch.full((1, 2, 2), 0.5)
        alive.add(index)
        weakref.finalize(image, alive.discard, index)
        most = max(most, len(alive))
        return image

    class Made(_Numbered):
        def __getitem__(self, index: int) -> Sample:
            return Sample(image=made(index), name=str(index))

    def stream() -> Iterator[torch.Tensor]:
        for index in range(2000):
            yield made(index)

    source: Any = Made(2000) if kind == "source" else IterableSource(stream())
    for batch in read(source, batch_size=batch_size, workers=workers, view=torch.clone):
        assert len(batch.images) == batch_size
    assert most <= (2 * workers + 2) * batch_size


def test_only_what_is_near_is_asked_for() -> None:
    source = _Numbered(1000, broken=1000)
    reader = read(source, batch_size=5, workers=2)
    next(reader)
    assert max(source.asked) < 5 * (2 * 2 + 2)
    reader.close()
    assert len(source.asked) < 5 * (2 * 2 + 2)


def test_threads_end_when_the_caller_stops_or_fails() -> None:
    for _ in read(_Numbered(500), workers=3, batch_size=2):
        break
    with pytest.raises(InputError) as caught:
        for _ in read(_Numbered(500), workers=3, batch_size=2, view=lambda image: image[0]):
            pass
    assert caught.match(r"`view` must give a tensor \(channel, height, width\), got \(2, 2\) for image 0")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("likethat-read")]


def test_what_a_view_refuses_has_the_images_name() -> None:
    def view(image: torch.Tensor) -> torch.Tensor:
        raise InputError("`image` must have 3 channels, got 1.")

    with pytest.raises(InputError, match=r"must have 3 channels, got 1\. \(The image is eagle\.\)"):
        next(read(lt.Images(torch.zeros(1, 1, 2, 2), names=["eagle"]), view=view))


@pytest.mark.parametrize(
    ("source", "message"),
    [("birds/", "got str"), (torch.zeros(1, 1, 2, 2), "got Tensor"), ([torch.zeros(1)], "Wrap it")],
)
def test_what_is_no_source(source: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        next(read(source))


def test_bad_options_are_told_at_once() -> None:
    with pytest.raises(InputError, match="`workers` must be a whole number"):
        read(_Numbered(3), workers=-1)


def test_start_beyond_the_end_reads_nothing() -> None:
    for source in (_Numbered(3), lt.Images(torch.zeros(3, 1, 2, 2)), IterableSource([torch.zeros(1, 2, 2)] * 3)):
        assert list(read(source, start=3)) == []


def test_left_out_links_are_listed_once(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("folder/a.png", "folder/b.png", "outside.png"):
        Image.new("L", (2, 2)).save(tmp_path / name)
    (tmp_path / "folder" / "c.png").symlink_to(tmp_path / "outside.png")
    first: list[Skipped] = []
    later: list[Skipped] = []
    folder = lt.ImageFolder(tmp_path / "folder")
    assert [batch.indices for batch in read(folder, skipped=first, workers=2)] == [(0, 1)]
    assert [batch.indices for batch in read(folder, skipped=later, start=1)] == [(1,)]
    assert ([item.name for item in first], later) == (["c.png"], [])


def test_the_filters_of_warnings_are_left_alone_by_threads(tmp_path: Path) -> None:
    for index in range(20):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{index}.png")
    before = list(warnings.filters)
    seen: list[bool] = []

    def look() -> None:
        for _ in range(2000):
            seen.append(list(warnings.filters) == before)

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        for _ in range(5):
            list(read(lt.ImageFolder(tmp_path), workers=3))
        looking.result()
    assert all(seen)
