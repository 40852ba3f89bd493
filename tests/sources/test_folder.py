"""Folders as people have them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import likethat as lt
from likethat.errors import InputError, UnreadableImageError
from likethat.sources import as_source, read
from likethat.sources._decode import decode
from likethat.sources.base import Skipped


def _save(path: Path, value: int = 100, size: tuple[int, int] = (6, 4)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 0, 255)).save(path)
    return path


def test_nested_sorted_and_labelled_by_the_first_folder(tmp_path: Path) -> None:
    for name in ("wren/b.png", "wren/deep/a.JPG", "auk/z.bmp"):
        _save(tmp_path / name)
    (tmp_path / "wren" / "notes.txt").write_text("not a picture")
    (tmp_path / "wren" / ".hidden.png").write_bytes(b"x")
    folder = lt.ImageFolder(tmp_path)
    assert [folder[i].name for i in range(len(folder))] == ["auk/z.bmp", "wren/b.png", "wren/deep/a.JPG"]
    assert folder.class_names == ("auk", "wren")
    assert [folder[i].label for i in range(3)] == [0, 1, 1]
    assert lt.ImageFolder(tmp_path, labels=None).class_names == ()
    assert len(lt.ImageFolder(tmp_path, pattern="wren/*.png")) == 1


def test_pictures_beside_folders_have_no_labels(tmp_path: Path) -> None:
    _save(tmp_path / "wren" / "b.png")
    _save(tmp_path / "loose.png")
    assert [sample.label for sample in map(lt.ImageFolder(tmp_path).__getitem__, range(2))] == [None, None]


def test_one_picture_is_a_source_of_one(tmp_path: Path) -> None:
    source = as_source(str(_save(tmp_path / "one.png")))
    assert len(source) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("what", ["missing", "empty", "text only"])
def test_folders_without_pictures(what: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    if what != "missing":
        folder.mkdir()
    if what == "text only":
        (folder / "readme.md").write_text("hello")
    message = "which does not exist" if what == "missing" else "which has none"
    with pytest.raises(InputError, match=message):
        lt.ImageFolder(folder)


def test_links_do_not_lead_out(tmp_path: Path) -> None:
    secret = _save(tmp_path / "outside" / "secret.png")
    inside = _save(tmp_path / "folder" / "mine.png")
    (tmp_path / "folder" / "out.png").symlink_to(secret)
    (tmp_path / "folder" / "loop").symlink_to(tmp_path / "folder")
    (tmp_path / "folder" / "same.png").symlink_to(inside)
    assert [file.name for file in lt.ImageFolder(tmp_path / "folder").files] == ["mine.png", "same.png"]


def test_what_does_not_decode_is_skipped_and_listed(tmp_path: Path) -> None:
    whole = _save(tmp_path / "a.png", size=(64, 64))
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:60])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.gif").write_text("no picture at all")
    folder = lt.ImageFolder(tmp_path)
    assert len(folder) == 4
    skipped: list[Skipped] = []
    batches = list(read(folder, skipped=skipped))
    assert [batch.indices for batch in batches] == [(0,)]
    assert [item.name for item in skipped] == ["cut.png", "empty.jpg", "text.gif"]
    assert skipped[1].reason == "is empty (0 bytes)"
    with pytest.raises(UnreadableImageError, match=r"text\.gif is in no image format"):
        folder[3]


def test_grey_and_sixteen_bit(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 51], [102, 255]], dtype=np.uint8)).save(tmp_path / "grey.png")
    # 51/255 = .2, 102/255 = .4
    torch.testing.assert_close(decode(tmp_path / "grey.png"), torch.tensor([[[0.0, 0.2], [0.4, 1.0]]]))
    Image.fromarray(np.array([[0, 13107], [26214, 65535]], dtype=np.uint16)).save(tmp_path / "deep.png")
    # 13107/65535 = .2
    torch.testing.assert_close(decode(tmp_path / "deep.png"), torch.tensor([[[0.0, 0.2], [0.4, 1.0]]]))


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert decode(tmp_path / "clear.png").unique().tolist() == [1.0]
    Image.new("LA", (2, 2), (0, 255)).save(tmp_path / "grey.png")
    assert decode(tmp_path / "grey.png").tolist() == [[[0.0, 0.0], [0.0, 0.0]]]
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 0, 255, 0])
    palette.save(tmp_path / "palette.png", transparency=1)
    assert decode(tmp_path / "palette.png").unique().tolist() == [1.0]


def test_exif_rotation(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[[255, 0, 0], [0, 255, 0]]], dtype=np.uint8))  # red left of green
    exif = image.getexif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright
    image.save(tmp_path / "turned.png", exif=exif)
    turned = decode(tmp_path / "turned.png")
    assert turned.shape == (3, 2, 1)
    assert turned[:, 0, 0].tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "YCbCr", "HSV", "LAB", "F", "I"])
def test_every_mode_becomes_an_image(mode: str) -> None:
    image = decode(Image.new(mode, (5, 3)))
    assert image.dtype == torch.float32
    assert image.shape[0] in (1, 3)
    assert image.shape[1:] == (3, 5)
    assert 0.0 <= float(image.min()) <= float(image.max()) <= 1.0


def test_a_decompression_bomb_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _save(tmp_path / "huge.png", size=(100, 100))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UnreadableImageError, match="more pixels than Pillow opens safely"):
        decode(path)
