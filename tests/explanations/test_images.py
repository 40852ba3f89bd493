"""Pictures of a bank, in memory and on disk."""

from pathlib import Path

import numpy as np
import pytest

from likethat.errors import BankFormatError, InputError
from likethat.explanations import ImageStore


def _noise(side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)


def test_small_pictures_stay_exact_and_large_ones_small(tmp_path: Path) -> None:
    smooth = np.broadcast_to(np.arange(300, dtype=np.uint8)[:, None, None] // 2, (300, 300, 3)).copy()
    store = ImageStore({"small": _noise(96), "large": smooth})
    assert np.array_equal(store["small"], _noise(96))
    assert np.abs(store["large"].astype(int) - smooth).max() <= 8
    assert len(store.encode("large")[1]) < smooth.size / 20
    store.write(tmp_path)
    opened = ImageStore(folder=tmp_path)
    assert sorted(opened) == ["large", "small"]
    assert np.array_equal(opened["large"], store["large"])


def test_whether_a_picture_is_there_is_known_without_decoding_it(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    store = ImageStore({"small": np.zeros((4, 4, 3), np.uint8)}, folder=tmp_path)
    assert "small" in store
    assert "broken" in store
    assert "other" not in store


def test_grey_pictures() -> None:
    assert ImageStore({"grey": np.zeros((4, 5), np.uint8)})["grey"].shape == (4, 5)


@pytest.mark.parametrize("key", ["../escape", "a/b", "", "a.b", "x" * 200])
def test_keys_are_safe_file_names(key: str) -> None:
    with pytest.raises(InputError, match="a picture's key must be letters"):
        ImageStore({key: _noise(4)})


def test_a_damaged_picture(tmp_path: Path) -> None:
    ImageStore({"one": _noise(40)}).write(tmp_path)
    (tmp_path / "one.png").write_bytes(b"not a picture")
    with pytest.raises(BankFormatError, match=r"one\.png of this bank does not decode"):
        ImageStore(folder=tmp_path)["one"]


def test_other_files_and_links_are_no_pictures(tmp_path: Path) -> None:
    ImageStore({"one": _noise(4)}).write(tmp_path / "images")
    (tmp_path / "secret.png").write_bytes((tmp_path / "images" / "one.png").read_bytes())
    (tmp_path / "images" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "images" / "notes.txt").write_text("hello")
    assert list(ImageStore(folder=tmp_path / "images")) == ["one"]
