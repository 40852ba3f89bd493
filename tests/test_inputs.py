"""Digests of rows: the same for the same row, however its table is laid out, and as files keep them."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from table_samples import mixed_table

from likethat._inputs import digests, take


def as_files_keep_them(frame: pd.DataFrame) -> list[bytes]:
    """Return what the first version made of rows: caches on disk are looked up by it."""
    head = repr([(str(name), str(kind)) for name, kind in frame.dtypes.items()]).encode()
    key = hashlib.blake2b(head, digest_size=32).digest()
    rows = [[value.item() if isinstance(value, np.generic) else value for value in row]
            for row in frame.astype(object).to_numpy()]  # fmt: skip
    return [
        hashlib.blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=16, key=key).digest() for row in rows
    ]


@pytest.mark.parametrize(
    "names", [slice(None), ["whole"], ["tail", "cents", "holes"], ["float32"], ["truth"], ["zeros"]]
)
def test_rows_have_the_digests_that_caches_hold(names: object) -> None:
    frame = mixed_table().loc[:9, names]  # type: ignore[index]
    assert digests(frame) == as_files_keep_them(frame)
    assert digests(frame.iloc[[4]]) == digests(frame)[4:5]


def test_names_are_told_apart_whatever_was_digested_before() -> None:
    """Names are kept by the object that holds them, of so many tables and no more."""
    frames = [pd.DataFrame({f"column {place}": [1.0], "b": [2.0]}) for place in range(300)]
    assert len({digests(frame)[0] for frame in frames}) == 300
    assert [digests(frame) for frame in frames[:3]] == [as_files_keep_them(frame) for frame in frames[:3]]


@pytest.mark.parametrize("rows", [[2, 0], [], [1, 1], [0, 1, 2]])
def test_rows_taken_of_a_table_stand_by_themselves(rows: list[int]) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None], "c": pd.Categorical(["u", "v", "u"])}, index=[5, 6, 7])
    found = take(frame, rows)
    pd.testing.assert_frame_equal(found, frame.iloc[rows].reset_index(drop=True))
    found["a"] = 9
    assert frame["a"].tolist() == [1, 2, 3]
