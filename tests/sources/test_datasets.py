"""Data sets and streams."""

import io
from collections import UserDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, SubsetRandomSampler, TensorDataset

import likethat as lt
from likethat.errors import InputError, UnreadableImageError
from likethat.sources import DatasetSource, ImageFolder, IterableSource, Sample, as_source, read
from likethat.sources.base import Skipped


def _picture(shade: int) -> Image.Image:
    return Image.new("RGB", (6, 4), (shade, 0, 0))


def _png(shade: int) -> bytes:
    buffer = io.BytesIO()
    _picture(shade).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("item", "label"),
    [
        (torch.full((3, 4, 6), 0.2), None),
        ((_picture(51), 2, "more"), 2),
        ((np.full((4, 6, 3), 51, np.uint8), np.array(2)), 2),
        ([_picture(51), torch.tensor([2])], 2),
        ({"image": _picture(51), "label": np.int64(2), "path": "elsewhere.png"}, 2),
        (UserDict({"pixel_values": torch.full((3, 4, 6), 0.2), "labels": 2}), 2),
        ({"bytes": _png(51), "path": None}, None),
        (Sample(image=torch.full((3, 4, 6), 0.2), name="mine", label=2), 2),
    ],
    ids=["tensor", "triple", "array", "list", "dict", "mapping", "bytes", "sample"],
)
def test_items_of_every_kind(item: Any, label: int | None) -> None:
    for sample in (DatasetSource([item])[0], next(iter(IterableSource([item])))):
        assert tuple(sample.image.shape) == (3, 4, 6)
        assert float(sample.image[0, 0, 0]) == pytest.approx(0.2)
        assert sample.label == label


def test_torchvision_data_sets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    for name in ("auk/a.png", "wren/b.png", "wren/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        _picture(51).save(tmp_path / name)
    theirs = as_source(datasets.ImageFolder(str(tmp_path)))
    ours = ImageFolder(tmp_path)
    assert theirs.class_names == ours.class_names == ("auk", "wren")  # type: ignore[union-attr]
    assert [theirs[i].label for i in range(3)] == [ours[i].label for i in range(3)] == [0, 1, 1]  # type: ignore[index]
    part: Any = as_source(Subset(Subset(datasets.ImageFolder(str(tmp_path)), [0, 2]), [1]))
    assert (part.class_names, part[0].label, len(part)) == (("auk", "wren"), 1, 1)


def test_what_torchvision_cannot_decode_is_skipped(tmp_path: Path) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    (tmp_path / "auk").mkdir()
    for name in "abc":
        _picture(51).save(tmp_path / "auk" / f"{name}.png")
    (tmp_path / "auk" / "b.png").write_bytes(_png(51)[:50])
    skipped: list[Skipped] = []
    batch = next(read(as_source(datasets.ImageFolder(str(tmp_path))), skipped=skipped))
    assert batch.indices == (0, 2)
    assert [item.name for item in skipped] == ["image 1"]
    assert skipped[0].reason.startswith("does not decode (")


class _Failing(Dataset[Any]):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        raise self.error


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ConnectionResetError(104, "reset"), KeyError("x")])
def test_a_failing_disk_is_no_damaged_picture(error: Exception) -> None:
    with pytest.raises(InputError, match=r"item [0-3] of `images` must not fail, got") as caught:
        list(read(DatasetSource(_Failing(error)), workers=2))
    assert caught.value.__cause__ is error


def test_indices_end() -> None:
    source = as_source(TensorDataset(torch.zeros(4, 1, 2, 2), torch.arange(4)))
    assert [sample.label for sample in source] == [0, 1, 2, 3]  # type: ignore[union-attr]
    assert source[-1].label == 3  # type: ignore[index]


def test_normalised_items_are_refused_with_advice() -> None:
    with pytest.raises(InputError, match=r"image 0 must lie in \[0, 1\], got values from -2.1 to -2.1. Leave out Norm"):
        list(read(DatasetSource([(torch.full((3, 4, 4), -2.1), 0)])))


def test_a_loader_is_its_data_set_in_order() -> None:
    images = torch.arange(6.0).reshape(6, 1, 1, 1).expand(-1, 1, 2, 2) / 6
    source = as_source(DataLoader(TensorDataset(images, torch.arange(6)), batch_size=4, shuffle=True, drop_last=True))
    assert [(sample.label, float(sample.image[0, 0, 0])) for sample in source] == [  # type: ignore[union-attr]
        (index, pytest.approx(index / 6)) for index in range(6)
    ]


_SET = TensorDataset(torch.zeros(2, 3, 4, 4))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (DataLoader(_SET, collate_fn=list), "a DataLoader that has a collate_fn of its own. Give the data set"),
        (DataLoader(_SET, sampler=SubsetRandomSampler([0])), "that chooses items by a SubsetRandomSampler"),
        (DataLoader(_SET, batch_sampler=[[0]]), "that makes batches of its own"),
        ({"train": [1], "test": [2]}, "Choose one of its entries: 'train', 'test'"),
        (b"\x89PNG", "Put the bytes of encoded pictures in a list"),
        ({"a.png"}, "A set has no order"),
        (None, "got NoneType"),
        (print, "got builtin_function_or_method"),
        (TensorDataset(torch.zeros(0, 3, 4, 4)), "length 0"),
    ],
    ids=["collate", "sampler", "batches", "dict", "bytes", "set", "none", "function", "empty"],
)
def test_unsupported(images: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_source(images)


def test_batches_are_no_items() -> None:
    with pytest.raises(InputError, match="not its DataLoader"):
        next(iter(IterableSource([torch.zeros(8, 3, 4, 4)])))


class _Stream(IterableDataset[Any]):
    def __len__(self) -> int:
        return 5

    def __iter__(self) -> Iterator[Any]:
        for index in range(5):
            yield torch.full((1, 2, 2), index / 10), index


def test_iterable_data_sets_can_be_read_again() -> None:
    source = as_source(_Stream())
    assert isinstance(source, IterableSource)
    for _ in range(2):
        assert [batch.labels for batch in read(source, batch_size=3)] == [(0, 1, 2), (3, 4)]


def test_generators_are_read_once() -> None:
    stream = (torch.zeros(1, 2, 2) for _ in range(3))
    source = as_source(stream)
    assert sum(len(batch.indices) for batch in read(source)) == 3
    for again in (source, as_source(stream)):
        with pytest.raises(InputError, match="a stream that was not read yet"):
            list(read(again))


def test_iterators_are_read_once() -> None:
    source = as_source(iter([torch.zeros(1, 2, 2)] * 3))
    assert sum(len(batch.indices) for batch in read(source)) == 3
    with pytest.raises(InputError, match="a stream that was not read yet"):
        list(read(source))


def test_streams_skip_what_does_not_decode() -> None:
    skipped: list[Skipped] = []
    stream = ((data, index) for index, data in enumerate([_png(51), _png(51)[:50], _png(102)]))
    batch = next(read(as_source(stream), workers=2, skipped=skipped))
    assert (batch.indices, batch.labels, batch.names) == ((0, 2), (0, 2), ("image 0", "image 2"))
    assert [item.name for item in skipped] == ["image 1"]


def _hugging_face(tmp_path: Path) -> Any:
    datasets = pytest.importorskip("datasets")
    for index in range(4):
        (tmp_path / f"{index}.png").write_bytes(_png(51 * index))
    features = datasets.Features({"kind": datasets.ClassLabel(names=["ant", "bee"]), "photo": datasets.Image()})
    files: list[Any] = [{"path": str(tmp_path / f"{index}.png"), "bytes": None} for index in range(4)]
    files[1] = {"path": None, "bytes": _png(51)[:50]}
    files[2] = None
    return datasets.Dataset.from_dict({"kind": [0, 1, 1, 1], "photo": files}, features=features)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_hugging_face(workers: int, tmp_path: Path) -> None:
    data = _hugging_face(tmp_path)
    source = as_source(data)
    assert source.class_names == ("ant", "bee")  # type: ignore[union-attr]
    skipped: list[Skipped] = []
    batch = next(read(source, workers=workers, skipped=skipped))
    assert (batch.indices, batch.labels) == ((0, 3), (0, 1))
    assert batch.images[:, 0, 0, 0].tolist() == pytest.approx([0.0, 0.6])
    assert [item.name for item in skipped] == ["image 1", "image 2"]
    assert data.features["photo"].decode  # the user's own is as it was


@pytest.mark.slow
def test_hugging_face_with_a_transform_or_a_format(tmp_path: Path) -> None:
    data = _hugging_face(tmp_path).select([0, 3])

    def transform(rows: dict[str, Any]) -> dict[str, Any]:
        return {"pixel_values": [torch.full((3, 2, 2), 0.5) for _ in rows["photo"]], "labels": rows["kind"]}

    changed = as_source(data.with_transform(transform))
    assert (tuple(changed[1].image.shape), changed[1].label) == ((3, 2, 2), 1)  # type: ignore[index]
    tensors = as_source(data.with_format("torch"))
    assert float(tensors[1].image[0, 0, 0]) == pytest.approx(0.6)  # type: ignore[index]
    assert tensors[1].label == 1  # type: ignore[index]


def test_hugging_face_streams(tmp_path: Path) -> None:
    data = _hugging_face(tmp_path)
    whole = as_source(data.select([0, 3]).to_iterable_dataset())
    assert isinstance(whole, IterableSource)
    assert [sample.label for sample in whole] == [0, 1]
    with pytest.raises(InputError, match=r"broke off at image 1, .*dataset\.decode\(False\)"):
        list(read(as_source(data.to_iterable_dataset())))
    skipped: list[Skipped] = []
    batch = next(read(as_source(data.to_iterable_dataset().decode(False)), skipped=skipped))
    assert batch.indices == (0, 3)
    assert [item.name for item in skipped] == ["image 1", "image 2"]


class _Mine:
    """A source of the user's own."""

    class_names = ("ant", "bee")

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Sample:
        if index == 0:
            raise UnreadableImageError("image 0 does not decode")
        return Sample(image=torch.zeros(1, 2, 2), name=f"mine {index}", label=index)


def test_sources_of_ones_own() -> None:
    source = as_source(_Mine())
    assert source.class_names == ("ant", "bee")  # type: ignore[union-attr]
    skipped: list[Skipped] = []
    assert next(read(source, skipped=skipped)).names == ("mine 1", "mine 2")
    assert len(skipped) == 1
    images = lt.Images(torch.zeros(1, 1, 2, 2))
    assert as_source(images) is images
