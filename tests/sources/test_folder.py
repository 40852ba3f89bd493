"""Folders as people have them."""

import io
import os
from pathlib import Path
from typing import Any

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


def test_what_belongs_is_told_by_ending_and_by_content(tmp_path: Path) -> None:
    for name in ("a.png", "b.JPEG", "c.tga", "d.webp"):
        _save(tmp_path / name)
    Image.new("RGB", (2, 2)).save(tmp_path / "no_ending", "PNG")
    Image.new("RGB", (2, 2)).save(tmp_path / "odd.jpg_large", "JPEG")
    Image.new("RGB", (2, 2)).save(tmp_path / "never.txt", "PNG")
    for name in ("notes.txt", ".DS_Store", "paper.pdf", "film.mpg", "table.h5", "drawing.eps", "riff.wav"):
        (tmp_path / name).write_bytes(b"RIFF\0\0\0\0WAVE")
    _save(tmp_path / ".ipynb_checkpoints" / "a-checkpoint.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert lt.ImageFolder(tmp_path)._names == ("a.png", "b.JPEG", "c.tga", "d.webp", "no_ending", "odd.jpg_large")


def test_a_program_is_never_started_by_a_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n")
    with pytest.raises(UnreadableImageError, match=r"a\.png is in no image format"):
        decode(tmp_path / "a.png", name="a.png")


def test_links_that_lead_out_are_listed(tmp_path: Path) -> None:
    _save(tmp_path / "elsewhere" / "deep" / "a.png")
    _save(tmp_path / "folder" / "b.png")
    (tmp_path / "folder" / "a.png").symlink_to(tmp_path / "elsewhere" / "deep" / "a.png")
    (tmp_path / "folder" / "deep").symlink_to(tmp_path / "elsewhere" / "deep")
    (tmp_path / "folder" / "c.png").symlink_to("d.png")
    (tmp_path / "folder" / "d.png").symlink_to("c.png")
    (tmp_path / "folder" / "gone.png").symlink_to("nothing.png")
    skipped: list[Skipped] = []
    names = [name for batch in read(lt.ImageFolder(tmp_path / "folder"), skipped=skipped) for name in batch.names]
    assert names == ["b.png"]
    assert [item.name for item in skipped] == ["a.png", "c.png", "d.png", "gone.png"]
    assert skipped[0].reason == "is a link that leads out of the folder"
    assert skipped[3].reason == "does not exist"
    (tmp_path / "folder" / "b.png").unlink()
    with pytest.raises(InputError, match="1 were left out"):
        lt.ImageFolder(tmp_path / "folder", pattern="a.*")


def test_a_pattern_leaves_the_classes_as_they_are(tmp_path: Path) -> None:
    for name in ("auk/1.png", "wren/1.png", "wren/2.jpg", "sheet.png"):
        _save(tmp_path / name)
    folder = lt.ImageFolder(tmp_path, pattern="wren/*")
    assert (folder.class_names, [folder.label(i) for i in range(2)]) == (("auk", "wren"), [1, 1])


@pytest.mark.parametrize("pattern", ["", "/etc/*.png"])
def test_bad_patterns(pattern: str, tmp_path: Path) -> None:
    _save(tmp_path / "a.png")
    with pytest.raises(InputError, match="`pattern` must be a glob below the folder"):
        lt.ImageFolder(tmp_path, pattern=pattern)


@pytest.mark.parametrize(("path", "message"), [("", "an empty string"), ("~no_such_user_/x", "cannot be opened|exist")])
def test_bad_paths(path: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        lt.ImageFolder(path)


def test_bad_labels(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`labels` must be 'folders' or None"):
        lt.ImageFolder(tmp_path, labels="names")  # type: ignore[arg-type]


@pytest.mark.skipif(os.getuid() == 0, reason="root opens everything")
def test_folders_that_cannot_be_opened_are_listed(tmp_path: Path) -> None:
    _save(tmp_path / "a.png")
    (tmp_path / "closed").mkdir(mode=0)
    assert lt.ImageFolder(tmp_path).left_out == [Skipped(name="closed", reason="cannot be opened (Permission denied)")]


def test_names_can_be_printed_whatever_their_bytes(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9.png"
    try:
        Path(os.fsdecode(odd)).write_bytes(_png())
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    sample = lt.ImageFolder(tmp_path)[0]
    assert sample.name.encode() == "caf\ufffd.png".encode()


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (2, 2)).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_order_is_that_of_code_points_along_the_path(tmp_path: Path) -> None:
    for name in ("b/1.png", "B/1.png", "a-b/1.png", "a/10.png", "a/9.png", "ä/1.png"):
        _save(tmp_path / name)
    assert lt.ImageFolder(tmp_path)._names == ("B/1.png", "a/10.png", "a/9.png", "a-b/1.png", "b/1.png", "ä/1.png")


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_rotated_tiffs(mode: str, compression: str | None, tmp_path: Path) -> None:
    # Upright, the first row of the file is the last column. Pillow itself gets it wrong where it maps the file.
    shades = np.array([[10, 20], [30, 40], [50, 60]])
    values = shades.astype(np.uint16) * 257 if mode == "I;16" else shades.astype(np.uint8)  # 257 = 65535 / 255
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(np.stack([values] * 3, -1) if mode == "RGB" else values)
    picture.save(tmp_path / "a.tif", exif=exif, compression=compression)
    expected = torch.tensor([[50.0, 30.0, 10.0], [60.0, 40.0, 20.0]]) / 255
    for channel in decode(tmp_path / "a.tif"):
        torch.testing.assert_close(channel, expected)


@pytest.mark.parametrize(
    ("mode", "colour", "options", "expected"),
    [
        ("LA", (51, 51), {}, [0.84]),  # .2 * .2 + .8 = .84
        ("RGBA", (255, 0, 51, 51), {}, [1.0, 0.8, 0.84]),  # 1 * .2 + .8, 0 * .2 + .8, .2 * .2 + .8
        ("L", 51, {"transparency": 51}, [1.0]),
        ("RGB", (51, 0, 0), {"transparency": (51, 0, 0)}, [1.0, 1.0, 1.0]),
        ("RGB", (51, 0, 0), {"transparency": (52, 0, 0)}, [0.2, 0.0, 0.0]),
        ("I;16", 13107, {"transparency": 13107}, [1.0]),
        ("1", 1, {}, [1.0]),
        ("I;16", 13107, {}, [0.2]),
    ],
)
def test_colours(mode: str, colour: Any, options: dict[str, Any], expected: list[float], tmp_path: Path) -> None:
    Image.new(mode, (3, 2), colour).save(tmp_path / "a.png", **options)
    image = decode(tmp_path / "a.png")
    assert image.shape == (len(expected), 2, 3)
    # 8-bit composition rounds to 1/255
    torch.testing.assert_close(image[:, 1, 2], torch.tensor(expected), atol=0.5 / 255, rtol=0)


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)  # no cyan: red
    torch.testing.assert_close(decode(tmp_path / "a.jpg")[:, 8, 8], torch.tensor([1.0, 0.0, 0.0]), atol=0.02, rtol=0)


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), (shade, 0, 0)) for shade in (255, 0)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert decode(tmp_path / "a.gif")[:, 0, 0].tolist() == [1.0, 0.0, 0.0]


def test_floating_point_files_lie_in_zero_to_one(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), 0.25, np.float32)).save(tmp_path / "a.tif")
    assert decode(tmp_path / "a.tif").unique().tolist() == [0.25]
    Image.fromarray(np.full((2, 2), 300.0, np.float32)).save(tmp_path / "b.tif")
    Image.fromarray(np.full((2, 2), np.nan, np.float32)).save(tmp_path / "c.tif")
    with pytest.raises(UnreadableImageError, match=r"b\.tif must lie in \[0, 1\], got values from 300 to 300"):
        decode(tmp_path / "b.tif")
    with pytest.raises(UnreadableImageError, match=r"c\.tif must be finite"):
        decode(tmp_path / "c.tif")
    with pytest.raises(InputError, match="the PIL image must lie in"):
        decode(Image.new("F", (2, 2), 300.0))


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "gif", "tif", "bmp"])
def test_cut_short_anywhere_is_unreadable_or_whole(ending: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / f"whole.{ending}")
    data = (tmp_path / f"whole.{ending}").read_bytes()
    cut = tmp_path / f"cut.{ending}"
    for keep in (1, 9, 30, len(data) // 2):
        cut.write_bytes(data[:keep])
        with pytest.raises(UnreadableImageError, match=r"cut\."):
            decode(cut)


def test_a_picture_that_was_opened_and_is_cut_short(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.jpg")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes((tmp_path / "whole.jpg").read_bytes()[:-300])
    with Image.open(cut) as image, pytest.raises(UnreadableImageError, match="image 0 does not decode"):
        lt.Images([image])[0]


def test_damaged_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\xff\xffgarbage")
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        assert decode(tmp_path / "a.jpg").shape == (3, 4, 4)
