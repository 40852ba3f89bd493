"""Numbers change their type without a loss, or not at all."""

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from likethat.errors import InputError
from likethat.models.black_box.casting import Brightness, as_type, cells_of, column_of_numbers, fit_type, texts_of

INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]


@pytest.mark.parametrize("name", INTEGERS)
def test_the_ends_of_each_type_fit_and_what_is_beyond_does_not(name: str) -> None:
    low, high = int(np.iinfo(name).min), int(np.iinfo(name).max)
    dtype = np.dtype(name)
    ends = np.array([low, high], dtype=np.int64 if low < 0 else np.uint64)
    assert fit_type(ends, dtype, taker="it").tolist() == [low, high]
    for beyond in (float(low) - max(1.0, abs(low) * 1e-3), float(high) * 1.001 + 1):
        with pytest.raises(InputError, match=f"whole numbers from {low} to {high} \\({name}\\) as it takes"):
            fit_type(np.array([beyond]), dtype, taker="it")


def test_a_float_at_the_very_end_is_beyond_it() -> None:
    with pytest.raises(InputError, match="Check the units"):
        fit_type(np.array([2.0**63]), np.dtype("int64"), taker="it")  # the greatest int64 is one less
    assert fit_type(np.array([2.0**63 - 1024]), np.dtype("int64"), taker="it").tolist() == [2**63 - 1024]


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (2.5, "int8", "got 2.5"),
        (np.nan, "int8", "no missing values for it, which takes int8, got 1 in column 'a'"),
        (np.inf, "int64", "got inf"),
        (2.0, "bool", r"0 or 1 \(bool\) as it takes, got 2.0"),
        (1e5, "float16", r"must fit float16 as it takes, which ends at 6.55e\+04, got 1e\+05 in column 'a'"),
    ],
)
def test_what_does_not_fit(value: float, dtype: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_type(np.array([1.0, value]), np.dtype(dtype), taker="it", what="column 'a'")


def test_what_is_no_number_stays_what_it_is_among_fractions() -> None:
    assert np.isnan(fit_type(np.array([np.nan, 1.0]), np.dtype("float16"), taker="it")[0])
    assert np.isinf(fit_type(np.array([np.inf]), np.dtype("float32"), taker="it")[0])


def test_images_are_scaled_once_it_is_decided() -> None:
    brightness, images = Brightness(), torch.tensor([0.0, 0.25, 0.5, 1.0]).reshape(1, 1, 2, 2)
    uint8 = np.dtype("uint8")
    assert as_type(images, uint8, taker="it", brightness=brightness).ravel().tolist() == [0, 64, 128, 255]
    assert brightness.notes[0].startswith(
        "images in [0, 1] were sent as whole numbers from 0 to 255, as it takes uint8"
    )
    assert as_type(images[:0], uint8, taker="it", brightness=brightness).shape == (0, 1, 2, 2)
    with pytest.raises(
        InputError, match=r"images in \[0, 1\] as those before, which it got as 0 to 255, got .* 0 to 2\."
    ):
        as_type(images * 2, uint8, taker="it", brightness=brightness)
    other = Brightness()
    assert as_type(images * 4, uint8, taker="it", brightness=other).ravel().tolist() == [0, 1, 2, 4]
    assert as_type(images.round(), uint8, taker="it", brightness=other).ravel().tolist() == [0, 0, 0, 1]  # as before
    assert other.notes == ()


def test_bytes_for_fractions_are_doubted() -> None:
    brightness = Brightness()
    given = np.full((1, 1, 1, 2), 255, dtype=np.uint8)
    assert as_type(given, np.dtype("float32"), taker="it", brightness=brightness).ravel().tolist() == [255, 255]
    assert brightness.notes == (
        "images of whole numbers were sent as they are: divide them by 255 if it was trained on [0, 1]",
    )


COLUMNS: dict[str, tuple[Any, list[Any]]] = {
    "int64": ([2**53 + 1], [2**53 + 1]),
    "UInt8": ([200], [200]),
    "boolean": ([True], [True]),
    "object": ([2**63, 1], [2**63, 1]),
    "Float32": ([0.5, None], [0.5, np.nan]),
    "category": ([3, None], [3.0, np.nan]),
}


@pytest.mark.parametrize("kind", list(COLUMNS))
def test_columns_are_read_exactly(kind: str) -> None:
    values, expected = COLUMNS[kind]
    found = column_of_numbers(pd.Series(values, dtype=kind), name="a", taker="it")
    assert np.array_equal(found, np.array(expected), equal_nan=found.dtype.kind == "f")


def test_columns_of_objects() -> None:
    mixed = pd.Series([Decimal("0.5"), 1, True, None, pd.NA], dtype=object)
    assert column_of_numbers(mixed, name="a", taker="it")[:3].tolist() == [0.5, 1.0, 1.0]
    for bad in (["1"], [pd.Timestamp("2020-01-01")], [(1, 2)], [1 + 2j]):
        with pytest.raises(InputError, match="numbers alone, as it takes one array, got column 'a' of"):
            column_of_numbers(pd.Series(bad), name="a", taker="it")


def test_cells_and_texts() -> None:
    cells = pd.Series([1, 0.5, "x", None, np.float32(0.25), np.True_, pd.Timestamp("2020-01-02")], dtype=object)
    assert cells_of(cells, name="a") == [1, 0.5, "x", None, 0.25, True, "2020-01-02T00:00:00"]
    assert texts_of(pd.Series(["x", 7, None], dtype=object), name="a", taker="it") == ["x", "7", None]
    for bad in (0.5, True):
        with pytest.raises(InputError, match=r"got (0\.5|True), which can be written in several ways"):
            texts_of(pd.Series([bad], dtype=object), name="a", taker="it")
    for unknown in ((1, 2), {"a": 1}, np.inf, pd.Interval(0, 1), b"x"):
        with pytest.raises(InputError, match=r"numbers, texts, dates or missing values, got .* in column 'a'"):
            cells_of(pd.Series([unknown], dtype=object), name="a")
