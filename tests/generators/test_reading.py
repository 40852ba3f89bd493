"""Inputs from files, as a generator makes them."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from PIL import Image

from likethat.errors import DataWarning, InputError
from likethat.generators import inputs_like, read_input

PICTURES = SimpleNamespace(kind="image", shape=(1, 4, 4))


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """A picture of 8 x 4: black, white in its middle half."""
    picture = Image.new("RGB", (8, 4))
    picture.paste((255, 255, 255), (2, 0, 6, 4))
    picture.save(tmp_path / "wide.png")
    return tmp_path / "wide.png"


def test_a_picture_is_cut_to_its_middle_and_said_to_be(wide: Path) -> None:
    with pytest.warns(DataWarning, match="resized from 4 x 8 to 4 x 4 pixels, cut to its middle"):
        image = read_input(wide, shape=(1, 4, 4))
    torch.testing.assert_close(image, torch.ones(1, 4, 4))


def test_a_picture_keeps_its_size_and_takes_the_channels_that_are_asked_for(wide: Path) -> None:
    assert read_input(wide).shape == (3, 4, 8)
    grey = read_input(wide, channels=1)
    assert grey.shape == (1, 4, 8)
    assert grey[0, 0].tolist() == [0, 0, 1, 1, 1, 1, 0, 0]


def test_a_row_and_a_text(tmp_path: Path) -> None:
    pd.DataFrame({"age": [3, 5], "name": ["a", "b"]}).to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "one.txt").write_text("  a good film\n", encoding="utf-8")
    assert read_input(tmp_path / "rows.csv", row=1).to_dict("list") == {"age": [5], "name": ["b"]}
    assert read_input(tmp_path / "one.txt") == "a good film"
    with pytest.raises(InputError, match="`row` must be from 0 to 1, got 2"):
        read_input(tmp_path / "rows.csv", row=2)
    with pytest.raises(InputError, match="must be a file, got the folder"):
        read_input(tmp_path)
    with pytest.raises(InputError, match=r"none\.csv, which does not exist"):
        read_input(tmp_path / "none.csv")


def test_real_inputs_are_of_the_generators_kind(wide: Path, tmp_path: Path) -> None:
    pictures = inputs_like(PICTURES, tmp_path)
    torch.testing.assert_close(pictures, torch.ones(1, 1, 4, 4))
    (tmp_path / "texts.txt").write_text("one\n\ntwo\n", encoding="utf-8")
    assert inputs_like(SimpleNamespace(kind="text"), tmp_path / "texts.txt") == ["one", "two"]
    pd.DataFrame({"age": [3, 5]}).to_csv(tmp_path / "rows.csv", index=False)
    assert inputs_like(SimpleNamespace(kind="table"), tmp_path / "rows.csv")["age"].tolist() == [3, 5]
    with pytest.raises(InputError, match="that can be read twice, got a stream"):
        inputs_like(PICTURES, (image for image in pictures))
