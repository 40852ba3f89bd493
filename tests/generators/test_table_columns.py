import json

import numpy as np
import pandas as pd
import pytest
from table_samples import mixed_table

from likethat.errors import InputError, NonFiniteError
from likethat.generators.table.columns import Column
from likethat.generators.table.schema import learn_columns

NAMES = list(mixed_table().columns)


@pytest.mark.parametrize("name", NAMES)
def test_a_column_comes_back_from_its_numbers_and_from_json(name: str) -> None:
    series = mixed_table()[name]
    [column] = learn_columns(pd.DataFrame({name: series}))
    column = Column.from_json(json.loads(json.dumps(column.as_json())))
    made = column.from_numbers(column.to_numbers(series), series.isna().to_numpy(dtype=bool))
    pd.testing.assert_series_equal(made, series, check_names=False)
    assert column.from_numbers(np.zeros(0)).dtype == series.dtype


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [-1e30, 1e30, np.nan])
def test_no_number_makes_an_invalid_value(name: str, value: float) -> None:
    series = mixed_table()[name]
    [column] = learn_columns(pd.DataFrame({name: series}))
    [made] = column.from_numbers(np.array([value]))
    if column.kind == "missing":
        assert pd.isna(made)
    elif column.kind in ("category", "constant"):
        assert made in column.choices
    else:
        assert series.min() <= made <= series.max()


def test_kinds_and_what_is_said_of_them() -> None:
    said = {str(column.name): column.describe() for column in learn_columns(mixed_table())}
    assert said["whole"].startswith("whole number from -4 to 89")
    assert said["word"].startswith("one of 4 categories: ")
    assert said["holes"].endswith(", or missing")
    assert said["gone"] == said["nothing"] == "always missing"
    assert said["constant"] == "always 'always'"
    assert said["day"].startswith("date from 2021-03-")


def test_steps_and_decimals_are_seen() -> None:
    by_name = {column.name: column for column in learn_columns(mixed_table())}
    assert by_name["fives"].step == 5
    assert by_name["cents"].decimals == 2
    assert by_name["tail"].decimals is None
    assert by_name["day"].step % 86_400 == 0  # whole days, whatever the unit
    made = by_name["fives"].from_numbers(np.array([0.0, 1.4, 2.6]))
    assert made.tolist() == [10, 15, 25]  # 10 + 5 * (0, 1, 3)


def test_identifiers_too_large_for_a_float_are_categories() -> None:
    frame = pd.DataFrame({"id": np.arange(40) + 2**60})
    [column] = learn_columns(frame)
    assert column.kind == "category"
    assert column.from_numbers(column.to_numbers(frame["id"])).tolist() == frame["id"].tolist()


def test_an_unseen_category_is_unknown_and_the_rest_of_the_row_is_read() -> None:
    [column] = learn_columns(pd.DataFrame({"word": ["a", "b", "a"] * 10}))
    assert column.to_numbers(pd.Series(["b", "never"])).tolist() == [1, -1]


@pytest.mark.parametrize(
    ("frame", "match"),
    [
        (pd.DataFrame([[1, 2]] * 3, columns=["a", "a"]), "different names, got 'a' twice"),
        (pd.DataFrame({("a", "b"): [1]}), "name must be text or a number"),
        (pd.DataFrame({"lists": [[1], [2]] * 9}), "'lists' must hold numbers, texts, truth values or dates, got list"),
        (pd.DataFrame({"cut": pd.cut(pd.Series([1, 2, 3]), 2)}), "'cut' must hold .*, got Interval"),
    ],
)
def test_columns_that_cannot_be_learned(frame: pd.DataFrame, match: str) -> None:
    with pytest.raises(InputError, match=match):
        learn_columns(frame)


def test_infinite_numbers_are_named() -> None:
    with pytest.raises(NonFiniteError, match="'x' must be finite or missing, got 1 infinite of 3"):
        learn_columns(pd.DataFrame({"x": [1.0, np.inf, np.nan, 3.0]}))


def test_text_where_numbers_were_learned() -> None:
    [column] = learn_columns(pd.DataFrame({"x": [1.0, 2.5, 4.0]}))
    with pytest.raises(InputError, match="'x' must hold numbers as the generator learned"):
        column.to_numbers(pd.Series(["many"]))
    [column] = learn_columns(pd.DataFrame({"d": pd.date_range("2020-01-01", periods=4)}))
    with pytest.raises(InputError, match="'d' must hold dates as the generator learned"):
        column.to_numbers(pd.Series(["soon"]))
