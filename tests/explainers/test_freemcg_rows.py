"""Counterfactuals of rows with columns of every type: each row that is asked could stand in the table."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from table_samples import mixed_generator, mixed_table

import likethat as lt
from likethat.errors import InputError
from likethat.explanations.counterfactual import Counterfactual
from likethat.generators.table.columns import Column
from likethat.generators.table.quality import is_valid
from likethat.generators.table.scale import Scale


class Watched:
    """A model that depends on columns of many types, and keeps every row that it was asked."""

    def __init__(self) -> None:
        self.asked: list[pd.DataFrame] = []

    def __call__(self, frame: pd.DataFrame) -> np.ndarray:
        self.asked.append(frame)
        score = (frame["five hundreds"] / 5000 - 2) + (frame["whole floats"] / 60 - 2)
        score = score + frame["nullable"].fillna(0).astype(float) / 60 + (frame["category"] == "l").astype(float)
        score = score + frame["cents"] / 60 + (frame["day"] - pd.Timestamp("2021-10-01")).dt.days / 200
        chance = 1 / (1 + np.exp(-score.to_numpy(dtype=float)))
        return np.stack([1 - chance, chance], axis=1)


def found_of(row: int, *, confidence: float | None = 0.8, **options: Any) -> tuple[Counterfactual, Watched]:
    model, method = Watched(), lt.FreeMCG(mixed_generator(), confidence=confidence, seed=1)
    return method.counterfactual(lt.BlackBox(model), mixed_table().iloc[[row]], **{"budget": 150} | options), model


@pytest.mark.slow
@pytest.mark.parametrize("row", [0, 5, 7, 60])  # 0, 7: with missing values
def test_every_row_that_is_asked_could_stand_in_the_table(row: int, tmp_path: Path) -> None:
    found, model = found_of(row)
    source = mixed_table().iloc[[row]].reset_index(drop=True)
    asked = pd.concat(model.asked, ignore_index=True)
    assert len(asked) > 60
    assert is_valid(asked, mixed_generator().columns)
    assert (asked.dtypes == source.dtypes).all()
    assert all(is_valid(edit.input, mixed_generator().columns) for edit in found.edits)  # type: ignore[arg-type]
    untouched = [name for name in source if str(name) not in {change.name for change in found.best.changes}]
    pd.testing.assert_frame_equal(found.best.input[untouched], source[untouched])
    assert found.save(tmp_path / "page.html").read_text("utf-8").count("<tr") >= len(found.best.changes)


@pytest.mark.slow
def test_a_row_of_other_types_is_brought_to_those_that_were_learned(tmp_path: Path) -> None:
    mixed_table().iloc[[3]].to_csv(tmp_path / "row.csv", index=False)
    row = pd.read_csv(tmp_path / "row.csv").rename(columns={"7": 7})
    model = Watched()
    found = lt.FreeMCG(mixed_generator(), seed=1).counterfactual(lt.BlackBox(model), row, budget=60)
    assert all(is_valid(frame, mixed_generator().columns) for frame in model.asked)
    pd.testing.assert_frame_equal(found.source, mixed_table().iloc[[3]].reset_index(drop=True))  # type: ignore[arg-type]


@pytest.mark.slow
def test_limits_of_dates_ordered_categories_and_steps_hold() -> None:
    source = mixed_table().iloc[5]
    limits = {
        "day": (source["day"], source["day"] + pd.Timedelta(days=30)),
        "ordered": ("low", "high"),
        "five hundreds": (source["five hundreds"] - 700, source["five hundreds"] + 700),
        "nullable": (0, 60),
    }
    _, model = found_of(5, ranges=limits, directions={"ordered": "up", "period": "up", "cents": "down"})
    asked = pd.concat(model.asked, ignore_index=True)
    assert asked["day"].between(*limits["day"]).all()
    assert set(asked["five hundreds"] - source["five hundreds"]) <= {-500, 0, 500}
    assert (asked["ordered"] >= source["ordered"]).all()
    assert (asked["period"] >= source["period"]).all()
    assert (asked["cents"] <= source["cents"]).all()
    assert is_valid(asked, mixed_generator().columns)


@pytest.mark.slow
def test_a_missing_value_is_filled_in_within_its_range_and_has_no_direction() -> None:
    _, model = found_of(7, ranges={"nullable": (20, 30)})
    filled = pd.concat(model.asked)["nullable"]
    assert filled.isna().any()
    assert filled.dropna().between(20, 30).all()
    assert filled.notna().any()
    with pytest.raises(InputError, match="'nullable' is missing: nothing is above or below it"):
        found_of(7, directions={"nullable": "up"})


@pytest.mark.slow
def test_a_limit_is_no_way_to_become_missing() -> None:
    _, model = found_of(5, directions={"nullable": "down", "holes": "up"})
    asked = pd.concat(model.asked)
    assert asked[["nullable", "holes"]].notna().all(axis=None)


@pytest.mark.slow
def test_limits_that_say_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="`immutable` must leave a column that may change, got all 29"):
        found_of(5, immutable=[str(name) for name in mixed_table()])
    with pytest.raises(InputError, match="`ranges` must be of values as column 'day' holds, got 'soon'"):
        found_of(5, ranges={"day": ("soon", "later")})
    with pytest.raises(InputError, match="`ranges` must be of values as column 'ordered' holds, got 'a'"):
        found_of(5, ranges={"ordered": ("a", "b")})
    with pytest.raises(InputError, match=r"'category' holds categories\. Keep it with"):
        found_of(5, directions={"category": "up"})


@pytest.mark.parametrize(
    ("column", "low", "high", "position", "value"),
    [
        (Column(name="a", dtype="int64", kind="number", low=0, high=2000, step=500), 300, 1200, 9.0, 1000),
        (Column(name="a", dtype="float64", kind="number", low=0.0, high=9.0, decimals=1), 0.25, 0.3, 0.0, 0.3),
        (Column(name="a", dtype="int64", kind="category", choices=(8, 3)), 4, 9, 0.0, 8),
    ],
)
def test_the_nearest_valid_value_within_a_range(
    column: Column, low: Any, high: Any, position: float, value: Any
) -> None:
    scale = Scale(column)
    ends = (scale.place_of(end, name="ranges") for end in (low, high))
    assert scale.values(scale.within(np.array([position]), *ends)).tolist() == [value]


def test_no_valid_value_within_a_range_is_none() -> None:
    column = Column(name="a", dtype="int64", kind="number", low=0, high=2000, step=500)
    scale = Scale(column)
    assert np.isnan(scale.within(np.array([0.0]), 0.2, 0.8)).all()


@pytest.mark.slow
def test_the_demand_of_rows_is_the_decision_and_a_margin_and_its_curve_is_told(tmp_path: Path) -> None:
    found, _ = found_of(5, confidence=None)
    assert found.options["confidence"] == 0.6
    assert [at.confidence for at in found.curve[:2]] == [0.5, 0.6]
    columns = [at.n_columns for at in found.curve]
    assert columns == sorted(columns)
    assert found.curve[1].n_columns == len(found.best.changes)
    assert found.probability(found.best) >= 0.6
    page = found.save(tmp_path / "page.html").read_text("utf-8")
    assert "What more confidence costs" in page
    assert re.search("60.% of the target against the next class was asked for", page)
    opened = lt.open(found.save(tmp_path / "result"))
    assert opened.curve == found.curve
    texts = ["period", "quarter"]  # a record has periods as texts
    pd.testing.assert_frame_equal(opened.best.input.drop(columns=texts), found.best.input.drop(columns=texts))


@pytest.mark.slow
def test_a_class_that_nothing_is_given_to_is_told_truly() -> None:
    def never(frame: pd.DataFrame) -> np.ndarray:
        chance = 0.27 / (1 + np.exp(-frame["cents"].to_numpy(dtype=float) / 40))
        return np.stack([1 - chance, chance], axis=1)

    found = lt.FreeMCG(mixed_generator(), seed=1).counterfactual(never, mixed_table().iloc[[5]], 1, budget=150)
    assert not found.edits
    assert "24 of them as the generator makes them anywhere, none came there" in found.status.advice
    assert "more budget is unlikely to help" in found.status.advice


@pytest.mark.slow
def test_different_ways_are_few_columns_first() -> None:
    found, _ = found_of(5, n=3, budget=240)
    columns = [len(edit.changes) for edit in found.edits]
    assert len(columns) > 1
    assert columns == sorted(columns)
    assert len({tuple(change.name for change in edit.changes) for edit in found.edits}) == len(columns)


@pytest.mark.slow
def test_where_one_column_decides_one_changes_and_no_farther_than_it_must() -> None:
    def model(frame: pd.DataFrame) -> np.ndarray:
        chance = 1 / (1 + np.exp(-(frame["five hundreds"].to_numpy(dtype=float) - 12_000) / 1500))
        return np.stack([1 - chance, chance], axis=1)

    source = mixed_table().iloc[[5]]  # 3,500
    found = lt.FreeMCG(mixed_generator(), seed=1).counterfactual(model, source, 1, budget=200)
    [change] = found.best.changes
    assert change.name == "five hundreds"
    assert 13_000 <= change.after <= 14_000  # .6 lies at 12,608: the next of its steps, or two more
