"""How the pictures of each kind of source were turned."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import ExifTags, Image

import likethat as lt
from likethat.sources import as_source
from likethat.sources.orientation import orientation_of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (4, 6)).save(tmp_path / "a.jpg", exif=exif)
    return tmp_path / "a.jpg"


def test_files_pictures_and_bytes(file: Path) -> None:
    data = file.read_bytes()
    with Image.open(file) as picture:
        for images in (file.parent, [file], [str(file)], [picture], [data], [{"bytes": data, "path": None}]):
            assert orientation_of(as_source(images), 0) == 6


def test_a_data_set_of_pictures_and_labels(file: Path) -> None:
    class Data(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> Any:
            return Image.open(io.BytesIO(file.read_bytes())).convert("RGB"), 0

    source = as_source(Data())
    assert orientation_of(source, 0) == 6
    assert source[0].image.shape == (3, 4, 6)  # type: ignore[index]


def test_what_is_not_turned(file: Path) -> None:
    file.write_bytes(b"no picture")
    assert orientation_of(lt.Images(torch.zeros(1, 3, 4, 4)), 0) == 1
    assert orientation_of(as_source([file]), 0) == 1
    assert orientation_of(lt.creatures(2, seed=0, size=16), 0) == 1


def test_a_source_may_say_it_itself() -> None:
    class Own:
        def orientation(self, index: int) -> int:
            return 3 + index

    assert orientation_of(Own(), 2) == 5
