"""Whole tables as numbers and back, beside the same column by column; rows made beside a source row."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from table_samples import mixed_table

from likethat.errors import InputError, NonFiniteError
from likethat.generators.table.scale import Scale
from likethat.generators.table.schema import learn_columns
from likethat.generators.table.whole import Whole
from likethat.generators.table.writer import Writer

TABLE = mixed_table()
COLUMNS = learn_columns(TABLE)


def test_a_table_is_read_and_written_as_its_columns_are() -> None:
    whole = Whole(COLUMNS)
    assert len(whole.plain) > 8
    one_by_one = np.stack([column.to_numbers(TABLE[column.name]) for column in COLUMNS], axis=1)
    np.testing.assert_array_equal(whole.numbers(TABLE), one_by_one)
    anything = one_by_one + np.random.default_rng(0).normal(scale=4.0, size=one_by_one.shape).round(3)
    anything = np.nan_to_num(anything)
    anything[0], anything[1] = 1e30, -1e30
    gone = {place: np.arange(len(TABLE)) % 3 == 0 for place, column in enumerate(COLUMNS) if column.can_miss}
    made = {column.name: column.from_numbers(anything[:, at], gone.get(at)) for at, column in enumerate(COLUMNS)}
    pd.testing.assert_frame_equal(whole.frame(anything, gone), pd.DataFrame(made), check_exact=True)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"tail": np.inf}, NonFiniteError, "'tail' must be finite or missing"),
        ({"cents": "many"}, InputError, "'cents' must hold numbers as the generator learned"),
    ],
)
def test_what_cannot_be_read_is_named(change: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        Whole(COLUMNS).numbers(TABLE.iloc[:3].assign(**change))


def test_numbers_of_another_type_are_read() -> None:
    other = TABLE.assign(whole=TABLE["whole"].astype(float), tail=TABLE["tail"].astype(object), cents="1.5")
    found, names = Whole(COLUMNS).numbers(other), [column.name for column in COLUMNS]
    np.testing.assert_array_equal(found[:, names.index("tail")], TABLE["tail"])
    assert found[0, names.index("cents")] == 1.5


@pytest.mark.parametrize("row", [0, 5, 14])  # with and without what is missing
@pytest.mark.parametrize("names", [None, ["tail", "cents"]])
def test_what_is_made_is_known_as_it_would_be_read(row: int, names: list[str] | None) -> None:
    table = TABLE if names is None else TABLE[names]
    columns, rng = learn_columns(table), np.random.default_rng(row)
    writer = Writer(table.iloc[[row]].reset_index(drop=True), columns)
    at = writer.positions(table)[rng.integers(0, len(table), 30)]
    at[:20] += np.where(rng.random((20, len(columns))) < 0.5, rng.normal(scale=3.0, size=(20, len(columns))), 0.0)
    at = writer.snapped(at, np.ones(len(columns), dtype=bool))
    keeps = (rng.random(at.shape) < 0.3) | (at == writer.own.positions)
    keeps |= np.isnan(at) & np.isnan(writer.own.positions)
    made = writer.made(at, keeps)
    assert (made.frame.dtypes == table.dtypes).all()
    read = writer.read(made.frame.copy())
    for name in ("numbers", "positions", "gone", "same"):
        np.testing.assert_array_equal(getattr(made, name), getattr(read, name), err_msg=name)
    for place, column in enumerate(columns):
        wanted = Scale(column).values(at[:, place])
        for own, value, keep in zip(made.frame[column.name], wanted, keeps[:, place], strict=True):
            source = table[column.name].iloc[row] if keep else value
            assert (pd.isna(own) and pd.isna(source)) or own == source, column.name
