"""Typed pieces of documents, each error with its place."""

from typing import Any

import msgspec
import numpy as np
import pytest

from likethat.sources.marks.documents import (
    BrokenError,
    Reading,
    check_pixels,
    key_of,
    points_of,
    read_as,
    size_of,
    text_of,
)
from likethat.sources.marks.run_lengths import run_lengths


class Record(msgspec.Struct):
    name: str
    box: list[float] | None = None


@pytest.mark.parametrize(
    ("value", "place", "reason"),
    [
        ({"name": "a", "box": [1, "x"]}, "items[2].box[1]", "must be `float`, got `str`"),
        ({"name": None}, "items[2].name", "must be `str`, got `null`"),
        ({"box": []}, "items[2]", "lacks the field `name`"),
        ([], "items[2]", "must be `object`, got `array`"),
        ({"name": "a", "box": [10**400]}, "items[2].box[0]", "does not read (number out of range)"),
    ],
    ids=str,
)
def test_what_is_wrong_has_its_place(value: Any, place: str, reason: str) -> None:
    with pytest.raises(BrokenError) as error:
        read_as(Record, value, "items[2]")
    assert (error.value.place, error.value.reason) == (place, reason)


def test_unknown_fields_and_numbers_in_quotes_are_taken() -> None:
    assert read_as(Record, {"name": "a", "box": ["1", 2], "score": 1}, "it").box == [1.0, 2.0]


def test_ids() -> None:
    assert key_of(7) == key_of(7.0) == key_of(" 7 ") == "7"
    assert key_of("7f") != key_of(7)


def test_sizes() -> None:
    assert size_of(6.0, 8, "images[0]") == (6, 8)
    assert size_of(None, 8, "images[0]") is size_of(0, 0, "images[0]") is None
    for wrong in (-6, 6.5, 10**12, float("nan")):
        with pytest.raises(BrokenError, match=r"images\[0\].height must be a whole number from 1 to 1,000,000"):
            size_of(wrong, 8, "images[0]")


def test_pixels_of_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    check_pixels(6, 8, "size")
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 47)
    with pytest.raises(BrokenError, match="size must have 1 to 47 pixels, got 8 x 6"):
        check_pixels(6, 8, "size")
    with pytest.raises(BrokenError, match="got 0 x 6"):
        check_pixels(6, 0, "size")


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([1, 2, 3], {"least": 1}, "pairs of x and y, got 3 numbers"),
        ([1, 2], {"least": 3}, "at least 3 points, got 1"),
        ([1, 2, 3, 4, 5, 6], {"least": 2, "most": 2}, "must hold 2 points, got 3"),
        ([1, float("nan")], {"least": 1}, "finite and near"),
        ([1, 1e9], {"least": 1}, "finite and near"),
    ],
    ids=str,
)
def test_points(values: list[float], options: dict[str, int], message: str) -> None:
    with pytest.raises(BrokenError, match=message):
        points_of(values, "points", **options)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_text(encoding: str) -> None:
    assert text_of("Flügel".encode(encoding)) == "Flügel"


def test_masks_are_cut_and_their_room_is_bounded() -> None:
    reading = Reading(room=5)
    mask = np.zeros((9, 9), dtype=bool)
    mask[3:5, 6:8] = True
    part, at = reading.cut(mask, "mask")
    assert (part.shape, at, reading.room) == ((2, 2), (6, 3), 1)
    with pytest.raises(BrokenError, match="mask was left out: masks of more than"):
        reading.cut(mask, "mask")
    with pytest.raises(BrokenError, match="mask holds an empty mask"):
        reading.cut(mask & False, "mask")


def test_run_lengths_that_never_end() -> None:
    with pytest.raises(ValueError, match="no number"):
        run_lengths("o" * 100, height=2, width=2)
